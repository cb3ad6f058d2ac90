// Package observe holds the long-lived observers that a step starts and
// another stops: watches that probe targets all through a drill, and sentinels
// that make numbered writes.
//
// An observer must not distort what it measures: each target has at most one
// request in flight, and a target that stalls does not delay the others.
// Samples go to a stream beside the records; only edges enter a run.
package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"firedrill"
)

// Defaults of a watch.
const (
	DefaultEvery   = 50 * time.Millisecond
	DefaultTimeout = 2 * time.Second
)

// Target is one thing to probe.
type Target struct {
	Name string
	// Check asks once. nil means green; the error's text says what is wrong.
	Check func(ctx context.Context) error
}

// WatchConfig describes a watch.
type WatchConfig struct {
	Name    string
	Targets []Target
	Every   time.Duration // between two requests to a target; 0: [DefaultEvery]
	Timeout time.Duration // after it a target is red; 0: [DefaultTimeout]
	Now     func() firedrill.Stamp
	Samples io.Writer // one JSON line a sample; nil: dropped
}

// Watch probes a group of targets. It implements [firedrill.Observer].
type Watch struct {
	cfg WatchConfig

	mu      sync.Mutex
	states  map[string]*targetState
	changed chan struct{} // closed and replaced at every sample
	probes  int64
	failed  int64

	stop    chan struct{}
	once    sync.Once
	running sync.WaitGroup
	samples sync.Mutex
}

// targetState is what is known of a target.
type targetState struct {
	colour firedrill.Colour // "" before the first sample
	since  firedrill.Stamp
	edge   firedrill.Edge // the last one
	last   string         // last bad answer
}

// sample is one line of the stream.
type sample struct {
	Target string          `json:"target"`
	Sent   firedrill.Stamp `json:"sent"`
	TookNS int64           `json:"took_ns"`
	OK     bool            `json:"ok"`
	Detail string          `json:"detail,omitempty"`
}

// NewWatch makes a watch; Run starts it.
func NewWatch(cfg WatchConfig) *Watch {
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	w := &Watch{cfg: cfg, states: map[string]*targetState{}, changed: make(chan struct{}), stop: make(chan struct{})}
	for _, t := range cfg.Targets {
		w.states[t.Name] = &targetState{}
	}
	return w
}

// Run probes until ctx ends or Stop is called.
func (w *Watch) Run(ctx context.Context, emit func(firedrill.Edge)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	select {
	case <-w.stop:
		w.mu.Unlock()
		return
	default:
	}
	for _, t := range w.cfg.Targets {
		w.running.Go(func() { w.probe(ctx, t, emit) })
	}
	w.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-w.stop:
		cancel()
	}
	w.running.Wait()
}

// Stop ends the watch and waits for requests in flight.
func (w *Watch) Stop() {
	w.mu.Lock()
	w.once.Do(func() { close(w.stop) })
	w.mu.Unlock()
	w.running.Wait()
}

// probe asks one target again and again.
func (w *Watch) probe(ctx context.Context, t Target, emit func(firedrill.Edge)) {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		w.ask(ctx, t, emit)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Watch) ask(ctx context.Context, t Target, emit func(firedrill.Edge)) {
	once, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	sent := w.cfg.Now()
	err := t.Check(once)
	got := w.cfg.Now()
	if ctx.Err() != nil {
		return // the watch ends: this answer says nothing about the target
	}
	if err != nil && once.Err() != nil {
		err = fmt.Errorf("no answer in %s", w.cfg.Timeout)
	}
	w.stream(t.Name, sent, got, err)
	edge, isEdge := w.note(t.Name, sent, got, err)
	if isEdge {
		emit(edge)
	}
}

// note takes a sample into account. An edge to red carries the moment when the
// failing request was sent, one to green the moment when the good answer came.
func (w *Watch) note(name string, sent, got firedrill.Stamp, err error) (firedrill.Edge, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.states[name]
	w.probes++
	colour, at, detail := firedrill.Green, got, ""
	if err != nil {
		w.failed++
		colour, at, detail = firedrill.Red, sent, err.Error()
		st.last = detail
	}
	isEdge := st.colour != colour
	if isEdge {
		st.colour, st.since = colour, at
		st.edge = firedrill.Edge{Observer: w.cfg.Name, Target: name, State: colour, At: at, Detail: detail}
	}
	close(w.changed)
	w.changed = make(chan struct{})
	return st.edge, isEdge
}

func (w *Watch) stream(name string, sent, got firedrill.Stamp, err error) {
	if w.cfg.Samples == nil {
		return
	}
	took, _ := got.Since(sent)
	s := sample{Target: name, Sent: sent, TookNS: took.Nanoseconds(), OK: err == nil}
	if err != nil {
		s.Detail = err.Error()
	}
	line, merr := json.Marshal(s)
	if merr != nil {
		return // strings and numbers: it cannot happen
	}
	w.samples.Lock()
	defer w.samples.Unlock()
	// The stream is for looking at later; edges, which the run rests on, go
	// another way.
	_, _ = w.cfg.Samples.Write(append(line, '\n'))
}

// Await waits for Red, until any target is red, or for Green, until all are
// green and stayed so for hold. It gives the edge that decided. When ctx ends
// first the error is of [firedrill.KindTimeout] and names the targets that
// stand in the way with their last bad answer.
func (w *Watch) Await(ctx context.Context, want firedrill.Colour, hold time.Duration) (firedrill.Edge, error) {
	for {
		w.mu.Lock()
		edge, wait, ok := w.reached(want, hold)
		changed := w.changed
		w.mu.Unlock()
		if ok {
			return edge, nil
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		if wait == 0 {
			timer.Stop()
		}
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return firedrill.Edge{}, w.notReached(ctx, want)
		case <-w.stop:
			timer.Stop()
			return firedrill.Edge{}, &firedrill.Error{Op: "observe", Kind: firedrill.KindInterrupted, Target: "watch " + w.cfg.Name, Detail: "was stopped"}
		}
		timer.Stop()
	}
}

// reached tells whether the wanted state is there; wait is how long it still
// has to hold.
func (w *Watch) reached(want firedrill.Colour, hold time.Duration) (edge firedrill.Edge, wait time.Duration, ok bool) {
	for _, st := range w.states {
		switch {
		case want == firedrill.Red && st.colour == firedrill.Red:
			if edge.At.IsZero() || edge.At.After(st.edge.At) {
				edge = st.edge
			}
		case want == firedrill.Green && st.colour != firedrill.Green:
			return firedrill.Edge{}, 0, false
		case want == firedrill.Green && (edge.At.IsZero() || st.edge.At.After(edge.At)):
			edge = st.edge
		}
	}
	if edge.At.IsZero() {
		return edge, 0, false
	}
	if want == firedrill.Green {
		if held, _ := w.cfg.Now().Since(edge.At); held < hold {
			return edge, hold - held, false
		}
	}
	return edge, 0, true
}

func (w *Watch) notReached(ctx context.Context, want firedrill.Colour) error {
	kind := firedrill.KindTimeout
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		kind = firedrill.KindInterrupted
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var stand []string
	for name, st := range w.states {
		switch {
		case st.colour == "":
			stand = append(stand, name+" gave no answer yet")
		case want == firedrill.Green && st.colour == firedrill.Red:
			stand = append(stand, name+": "+st.last)
		}
	}
	sort.Strings(stand)
	detail := "no target became red: the service does not show the damage"
	if want == firedrill.Green {
		detail = "not green: " + strings.Join(stand, "; ")
	}
	return &firedrill.Error{Op: "observe", Kind: kind, Target: "watch " + w.cfg.Name, Detail: detail}
}

// Colours gives the state of each target; a target without an answer is left out.
func (w *Watch) Colours() map[string]firedrill.Colour {
	w.mu.Lock()
	defer w.mu.Unlock()
	colours := map[string]firedrill.Colour{}
	for name, st := range w.states {
		if st.colour != "" {
			colours[name] = st.colour
		}
	}
	return colours
}

// Observation counts what was asked and what failed.
func (w *Watch) Observation() firedrill.Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return firedrill.Observation{Observer: w.cfg.Name, Probes: w.probes, Failed: w.failed}
}
