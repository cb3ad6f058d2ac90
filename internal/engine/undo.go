package engine

import (
	"firedrill"
)

// How often an undo and a look are attempted. An undo is what stands between
// a failed drill and a damaged environment, so it is stubborn.
const (
	undoAttempts = 3
	lookAttempts = 2
)

// harmless are the failures after which a call certainly changed nothing.
func harmless(k firedrill.Kind) bool {
	switch k {
	case firedrill.KindGuard, firedrill.KindNotSent, firedrill.KindUsage, firedrill.KindDenied, firedrill.KindLimited, firedrill.KindUnsupported:
		return true
	}
	return false
}

// altered tells whether a step changed something, or may have.
func (st *step) altered() bool {
	if st.intended == 0 || st.resolved.Impact == firedrill.Reads && st.resolved.Undo == nil {
		return false
	}
	return st.status != failed || st.ended == nil || st.ended.Problem == nil || !harmless(st.ended.Problem.Kind) || st.attempt > 1
}

// undoable lists the steps whose undo is still needed, the newest first.
func (s *state) undoable() []*step {
	var list []*step
	for i := len(s.intents) - 1; i >= 0; i-- {
		st := s.intents[i]
		if st.resolved.Undo != nil && st.altered() && !st.discharged && st.undo != undoDone {
			list = append(list, st)
		}
	}
	return list
}

// resources are what an undo is ordered by: what its step touched and what it
// touches itself.
func (st *step) resources() []string {
	seen := map[string]bool{}
	var names []string
	for _, claims := range [][]firedrill.Claim{st.resolved.Claims, st.resolved.Undo.Claims} {
		for _, c := range claims {
			if !seen[c.Resource] {
				seen[c.Resource] = true
				names = append(names, c.Resource)
			}
		}
	}
	return names
}

// undoSome starts every undo that may start: in reverse order per resource,
// those of different resources side by side. It gives true while undo goes on.
func (m *Machine) undoSome() bool {
	started := false
	taken := map[string]bool{} // resources that a newer undo is still to put back
	for _, st := range m.state.undoable() {
		if st.undo == undoFailed && st.undoTries >= undoAttempts {
			continue // given up; what is below it is still put back
		}
		free := true
		for _, r := range st.resources() {
			free = free && !taken[r]
			taken[r] = true
		}
		if free && st.undo != undoRunning {
			u := st.resolved.Undo
			m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleUndo, Attempt: st.undoTries + 1, Op: m.state.op(st.def.ID), Uses: u.Uses,
				Resolved: firedrill.Resolved{Inputs: u.Inputs, Claims: u.Claims, Impact: firedrill.Changes, Replay: u.Replay}})
			started = true
		}
	}
	return started
}

// lookSome looks at the state after an undo. It gives true while it looks.
func (m *Machine) lookSome() bool {
	s := m.state
	if !s.undone() {
		return false
	}
	started := false
	for _, st := range s.order {
		if !st.def.Look || st.look == undoDone || st.look == undoFailed && st.lookTries >= lookAttempts {
			continue
		}
		if run, _, err := m.when(st); err != nil || !run {
			continue
		}
		r, err := m.resolver.Resolve(st.def, s.scope())
		if err != nil || r.Impact != firedrill.Reads {
			continue // what it compares with was never taken
		}
		m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleLook, Attempt: st.lookTries + 1, Op: s.op(st.def.ID), Uses: st.def.Uses, Resolved: r})
		started = true
	}
	return started
}

func (m *Machine) when(st *step) (bool, []firedrill.Evaluation, error) {
	if st.def.When == "" {
		return true, nil, nil
	}
	return m.resolver.When(st.def, m.state.scope())
}

// undone tells whether anything was put back by undo.
func (s *state) undone() bool {
	for _, st := range s.intents {
		if st.undo != undoNone {
			return true
		}
	}
	return false
}

func (st *step) left(what string) firedrill.Left {
	l := firedrill.Left{Step: st.def.ID, What: firstOf(st.def.Title, st.def.Uses) + ": " + what}
	if st.resolved.Undo != nil {
		l.Repair = st.resolved.Undo.Repair
	}
	return l
}

// remains lists what the run could not put back: the environment is dirty
// unless there is nothing.
func (s *state) remains() []firedrill.Left {
	var left []firedrill.Left
	for _, st := range s.undoable() {
		left = append(left, st.left("could not be put back"))
	}
	damaged, looked := false, false
	var culprit *step
	for _, st := range s.intents {
		if st.altered() && st.resolved.Undo == nil && !st.discharged && s.turned != nil && needsUndo(st) {
			left = append(left, st.left("was changed and nothing says how to put it back"))
		}
		if st.undo != undoNone && st.resolved.Impact == firedrill.Damages {
			damaged, culprit = true, st
		}
	}
	for _, st := range s.order {
		switch st.look {
		case undoDone:
			looked = true
		case undoFailed, undoRunning:
			l := st.left("does not hold after the undo: " + st.lookWhy)
			if culprit != nil {
				l.Repair = culprit.resolved.Undo.Repair
			}
			left = append(left, l)
		}
	}
	if damaged && !looked && len(left) == 0 {
		left = append(left, culprit.left("was put back, but nothing could look whether it is as before"))
	}
	return left
}

// needsUndo tells whether a change must be put back by an undo: steps that
// recover and clean up lead to the wanted state themselves, and observers end
// with the run.
func needsUndo(st *step) bool {
	return st.resolved.Impact != firedrill.Reads && st.def.Phase != firedrill.Recover && st.def.Phase != firedrill.Cleanup
}
