package engine

import (
	"fmt"
	"slices"

	"firedrill"
)

// concludeIncident gives the verdict of the recovery of a real incident. There was
// no baseline, so it is not asked whether all is as before: `recovered` is said when
// every step of the recovery went well and something that was looked at afterwards,
// the data or the service, bears it out. What could not be compared is said beside
// it. A target that was missed is told, too: it does not undo a recovery.
func concludeIncident(s *state) firedrill.Finished {
	f := &findings{}
	switch {
	case s.turned != nil:
		f.add(s.turned.Cause, s.turned.Detail)
		s.checkOthers(f)
	case s.program.Incident.Lists:
		f.add(firedrill.ReasonListed, "it was listed what could be recovered, and nothing was to be recovered yet")
	default:
		s.checkRecovery(f)
	}
	end := firedrill.Finished{Environment: firedrill.Restored, Left: s.remains()}
	for i, l := range end.Left {
		if st := s.steps[l.Step]; st.def.Look && l.Repair == "" {
			end.Left[i] = s.toFound(l)
		}
	}
	if len(f.codes) > 0 {
		end.Left = append(end.Left, s.unproven()...)
	}
	if len(end.Left) > 0 {
		end.Environment = firedrill.Dirty
		f.add(firedrill.ReasonUndoFailed, "the environment is not known to be recovered: "+end.Left[0].What)
	}
	end.Verdict, end.ReasonCode, end.Reasons = firedrill.NotRecovered, f.code(), f.texts
	if len(f.codes) == 0 {
		late := &findings{}
		s.checkTargets(late)
		late.drop(firedrill.ReasonNotMeasured) // there was no sentinel that could have measured it
		end.Verdict, end.ReasonCode, end.Reasons = firedrill.Recovered, late.code(), append(s.shown(), late.texts...)
	} else if end.Environment == firedrill.Restored {
		end.Reasons = append(end.Reasons, s.asFound())
	}
	end.Reasons = append(end.Reasons, s.uncompared()...)
	if why := s.program.Incident.WritersGoOn; why != "" {
		end.Reasons = append(end.Reasons, "writers were not stopped: "+why)
	}
	return end
}

// checkRecovery: something was recovered, and somebody looked at what came of it.
func (s *state) checkRecovery(f *findings) {
	if !slices.ContainsFunc(s.order, (*step).recovers) {
		f.add(firedrill.ReasonUnknownOutcome, "no step recovered anything")
	}
	given := s.proved()
	if !given[firedrill.ProvesData] && !given[firedrill.ProvesService] {
		f.add(firedrill.ReasonUnknownOutcome, "nothing looked at what came of the recovery: there is no probe to ask and nothing to compare with")
	}
	s.checkLooks(f)
}

// asFound says why an environment is as the incident left it, although a recovery was
// begun.
func (s *state) asFound() string {
	if slices.ContainsFunc(s.order, (*step).mutated) {
		return "what was changed was put back: the environment is as the incident left it"
	}
	return "nothing was changed: the environment is as the incident left it"
}

// unproven are the recoveries that were begun, stand, and are not borne out.
func (s *state) unproven() []firedrill.Left {
	var left []firedrill.Left
	looked := slices.ContainsFunc(s.order, func(st *step) bool { return st.look.state == ok || st.look.state == wrong })
	for _, st := range s.order {
		what := ""
		switch {
		case !st.mutated():
		case st.def.Phase == firedrill.Recover && st.undo.state != ok:
			what = "was begun, and it is not known that it recovered anything"
		case st.undo.state == ok && !st.undoneLast() && !looked:
			what = "was put back, and nothing looked whether all is as it was found"
		}
		if what != "" {
			left = append(left, s.toFound(st.left(what)))
		}
	}
	return left
}

// toFound gives what is left the command that leads back to what the run found.
func (s *state) toFound(l firedrill.Left) firedrill.Left {
	l.Repair = "firedrill recover --undo " + s.run
	return l
}

// uncompared says what there was nothing to compare with, and what was compared
// only in part.
func (s *state) uncompared() []string {
	var texts []string
	for _, st := range s.order {
		switch {
		case st.def.Proves == "":
		case st.status == skipped && st.reason != turnedBefore:
			texts = append(texts, fmt.Sprintf("not compared: %s (%s)", firstOf(st.def.Title, st.def.ID), st.reason))
		case st.status == passed && slices.ContainsFunc(st.ended.Checks, func(c firedrill.Check) bool { return c.Partial }):
			texts = append(texts, "compared only in part: "+firstOf(st.ended.Summary, st.def.Title, st.def.ID))
		}
	}
	return texts
}

// mutated tells whether a step was begun that changes something.
func (st *step) mutated() bool {
	return st.intended > 0 && st.resolved.Impact != firedrill.Reads && !st.unharmed()
}

// recovers tells whether a step recovered something.
func (st *step) recovers() bool {
	return st.def.Phase == firedrill.Recover && st.status == passed && st.mutated()
}

// drop takes all findings of a code away.
func (f *findings) drop(code firedrill.ReasonCode) {
	kept := findings{}
	for i, c := range f.codes {
		if c != code {
			kept.add(c, f.texts[i])
		}
	}
	*f = kept
}
