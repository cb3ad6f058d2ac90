package engine

import (
	"fmt"
	"strings"

	"firedrill"
)

// advance starts every step that may start. It gives true while there is
// still something to wait for.
func (m *Machine) advance() bool {
	s := m.state
	if m.rearming() {
		return true
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

// rearming tells whether an observer is being started again: nothing that
// relies on it may go on.
func (m *Machine) rearming() bool {
	for k := range m.state.open {
		if k.role == firedrill.RoleRearm {
			return true
		}
	}
	return false
}

// try starts a step, skips it, or lets it wait for a resource.
func (m *Machine) try(st *step) {
	s := m.state
	if st.waitsFor == "" { // not resolved before
		if st.def.When != "" {
			run, evaluated, err := m.resolver.When(st.def, s.scope())
			if err != nil {
				m.refuse(st, err)
				return
			}
			if !run {
				m.emit(firedrill.StepSkipped{Step: st.def.ID, Reason: "its condition is false: " + st.def.When, Evaluated: evaluated})
				return
			}
		}
		r, err := m.resolver.Resolve(st.def, s.scope())
		if err != nil {
			m.refuse(st, err)
			return
		}
		if st.def.Timeout > 0 {
			r.Timeout = st.def.Timeout
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

func (m *Machine) refuse(st *step, err error) {
	p := firedrill.ProblemOf(err)
	m.emit(firedrill.StepRefused{Step: st.def.ID, Problem: *p})
	m.turn(causeOfRefusal(st), st.def.ID, st.def.ID+": "+p.Detail)
}

// complete takes the end of a call.
func (m *Machine) complete(in Completion) {
	c := m.state.open[callKey{in.Op, in.Role}]
	st := m.state.steps[c.Step]
	delete(m.canceled, callKey{in.Op, in.Role})
	ended := firedrill.Ended{Step: c.Step, Role: in.Role, Attempt: in.Attempt, Op: in.Op, Status: in.Status,
		Started: in.Started, Finished: in.Finished, Outputs: in.Outcome.Outputs, Summary: in.Outcome.Summary,
		Checks: in.Outcome.Checks, Collateral: in.Outcome.Collateral, Observation: in.Outcome.Observation, Problem: in.Problem}
	switch in.Role {
	case firedrill.RoleDo:
		m.completeStep(st, ended, in.Outcome.Steps)
	case firedrill.RoleLook:
		m.emit(m.checked(st, ended))
	case firedrill.RoleRearm:
		m.emit(ended)
		if in.Status != firedrill.StatusOK {
			m.turn(firedrill.ReasonUnknownOutcome, c.Step, c.Step+": could not observe again: "+why(ended))
		}
	default:
		m.emit(ended)
	}
}

func (m *Machine) completeStep(st *step, ended firedrill.Ended, sub []firedrill.Step) {
	ended = m.checked(st, ended)
	if ended.Status == firedrill.StatusUnknown && st.resolved.Replay == firedrill.Ask && m.state.turned == nil {
		m.ask(m.state.open[callKey{ended.Op, ended.Role}])
		return
	}
	if ended.Status == firedrill.StatusOK && len(sub) > 0 && !st.expanded {
		defs, err := m.expansion(st, sub)
		if err != nil {
			ended.Status, ended.Problem = firedrill.StatusFailed, firedrill.ProblemOf(err)
		} else {
			m.emit(firedrill.Expanded{Step: st.def.ID, Steps: defs})
		}
	}
	m.emit(ended)
	switch {
	case ended.Status == firedrill.StatusOK:
		m.discharge(st)
	case m.state.turned == nil && mayRetry(st, ended):
		m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleDo, Attempt: ended.Attempt + 1, Op: ended.Op, Uses: st.def.Uses, Resolved: st.resolved})
	default:
		m.turn(causeOf(m.state, st, ended), st.def.ID, st.def.ID+": "+why(ended))
	}
}

// checked evaluates the step's expectations over its outputs and makes a call
// whose checks do not hold a failed one.
func (m *Machine) checked(st *step, ended firedrill.Ended) firedrill.Ended {
	if ended.Status != firedrill.StatusOK {
		return ended
	}
	checks := append([]firedrill.Check(nil), ended.Checks...)
	for i, c := range checks {
		if c.OK && c.Expr == "" && c.Compared == 0 {
			checks[i].OK = false
			checks[i].Detail = firstOf(c.Detail, "a comparison") + ": compared nothing"
		}
	}
	if len(st.def.Expect) > 0 {
		checks = append(checks, m.resolver.Expect(st.def, m.state.scope(), ended.Outputs)...)
	}
	ended.Checks = checks
	for _, c := range checks {
		if !c.OK {
			ended.Status = firedrill.StatusFailed
			ended.Problem = &firedrill.Problem{Op: st.def.Uses, Kind: firedrill.KindExpectation, Target: "step " + st.def.ID, Detail: firstOf(c.Detail, "not so: "+c.Expr)}
			return ended
		}
	}
	if st.def.Proves != "" && len(checks) == 0 {
		ended.Status = firedrill.StatusFailed
		ended.Problem = &firedrill.Problem{Op: st.def.Uses, Kind: firedrill.KindInternal, Target: "step " + st.def.ID, Detail: "is to prove " + string(st.def.Proves) + " and checked nothing"}
	}
	return ended
}

// expansion gives sub-steps their place: ids below their parent's, in its phase.
func (m *Machine) expansion(parent *step, sub []firedrill.Step) ([]firedrill.Step, error) {
	if parent.depth+1 > maxDepth {
		return nil, fmt.Errorf("sub-steps are nested deeper than %d", maxDepth)
	}
	own := map[string]bool{}
	for _, s := range sub {
		own[s.ID] = true
	}
	prefix := parent.def.ID + "/"
	defs := make([]firedrill.Step, len(sub))
	for i, s := range sub {
		s.Needs = append([]string(nil), s.Needs...)
		for j, n := range s.Needs {
			if own[n] {
				s.Needs[j] = prefix + n
			}
		}
		s.ID = prefix + strings.TrimPrefix(s.ID, prefix)
		s.Phase = parent.def.Phase
		defs[i] = s
	}
	return defs, validateSteps(defs, m.state.steps)
}

func (m *Machine) discharge(st *step) {
	var ids []string
	for _, id := range st.def.Discharges {
		if other := m.state.steps[id]; other != nil && other.intended > 0 && !other.discharged {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 {
		m.emit(firedrill.Discharged{By: st.def.ID, Steps: ids})
	}
}

// mayRetry tells whether a failed call is attempted again: reads as often as
// the step says; others only when the failure changed nothing, or when the
// call is idempotent and its answer was lost.
func mayRetry(st *step, ended firedrill.Ended) bool {
	if ended.Problem == nil || ended.Problem.Kind == firedrill.KindExpectation {
		return false
	}
	again := ended.Attempt <= st.def.Retry
	switch {
	case ended.Status == firedrill.StatusUnknown:
		return st.resolved.Replay == firedrill.Idempotent && (again || ended.Attempt == 1)
	case st.resolved.Replay == firedrill.Never:
		return false
	}
	return again && (ended.Problem.Kind.Retryable() || st.resolved.Impact == firedrill.Reads)
}

// ask asks an action whether an interrupted call happened.
func (m *Machine) ask(c firedrill.Intended) {
	m.asked[c.Op] = true
	e := m.effect(c)
	e.Kind = AskDone
	m.effects = append(m.effects, e)
}

func (m *Machine) answered(in Answer) {
	delete(m.asked, in.Op)
	c := m.state.open[callKey{in.Op, firedrill.RoleDo}]
	st := m.state.steps[c.Step]
	m.emit(firedrill.Answered{Step: c.Step, Op: in.Op, Done: in.Done, Outputs: in.Outcome.Outputs, Problem: in.Problem})
	ended := firedrill.Ended{Step: c.Step, Role: firedrill.RoleDo, Attempt: c.Attempt, Op: c.Op, Finished: in.At}
	switch in.Done {
	case firedrill.Done:
		ended.Status, ended.Outputs, ended.Summary, ended.Checks = firedrill.StatusOK, in.Outcome.Outputs, in.Outcome.Summary, in.Outcome.Checks
		m.completeStep(st, ended, in.Outcome.Steps)
		return
	case firedrill.NotDone:
		ended.Status = firedrill.StatusFailed
		ended.Problem = &firedrill.Problem{Op: c.Uses, Kind: firedrill.KindNotSent, Target: "step " + c.Step, Detail: "was interrupted before it happened"}
		m.emit(ended)
		if m.state.turned == nil && c.Attempt <= st.def.Retry+1 {
			m.intend(firedrill.Intended{Step: c.Step, Role: firedrill.RoleDo, Attempt: c.Attempt + 1, Op: c.Op, Uses: c.Uses, Resolved: c.Resolved})
			return
		}
	default:
		ended.Status, ended.Problem = firedrill.StatusUnknown, unknownOutcome(c)
		m.emit(ended)
	}
	m.turn(causeOf(m.state, st, ended), c.Step, c.Step+": "+why(ended))
}

func unknownOutcome(c firedrill.Intended) *firedrill.Problem {
	return &firedrill.Problem{Op: c.Uses, Kind: firedrill.KindUnknown, Target: "step " + c.Step,
		Detail: "it is not known whether it happened", Remedy: "the run goes back to the state before"}
}

// takeUp decides about the calls that were under way when the process before
// this one ended. An injection is never done again.
func (m *Machine) takeUp() {
	for _, c := range m.state.openInOrder() {
		again := c
		again.Attempt++
		switch {
		case c.Role != firedrill.RoleDo:
			m.intend(again)
		case m.state.turned != nil && c.Resolved.Impact == firedrill.Reads:
			m.emit(firedrill.Ended{Step: c.Step, Role: c.Role, Attempt: c.Attempt, Op: c.Op, Status: firedrill.StatusFailed, Finished: m.now,
				Problem: &firedrill.Problem{Op: c.Uses, Kind: firedrill.KindInterrupted, Target: "step " + c.Step, Detail: "was interrupted"}})
		case c.Resolved.Impact == firedrill.Reads || c.Resolved.Replay == firedrill.Idempotent:
			m.intend(again)
		case c.Resolved.Replay == firedrill.Ask:
			m.ask(c)
		default:
			m.emit(firedrill.Ended{Step: c.Step, Role: c.Role, Attempt: c.Attempt, Op: c.Op, Status: firedrill.StatusUnknown, Finished: m.now, Problem: unknownOutcome(c)})
			m.turn(firedrill.ReasonUnknownOutcome, c.Step, c.Step+": it is not known whether it happened")
		}
	}
	m.rearm()
}

// rearm starts observers again whose stop is not recorded.
func (m *Machine) rearm() {
	s := m.state
	if s.turned != nil {
		return
	}
	for _, st := range s.intents {
		if st.status == passed && st.resolved.Observer && !s.stopped[st.def.ID] {
			key := callKey{s.op(st.def.ID), firedrill.RoleRearm}
			if _, open := s.open[key]; open {
				continue
			}
			m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleRearm, Attempt: 1, Op: key.op, Uses: st.def.Uses, Resolved: st.resolved})
		}
	}
}
