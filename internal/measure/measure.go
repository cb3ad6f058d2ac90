// Package measure computes what a run's records amount to: how long the
// recovery took (RTO), what was lost (RPO), how available the service was, and
// when nobody was watching. It is pure and never guesses: what the records do
// not show stays nil.
//
// The RTO runs from the moment when the first injection was sent until the
// recovery was acknowledged and every probe was green and stayed green to the
// end of the verification. Where no probe watched, it ends with the
// acknowledgement, and the part until green is nil. Monotonic clocks are used
// within one boot; across boots the wall clock has to do, and a wall clock
// that ran backwards measures nothing.
package measure

import (
	"cmp"
	"slices"
	"time"

	"firedrill"
)

// Measure computes the measurement of a run, finished or not.
func Measure(records []firedrill.Record) firedrill.Measurement {
	r := read(records)
	m := firedrill.Measurement{Availability: r.availability(), Gaps: r.gaps}
	m.RTO = r.rto()
	m.RPO = r.rpo()
	return m
}

// run is what the records say, as far as measuring needs it.
type run struct {
	program  firedrill.Program
	steps    map[string]firedrill.Step
	resolved map[string]firedrill.Resolved
	ended    map[string]firedrill.Ended // of the last attempt at a step
	skipped  map[string]bool            // steps whose condition was false
	start    *firedrill.Stamp           // when the first injection was sent
	last     firedrill.Stamp
	edges    []firedrill.Edge
	seen     []firedrill.Observation
	gaps     []firedrill.Interval
}

func read(records []firedrill.Record) *run {
	r := &run{steps: map[string]firedrill.Step{}, resolved: map[string]firedrill.Resolved{}, ended: map[string]firedrill.Ended{},
		skipped: map[string]bool{}}
	turned := false
	for _, rec := range records {
		switch b := rec.Body.(type) {
		case firedrill.RunStarted:
			r.program = b.Program
			r.know(b.Program.Steps)
		case firedrill.Expanded:
			r.know(b.Steps)
		case firedrill.Turned:
			turned = true
		case firedrill.StepSkipped:
			r.skip(b.Step, turned)
		case firedrill.Intended:
			if b.Role == firedrill.RoleDo {
				r.resolved[b.Step] = b.Resolved
			}
		case firedrill.Ended:
			r.end(b)
		case firedrill.Seen:
			r.edges = append(r.edges, b.Edge)
		case firedrill.Resumed:
			r.gaps = append(r.gaps, gap(r.last, rec.At))
		}
		r.last = rec.At
	}
	return r
}

func (r *run) know(steps []firedrill.Step) {
	for _, s := range steps {
		r.steps[s.ID] = s
	}
}

// skip notes that a step's condition was false. What is skipped after a turn
// was kept from running, and what ran before is skipped as a look.
func (r *run) skip(id string, turned bool) {
	if _, ran := r.ended[id]; !ran && !turned {
		r.skipped[id] = true
	}
}

func (r *run) end(b firedrill.Ended) {
	if b.Observation != nil && b.Status == firedrill.StatusOK {
		r.seen = append(r.seen, *b.Observation)
	}
	if b.Role != firedrill.RoleDo {
		return
	}
	r.ended[b.Step] = b
	if r.steps[b.Step].Phase == firedrill.Inject && r.resolved[b.Step].Impact == firedrill.Damages && !b.Started.IsZero() {
		if r.start == nil || r.start.After(b.Started) {
			at := b.Started
			r.start = &at
		}
	}
}

// gap is the time between two processes of a run.
func gap(from, to firedrill.Stamp) firedrill.Interval {
	d, _ := to.Since(from)
	return firedrill.Interval{From: from.Wall, To: from.Wall.Add(max(0, d))}
}

// between gives seconds, nil where the clock ran backwards.
func between(from, to firedrill.Stamp) *float64 {
	d, _ := to.Since(from)
	if d < 0 {
		return nil
	}
	return seconds(d)
}

func seconds(d time.Duration) *float64 {
	s := d.Seconds()
	return &s
}

func target(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	return seconds(d)
}

// sortedEdges gives the edges in the order in which they happened.
func (r *run) sortedEdges() []firedrill.Edge {
	edges := slices.Clone(r.edges)
	slices.SortStableFunc(edges, func(a, b firedrill.Edge) int {
		d, _ := a.At.Since(b.At)
		return cmp.Compare(d, 0)
	})
	return edges
}
