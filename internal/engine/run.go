package engine

import (
	"fmt"
	"strings"

	"firedrill"
)

// advance starts every step that may start. It gives true while the steps are
// not all settled.
func (m *Machine) advance() bool {
	s := m.state
	if s.rearms > 0 {
		return true // nothing that relies on an observer may go on without it
	}
	for s.turned == nil {
		st := s.plan.next()
		if st == nil {
			break
		}
		m.try(st)
	}
	return s.turned == nil && !s.plan.over()
}

// try starts a step, skips it, or lets it wait for a resource.
func (m *Machine) try(st *step) {
	s := m.state
	if st.waitsFor == "" { // not resolved before
		run, evaluated, err := m.when(st, s.scope())
		if err != nil {
			m.refuse(st, err)
			return
		}
		if !run {
			m.emit(firedrill.StepSkipped{Step: st.def.ID, Reason: falseCondition(st), Evaluated: evaluated})
			return
		}
		r, err := m.resolver.Resolve(st.def, s.scope())
		if err != nil {
			m.refuse(st, err)
			return
		}
		if st.def.Timeout > 0 {
			r.Timeout = st.def.Timeout
		}
		if s.program.Incident != nil && r.Impact == firedrill.Damages {
			m.refuse(st, &firedrill.Error{Op: st.def.Uses, Kind: firedrill.KindGuard, Target: "step " + st.def.ID,
				Detail: "it damages, and this is the recovery of an incident", Remedy: "report this as a defect; nothing was done"})
			return
		}
		st.resolved = r
	}
	if by := s.plan.blockedBy(st.resolved.Claims); by != "" {
		before := st.waitsFor
		st.waitsFor = by
		s.plan.wait(by, st)
		if before != "" && before != by {
			s.plan.wake(before)
		}
		return
	}
	m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleDo, Attempt: 1, Op: s.op(st.def.ID), Uses: st.def.Uses, Resolved: st.resolved})
}

func (m *Machine) when(st *step, scope firedrill.Scope) (bool, []firedrill.Evaluation, error) {
	if st.def.When == "" {
		return true, nil, nil
	}
	return m.resolver.When(st.def, scope)
}

func falseCondition(st *step) string { return "its condition is false: " + st.def.When }

func (m *Machine) refuse(st *step, err error) {
	m.emit(firedrill.StepRefused{Step: st.def.ID, Problem: *firedrill.ProblemOf(err)})
	m.follow(st)
}

// complete takes the end of a call.
func (m *Machine) complete(in Completion) {
	key := callKey{in.Op, in.Role}
	c := m.state.open[key]
	delete(m.released, key)
	st := m.state.steps[c.Step]
	ended := firedrill.Ended{Step: c.Step, Role: in.Role, Attempt: in.Attempt, Op: in.Op, Status: in.Status,
		Started: in.Started, Finished: in.Finished, Outputs: in.Outcome.Outputs, Summary: in.Outcome.Summary,
		Checks: in.Outcome.Checks, Collateral: in.Outcome.Collateral, Notes: in.Outcome.Notes, Observation: in.Outcome.Observation, Problem: in.Problem}
	m.end(st, c, plausible(ended, c.Uses), in.Outcome.Steps)
}

// plausible makes a status and a problem agree; in doubt it was no success.
func plausible(e firedrill.Ended, uses string) firedrill.Ended {
	switch {
	case e.Status == firedrill.StatusOK && e.Problem == nil, e.Status == firedrill.StatusUnknown && e.Problem != nil:
	case e.Problem == nil:
		e.Problem = &firedrill.Problem{Op: uses, Kind: firedrill.KindInternal, Target: "step " + e.Step, Detail: fmt.Sprintf("ended as %q without a reason", e.Status)}
		if e.Status != firedrill.StatusUnknown {
			e.Status = firedrill.StatusFailed
		}
	case e.Problem.Kind == firedrill.KindUnknown:
		e.Status = firedrill.StatusUnknown
	default:
		e.Status = firedrill.StatusFailed
	}
	return e
}

// end records the end of a call and decides what follows from it.
func (m *Machine) end(st *step, c call, ended firedrill.Ended, sub []firedrill.Step) {
	if ended.Status == firedrill.StatusUnknown && m.mayAsk(c) {
		m.ask(c)
		return
	}
	switch ended.Role {
	case firedrill.RoleDo:
		ended = m.checked(st, ended, m.state.scope(), len(sub) > 0)
		ended = m.expand(st, ended, sub)
		m.emit(ended)
		m.follow(st)
	case firedrill.RoleLook:
		m.emit(m.checked(st, ended, m.lookScope(), false))
		m.looked(st)
	case firedrill.RoleUndo:
		m.emit(m.checkedUndo(st, ended))
		m.undid(st)
	case firedrill.RoleRearm:
		m.emit(ended)
		m.follow(st)
	}
}

// follow decides what follows from how a step stands. It is asked when a step
// ends, and for every step when a run is taken up: a batch may have been
// written in part.
func (m *Machine) follow(st *step) {
	turned := m.state.turned != nil
	switch st.status {
	case refused:
		m.turn(causeOfRefusal(m.state, st), st.def.ID, st.def.ID+" could not be prepared: "+st.problem.Detail)
	case passed:
		if r := st.rearm; r.state == wrong || r.state == lost {
			m.turn(firedrill.ReasonUnknownOutcome, st.def.ID, st.def.ID+" could not observe again after the run was resumed: "+r.why)
		}
		for up := st; up != nil; up = up.parent {
			m.discharge(up)
		}
	case failed, unknown:
		if _, again := m.state.open[callKey{m.state.op(st.def.ID), firedrill.RoleDo}]; again {
			return
		}
		if !turned && mayRetry(st) {
			m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleDo, Attempt: st.ended.Attempt + 1, Op: st.ended.Op, Uses: st.def.Uses, Resolved: st.resolved})
			return
		}
		m.turn(causeOf(m.state, st), st.def.ID, st.def.ID+": "+why(*st.ended))
	}
}

// discharge records that undos are no longer needed, once a step that
// discharges them passed with all its sub-steps. It speaks only for what was
// over when it began.
func (m *Machine) discharge(st *step) {
	if len(st.def.Discharges) == 0 || !st.settledWhole() || !st.passedWhole() {
		return
	}
	var ids []string
	for _, id := range st.def.Discharges {
		if other := m.state.steps[id]; other != nil && other.intended > 0 && !other.discharged && other.overBefore(st.began) {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 {
		m.emit(firedrill.Discharged{By: st.def.ID, Steps: ids})
	}
}

// expand records the sub-steps that a step asks for, before its end: a run
// that crashed in between does the step again and keeps them. A run that
// turned back starts nothing new.
func (m *Machine) expand(st *step, ended firedrill.Ended, sub []firedrill.Step) firedrill.Ended {
	if ended.Status != firedrill.StatusOK || len(sub) == 0 || len(st.children) > 0 || m.state.turned != nil {
		return ended
	}
	defs, err := m.expansion(st, sub)
	if err != nil {
		ended.Status = firedrill.StatusFailed
		ended.Problem = &firedrill.Problem{Op: st.def.Uses, Kind: firedrill.KindInternal, Target: "step " + st.def.ID, Detail: "asked for sub-steps that cannot run: " + err.Error()}
		return ended
	}
	m.emit(firedrill.Expanded{Step: st.def.ID, Steps: defs})
	return ended
}

// expansion gives sub-steps their place: ids below their parent's, in its
// phase, proving what it is to prove.
func (m *Machine) expansion(parent *step, sub []firedrill.Step) ([]firedrill.Step, error) {
	if parent.depth+1 > maxDepth {
		return nil, bad("sub-steps are nested deeper than %d", maxDepth)
	}
	own := map[string]bool{}
	for _, s := range sub {
		own[s.ID] = true
	}
	prefix := parent.def.ID + "/"
	below := func(ids []string) []string {
		var out []string
		for _, id := range ids {
			switch {
			case own[id]:
				out = append(out, prefix+id)
			case !parent.isBelow(id): // those above are over before a sub-step starts
				out = append(out, id)
			}
		}
		return out
	}
	defs := make([]firedrill.Step, len(sub))
	for i, s := range sub {
		if s.ID == "" || strings.Contains(s.ID, "/") {
			return nil, bad("the id %q of a sub-step is empty or holds a slash", s.ID)
		}
		s.ID, s.Needs, s.Discharges, s.Phase = prefix+s.ID, below(s.Needs), below(s.Discharges), parent.def.Phase
		if s.Proves == "" {
			s.Proves = parent.def.Proves
		}
		for _, n := range s.Needs {
			if other := m.state.steps[n]; other != nil && !other.settledWhole() {
				return nil, bad("sub-step %q needs %q, which is not settled", s.ID, n)
			}
		}
		defs[i] = s
	}
	return defs, validateSteps(defs, m.state.steps)
}

// isBelow tells whether id is the step itself or one that it is a sub-step of.
func (st *step) isBelow(id string) bool {
	for up := st; up != nil; up = up.parent {
		if up.def.ID == id {
			return true
		}
	}
	return false
}

// mayRetry tells whether a failed call is attempted again. An injection never
// is, nor an expectation that was looked at and is false. Others are as often
// as the step says, when the failure changed nothing or doing it again does no
// harm; an idempotent call whose answer was lost is repeated once in any case.
func mayRetry(st *step) bool {
	e := st.ended
	if e.Problem == nil || st.resolved.Impact == firedrill.Damages {
		return false
	}
	harmless := st.resolved.Impact == firedrill.Reads || st.resolved.Replay == firedrill.Idempotent
	again := e.Attempt <= st.def.Retry
	switch e.Problem.Kind {
	case firedrill.KindExpectation, firedrill.KindGuard, firedrill.KindUsage, firedrill.KindDenied, firedrill.KindUnsupported, firedrill.KindInterrupted, firedrill.KindInternal:
		return false
	}
	if e.Status == firedrill.StatusUnknown {
		return harmless && (again || e.Attempt == 1)
	}
	return again && (harmless || e.Problem.Kind.Retryable())
}
