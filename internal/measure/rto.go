package measure

import (
	"firedrill"
)

// rto measures the recovery time and its parts.
func (r *run) rto() firedrill.RTO {
	out := firedrill.RTO{Target: target(r.program.RTO), Detect: firedrill.Detection{Named: r.program.Alert != nil}}
	if r.start == nil {
		return out
	}
	out.Detect.Seconds = r.detected()
	acknowledged := r.acknowledged()
	out.Services = r.services(acknowledged)
	observed := r.observed(acknowledged)
	if observed != nil {
		out.Observe = between(*r.start, *observed)
	} else if r.program.Incident != nil {
		observed = r.start // people saw it, and nobody recorded when
	}
	if verified := r.verified(); verified != nil {
		out.Verified = between(*r.start, *verified)
	}
	if observed == nil || acknowledged == nil {
		return out
	}
	out.Recover = between(*observed, *acknowledged)
	probed := len(r.edges) > 0 || r.probes() > 0
	if probed {
		out.Green = r.green(*acknowledged, func(string) bool { return true })
	}
	if out.Observe == nil && r.program.Incident == nil || out.Recover == nil || probed && out.Green == nil {
		return out
	}
	sum := *out.Recover
	if out.Observe != nil {
		sum += *out.Observe
	}
	if out.Green != nil {
		sum += *out.Green
	}
	out.Actual = &sum
	return out
}

// detected is when the user's own alert was first seen to fire.
func (r *run) detected() *float64 {
	for _, e := range r.alerts {
		if e.State == firedrill.Red && !r.after(*r.start, e.At) {
			return between(*r.start, e.At)
		}
	}
	return nil
}

// services measures each service by its own probes.
func (r *run) services(acknowledged *firedrill.Stamp) map[string]firedrill.ServiceRTO {
	out := map[string]firedrill.ServiceRTO{}
	for _, name := range r.serviceNames() {
		of := func(service string) bool { return service == name }
		s := firedrill.ServiceRTO{}
		if red := r.firstRed(nil, of); red != nil {
			s.Observe = between(*r.start, *red)
			if acknowledged != nil {
				s.Green = r.green(*acknowledged, of)
				if done := between(*r.start, *acknowledged); done != nil && s.Green != nil {
					sum := *done + *s.Green
					s.Actual = &sum
				}
			}
		}
		out[name] = s
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// serviceNames gives the services that were watched, in the order in which
// they were heard of.
func (r *run) serviceNames() []string {
	var names []string
	known := map[string]bool{"": true}
	hear := func(name string) {
		if !known[name] {
			known[name] = true
			names = append(names, name)
		}
	}
	for _, e := range r.edges {
		hear(e.Service)
	}
	for _, o := range r.seen {
		for _, t := range o.Targets {
			hear(t.Service)
		}
	}
	return names
}

// firstRed is when a target first turned red after the injection, and not
// after a moment where one is given.
func (r *run) firstRed(before *firedrill.Stamp, of func(service string) bool) *firedrill.Stamp {
	for _, e := range r.edges {
		if e.State != firedrill.Red || !of(e.Service) || r.after(*r.start, e.At) || before != nil && r.after(e.At, *before) {
			continue
		}
		return &e.At
	}
	return nil
}

// observed is when the damage was first seen: by a probe that turned red
// before the recovery was over, or else by the first step that proved it.
func (r *run) observed(before *firedrill.Stamp) *firedrill.Stamp {
	if red := r.firstRed(before, func(string) bool { return true }); red != nil {
		return red
	}
	var first *firedrill.Stamp
	for id, b := range r.ended {
		if r.provesDamage(id) && !r.after(*r.start, b.Finished) && (first == nil || r.after(*first, b.Finished)) {
			first = &b.Finished
		}
	}
	return first
}

// provesDamage tells whether a step proved the damage while it was there.
func (r *run) provesDamage(id string) bool {
	s := r.steps[id]
	return s.Proves == firedrill.ProvesDamage && s.Phase.Index() < firedrill.Recover.Index() && r.ended[id].Status == firedrill.StatusOK
}

// acknowledged is when the last mutation of the recovery was acknowledged;
// nil unless all of the recovery was done.
func (r *run) acknowledged() *firedrill.Stamp {
	var last *firedrill.Stamp
	for id, s := range r.steps {
		if s.Phase != firedrill.Recover || r.skipped[id] {
			continue
		}
		b, ended := r.ended[id]
		if !ended || b.Status != firedrill.StatusOK {
			return nil
		}
		if r.resolved[id].Impact != firedrill.Reads && (last == nil || r.after(b.Finished, *last)) {
			last = &b.Finished
		}
	}
	return last
}

// verified is when the last proof of data or service was given; nil unless
// all of them were.
func (r *run) verified() *firedrill.Stamp {
	var last *firedrill.Stamp
	for id, s := range r.steps {
		if s.Proves != firedrill.ProvesData && s.Proves != firedrill.ProvesService || s.Phase.Index() < firedrill.Verify.Index() || r.skipped[id] {
			continue
		}
		b, ended := r.ended[id]
		if !ended || b.Status != firedrill.StatusOK {
			return nil
		}
		if last == nil || r.after(b.Finished, *last) {
			last = &b.Finished
		}
	}
	return last
}

// targetKey names a target among those of all observers.
func targetKey(observer, target string) string { return observer + "\x00" + target }

// green is the time from the acknowledgement until the last target turned
// green and stayed so to the end of the verification; 0 where all were green
// by then, nil where one was still red, none was ever seen, or the machine was
// restarted in between.
func (r *run) green(acknowledged firedrill.Stamp, of func(service string) bool) *float64 {
	end := r.verifyEnd()
	state := map[string]firedrill.Edge{}
	for _, e := range r.edges {
		if r.after(e.At, end) || !of(e.Service) {
			continue
		}
		key := targetKey(e.Observer, e.Target)
		if state[key].State != e.State { // only a change turns a target green
			state[key] = e
		}
	}
	if len(state) == 0 || !r.everyProbeSeen(of) {
		return nil
	}
	latest := 0.0
	for _, e := range state {
		switch {
		case e.State != firedrill.Green:
			return nil
		case !r.after(e.At, acknowledged):
			continue
		}
		s := between(acknowledged, e.At)
		if s == nil {
			return nil
		}
		latest = max(latest, *s)
	}
	return &latest
}

// everyProbeSeen tells whether each probe that sent requests told a state.
func (r *run) everyProbeSeen(of func(service string) bool) bool {
	observers, targets := map[string]bool{}, map[string]bool{}
	for _, e := range r.edges {
		observers[e.Observer], targets[targetKey(e.Observer, e.Target)] = true, true
	}
	for _, o := range r.seen {
		if o.Probes > 0 && !observers[o.Observer] {
			return false
		}
		for _, t := range o.Targets {
			if t.Probes > 0 && of(t.Service) && !targets[targetKey(o.Observer, t.Target)] {
				return false
			}
		}
	}
	return true
}

// verifyEnd is when the last step of the verification ended, or the last
// record where none did.
func (r *run) verifyEnd() firedrill.Stamp {
	var end *firedrill.Stamp
	for id, b := range r.ended {
		if r.steps[id].Phase == firedrill.Verify && (end == nil || r.after(b.Finished, *end)) {
			end = &b.Finished
		}
	}
	if end == nil {
		return r.last
	}
	return *end
}
