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

	"github.com/HdrHistogram/hdrhistogram-go"

	"firedrill"
)

// Defaults of a watch.
const (
	DefaultEvery   = 50 * time.Millisecond
	DefaultTimeout = 2 * time.Second
)

// Target is one thing to probe.
type Target struct {
	Name    string
	Service string        // resource it belongs to
	Timeout time.Duration // after it the target is red; 0: the watch's
	// Slow is the time above which a good answer counts as slow. It stays
	// green: slow is not down. 0: nothing is slow.
	Slow time.Duration
	// Check asks once. nil means green; the error's text says what is wrong. A
	// [Cached] answer counts as neither.
	Check func(ctx context.Context) error
}

// Cached is the error of a check that was answered with what a cache had kept
// from before the injection: it neither shows the damage nor that it is gone.
type Cached struct{ Age time.Duration }

// Error says how old it is.
func (c Cached) Error() string {
	return fmt.Sprintf("cached answer, %s old: from before the injection", c.Age)
}

// WatchConfig describes a watch.
type WatchConfig struct {
	Name    string
	Targets []Target
	Every   time.Duration // between two requests to a target; 0: [DefaultEvery]
	Timeout time.Duration // after it a target is red; 0: [DefaultTimeout]
	Now     func() firedrill.Stamp
	// Samples takes one JSON line a sample; nil: dropped. After an error it is given
	// no more of them.
	Samples io.Writer
}

// Watch probes a group of targets. It implements [firedrill.Observer].
type Watch struct {
	cfg WatchConfig

	mu      sync.Mutex
	states  map[string]*targetState
	changed chan struct{} // closed and replaced at every sample

	stop    chan struct{}
	once    sync.Once
	running sync.WaitGroup

	samples sync.Mutex
	dropped int64 // samples that were not kept
	why     error // the first error of the stream
}

// targetState is what is known of a target.
type targetState struct {
	colour firedrill.Colour // "" before the first sample
	edge   firedrill.Edge   // the last one
	seen   firedrill.TargetProbed
	took   *hdrhistogram.Histogram // of the good answers, in microseconds
}

// The range of latencies that are told apart, to three digits; a longer one
// counts as the longest.
const (
	shortestTook = 1
	longestTook  = int64(10 * time.Minute / time.Microsecond)
	digitsTook   = 3
)

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
		w.states[t.Name] = &targetState{took: hdrhistogram.New(shortestTook, longestTook, digitsTook),
			seen: firedrill.TargetProbed{Target: t.Name, Service: t.Service, SlowOverMS: milliseconds(t.Slow)}}
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
	patience := t.Timeout
	if patience == 0 {
		patience = w.cfg.Timeout
	}
	once, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sent := w.cfg.Now()
	err := t.Check(once)
	got := w.cfg.Now()
	if ctx.Err() != nil {
		return // the watch ends: this answer says nothing about the target
	}
	if err != nil && once.Err() != nil {
		err = fmt.Errorf("no answer in %s", patience)
	}
	w.stream(t.Name, sent, got, err)
	edge, isEdge := w.note(t, sent, got, err)
	if isEdge {
		emit(edge)
	}
}

// note takes a sample into account. An edge to red carries the moment when the
// failing request was sent, one to green the moment when the good answer came.
func (w *Watch) note(t Target, sent, got firedrill.Stamp, err error) (firedrill.Edge, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.states[t.Name]
	st.seen.Probes++
	defer func() {
		close(w.changed)
		w.changed = make(chan struct{})
	}()
	var cached Cached
	if errors.As(err, &cached) {
		st.seen.Cached++
		return st.edge, false
	}
	edge := firedrill.Edge{Observer: w.cfg.Name, Target: t.Name, Service: t.Service, State: firedrill.Green, At: got}
	if err != nil {
		edge.State, edge.At, edge.Answered, edge.Detail = firedrill.Red, sent, got, err.Error()
		st.seen.Failed++
		st.seen.Last = &firedrill.BadAnswer{At: sent, Detail: edge.Detail}
	} else {
		w.good(st, t, sent, got)
		if st.colour == firedrill.Red {
			edge.Last = st.seen.Last
		}
	}
	if st.colour == edge.State {
		return st.edge, false
	}
	st.colour, st.edge = edge.State, edge
	return edge, true
}

// good counts how long a good answer took. The clock is monotonic: where it is
// not, as across a restart, nothing is known of the time.
func (w *Watch) good(st *targetState, t Target, sent, got firedrill.Stamp) {
	took, exact := got.Since(sent)
	if !exact || took < 0 {
		return
	}
	if t.Slow > 0 && took > t.Slow {
		st.seen.Slow++
	}
	us := min(max(took.Microseconds(), shortestTook), longestTook)
	// It is within the range, so it is taken.
	_ = st.took.RecordCorrectedValue(us, max(w.cfg.Every.Microseconds(), 1))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// latency gives the percentiles; nil where nothing was answered well.
func (st *targetState) latency() *firedrill.Latency {
	if st.took.TotalCount() == 0 {
		return nil
	}
	at := func(p float64) float64 { return float64(st.took.ValueAtPercentile(p)) / 1000 }
	return &firedrill.Latency{P50: at(50), P95: at(95), P99: at(99), Max: float64(st.took.Max()) / 1000}
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
	// another way. What follows a line that was cut could not be read, and a disk
	// that is full needs its last room for other things.
	if w.why == nil {
		_, w.why = w.cfg.Samples.Write(append(line, '\n'))
	}
	if w.why != nil {
		w.dropped++
	}
}

// Dropped tells how many samples the stream did not take, and why.
func (w *Watch) Dropped() (n int64, why error) {
	w.samples.Lock()
	defer w.samples.Unlock()
	return w.dropped, w.why
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
			stand = append(stand, name+": "+st.seen.Last.Detail)
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

// Observation gives what was asked and what came of it, in all and for each
// target.
func (w *Watch) Observation() firedrill.Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := firedrill.Observation{Observer: w.cfg.Name}
	for _, t := range w.cfg.Targets {
		st := w.states[t.Name]
		seen := st.seen
		seen.Latency = st.latency()
		o.Targets = append(o.Targets, seen)
		o.Probes, o.Failed = o.Probes+seen.Probes, o.Failed+seen.Failed
	}
	return o
}
