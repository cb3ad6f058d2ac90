package engine

import (
	"fmt"
	"slices"

	"firedrill"
)

// conclude gives the verdict. `passed` is what remains when nothing speaks
// against it, and everything that is missing does.
func conclude(s *state) firedrill.Finished {
	if s.program.Incident != nil {
		return concludeIncident(s)
	}
	end := firedrill.Finished{Environment: firedrill.Restored, Left: s.remains()}
	f := &findings{}
	if s.turned != nil {
		f.add(s.turned.Cause, s.turned.Detail)
		s.checkOthers(f)
	} else {
		s.checkProofs(f)
		s.checkLooks(f)
		s.checkGaps(f)
		s.checkClocks(f)
	}
	s.checkTargets(f)
	if len(end.Left) > 0 {
		end.Environment = firedrill.Dirty
		f.add(firedrill.ReasonUndoFailed, "the environment was not put back as it was: "+end.Left[0].What)
	}
	end.ReasonCode = f.code()
	end.Verdict = verdictOf(end.ReasonCode)
	end.Reasons = f.texts
	if s.turned != nil && s.clocks.why != "" {
		end.Reasons = append(end.Reasons, s.clocks.why) // what made the run turn back may come of it
	}
	if end.Verdict == firedrill.Passed {
		end.Reasons = s.shown()
	}
	for _, st := range s.order {
		if st.status == skipped && st.def.Proves != "" && st.reason != turnedBefore {
			end.Reasons = append(end.Reasons, fmt.Sprintf("step %s was to prove %s and was skipped: %s", st.def.ID, st.def.Proves, st.reason))
		}
	}
	return end
}

// checkOthers adds what failed beside the step that made the run turn back.
// After an abort nothing else counts.
func (s *state) checkOthers(f *findings) {
	if s.turned.Cause == firedrill.ReasonAborted {
		return
	}
	for _, st := range s.order {
		if st.def.ID == s.turned.Step || st.status != failed && st.status != unknown || st.ended.Problem.Kind == firedrill.KindInterrupted {
			continue
		}
		f.add(causeOf(s, st), st.def.ID+": "+why(*st.ended))
	}
}

// counts tells whether a proof was given at a time when it shows something:
// damage before the recovery, all else after it.
func (st *step) counts() bool {
	i := st.def.Phase.Index()
	if st.def.Proves == firedrill.ProvesDamage {
		return i >= firedrill.Inject.Index() && i < firedrill.Recover.Index()
	}
	return i > firedrill.Recover.Index()
}

// proved tells which proofs were given.
func (s *state) proved() map[firedrill.Proof]bool {
	given := map[firedrill.Proof]bool{}
	for _, st := range s.order {
		if st.def.Proves != "" && st.status == passed && len(st.ended.Checks) > 0 && st.counts() {
			given[st.def.Proves] = true
		}
	}
	return given
}

// checkProofs asks for what a pass needs: a disaster that happened and was
// observed, a recovery that was shown, and everything that the drill itself
// is to show.
func (s *state) checkProofs(f *findings) {
	injected := false
	declared := map[firedrill.Proof]bool{}
	for _, st := range s.order {
		injected = injected || st.status == passed && st.def.Phase == firedrill.Inject && st.resolved.Impact == firedrill.Damages
		declared[st.def.Proves] = true
	}
	s.checkParts(f)
	given := s.proved()
	switch {
	case !injected:
		f.add(firedrill.ReasonNoDamage, "nothing was damaged, so nothing was shown")
	case !given[firedrill.ProvesDamage]:
		f.add(firedrill.ReasonNoDamage, "no step observed the damage")
	}
	if !given[firedrill.ProvesData] && !given[firedrill.ProvesService] {
		f.add(firedrill.ReasonUnknownOutcome, "no step compared the recovered state with the state before")
		return
	}
	for _, p := range firedrill.Proofs() {
		if p != firedrill.ProvesDamage && declared[p] && !given[p] {
			f.add(firedrill.ReasonUnknownOutcome, "the drill is to prove "+string(p)+" and no step did")
		}
	}
}

// checkParts: what was compared only in part was seen not to differ there, and that
// is not known of the rest. A drill with such a proof cannot pass, whatever else it
// has shown.
func (s *state) checkParts(f *findings) {
	for _, st := range s.order {
		if st.def.Proves != "" && st.status == passed && slices.ContainsFunc(st.ended.Checks, func(c firedrill.Check) bool { return c.Partial }) {
			f.add(firedrill.ReasonUnknownOutcome, fmt.Sprintf("%s compared only a part, which does not prove %s: %s", st.def.ID, st.def.Proves, firstOf(st.ended.Summary, st.def.Title, "the rest is not known")))
		}
	}
}

// checkLooks: after an undo at the end of a good run, what cannot be looked at
// is not known to be as before.
func (s *state) checkLooks(f *findings) {
	for _, st := range s.order {
		if st.look.state == lost {
			f.add(firedrill.ReasonUnknownOutcome, st.def.ID+" could not look after the undo: "+st.look.why)
		}
	}
}

// checkTargets compares what was measured with what was set. A run that
// turned back is not asked for what it had no chance to measure.
func (s *state) checkTargets(f *findings) {
	check := func(name string, target float64, actual *float64, missed firedrill.ReasonCode) {
		switch {
		case target <= 0:
		case actual == nil && s.turned == nil:
			f.add(firedrill.ReasonNotMeasured, "a target for the "+name+" is set and nothing measured it")
		case actual != nil && *actual > target && (s.turned == nil || verdictOf(s.turned.Cause) == firedrill.Failed):
			f.add(missed, fmt.Sprintf("the %s was %.3g s and its target is %.3g s", name, *actual, target))
		}
	}
	check("RTO", s.program.RTO.Seconds(), s.measured.RTO.Actual, firedrill.ReasonRTOMissed)
	check("RPO", s.program.RPO.Seconds(), s.measured.RPO.Actual, firedrill.ReasonRPOMissed)
}

// checkGaps looks for stretches that nobody observed and that the recovery time
// rests on: those of the outage, and, where probes watched, those up to the end of
// the verification, to which the service has to have stayed green.
func (s *state) checkGaps(f *findings) {
	if s.began == nil {
		return
	}
	from, to := s.began.Wall, s.measured.RTO.Actual
	for _, g := range s.measured.Gaps {
		outage := to == nil || g.From.Sub(from).Seconds() < *to
		stayed := s.measured.RTO.Green != nil && s.verified != nil && g.From.Before(s.verified.Wall)
		if to == nil && s.verified != nil {
			outage = g.From.Before(s.verified.Wall)
		}
		if g.To.After(from) && (outage || stayed) {
			f.add(firedrill.ReasonNotMeasured, fmt.Sprintf("nobody observed the service from %s to %s", g.From.UTC().Format("15:04:05.000"), g.To.UTC().Format("15:04:05.000")))
		}
	}
}

// shown says in sentences what a pass rests on.
func (s *state) shown() []string {
	var texts []string
	for _, st := range s.order {
		if st.def.Proves != "" && st.status == passed && len(st.ended.Checks) > 0 {
			texts = append(texts, fmt.Sprintf("%s is proven: %s", st.def.Proves, firstOf(st.ended.Summary, st.def.Title, st.def.ID)))
		}
	}
	return texts
}
