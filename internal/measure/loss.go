package measure

import (
	"time"

	"firedrill"
)

// rpo measures what was lost, from what the sentinels had acknowledged and
// which of it survived. Several sentinels add up, and the worst time counts;
// what one of them cannot know is not known of the whole.
func (r *run) rpo() firedrill.RPO {
	out := firedrill.RPO{Target: target(r.program.RPO)}
	var acknowledged, before, after int64
	var worst *float64
	aged, counted := true, true
	for _, o := range r.seen {
		if len(o.Acks) == 0 {
			continue
		}
		l := r.lossOf(o)
		out.Sentinels = append(out.Sentinels, l)
		acknowledged += l.Acknowledged
		out.Ghosts += l.Ghosts.Count
		if l.LostBefore == nil || l.LostAfter == nil {
			counted = false
		} else {
			before, after = before+l.LostBefore.Count, after+l.LostAfter.Count
		}
		switch {
		case l.Actual == nil:
			aged = false
		case worst == nil || *l.Actual > *worst:
			worst = l.Actual
		}
	}
	if len(out.Sentinels) == 0 {
		return out
	}
	out.Acknowledged = &acknowledged
	if counted {
		out.LostBefore, out.LostAfter = &before, &after
	}
	if aged {
		out.Actual = worst
	}
	return out
}

// lossOf tells what one sentinel lost. A write of an earlier boot was before
// the disaster, one of a later boot after it, and how long is not known.
func (r *run) lossOf(o firedrill.Observation) firedrill.SentinelLoss {
	l := firedrill.SentinelLoss{Sentinel: o.Observer, Store: o.Store, Acknowledged: int64(len(o.Acks))}
	for _, n := range o.Ghosts {
		add(&l.Ghosts, firedrill.NumberedWrite{N: n})
	}
	if r.start == nil {
		return l
	}
	var before, after firedrill.Lost
	var survivor *firedrill.Stamp
	for _, a := range o.Acks {
		at := firedrill.Stamp{Mono: a.At, Boot: a.Boot}
		if at.Boot == "" {
			at.Boot = o.Boot
		}
		if _, known := r.bootOf(at); !known {
			return l // its times cannot be compared with the disaster's
		}
		w := firedrill.NumberedWrite{N: a.N}
		if t, ok := r.wall(at); ok {
			w.At = &t
		}
		switch late := r.after(at, *r.start); {
		case late && a.Lost:
			add(&after, w)
		case late:
		case a.Lost:
			add(&before, w)
		case survivor == nil || r.after(at, *survivor):
			survivor = &at
		}
	}
	l.LostBefore, l.LostAfter = &before, &after
	if survivor != nil {
		l.Actual = between(*survivor, *r.start)
	}
	return l
}

// add counts a write and keeps the first and the last.
func add(l *firedrill.Lost, w firedrill.NumberedWrite) {
	if l.Count++; l.First == nil {
		l.First = &w
	}
	l.Last = &w
}

func (r *run) probes() int64 {
	var n int64
	for _, o := range r.seen {
		n += o.Probes
	}
	return n
}

// availability adds up what the probes sent and makes outages of their edges.
func (r *run) availability() firedrill.Availability {
	a := firedrill.Availability{Probes: r.probes(), Outages: []firedrill.Outage{}}
	last := map[string]*firedrill.BadAnswer{}
	for _, o := range r.seen {
		a.Failed += o.Failed
		a.Targets = append(a.Targets, o.Targets...)
		for _, t := range o.Targets {
			a.Slow += t.Slow
			last[targetKey(o.Observer, t.Target)] = t.Last
		}
	}
	open := map[string]int{}
	for _, e := range r.edges {
		key := targetKey(e.Observer, e.Target)
		i, red := open[key]
		at := r.named(e.At)
		switch {
		case e.State == firedrill.Red && !red:
			open[key] = len(a.Outages)
			a.Outages = append(a.Outages, firedrill.Outage{Target: e.Target, Service: e.Service, From: at, Detail: e.Detail})
		case e.State == firedrill.Green && red:
			a.Outages[i].To = &at
			r.lastOf(&a.Outages[i], e.Last)
			delete(open, key)
		}
	}
	for key, i := range open {
		r.lastOf(&a.Outages[i], last[key])
	}
	return a
}

// lastOf keeps the last bad answer of an outage.
func (r *run) lastOf(o *firedrill.Outage, last *firedrill.BadAnswer) {
	if last == nil {
		return
	}
	at := r.named(last.At)
	o.Last, o.LastAt = last.Detail, &at
}

// named names a moment by the wall clock.
func (r *run) named(s firedrill.Stamp) time.Time {
	t, _ := r.wall(s)
	return t
}
