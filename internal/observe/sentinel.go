package observe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
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
	// unanswered are those that may be: their writes were sent by this process
	// and not acknowledged.
	Survivors(ctx context.Context, acknowledged, unanswered []int64) (map[int64]bool, error)
	// String names the place, for errors.
	String() string
}

// Sentinel makes numbered writes, one after the other, and notes which were
// acknowledged and when. What is missing after a recovery is the loss. The
// numbers are given here and not by the place.
//
// The notes are kept in a file as well, and are on the disk before the next
// number is sent: a process that takes the run up after a crash, even of the
// machine, goes on with numbers that were never given and knows what was
// acknowledged. It implements [firedrill.Observer].
type Sentinel struct {
	cfg   SentinelConfig
	notes Notes
	owed  []byte // notes that are not on the disk yet

	stop chan struct{} // closed by Stop
	once sync.Once
	done chan struct{} // closed when Run has ended

	mu      sync.Mutex
	running bool
	paused  bool
	idle    *sync.Cond // signalled when a write ended or the state changed
	busy    bool       // a write is under way
	next    int64
	given   int64 // numbers above it are not sent before that is noted
	boot    string
	acks    []firedrill.Ack // of all boots; Boot is set on each
	open    []int64         // numbers that this process sent and that were not acknowledged
	failed  error           // of the latest write, nil if it was acknowledged
}

// unnoted is how many numbers may be sent after the last one that is noted.
const unnoted = 1000

// SentinelConfig describes a sentinel.
type SentinelConfig struct {
	Op    string // for errors
	Place Numbered
	File  string        // of the notes
	Every time.Duration // between two writes
	Now   func() firedrill.Stamp
	// Open opens the notes to append to them; nil opens the file.
	Open func(file string) (Notes, error)
}

// Notes take the sentinel's notes. What was written is on the disk once Sync
// gave no error.
type Notes interface {
	Write(p []byte) (int, error)
	Sync() error
	Close() error
}

func openNotes(file string) (Notes, error) {
	return os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
}

// note is a line of the sentinel's file: a write that was acknowledged, that
// the sentinel was paused or goes on, or how far the numbers are that it sends.
type note struct {
	N      int64  `json:"n,omitempty"`
	At     int64  `json:"t"`
	Boot   string `json:"boot"`
	Paused *bool  `json:"paused,omitempty"`
	Given  int64  `json:"given,omitempty"` // numbers up to it may have been sent
}

// NewSentinel makes a sentinel that goes on after what is noted in a file.
func NewSentinel(cfg SentinelConfig) (*Sentinel, error) {
	if cfg.Open == nil {
		cfg.Open = openNotes
	}
	s := &Sentinel{cfg: cfg, next: 1, boot: cfg.Now().Boot, stop: make(chan struct{}), done: make(chan struct{})}
	s.idle = sync.NewCond(&s.mu)
	failed := func(err error) error {
		return &firedrill.Error{Op: cfg.Op, Kind: firedrill.KindStorage, Target: cfg.File, Err: err, Remedy: "make room on the disk, and the folder writable"}
	}
	data, err := os.ReadFile(cfg.File)
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
		if n.Given > 0 {
			s.next = max(s.next, n.Given+1)
			continue
		}
		s.next = max(s.next, n.N+1)
		s.acks = append(s.acks, firedrill.Ack{N: n.N, At: n.At, Boot: n.Boot})
	}
	if len(data) > 0 {
		s.next += unnoted // writes that were not acknowledged have numbers, too
	}
	s.given = s.next - 1 + unnoted
	if s.notes, err = cfg.Open(cfg.File); err != nil {
		return nil, failed(err)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		s.owed = []byte("\n") // ends the line that a crash cut short
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
		if n > 0 {
			s.wrote(n, s.cfg.Place.Write(ctx, n))
		}
		t := time.NewTimer(s.cfg.Every)
		select {
		case <-s.stop:
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// take gives the next number, once the sentinel is not paused. It gives none
// as long as an acknowledgement is not on the disk. on is false when it is
// stopped.
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
	err := s.settle()
	if err == nil && s.next > s.given {
		if err = s.note(note{At: s.cfg.Now().Mono, Boot: s.boot, Given: s.next + unnoted}); err == nil {
			s.given = s.next + unnoted
		}
	}
	if err != nil {
		s.failed = err
		return 0, true
	}
	n = s.next
	s.next++
	s.busy = true
	return n, true
}

// wrote notes how a write ended. The moment is that of the acknowledgement.
func (s *Sentinel) wrote(n int64, err error) {
	at := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy, s.failed = false, err
	if err == nil {
		// An acknowledgement without its note still counts in this process.
		s.failed = s.note(note{N: n, At: at.Mono, Boot: at.Boot})
		s.acks = append(s.acks, firedrill.Ack{N: n, At: at.Mono, Boot: at.Boot})
	} else {
		s.open = append(s.open, n)
	}
	s.idle.Broadcast()
}

// note notes something; the lock is held.
func (s *Sentinel) note(n note) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	s.owed = append(append(s.owed, line...), '\n')
	return s.settle()
}

// settle brings to the disk what is noted and not there yet; the lock is held.
// What a failed attempt left is ended by a line of its own, so that a note is
// whole or no note; one that is there twice says the same twice.
func (s *Sentinel) settle() error {
	if s.notes == nil || len(s.owed) == 0 {
		return nil // stopped, or nothing is owed
	}
	_, err := s.notes.Write(s.owed)
	if err == nil {
		err = s.notes.Sync()
	}
	if err != nil {
		if s.owed[0] != '\n' {
			s.owed = append([]byte("\n"), s.owed...)
		}
		return err
	}
	s.owed = nil
	return nil
}

// setPaused changes whether it writes, and notes it; the lock is held.
func (s *Sentinel) setPaused(paused bool) {
	at := s.cfg.Now()
	s.paused = paused
	if err := s.note(note{At: at.Mono, Boot: at.Boot, Paused: &paused}); err != nil {
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
		_ = s.notes.Close() // every note was synced, or its error told
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
			return &firedrill.Error{Op: s.cfg.Op, Kind: firedrill.KindTimeout, Target: s.cfg.Place.String(), Detail: "the sentinel's write was not acknowledged in time", Remedy: "see whether it takes writes", Err: err}
		}
		s.idle.Wait()
	}
	return nil
}

// Sent gives the numbers whose writes were acknowledged, and those that this
// process sent without an acknowledgement.
func (s *Sentinel) Sent() (acknowledged, unanswered []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.acks {
		acknowledged = append(acknowledged, a.N)
	}
	return acknowledged, slices.Clone(s.open)
}

// Last gives the highest number that was given out.
func (s *Sentinel) Last() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next - 1
}

// Observation compares what was acknowledged with what is there. strangers are
// numbers that are there and that no process of the run can have sent.
func (s *Sentinel) Observation(name string, survivors map[int64]bool) (o *firedrill.Observation, strangers []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o = &firedrill.Observation{Observer: name, Store: s.cfg.Place.String(), Boot: s.boot}
	acknowledged := map[int64]bool{}
	for _, a := range s.acks {
		if acknowledged[a.N] {
			continue // noted twice
		}
		a.Lost, acknowledged[a.N] = !survivors[a.N], true
		if a.Boot == s.boot {
			a.Boot = ""
		}
		o.Acks = append(o.Acks, a)
	}
	for n, there := range survivors {
		switch {
		case !there || acknowledged[n]:
		case n < 1 || n >= s.next:
			strangers = append(strangers, n)
		default:
			o.Ghosts = append(o.Ghosts, n)
		}
	}
	slices.Sort(o.Ghosts)
	slices.Sort(strangers)
	return o, strangers
}

// Place is what it writes into.
func (s *Sentinel) Place() Numbered { return s.cfg.Place }
