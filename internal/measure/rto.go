package measure

import "firedrill"

// rto measures the recovery time and its parts.
func (r *run) rto() firedrill.RTO {
	out := firedrill.RTO{Target: target(r.program.RTO)}
	if r.start == nil {
		return out
	}
	acknowledged := r.acknowledged()
	observed := r.observed(acknowledged)
	if observed != nil {
		out.Observe = between(*r.start, *observed)
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
		out.Green = r.green(*acknowledged)
	}
	if out.Observe == nil || out.Recover == nil || probed && out.Green == nil {
		return out
	}
	sum := *out.Observe + *out.Recover
	if out.Green != nil {
		sum += *out.Green
	}
	out.Actual = &sum
	return out
}

// observed is when the damage was first seen: by a probe that turned red
// before the recovery was over, or else by the first step that proved it.
func (r *run) observed(before *firedrill.Stamp) *firedrill.Stamp {
	for _, e := range r.sortedEdges() {
		if e.State != firedrill.Red || r.start.After(e.At) || before != nil && e.At.After(*before) {
			continue
		}
		return &e.At
	}
	var first *firedrill.Stamp
	for id, b := range r.ended {
		s := r.steps[id]
		if s.Proves == firedrill.ProvesDamage && s.Phase.Index() < firedrill.Recover.Index() && b.Status == firedrill.StatusOK && !r.start.After(b.Finished) &&
			(first == nil || first.After(b.Finished)) {
			first = &b.Finished
		}
	}
	return first
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
		if r.resolved[id].Impact != firedrill.Reads && (last == nil || b.Finished.After(*last)) {
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
		if last == nil || b.Finished.After(*last) {
			last = &b.Finished
		}
	}
	return last
}

// green is the time from the acknowledgement until the last target turned
// green and stayed so to the end of the verification; 0 where all were green
// by then, nil where one was still red or no target was ever seen.
func (r *run) green(acknowledged firedrill.Stamp) *float64 {
	end := r.verifyEnd()
	state := map[string]firedrill.Edge{}
	for _, e := range r.sortedEdges() {
		if e.At.After(end) {
			continue
		}
		key := e.Observer + "\x00" + e.Target
		if state[key].State != e.State { // only a change turns a target green
			state[key] = e
		}
	}
	if len(state) == 0 || !r.everyProbeSeen() {
		return nil
	}
	latest := 0.0
	for _, e := range state {
		if e.State != firedrill.Green {
			return nil
		}
		if s := between(acknowledged, e.At); s != nil {
			latest = max(latest, *s)
		}
	}
	return &latest
}

// everyProbeSeen tells whether each probe that sent requests told a state.
func (r *run) everyProbeSeen() bool {
	told := map[string]bool{}
	for _, e := range r.edges {
		told[e.Observer] = true
	}
	for _, o := range r.seen {
		if o.Probes > 0 && !told[o.Observer] {
			return false
		}
	}
	return true
}

// verifyEnd is when the last step of the verification ended, or the last
// record where none did.
func (r *run) verifyEnd() firedrill.Stamp {
	var end *firedrill.Stamp
	for id, b := range r.ended {
		if r.steps[id].Phase == firedrill.Verify && (end == nil || b.Finished.After(*end)) {
			end = &b.Finished
		}
	}
	if end == nil {
		return r.last
	}
	return *end
}
