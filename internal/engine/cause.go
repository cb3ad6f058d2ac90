package engine

import "firedrill"

// causeOf says why a run turns back when a step failed.
func causeOf(s *state, st *step) firedrill.ReasonCode {
	kind := st.ended.Problem.Kind
	switch {
	case kind == firedrill.KindInterrupted:
		return firedrill.ReasonAborted
	case st.status == unknown:
		return firedrill.ReasonUnknownOutcome
	case st.def.Proves == firedrill.ProvesDamage || st.def.Phase == firedrill.Detect:
		return firedrill.ReasonNoDamage
	case st.def.Proves != "" && !observed(st.def.Proves, kind):
		return firedrill.ReasonUnknownOutcome
	case st.def.Proves != "":
		return disproved(st.def.Proves)
	case st.def.Phase == firedrill.Recover && kind != firedrill.KindConflict && kind != firedrill.KindGuard:
		return firedrill.ReasonRecoveryFailed
	case kind == firedrill.KindExpectation:
		return firedrill.ReasonStepFailed
	}
	return causeOfKind(s, kind)
}

// causeOfKind is the reason of a failure that speaks for itself only as long
// as nothing was damaged.
func causeOfKind(s *state, kind firedrill.Kind) firedrill.ReasonCode {
	switch {
	case kind == firedrill.KindGuard || kind == firedrill.KindBusy:
		return kind.Reason()
	case s.damaged:
		return firedrill.ReasonStepFailed
	}
	return kind.Reason()
}

func causeOfRefusal(s *state, st *step) firedrill.ReasonCode {
	switch {
	case st.def.Proves == firedrill.ProvesDamage || st.def.Phase == firedrill.Detect:
		return firedrill.ReasonNoDamage
	case st.def.Proves != "":
		return firedrill.ReasonUnknownOutcome
	case st.def.Phase == firedrill.Recover:
		return firedrill.ReasonRecoveryFailed
	case st.problem.Kind == firedrill.KindUnclassified || st.problem.Kind == firedrill.KindUsage:
		return firedrill.ReasonStepFailed
	}
	return causeOfKind(s, st.problem.Kind)
}

// observed tells whether a failed proof is an observation (it was looked at
// and is not so) rather than a look that could not be made. A service or a
// protection that did not come back in time was looked at all the while.
func observed(p firedrill.Proof, k firedrill.Kind) bool {
	if k == firedrill.KindTimeout {
		return p == firedrill.ProvesService || p == firedrill.ProvesProtection
	}
	return k == firedrill.KindExpectation
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

// findings gather what speaks against a pass.
type findings struct {
	codes []firedrill.ReasonCode
	texts []string
}

func (f *findings) add(code firedrill.ReasonCode, text string) {
	f.codes = append(f.codes, code)
	f.texts = append(f.texts, text)
}

// code is the finding that weighs most: an abort, a damage that nobody
// observed (then nothing was shown), a failure, and at last what is unknown.
func (f *findings) code() firedrill.ReasonCode {
	weights := []firedrill.ReasonCode{
		firedrill.ReasonAborted, firedrill.ReasonNoDamage,
		firedrill.ReasonDataDiffers, firedrill.ReasonServiceDiffers, firedrill.ReasonNoProtection, firedrill.ReasonRecoveryFailed,
		firedrill.ReasonResidue, firedrill.ReasonRTOMissed, firedrill.ReasonRPOMissed,
	}
	for _, w := range weights {
		for _, c := range f.codes {
			if c == w {
				return c
			}
		}
	}
	if len(f.codes) == 0 {
		return firedrill.ReasonOK
	}
	for _, c := range f.codes {
		switch c {
		case firedrill.ReasonStepFailed, firedrill.ReasonOperational, firedrill.ReasonGuard, firedrill.ReasonBusy, firedrill.ReasonUndoFailed:
		default:
			return c
		}
	}
	for _, c := range f.codes {
		if c == firedrill.ReasonUndoFailed {
			return c // the others say that nothing was damaged, or that all was put back
		}
	}
	return f.codes[0]
}
