package shared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/bucket"
	"firedrill/internal/state"
)

// leaseFormat is the version of a lease.
const leaseFormat = 1

// holding is an object NUMBER.json.
type holding struct {
	Format  int    `json:"format"`
	Machine string `json:"machine"`
	state.Holder
}

// The endings of the objects of a lease.
const (
	heldSuffix     = ".json"
	beatSuffix     = ".beat"
	releasedSuffix = ".released"
)

func fenceName(fence int64, suffix string) string { return fmt.Sprintf("%020d%s", fence, suffix) }

// standing is what the bucket says about an environment.
type standing struct {
	fence    int64 // the highest number; 0: nobody ever held it
	released bool
	old      []string // objects of lower numbers
}

// stand reads it. One listing shows number and release together.
func stand(ctx context.Context, b *bucket.Bucket) (standing, error) {
	names, err := b.Names(ctx)
	if err != nil {
		return standing{}, err
	}
	var st standing
	for _, name := range names {
		digits, suffix, _ := strings.Cut(name, ".")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && suffix == heldSuffix[1:] {
			st.fence = max(st.fence, n)
		}
	}
	for _, name := range names {
		digits, _, _ := strings.Cut(name, ".")
		n, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case err != nil:
		case n < st.fence:
			st.old = append(st.old, name)
		case name == fenceName(n, releasedSuffix):
			st.released = true
		}
	}
	return st, nil
}

// holder reads who holds a number; errors.Is(err, fs.ErrNotExist) if a higher one
// came meanwhile and took it away.
func (s *Store) holder(ctx context.Context, b *bucket.Bucket, fence int64) (holding, error) {
	name := fenceName(fence, heldSuffix)
	data, err := b.Read(ctx, name)
	if err != nil {
		return holding{}, err
	}
	var h holding
	if err := json.Unmarshal(data, &h); err != nil || h.Format != leaseFormat || h.Fence != fence {
		return holding{}, &firedrill.Error{Op: "look at the lease", Kind: firedrill.KindCorrupt, Target: b.String() + "/" + name, Detail: "it cannot be read", Remedy: "if a newer firedrill wrote it, use that one"}
	}
	h.Seen = h.Since
	var at time.Time
	if data, err := b.Read(ctx, fenceName(fence, beatSuffix)); err == nil && json.Unmarshal(data, &at) == nil {
		h.Seen = at
	}
	return h, nil
}

// Acquire takes the lease of an environment, and brings the folder of the
// holder's run here. Who holds it keeps it, unless it is proved gone: whoever
// holds the environment from this mirror has a lock on a file of it, and that
// lock is free.
func (s *Store) Acquire(ctx context.Context, key string, h state.Holder) (state.Lease, error) {
	return s.take(ctx, key, h, 0)
}

// TakeOver takes the lease from a holder that a person declared gone, named by
// its number.
func (s *Store) TakeOver(ctx context.Context, key string, h state.Holder, from int64) (state.Lease, error) {
	return s.take(ctx, key, h, from)
}

func (s *Store) take(ctx context.Context, key string, h state.Holder, from int64) (_ state.Lease, err error) {
	lock, err := s.Home.Acquire(ctx, key, h)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Release())
		}
	}()
	b, err := s.in("leases", state.LeaseName(key))
	if err != nil {
		return nil, err
	}
	for {
		st, err := stand(ctx, b)
		if err != nil {
			return nil, err
		}
		if st.fence > 0 && !st.released {
			now, err := s.holder(ctx, b, st.fence)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			// The host counts because folders get copied.
			gone := now.Machine == s.machine && isHere(now.Host)
			if !gone && st.fence == from {
				if err := s.listen(ctx, b, key, now.Holder); err != nil {
					return nil, err
				}
				gone = true
			}
			if !gone {
				return nil, state.Busy(key, &now.Holder, h.Since, "wait until it has finished; if that process is lost: firedrill resume "+now.Run+" --take-over")
			}
		}
		h.Fence = st.fence + 1
		data, err := json.Marshal(holding{leaseFormat, s.machine, h})
		if err != nil {
			return nil, err
		}
		err = s.create(ctx, b, fenceName(h.Fence, heldSuffix), append(data, '\n'))
		if errors.Is(err, fs.ErrExist) {
			continue // somebody else was faster
		}
		if err != nil {
			return nil, err
		}
		break
	}
	l := &lease{s: s, b: b, key: key, run: h.Run, fence: h.Fence, lock: lock, awake: awake{now: s.cfg.Now}, lost: make(chan struct{})}
	// A number that is low, because others came and went since it was chosen, is
	// no lease. Objects of lower ones are of no use any more.
	var st standing
	err = s.patiently(ctx, func() (err error) {
		st, err = l.check(ctx)
		return err
	})
	if l.isLost() {
		return nil, state.Busy(key, nil, h.Since, "see: firedrill status")
	}
	if err == nil {
		err = s.patiently(ctx, func() error { return s.fetch(ctx, h.Run) })
	}
	if err != nil {
		return nil, errors.Join(err, l.give(ctx))
	}
	for _, name := range st.old {
		_ = b.Remove(ctx, name) // what stays is taken away the next time
	}
	s.mu.Lock()
	s.held[h.Run] = l
	s.mu.Unlock()
	l.start()
	return l, nil
}

// listen waits whether a holder that is declared gone gives a sign of life. A
// process that gave none for so long was lost, or stood still: when it wakes up it
// knows that it did, and stops.
func (s *Store) listen(ctx context.Context, b *bucket.Bucket, key string, was state.Holder) error {
	s.cfg.Notice(fmt.Sprintf("listening for %s whether process %d on %s lives", s.silence, was.PID, was.Host))
	end := time.NewTimer(s.silence)
	defer end.Stop()
	look := time.NewTicker(beat)
	defer look.Stop()
	for over := false; !over; {
		select {
		case <-ctx.Done():
			return &firedrill.Error{Op: "take the lease over", Kind: firedrill.KindInterrupted, Target: "environment " + key, Detail: "stopped before it was done", Err: ctx.Err()}
		case <-look.C:
		case <-end.C:
			over = true
		}
		now, err := s.holder(ctx, b, was.Fence)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // somebody else took it; the next look shows who
		case err != nil:
			return err
		case !now.Seen.Equal(was.Seen):
			return state.Busy(key, &now.Holder, s.cfg.Now(), "it lives: let it finish, or stop it: firedrill abort "+now.Run)
		}
	}
	return nil
}

// Holder tells who holds an environment, nil if nobody does or who did is proved
// gone.
func (s *Store) Holder(ctx context.Context, key string) (*state.Holder, error) {
	b, err := s.in("leases", state.LeaseName(key))
	if err != nil {
		return nil, err
	}
	for {
		st, err := stand(ctx, b)
		if err != nil || st.fence == 0 || st.released {
			return nil, err
		}
		now, err := s.holder(ctx, b, st.fence)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if now.Machine == s.machine && isHere(now.Host) {
			if here, err := s.Home.Holder(ctx, key); err != nil || here == nil {
				return nil, err
			}
		}
		return &now.Holder, nil
	}
}

// here tells whether a host is this one.
func isHere(host string) bool {
	name, err := os.Hostname()
	return err == nil && name == host
}

// lease is a number that this process holds.
type lease struct {
	s     *Store
	b     *bucket.Bucket
	key   string
	run   string
	fence int64
	lock  state.Lease // on a file of the mirror

	awake awake
	lost  chan struct{}
	once  sync.Once
	end   context.CancelFunc // of the signs of life
	wait  sync.WaitGroup
}

// Fence is the number.
func (l *lease) Fence() int64 { return l.fence }

// Lost is closed when a higher number was seen, or this process slept.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Check looks for a higher number. A store that does not answer is waited for:
// without its word nothing may be done.
func (l *lease) Check(ctx context.Context) error {
	if err := l.lock.Check(ctx); err != nil {
		return err
	}
	if gap := l.awake.look(); gap > 0 {
		l.lose()
		return slept(l.key, gap)
	}
	return l.s.patiently(ctx, func() error {
		_, err := l.check(ctx)
		return err
	})
}

func (l *lease) isLost() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

func (l *lease) check(ctx context.Context) (standing, error) {
	st, err := stand(ctx, l.b)
	if err != nil || st.fence == l.fence {
		return st, err
	}
	l.lose()
	var by *state.Holder
	if now, err := l.s.holder(ctx, l.b, st.fence); err == nil {
		by = &now.Holder
	}
	return st, state.TakenOver(l.key, by)
}

// start gives signs of life, and looks whether the lease is still ours, until it
// is given back.
func (l *lease) start() {
	ctx, end := context.WithCancel(l.s.marks)
	l.end = end
	l.wait.Go(func() {
		tick := time.NewTicker(pulse)
		defer tick.Stop()
		for !l.gone() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	l.wait.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-l.lost:
				return
			case <-tick.C:
			}
			// A store that does not answer is met again by whoever needs it.
			if _, err := l.check(ctx); err != nil {
				continue
			}
			if data, err := json.Marshal(l.s.cfg.Now()); err == nil {
				_ = l.b.Write(ctx, fenceName(l.fence, beatSuffix), data)
			}
		}
	})
}

// Release gives the lease back. One that was lost is somebody else's.
func (l *lease) Release() error {
	l.end()
	l.wait.Wait()
	l.s.mu.Lock()
	delete(l.s.held, l.run)
	l.s.mu.Unlock()
	if l.isLost() {
		return l.lock.Release()
	}
	ctx, cancel := context.WithTimeout(l.s.marks, releaseTime)
	defer cancel()
	return errors.Join(l.give(ctx), l.lock.Release())
}

// releaseTime bounds the giving back. A lease that stays is proved to be nobody's
// on this machine, and elsewhere it is to be taken over.
const releaseTime = time.Minute

func (l *lease) give(ctx context.Context) error {
	return l.s.create(ctx, l.b, fenceName(l.fence, releasedSuffix), nil)
}
