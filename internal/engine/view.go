package engine

import "firedrill"

// Done tells whether the run finished.
func (m *Machine) Done() bool { return m.state.finished != nil }

// Finished gives how the run finished; ok is false while it goes on.
func (m *Machine) Finished() (f firedrill.Finished, ok bool) {
	if m.state.finished == nil {
		return firedrill.Finished{}, false
	}
	return *m.state.finished, true
}

// Turned gives why the run went back; ok is false where it did not.
func (m *Machine) Turned() (t firedrill.Turned, ok bool) {
	if m.state.turned == nil {
		return firedrill.Turned{}, false
	}
	return *m.state.turned, true
}

// Phase is the phase that the run is in or was in when it turned back; "" before
// the start.
func (m *Machine) Phase() firedrill.Phase {
	switch s := m.state; {
	case s.program == nil:
		return ""
	case s.turned != nil:
		return s.turnedIn
	default:
		s.plan.forward()
		return firedrill.Phases()[s.plan.phase]
	}
}

// Run is the id of the run, "" before the start.
func (m *Machine) Run() string { return m.state.run }

// Program is what runs, nil before the start. It is not to be changed.
func (m *Machine) Program() *firedrill.Program { return m.state.program }

// InFlight gives the calls under way, in the order of their intents.
func (m *Machine) InFlight() []Effect {
	var calls []Effect
	for _, c := range m.state.openInOrder() {
		calls = append(calls, m.effect(Do, c.Intended))
	}
	return calls
}

// Damaged lists what is changed at this moment and not put back, newest
// first, with the command that repairs it.
func (m *Machine) Damaged() []firedrill.Left {
	var left []firedrill.Left
	for i := len(m.state.intents) - 1; i >= 0; i-- {
		st := m.state.intents[i]
		switch {
		case st.owesUndo():
			left = append(left, st.left("was changed and is not put back"))
		case st.resolved.Undo == nil && st.resolved.Impact == firedrill.Damages && !st.discharged:
			left = append(left, st.left("was damaged and nothing says how to put it back"))
		}
	}
	return left
}
