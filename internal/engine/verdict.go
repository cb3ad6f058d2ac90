package engine

import (
	"fmt"

	"firedrill"
)

// causeOf says why a run turns back when a step failed.
func causeOf(s *state, st *step, ended firedrill.Ended) firedrill.ReasonCode {
	kind := firedrill.KindUnclassified
	if ended.Problem != nil {
		kind = ended.Problem.Kind
	}
	switch {
	case kind == firedrill.KindInterrupted:
		return firedrill.ReasonAborted
	case ended.Status == firedrill.StatusUnknown || kind == firedrill.KindUnknown:
		return firedrill.ReasonUnknownOutcome
	case st.def.Proves != "":
		if !observed(kind) {
			return firedrill.ReasonUnknownOutcome
		}
		return disproved(st.def.Proves)
	case st.def.Phase == firedrill.Recover && kind != firedrill.KindConflict:
		return firedrill.ReasonRecoveryFailed
	case kind == firedrill.KindGuard || kind == firedrill.KindBusy:
		return kind.Reason()
	case kind == firedrill.KindExpectation || s.changed:
		return firedrill.ReasonStepFailed
	}
	return kind.Reason()
}

func causeOfRefusal(st *step) firedrill.ReasonCode {
	if st.def.Phase == firedrill.Recover {
		return firedrill.ReasonRecoveryFailed
	}
	return firedrill.ReasonStepFailed
}

// observed tells whether a failed proof is an observation (the condition was
// looked at and is false) rather than a look that could not be made.
func observed(k firedrill.Kind) bool {
	return k == firedrill.KindExpectation || k == firedrill.KindTimeout
}

// disproved is the reason when a proof was looked at and is false.
func disproved(p firedrill.Proof) firedrill.ReasonCode {
	switch p {
	case firedrill.ProvesDamage:
		return firedrill.ReasonNoDamage
	case firedrill.ProvesData:
		return firedrill.ReasonDataDiffers
	case firedrill.ProvesService:
		return firedrill.ReasonServiceDiffers
	case firedrill.ProvesProtection:
		return firedrill.ReasonNoProtection
	}
	return firedrill.ReasonResidue
}

// verdictOf is the verdict that a reason leads to.
func verdictOf(r firedrill.ReasonCode) firedrill.Verdict {
	switch r {
	case firedrill.ReasonOK:
		return firedrill.Passed
	case firedrill.ReasonRTOMissed, firedrill.ReasonRPOMissed, firedrill.ReasonDataDiffers, firedrill.ReasonServiceDiffers,
		firedrill.ReasonNoProtection, firedrill.ReasonRecoveryFailed, firedrill.ReasonResidue:
		return firedrill.Failed
	case firedrill.ReasonAborted:
		return firedrill.Aborted
	}
	return firedrill.Inconclusive
}

// conclude gives the verdict. `passed` is the last thing that is tried to be
// shown wrong here, never the default.
func conclude(s *state) firedrill.Finished {
	f := firedrill.Finished{Environment: firedrill.Restored, Left: s.remains()}
	reasons := &collector{}
	if s.turned != nil {
		reasons.add(s.turned.Cause, s.turned.Detail)
	} else {
		s.checkProofs(reasons)
		s.checkTargets(reasons)
	}
	if len(f.Left) > 0 {
		f.Environment = firedrill.Dirty
		reasons.add(firedrill.ReasonUndoFailed, "the environment is not as it was before")
	}
	f.ReasonCode = reasons.code()
	f.Verdict = verdictOf(f.ReasonCode)
	f.Reasons = reasons.texts
	if f.Verdict == firedrill.Passed {
		f.Reasons = s.shown()
	}
	for _, st := range s.order {
		if st.status == skipped && st.def.Proves != "" {
			f.Reasons = append(f.Reasons, fmt.Sprintf("%s was not shown: step %s was skipped, %s", st.def.Proves, st.def.ID, st.reason))
		}
	}
	return f
}

// collector gathers what speaks against a pass; a failure weighs more than
// something unknown, and among equals the first counts.
type collector struct {
	first map[firedrill.Verdict]firedrill.ReasonCode
	texts []string
}

func (c *collector) add(code firedrill.ReasonCode, text string) {
	if c.first == nil {
		c.first = map[firedrill.Verdict]firedrill.ReasonCode{}
	}
	v := verdictOf(code)
	if _, ok := c.first[v]; !ok {
		c.first[v] = code
	}
	c.texts = append(c.texts, text)
}

func (c *collector) code() firedrill.ReasonCode {
	for _, v := range []firedrill.Verdict{firedrill.Aborted, firedrill.Failed, firedrill.Inconclusive} {
		if code, ok := c.first[v]; ok {
			return code
		}
	}
	return firedrill.ReasonOK
}

// checkProofs asks for what a pass needs: a disaster that happened and was
// observed, and a recovery that was shown.
func (s *state) checkProofs(c *collector) {
	injected := false
	proved := map[firedrill.Proof]bool{}
	declared := map[firedrill.Proof]bool{}
	for _, st := range s.order {
		if st.status == passed && st.def.Phase == firedrill.Inject && st.resolved.Impact == firedrill.Damages {
			injected = true
		}
		if st.def.Proves != "" {
			declared[st.def.Proves] = true
			proved[st.def.Proves] = proved[st.def.Proves] || st.status == passed
		}
	}
	switch {
	case !injected:
		c.add(firedrill.ReasonNoDamage, "nothing was damaged, so nothing was shown")
	case !proved[firedrill.ProvesDamage]:
		c.add(firedrill.ReasonNoDamage, "no step observed the damage")
	}
	if !proved[firedrill.ProvesData] && !proved[firedrill.ProvesService] {
		c.add(firedrill.ReasonUnknownOutcome, "no step compared the recovered state with the state before")
	}
	for _, p := range []firedrill.Proof{firedrill.ProvesProtection, firedrill.ProvesClean} {
		if declared[p] && !proved[p] {
			c.add(firedrill.ReasonUnknownOutcome, "no step showed "+string(p)+", though the drill is to show it")
		}
	}
}

func (s *state) checkTargets(c *collector) {
	m := s.measured
	check := func(name string, target float64, actual *float64, missed firedrill.ReasonCode) {
		switch {
		case target <= 0:
		case actual == nil:
			c.add(firedrill.ReasonNotMeasured, fmt.Sprintf("the %s target is set and nothing measured it", name))
		case *actual > target:
			c.add(missed, fmt.Sprintf("%s was %.2f s, the target is %.0f s", name, *actual, target))
		}
	}
	check("RTO", s.program.RTO.Seconds(), m.RTO.Actual, firedrill.ReasonRTOMissed)
	check("RPO", s.program.RPO.Seconds(), m.RPO.Actual, firedrill.ReasonRPOMissed)
	for _, g := range m.Gaps {
		c.add(firedrill.ReasonUnknownOutcome, fmt.Sprintf("nobody observed the run from %s to %s", g.From.UTC().Format("15:04:05.000"), g.To.UTC().Format("15:04:05.000")))
	}
}

// shown says in sentences what a pass rests on.
func (s *state) shown() []string {
	var texts []string
	for _, st := range s.order {
		if st.def.Proves == "" || st.status != passed || st.ended == nil {
			continue
		}
		texts = append(texts, fmt.Sprintf("%s: %s", st.def.Proves, firstOf(st.ended.Summary, st.def.Title, st.def.ID)))
	}
	return texts
}
