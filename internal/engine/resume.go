package engine

import "firedrill"

// takeUp decides about what was under way when the process before this one
// ended. An injection is never done again.
func (m *Machine) takeUp() {
	s := m.state
	for _, c := range s.openInOrder() {
		m.takeUpCall(s.steps[c.Step], c)
	}
	for i := 0; i < len(s.order); i++ {
		m.follow(s.order[i])
	}
	m.rearm()
}

func (m *Machine) takeUpCall(st *step, c call) {
	reads := c.Resolved.Impact == firedrill.Reads
	switch {
	case c.Role == firedrill.RoleRearm:
		m.again(c)
	case c.Role == firedrill.RoleDo && m.state.turned != nil:
		// The run goes back anyway: nothing new starts, and what was under way
		// counts as if it happened.
		if reads {
			m.emit(m.lostCall(c, firedrill.StatusFailed, firedrill.KindInterrupted, "was interrupted"))
		} else {
			m.emit(m.lostCall(c, firedrill.StatusUnknown, firedrill.KindUnknown, lostText))
		}
	case reads, c.Resolved.Replay == firedrill.Idempotent && c.Resolved.Impact != firedrill.Damages:
		m.again(c)
	case m.mayAsk(c):
		m.ask(c)
	default:
		m.end(st, c, m.lostCall(c, firedrill.StatusUnknown, firedrill.KindUnknown, lostText), nil)
	}
}

const lostText = "it is not known whether it happened"

// again begins the next attempt at a call whose outcome was lost.
func (m *Machine) again(c call) {
	next := c.Intended
	next.Attempt++
	m.intend(next)
}

// lostCall is the end of a call that has none of its own. Its start counts
// from the intent, the earliest it can have been.
func (m *Machine) lostCall(c call, status firedrill.Status, kind firedrill.Kind, detail string) firedrill.Ended {
	return firedrill.Ended{Step: c.Step, Role: c.Role, Attempt: c.Attempt, Op: c.Op, Status: status, Started: c.at, Finished: m.now,
		Problem: &firedrill.Problem{Op: c.Uses, Kind: kind, Target: "step " + c.Step, Detail: detail}}
}

// mayAsk tells whether the action can say what became of a call.
func (m *Machine) mayAsk(c call) bool {
	switch c.Role {
	case firedrill.RoleUndo:
		return c.Resolved.Replay == firedrill.Ask
	case firedrill.RoleDo:
		return c.Resolved.Replay == firedrill.Ask && m.state.turned == nil
	}
	return false
}

// ask asks an action whether a call happened. The call stays open meanwhile,
// so that a process after this one asks again.
func (m *Machine) ask(c call) {
	m.asked[c.Op] = c.Role
	delete(m.released, callKey{c.Op, c.Role})
	m.effects = append(m.effects, m.effect(AskDone, c.Intended))
}

// answered takes what became of a call.
func (m *Machine) answered(in Answer) {
	role := m.asked[in.Op]
	key := callKey{in.Op, role}
	delete(m.asked, in.Op)
	delete(m.released, key)
	c := m.state.open[key]
	st := m.state.steps[c.Step]
	if in.Problem != nil {
		in.Done = firedrill.DoneUnknown
	}
	m.emit(firedrill.Answered{Step: c.Step, Op: in.Op, Done: in.Done, Outputs: in.Outcome.Outputs, Problem: in.Problem})
	ended := m.lostCall(c, firedrill.StatusUnknown, firedrill.KindUnknown, lostText)
	switch in.Done {
	case firedrill.Done:
		ended.Status, ended.Problem = firedrill.StatusOK, nil
		ended.Outputs, ended.Summary, ended.Checks = in.Outcome.Outputs, in.Outcome.Summary, in.Outcome.Checks
		ended.Collateral, ended.Notes, ended.Observation = in.Outcome.Collateral, in.Outcome.Notes, in.Outcome.Observation
	case firedrill.NotDone:
		if m.mayBegin(st, c) {
			m.again(c)
			return
		}
		ended.Status = firedrill.StatusFailed
		ended.Problem.Kind, ended.Problem.Detail = firedrill.KindNotSent, "was interrupted before it happened"
	}
	m.settleAnswer(st, c, ended, in.Outcome.Steps)
}

// settleAnswer ends a call that was asked about; it is not asked again.
func (m *Machine) settleAnswer(st *step, c call, ended firedrill.Ended, sub []firedrill.Step) {
	if ended.Status != firedrill.StatusUnknown {
		m.end(st, c, ended, sub)
		return
	}
	m.emit(ended)
	if c.Role == firedrill.RoleUndo {
		m.undid(st)
		return
	}
	m.follow(st)
}

// mayBegin tells whether a call that did not happen is attempted again.
func (m *Machine) mayBegin(st *step, c call) bool {
	if c.Role == firedrill.RoleUndo {
		return c.Attempt <= undoAttempts+st.undo.fails
	}
	return m.state.turned == nil && st.resolved.Impact != firedrill.Damages && c.Attempt <= st.def.Retry+1
}

// rearm starts observers again whose stop is not recorded.
func (m *Machine) rearm() {
	s := m.state
	for _, st := range s.intents {
		if st.status != passed || !st.resolved.Observer || st.discharged || st.undo.state == ok || s.stopped[observer(st)] {
			continue
		}
		key := callKey{s.op(st.def.ID), firedrill.RoleRearm}
		if _, under := s.open[key]; under {
			continue
		}
		m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleRearm, Attempt: st.rearm.tries + 1, Op: key.op, Uses: st.def.Uses, Resolved: st.resolved})
	}
}

// observer is the name that a step's observer goes by: its output "observer",
// or else the step's id.
func observer(st *step) string {
	if st.ended != nil {
		if name, is := st.ended.Outputs["observer"].(string); is && name != "" {
			return name
		}
	}
	return st.def.ID
}
