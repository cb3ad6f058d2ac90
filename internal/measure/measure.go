// Package measure computes what a run's records amount to: how long the
// recovery took (RTO), what was lost (RPO), how available the service was, and
// when nobody was watching. It is pure and never guesses: what the records do
// not show stays nil.
//
// The RTO runs from the moment when the first injection was sent until the
// recovery was acknowledged and every probe was green and stayed green to the
// end of the verification. Where no probe watched, it ends with the
// acknowledgement, and the part until green is nil. In an incident it runs from the
// moment when the incident began.
//
// Only monotonic clocks measure, and they compare within one boot of the
// machine: a wall clock that jumps changes nothing, and a time from one boot to
// another is nil. The wall clock serves to name moments; within a boot it is
// that of the injection plus the monotonic time since.
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
	m := firedrill.Measurement{Availability: r.availability(), RTO: r.rto(), RPO: r.rpo()}
	for _, g := range r.gaps {
		m.Gaps = append(m.Gaps, r.interval(g))
	}
	m.Notes = r.notes(m)
	return m
}

// run is what the records say, as far as measuring needs it.
type run struct {
	program  firedrill.Program
	steps    map[string]firedrill.Step
	resolved map[string]firedrill.Resolved
	ended    map[string]firedrill.Ended // of the last attempt at a step
	skipped  map[string]bool            // steps whose condition was false
	start    *firedrill.Stamp           // when the first injection was sent, or the incident began
	last     firedrill.Stamp
	edges    []firedrill.Edge // of targets, in the order in which they happened
	alerts   []firedrill.Edge // of the user's own alert
	seen     []firedrill.Observation
	gaps     []gap
	boots    []firedrill.Stamp // the first stamp of each boot, in their order
}

// incidentStart is where the clock of an incident begins: when a person says that it
// began, told by the wall clock as people do, else with the run.
func incidentStart(run firedrill.Stamp, began *time.Time) *firedrill.Stamp {
	if began == nil {
		return &run
	}
	return &firedrill.Stamp{Wall: *began, Mono: run.Mono - int64(run.Wall.Sub(*began)), Boot: run.Boot}
}

// gap is the time between two processes of a run.
type gap struct{ from, to firedrill.Stamp }

func read(records []firedrill.Record) *run {
	r := &run{steps: map[string]firedrill.Step{}, resolved: map[string]firedrill.Resolved{}, ended: map[string]firedrill.Ended{},
		skipped: map[string]bool{}}
	turned := false
	for _, rec := range records {
		r.boot(rec.At)
		switch b := rec.Body.(type) {
		case firedrill.RunStarted:
			r.program = b.Program
			r.know(b.Program.Steps)
			if b.Program.Incident != nil {
				r.start = incidentStart(rec.At, b.Program.Incident.Began)
			}
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
			if b.Edge.Alert {
				r.alerts = append(r.alerts, b.Edge)
			} else {
				r.edges = append(r.edges, b.Edge)
			}
		case firedrill.Resumed:
			r.gaps = append(r.gaps, gap{r.last, rec.At})
		}
		r.last = rec.At
	}
	// A request that was under way when the injection was sent, and was answered
	// badly after it, shows the damage from its answer on.
	for i, e := range r.edges {
		if r.start != nil && e.State == firedrill.Red && r.after(*r.start, e.At) && !e.Answered.IsZero() && r.after(e.Answered, *r.start) {
			r.edges[i].At = e.Answered
		}
	}
	slices.SortStableFunc(r.edges, func(a, b firedrill.Edge) int { return r.compare(a.At, b.At) })
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
		r.seen = slices.DeleteFunc(r.seen, func(o firedrill.Observation) bool { return o.Observer == b.Observation.Observer })
		r.seen = append(r.seen, *b.Observation)
	}
	if b.Role != firedrill.RoleDo {
		return
	}
	r.ended[b.Step] = b
	if r.program.Incident == nil && r.steps[b.Step].Phase == firedrill.Inject && r.resolved[b.Step].Impact == firedrill.Damages && !b.Started.IsZero() {
		if r.start == nil || r.after(*r.start, b.Started) {
			at := b.Started
			r.start = &at
		}
	}
}

// boot notes when a boot of the machine was first heard of.
func (r *run) boot(s firedrill.Stamp) {
	if _, known := r.bootOf(s); !known {
		r.boots = append(r.boots, s)
	}
}

// bootOf gives a stamp's boot as its place in their order.
func (r *run) bootOf(s firedrill.Stamp) (int, bool) {
	i := slices.IndexFunc(r.boots, func(b firedrill.Stamp) bool { return b.Boot == s.Boot })
	return i, i >= 0
}

// compare orders two moments: by the monotonic clock within a boot, else by
// the order of the boots, which the order of the records tells.
func (r *run) compare(a, b firedrill.Stamp) int {
	i, known := r.bootOf(a)
	j, too := r.bootOf(b)
	if known && too && i != j {
		return cmp.Compare(i, j)
	}
	d, _ := a.Since(b)
	return cmp.Compare(d, 0)
}

func (r *run) after(a, b firedrill.Stamp) bool { return r.compare(a, b) > 0 }

// wall names a moment: the wall clock at the injection, or at the first record
// of another boot, and the monotonic time since. ok is false for a boot that no
// record is of.
func (r *run) wall(s firedrill.Stamp) (t time.Time, ok bool) {
	if r.start != nil && s.Boot == r.start.Boot {
		return r.start.Wall.Add(time.Duration(s.Mono - r.start.Mono)), true
	}
	if i, known := r.bootOf(s); known {
		return r.boots[i].Wall.Add(time.Duration(s.Mono - r.boots[i].Mono)), true
	}
	return s.Wall, false
}

// interval names a gap. Across boots its length is what the wall clocks say,
// and never less than nothing.
func (r *run) interval(g gap) firedrill.Interval {
	from, _ := r.wall(g.from)
	d, _ := g.to.Since(g.from)
	return firedrill.Interval{From: from, To: from.Add(max(0, d))}
}

// between gives seconds, nil where no clock can tell.
func between(from, to firedrill.Stamp) *float64 {
	d, exact := to.Since(from)
	if !exact || d < 0 {
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
