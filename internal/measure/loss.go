package measure

import (
	"slices"
	"time"

	"firedrill"
)

// rpo measures what was lost, from what the sentinels had acknowledged and
// which of it survived. Several sentinels add up, and the worst time counts.
func (r *run) rpo() firedrill.RPO {
	out := firedrill.RPO{Target: target(r.program.RPO)}
	var acknowledged int64
	sentinels, known := 0, true
	var before, after int64
	var worst *float64
	for _, o := range r.seen {
		if len(o.Acks) == 0 {
			continue
		}
		sentinels++
		acknowledged += int64(len(o.Acks))
		if r.start == nil || o.Boot == "" || o.Boot != r.start.Boot {
			known = false // its times cannot be compared with the disaster's
			continue
		}
		l := lossOf(o.Acks, r.start.Mono)
		before, after = before+l.before, after+l.after
		if l.age == nil {
			known = false
			continue
		}
		if worst == nil || *l.age > *worst {
			worst = l.age
		}
	}
	if sentinels == 0 {
		return out
	}
	out.Acknowledged = &acknowledged
	if r.comparable() {
		out.LostBefore, out.LostAfter = &before, &after
	}
	if known {
		out.Actual = worst
	}
	return out
}

// comparable tells whether every sentinel's times compare with the disaster's.
func (r *run) comparable() bool {
	for _, o := range r.seen {
		if len(o.Acks) > 0 && (r.start == nil || o.Boot == "" || o.Boot != r.start.Boot) {
			return false
		}
	}
	return true
}

// loss is what one sentinel lost.
type loss struct {
	before, after int64
	age           *float64 // of the last survivor at the disaster; nil without one
}

func lossOf(acks []firedrill.Ack, disaster int64) loss {
	var l loss
	survivor, found := int64(0), false
	for _, a := range acks {
		switch {
		case a.At > disaster:
			if a.Lost {
				l.after++
			}
		case a.Lost:
			l.before++
		case !found || a.At > survivor:
			survivor, found = a.At, true
		}
	}
	if found {
		l.age = seconds(time.Duration(disaster - survivor))
	}
	return l
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
	for _, o := range r.seen {
		a.Failed += o.Failed
	}
	open := map[string]int{}
	for _, e := range r.sortedEdges() {
		key := e.Observer + "\x00" + e.Target
		i, red := open[key]
		switch {
		case e.State == firedrill.Red && !red:
			open[key] = len(a.Outages)
			a.Outages = append(a.Outages, firedrill.Outage{Target: e.Target, From: e.At.Wall, Detail: e.Detail})
		case e.State == firedrill.Green && red:
			to := e.At.Wall
			a.Outages[i].To = &to
			delete(open, key)
		}
	}
	slices.SortStableFunc(a.Outages, func(x, y firedrill.Outage) int { return x.From.Compare(y.From) })
	return a
}
