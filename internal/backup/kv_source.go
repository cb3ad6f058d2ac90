package backup

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// Key is a key as a list shows it.
type Key struct {
	Name       string
	Expiration int64           // in seconds since 1970; 0: never
	Metadata   json.RawMessage // nil: none
}

// Text is the answer to a bulk read of one key, which carries text only.
type Text struct {
	Value      string
	Expiration int64
	Metadata   json.RawMessage
}

// KVSource is a namespace that is read.
type KVSource interface {
	// List gives a page of keys in the order of their bytes, and the cursor of
	// the next one; "" ends it.
	List(ctx context.Context, cursor string) (keys []Key, next string, err error)
	// BulkGet reads up to MaxBulkGet keys. A key that is not there is not in
	// the answer. It gives ErrTooLarge when the values together are too much.
	BulkGet(ctx context.Context, keys []string) (map[string]Text, error)
	// Get reads the bytes of one key; found is false when it is not there.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
}

// MaxBulkGet is how many keys one bulk read takes.
const MaxBulkGet = 100

// ErrTooLarge says that a bulk read would answer too much.
var ErrTooLarge = errors.New("the values together are too much for one answer")

// batch is some keys in the order of the list, on their way to being read.
type batch struct {
	keys []Key
	page string // cursor of the page that they stand on
	done chan struct{}
	// What was read; valid once done is closed.
	entries  []Entry
	vanished []string
	changed  []string
}

// readers is how many bulk reads are under way at a time: enough that the
// next answer is there when one was written.
const readers = 6

// walk reads a namespace from the page at cursor on, without the keys up to
// after, and hands batches on in the order of the keys.
func walk(ctx context.Context, src KVSource, cursor, after string, visit func(*batch) error) error {
	eg, ctx := errgroup.WithContext(ctx)
	queue := make(chan *batch, readers) // bounds what waits in memory
	work := make(chan *batch)
	eg.Go(func() error {
		defer close(queue)
		defer close(work)
		return list(ctx, src, cursor, after, func(b *batch) error {
			for _, to := range []chan *batch{queue, work} {
				select {
				case to <- b:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range readers {
		eg.Go(func() error {
			for b := range work {
				if err := b.read(ctx, src); err != nil {
					return err
				}
				close(b.done)
			}
			return nil
		})
	}
	eg.Go(func() error {
		for b := range queue {
			select {
			case <-b.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := visit(b); err != nil {
				return err
			}
		}
		return nil
	})
	return eg.Wait()
}

// list divides the list into batches.
func list(ctx context.Context, src KVSource, cursor, after string, send func(*batch) error) error {
	last := ""
	for {
		page := cursor
		keys, next, err := src.List(ctx, cursor)
		if err != nil {
			return err
		}
		for i, k := range keys {
			// A list that repeats or goes back would store keys twice or miss some.
			if k.Name <= last && (i > 0 || last != "") {
				return corrupt("the list of keys", "key "+quote(k.Name)+" comes after "+quote(last), "the namespace changed while it was listed: begin again")
			}
			last = k.Name
		}
		keys = slices.DeleteFunc(keys, func(k Key) bool { return k.Name <= after && after != "" })
		for chunk := range slices.Chunk(keys, MaxBulkGet) {
			if err := send(&batch{keys: chunk, page: page, done: make(chan struct{})}); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		if next == cursor {
			return corrupt("the list of keys", "the cursor does not move", "begin again")
		}
		cursor = next
	}
}

// read fetches the values of a batch.
func (b *batch) read(ctx context.Context, src KVSource) error {
	names := make([]string, len(b.keys))
	for i, k := range b.keys {
		names[i] = k.Name
	}
	texts, err := readTexts(ctx, src, names)
	if err != nil {
		return err
	}
	for _, k := range b.keys {
		text, ok := texts[k.Name]
		e := Entry{Key: k.Name, Value: []byte(text.Value), Metadata: text.Metadata, Expiration: text.Expiration}
		if !ok || strings.ContainsRune(text.Value, utf8.RuneError) {
			// Not there any more, too large for a bulk read, or bytes that are
			// not text: the raw value tells.
			value, found, err := src.Get(ctx, k.Name)
			if err != nil {
				return err
			}
			if !found {
				b.vanished = append(b.vanished, k.Name)
				continue
			}
			if e.Value = value; !ok {
				e.Metadata, e.Expiration = k.Metadata, k.Expiration
			}
		}
		was, err := canonical(k.Metadata)
		if err != nil {
			return corrupt("key "+quote(k.Name), "its metadata is not JSON", "look at the key")
		}
		is, err := canonical(e.Metadata)
		if err != nil {
			return corrupt("key "+quote(k.Name), "its metadata is not JSON", "look at the key")
		}
		if was != is || k.Expiration != e.Expiration {
			b.changed = append(b.changed, k.Name)
		}
		b.entries = append(b.entries, e)
	}
	return nil
}

// readTexts reads in bulk, in smaller pieces where the answer would be too
// large. A single value that is too large is left out; it is read raw.
func readTexts(ctx context.Context, src KVSource, names []string) (map[string]Text, error) {
	texts, err := src.BulkGet(ctx, names)
	if !errors.Is(err, ErrTooLarge) {
		return texts, err
	}
	if len(names) == 1 {
		return map[string]Text{}, nil
	}
	all := map[string]Text{}
	for half := range slices.Chunk(names, (len(names)+1)/2) {
		texts, err := readTexts(ctx, src, half)
		if err != nil {
			return nil, err
		}
		for k, v := range texts {
			all[k] = v
		}
	}
	return all, nil
}

func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(data)
}
