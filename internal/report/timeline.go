package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"firedrill"
	"firedrill/internal/say"
)

// chart is a stretch of time with bars in lanes. All places are in percent of its
// width, from the left.
type chart struct {
	Ticks []mark
	Marks []mark // moments: the disaster, green again
	Band  *bar   // the outage as it counts: from the disaster until green
	Lanes []lane
	More  int // lanes that are not shown
}

type mark struct {
	At    float64
	Label string
	Right bool // the label stands left of the mark, where there is no room at its right
}

type lane struct {
	Kind  string // phase, undo, look, down, gap, step, rto
	Label string
	Text  string // what was measured
	Bars  []bar
}

type bar struct {
	From, Width float64
	Kind        string
}

// span is one call of a run.
type span struct {
	step     string
	role     firedrill.Role
	from, to time.Duration // since the run started
	status   string
}

// clock turns stamps into the time since the run began. Stamps of one boot are told
// apart by the monotonic clock; for others, and for outages, the wall clock has to do.
type clock struct{ start firedrill.Stamp }

func (c clock) at(s firedrill.Stamp) time.Duration {
	d, _ := s.Since(c.start)
	return d
}

func (c clock) wall(t time.Time) time.Duration { return t.Sub(c.start.Wall) }

// spans gives the calls of a run in the order in which they began.
func (p Page) spans() (all []span, end time.Duration) {
	if len(p.Records) == 0 {
		return nil, 0
	}
	c := clock{p.Records[0].At}
	type key struct {
		step    string
		role    firedrill.Role
		attempt int
	}
	open := map[key]int{}
	for _, r := range p.Records {
		end = max(end, c.at(r.At))
		switch b := r.Body.(type) {
		case firedrill.Intended:
			open[key{b.Step, b.Role, b.Attempt}] = len(all)
			all = append(all, span{b.Step, b.Role, c.at(r.At), -1, StatusOpen})
		case firedrill.Ended:
			i, known := open[key{b.Step, b.Role, b.Attempt}]
			if !known {
				continue
			}
			all[i].status, all[i].to = string(b.Status), c.at(r.At)
			if !b.Started.IsZero() && !b.Finished.IsZero() {
				all[i].from, all[i].to = c.at(b.Started), c.at(b.Finished)
			}
		}
	}
	for i, s := range all {
		if s.to < s.from { // under way, or a clock was set back
			all[i].to = max(end, s.from)
		}
		end = max(end, all[i].to)
	}
	slices.SortStableFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return all, end
}

// disaster is when the first injection was sent, or the incident began.
func (p Page) disaster(spans []span) (time.Duration, bool) {
	if i := p.Result.Incident; i != nil {
		if i.Began == nil || len(p.Records) == 0 {
			return 0, len(p.Records) > 0
		}
		return max(0, clock{p.Records[0].At}.wall(*i.Began)), true
	}
	steps, impacts := p.steps(), p.impacts()
	for _, s := range spans {
		if s.role == firedrill.RoleDo && steps[s.step].Phase == firedrill.Inject && impacts[s.step] == firedrill.Damages {
			return s.from, true
		}
	}
	return 0, false
}

// frame is the stretch that a chart shows.
type frame struct{ from, to time.Duration }

// place gives a bar for a stretch; false where none of it is in the frame. A stretch
// that ends before it begins, by a clock that was set, is a moment.
func (f frame) place(from, to time.Duration, kind string) (bar, bool) {
	to = max(from, to)
	if to < f.from || from > f.to || f.to <= f.from {
		return bar{}, false
	}
	from, to = max(from, f.from), min(to, f.to)
	whole := float64(f.to - f.from)
	return bar{round(100 * float64(from-f.from) / whole), round(100 * float64(to-from) / whole), kind}, true
}

func round(x float64) float64 { return math.Round(x*1000) / 1000 }

// timeline is the whole run: its phases, and the outages below them.
func (p Page) timeline(lanes int) *chart {
	spans, end := p.spans()
	if len(spans) == 0 || end <= 0 {
		return nil
	}
	f := frame{0, end}
	c := p.chart(f, spans)
	for _, group := range p.groups(spans) {
		l := lane{Kind: group.kind, Label: group.label, Text: say.Seconds(busy(group.spans).Seconds())}
		for _, s := range merged(group.spans, end/400) {
			if b, ok := f.place(s.from, s.to, group.kind); ok {
				l.Bars = append(l.Bars, b)
			}
		}
		c.Lanes = append(c.Lanes, l)
	}
	p.outages(c, f, lanes)
	return c
}

// group is what shares a lane.
type group struct {
	kind, label string
	spans       []span
}

// groups sorts calls into phases, and what happened on the way back.
func (p Page) groups(spans []span) []group {
	steps := p.steps()
	var all []group
	for _, ph := range firedrill.Phases() {
		all = append(all, group{kind: string(ph), label: string(ph)})
	}
	all = append(all, group{kind: "undo", label: "put back"}, group{kind: "look", label: "look again"})
	for _, s := range spans {
		i := steps[s.step].Phase.Index()
		switch {
		case s.role == firedrill.RoleUndo:
			i = len(all) - 2
		case s.role == firedrill.RoleLook:
			i = len(all) - 1
		case i < 0:
			continue
		}
		all[i].spans = append(all[i].spans, s)
	}
	return slices.DeleteFunc(all, func(g group) bool { return len(g.spans) == 0 })
}

// merged joins stretches that touch, or nearly.
func merged(spans []span, slack time.Duration) []span {
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to+slack {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// busy is for how long at least one of the calls went on.
func busy(spans []span) time.Duration {
	var sum time.Duration
	for _, s := range merged(spans, 0) {
		sum += s.to - s.from
	}
	return sum
}

// chart makes an empty chart with its axis, the moments that count and the band
// between them.
func (p Page) chart(f frame, spans []span) *chart {
	c := &chart{Ticks: ticks(f)}
	at, ok := p.disaster(spans)
	if !ok {
		return c
	}
	moment := func(t time.Duration, label string) {
		if b, ok := f.place(t, t, ""); ok {
			c.Marks = append(c.Marks, mark{b.From, label, b.From > 50})
		}
	}
	name := "disaster"
	if p.Result.Incident != nil {
		name = "incident"
	}
	moment(at, name)
	if a := p.Result.RTO.Actual; a != nil {
		green := at + seconds(*a)
		if b, ok := f.place(at, green, "rto"); ok {
			c.Band = &b
		}
		moment(green, "green again")
	}
	return c
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// ticks divides a frame into four to eight round steps, told from the run's start.
func ticks(f frame) []mark {
	whole := (f.to - f.from).Seconds()
	step := niceStep(whole)
	var all []mark
	for i := math.Ceil(f.from.Seconds()/step - 1e-9); ; i++ {
		at := i * step
		share := (at - f.from.Seconds()) / whole
		if share > 1+1e-9 || len(all) > 12 {
			break
		}
		all = append(all, mark{round(100 * share), tickText(at), share > 0.9})
	}
	return all
}

// tickText writes a round time: "0.5 s", not "0.50 s".
func tickText(s float64) string {
	if s > 0 && s < 0.1 {
		return say.Seconds(s)
	}
	return goal(s)
}

// niceStep is the smallest round length of which six or fewer make the whole.
func niceStep(whole float64) float64 {
	for step := 0.0001; step < 10; step *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if step*n*6 >= whole {
				return step * n
			}
		}
	}
	const minute, hour, day = 60, 3600, 86400
	for _, step := range []float64{10, 15, 30, minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 6 * hour, 12 * hour} {
		if step*6 >= whole {
			return step
		}
	}
	return day * max(1, math.Ceil(whole/day/6))
}

// outages adds a lane for each target that was down, and one for stretches that
// nobody observed.
func (p Page) outages(c *chart, f frame, limit int) {
	if len(p.Records) == 0 {
		return
	}
	k := clock{p.Records[0].At}
	var names []string
	lanes := map[string]*lane{}
	for _, o := range p.Result.Availability.Outages {
		to, text := f.to, "down to the end"
		if o.To != nil {
			to, text = k.wall(*o.To), "down "+say.Seconds(o.To.Sub(o.From).Seconds())
			if o.To.Before(o.From) {
				text = "down, a clock was set"
			}
		}
		b, ok := f.place(k.wall(o.From), to, "down")
		if !ok {
			continue
		}
		l := lanes[o.Target]
		if l == nil {
			l = &lane{Kind: "down", Label: o.Target, Text: text}
			lanes[o.Target], names = l, append(names, o.Target)
		} else {
			l.Text = fmt.Sprintf("down %d times", len(l.Bars)+1)
		}
		if len(l.Bars) < 200 { // a target that flaps all through a long drill
			l.Bars = append(l.Bars, b)
		}
	}
	for i, n := range names {
		if i == limit {
			c.More = len(names) - limit
			break
		}
		c.Lanes = append(c.Lanes, *lanes[n])
	}
	gaps := lane{Kind: "gap", Label: "nobody observed"}
	for _, g := range p.gaps() {
		if b, ok := f.place(k.wall(g.From), k.wall(g.To), "gap"); ok {
			gaps.Bars, gaps.Text = append(gaps.Bars, b), say.Seconds(g.To.Sub(g.From).Seconds())
		}
	}
	if len(gaps.Bars) > 0 {
		c.Lanes = append(c.Lanes, gaps)
	}
}

// gaps are stretches in which no process observed the run.
func (p Page) gaps() []firedrill.Interval {
	var all []firedrill.Interval
	for _, r := range p.Records {
		if m, is := r.Body.(firedrill.Measured); is {
			all = m.Measurement.Gaps
		}
	}
	return all
}

// closer is the time from the disaster until all was green, step by step; nil where
// that was not measured.
func (p Page) closer(lanes int) *chart {
	spans, _ := p.spans()
	at, ok := p.disaster(spans)
	r := p.Result.RTO
	if !ok || r.Actual == nil || *r.Actual <= 0 {
		return nil
	}
	green := at + seconds(*r.Actual)
	margin := (green - at) / 16
	f := frame{max(0, at-margin), green + margin}
	c := p.chart(f, spans)
	if r.Recover != nil && r.Green != nil {
		c.Lanes = append(c.Lanes, p.split(f, at))
	}
	steps := p.steps()
	for _, s := range spans {
		if s.to < at || s.from > green || s.role == firedrill.RoleRearm {
			continue
		}
		if len(c.Lanes) > lanes {
			c.More++
			continue
		}
		phase := string(steps[s.step].Phase)
		if s.role != firedrill.RoleDo {
			phase = string(s.role)
		}
		if b, ok := f.place(s.from, s.to, phase); ok {
			c.Lanes = append(c.Lanes, lane{Kind: "step", Label: phase + ": " + first(steps[s.step].Title, s.step), Text: say.Seconds((s.to - s.from).Seconds()), Bars: []bar{b}})
		}
	}
	more := c.More
	p.outages(c, f, lanes)
	c.More += more
	return c
}

// split is the recovery time in its parts.
func (p Page) split(f frame, at time.Duration) lane {
	r := p.Result.RTO
	l := lane{Kind: "rto", Label: "recovery time", Text: say.Seconds(*r.Actual)}
	for _, part := range []struct {
		kind string
		s    *float64
	}{{"observe", r.Observe}, {"recovering", r.Recover}, {"greening", r.Green}} {
		if part.s == nil {
			continue
		}
		to := at + seconds(*part.s)
		if b, ok := f.place(at, to, part.kind); ok {
			l.Bars = append(l.Bars, b)
		}
		at = to
	}
	return l
}
