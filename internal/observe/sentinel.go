package observe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"firedrill"
)

// Numbered is a place that takes numbered writes: all that a sentinel has to
// know of a database, a namespace or an application.
type Numbered interface {
	// Write stores a number. No error means that it was acknowledged.
	Write(ctx context.Context, n int64) error
	// Survivors gives the numbers that are there. acknowledged are those that
	// should be: a place that shows its writes late looks again for them.
	Survivors(ctx context.Context, acknowledged []int64) (map[int64]bool, error)
	// String names the place, for errors.
	String() string
}

// Sentinel makes numbered writes, one after the other, and notes which were
// acknowledged and when. What is missing after a recovery is the loss. The
// numbers are given here and not by the place.
//
// The notes are kept in a file as well, so that a process that takes the run
// up after a crash goes on with the next number. It implements
// [firedrill.Observer].
type Sentinel struct {
	op    string // for errors
	place Numbered
	every time.Duration
	now   func() firedrill.Stamp
	notes *os.File

	stop chan struct{} // closed by Stop
	once sync.Once
	done chan struct{} // closed when Run has ended

	mu      sync.Mutex
	running bool
	paused  bool
	idle    *sync.Cond // signalled when a write ended or the state changed
	busy    bool       // a write is under way
	next    int64
	boot    string
	acks    []firedrill.Ack
	failed  error // of the latest write, nil if it was acknowledged
}

// note is a line of the sentinel's file: a write that was acknowledged, or
// that the sentinel was paused or goes on.
type note struct {
	N      int64  `json:"n,omitempty"`
	At     int64  `json:"t"`
	Boot   string `json:"boot"`
	Paused *bool  `json:"paused,omitempty"`
}

// NewSentinel makes a sentinel that goes on after what is noted in a file.
func NewSentinel(op string, place Numbered, file string, every time.Duration, now func() firedrill.Stamp) (*Sentinel, error) {
	s := &Sentinel{op: op, place: place, every: every, now: now, next: 1, boot: now().Boot, stop: make(chan struct{}), done: make(chan struct{})}
	s.idle = sync.NewCond(&s.mu)
	failed := func(err error) error {
		return &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: file, Err: err, Remedy: "make room on the disk, and the folder writable"}
	}
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failed(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var n note
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			continue // the line that a crash cut short: its write counts as not acknowledged
		}
		if n.Paused != nil {
			s.paused = *n.Paused // it comes back as it was: a fingerprint may rely on it
			continue
		}
		s.next = max(s.next, n.N+1)
		if n.Boot == s.boot {
			s.acks = append(s.acks, firedrill.Ack{N: n.N, At: n.At})
		}
	}
	if len(data) > 0 {
		s.next += 1000 // writes whose note was lost have numbers too
	}
	s.notes, err = os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, failed(err)
	}
	return s, nil
}

// Run writes until it is stopped.
func (s *Sentinel) Run(ctx context.Context, _ func(firedrill.Edge)) {
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer close(s.done)
	defer cancel()
	go func() {
		select {
		case <-s.stop:
		case <-ctx.Done():
		}
		s.mu.Lock()
		s.idle.Broadcast()
		s.mu.Unlock()
	}()
	for {
		n, on := s.take(ctx)
		if !on {
			return
		}
		s.wrote(n, s.place.Write(ctx, n))
		t := time.NewTimer(s.every)
		select {
		case <-s.stop:
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// take gives the next number, once the sentinel is not paused. on is false
// when it is stopped.
func (s *Sentinel) take(ctx context.Context) (n int64, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		select {
		case <-s.stop:
			return 0, false
		default:
		}
		if ctx.Err() != nil {
			return 0, false
		}
		if !s.paused {
			break
		}
		s.idle.Wait()
	}
	n = s.next
	s.next++
	s.busy = true
	return n, true
}

// wrote notes how a write ended. The moment is that of the acknowledgement.
func (s *Sentinel) wrote(n int64, err error) {
	at := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy, s.failed = false, err
	if err == nil {
		// An acknowledgement without its note still counts in this process.
		s.failed = s.write(note{N: n, At: at.Mono, Boot: at.Boot})
		s.acks = append(s.acks, firedrill.Ack{N: n, At: at.Mono})
	}
	s.idle.Broadcast()
}

// write notes something; the lock is held.
func (s *Sentinel) write(n note) error {
	if s.notes == nil {
		return nil // stopped
	}
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	_, err = s.notes.Write(append(line, '\n'))
	return err
}

// setPaused changes whether it writes, and notes it; the lock is held.
func (s *Sentinel) setPaused(paused bool) {
	at := s.now()
	s.paused = paused
	if err := s.write(note{At: at.Mono, Boot: at.Boot, Paused: &paused}); err != nil {
		s.failed = err
	}
}

// Stop ends the writing and waits for the write that is under way.
func (s *Sentinel) Stop() {
	s.once.Do(func() { close(s.stop) })
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if running {
		<-s.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes != nil {
		_ = s.notes.Close() // every note was written through; nothing is buffered
		s.notes = nil
	}
}

// Pause holds the writing and returns when no write is under way.
func (s *Sentinel) Pause(ctx context.Context) error {
	return s.await(ctx, func() { s.setPaused(true) }, func() bool { return !s.busy })
}

// WasPaused tells whether it is held, as it was when a process before this one
// left it.
func (s *Sentinel) WasPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
}

// Resume goes on and returns after the next acknowledged write.
func (s *Sentinel) Resume(ctx context.Context) error {
	var had int
	return s.await(ctx, func() { s.setPaused(false); had = len(s.acks) }, func() bool { return len(s.acks) > had })
}

// await changes the state and waits until a condition holds.
func (s *Sentinel) await(ctx context.Context, change func(), holds func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.idle.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.idle.Broadcast()
	for !holds() {
		if ctx.Err() != nil {
			err := s.failed
			if err == nil {
				err = ctx.Err()
			}
			return &firedrill.Error{Op: s.op, Kind: firedrill.KindTimeout, Target: s.place.String(), Detail: "the sentinel's write was not acknowledged in time", Remedy: "see whether it takes writes", Err: err}
		}
		s.idle.Wait()
	}
	return nil
}

// Acknowledged gives the numbers whose writes were acknowledged.
func (s *Sentinel) Acknowledged() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]int64, 0, len(s.acks))
	for _, a := range s.acks {
		out = append(out, a.N)
	}
	return out
}

// Last gives the highest number that was given out.
func (s *Sentinel) Last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next - 1
}

// Observation compares what was acknowledged with what is there.
func (s *Sentinel) Observation(name string, survivors map[int64]bool) *firedrill.Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &firedrill.Observation{Observer: name, Boot: s.boot}
	acknowledged := map[int64]bool{}
	for _, a := range s.acks {
		a.Lost = !survivors[a.N]
		acknowledged[a.N] = true
		o.Acks = append(o.Acks, a)
	}
	for n := int64(1); n < s.next; n++ {
		if survivors[n] && !acknowledged[n] {
			o.Ghosts = append(o.Ghosts, n)
		}
	}
	return o
}

// Place is what it writes into.
func (s *Sentinel) Place() Numbered { return s.place }
