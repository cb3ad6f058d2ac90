package kv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// write is a change that waits for its turn. It is applied whole or not at
// all.
type write struct {
	ctx   context.Context
	apply func(*batch) error
	// alone keeps others out of its transaction: it may be refused half-way.
	alone bool
	done  chan error
}

// batch is the transaction in which writes are applied.
type batch struct {
	ctx                        context.Context
	tx                         *sql.Tx
	next                       *int64
	enter, fill, remove, empty *sql.Stmt
}

// begin gives the statements of a namespace for use in a transaction.
func (n *namespace) begin(ctx context.Context, tx *sql.Tx) *batch {
	return &batch{ctx: ctx, tx: tx, next: &n.next, enter: tx.StmtContext(ctx, n.enter), fill: tx.StmtContext(ctx, n.fill),
		remove: tx.StmtContext(ctx, n.remove), empty: tx.StmtContext(ctx, n.empty)}
}

func (b *batch) Put(e Entry) error {
	var expiration, metadata any
	if e.Expiration != 0 {
		expiration = e.Expiration
	}
	if e.Metadata != nil {
		metadata = []byte(e.Metadata)
	}
	value := e.Value
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	var id int64
	if err := b.enter.QueryRowContext(b.ctx, []byte(e.Key), *b.next, expiration, metadata).Scan(&id); err != nil {
		return err
	}
	if id == *b.next {
		*b.next++
	}
	_, err := b.fill.ExecContext(b.ctx, id, value)
	return err
}

func (b *batch) Delete(key string) error {
	var id int64
	err := b.remove.QueryRowContext(b.ctx, []byte(key)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it was not there
	}
	if err == nil {
		_, err = b.empty.ExecContext(b.ctx, id)
	}
	return err
}

// shared is how many waiting writes share a transaction at most.
const shared = 128

// do queues a write and waits for it to be durable.
func (n *namespace) do(ctx context.Context, alone bool, apply func(*batch) error) error {
	w := &write{ctx: ctx, apply: apply, alone: alone, done: make(chan error, 1)}
	select {
	case n.writes <- w:
	case <-n.stop:
		return n.ended
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-w.done
}

// writer applies writes in the order in which they come. Those that wait while
// one is being synced share the next sync.
func (n *namespace) writer() {
	defer close(n.stopped)
	for {
		select {
		case w := <-n.writes:
			n.serve(w)
		case <-n.stop:
			return
		}
	}
}

func (n *namespace) serve(w *write) {
	for w != nil {
		group, next := n.gather(w)
		err := n.transact(group)
		for _, g := range group {
			g.done <- err
		}
		w = next
	}
}

// gather takes what waits already into one group. A write that wants to be
// alone ends it and comes next.
func (n *namespace) gather(first *write) (group []*write, next *write) {
	group = []*write{first}
	for !first.alone && len(group) < shared {
		select {
		case w := <-n.writes:
			if w.alone {
				return group, w
			}
			group = append(group, w)
		default:
			return group, nil
		}
	}
	return group, nil
}

// transact applies a group and makes it durable.
func (n *namespace) transact(group []*write) (err error) {
	// A client that goes away must not break off the writes of others.
	ctx := context.Background()
	if len(group) == 1 {
		ctx = context.WithoutCancel(group[0].ctx)
	}
	tx, err := n.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write to KV namespace %s: %w", n.ID, err)
	}
	defer func() {
		if err != nil {
			if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
				err = errors.Join(err, back)
			}
		}
	}()
	b := n.begin(ctx, tx)
	for _, w := range group {
		if err := w.apply(b); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write to KV namespace %s: %w", n.ID, err)
	}
	return nil
}
