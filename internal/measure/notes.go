package measure

import (
	"fmt"
	"slices"
	"strings"

	"firedrill"
)

// notes say how far to trust what was measured. They change no verdict.
func (r *run) notes(m firedrill.Measurement) []string {
	notes := r.blind()
	for _, s := range m.RPO.Sentinels {
		if g := s.Ghosts; g.Count > 0 {
			notes = append(notes, fmt.Sprintf("%s: %s, and no acknowledgement came: not counted as loss, nor as kept", s.Store, numbers(g)))
		}
	}
	for _, t := range m.Availability.Targets {
		if t.Cached > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d answers came from a cache that had kept them from before the injection; they count neither as good nor as bad", t.Target, t.Cached))
		}
	}
	if m.RTO.Detect.Named && m.RTO.Detect.Seconds == nil && r.start != nil {
		notes = append(notes, "the alert that the plan names was not seen to fire")
	}
	if acknowledged := r.acknowledged(); r.start != nil && acknowledged != nil && acknowledged.Boot != r.start.Boot {
		notes = append(notes, "the machine was restarted between the injection and the end of the recovery, so no clock measured how long that took")
	}
	return append(notes, r.unobserved()...)
}

// unobserved names the stretches after the injection in which no process
// observed.
func (r *run) unobserved() []string {
	var notes []string
	for _, g := range r.gaps {
		if r.start == nil || !r.after(g.to, *r.start) {
			continue
		}
		i := r.interval(g)
		notes = append(notes, fmt.Sprintf("nobody observed for %.1f s, from %.1f s after the injection on: whether the service was up is not known", i.To.Sub(i.From).Seconds(), i.From.Sub(r.start.Wall).Seconds()))
	}
	return notes
}

// numbers names numbered writes that are there.
func numbers(l firedrill.Lost) string {
	if l.Count == 1 {
		return fmt.Sprintf("write %d is there", l.First.N)
	}
	return fmt.Sprintf("%d writes between %d and %d are there", l.Count, l.First.N, l.Last.N)
}

// blind names the probes that stayed green while the damage was proven: what
// they answer does not depend on what was damaged, so they show nothing of it.
func (r *run) blind() []string {
	if r.start == nil || !slices.ContainsFunc(r.ids(), r.provesDamage) {
		return nil
	}
	end := r.acknowledged()
	if end == nil {
		end = &r.last
	}
	green, red := map[string]bool{}, map[string]bool{}
	var order []firedrill.Edge
	for _, e := range r.edges {
		key := targetKey(e.Observer, e.Target)
		switch {
		case r.after(e.At, *end):
		case !r.after(e.At, *r.start):
			if _, known := green[key]; !known {
				order = append(order, e)
			}
			green[key] = e.State == firedrill.Green
		case e.State == firedrill.Red:
			red[key] = true
		}
	}
	var notes []string
	for _, service := range append([]string{""}, r.serviceNames()...) {
		var passed []string
		all := 0
		for _, e := range order {
			key := targetKey(e.Observer, e.Target)
			if e.Service != service {
				continue
			}
			if all++; green[key] && !red[key] {
				passed = append(passed, e.Target)
			}
		}
		of := ""
		if service != "" {
			of = " of " + service
		}
		switch {
		case len(passed) == 0:
		case len(passed) == all:
			notes = append(notes, fmt.Sprintf("no probe%s showed the damage that was proven: %s", of, strings.Join(passed, ", ")))
		default:
			notes = append(notes, fmt.Sprintf("%d of %d probes%s passed while the service was damaged: %s", len(passed), all, of, strings.Join(passed, ", ")))
		}
	}
	return notes
}

// ids gives the ids of the steps that ended.
func (r *run) ids() []string {
	var ids []string
	for id := range r.ended {
		ids = append(ids, id)
	}
	return ids
}
