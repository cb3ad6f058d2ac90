package engine

import (
	"maps"
	"slices"

	"firedrill"
)

// lookAttempts is how often a look is attempted.
const lookAttempts = 2

// looking is the order in which steps look at the state after an undo: as
// they need each other. It follows from the state and is not part of it.
type looking struct {
	ready []*step
	left  int
	waits map[*step]int
	then  map[*step][]*step
	scope firedrill.Scope
}

// lookSome looks at the state after an undo, and where a proof failed that no
// undo followed. It gives true while it looks.
func (m *Machine) lookSome() bool {
	if m.eyes == nil {
		if !m.state.mustLook() {
			return false
		}
		m.eyes = m.state.looks()
	}
	for len(m.eyes.ready) > 0 {
		st := m.eyes.ready[0]
		m.eyes.ready = m.eyes.ready[1:]
		m.tryLook(st)
	}
	return m.eyes.left > 0
}

func (s *state) mustLook() bool {
	return s.undos > 0 || s.turned != nil && s.damaged && len(s.doubts()) > 0
}

// doubts are the proofs of the recovered state that were not given by steps
// that were to give them.
func (s *state) doubts() []*step {
	var list []*step
	for _, st := range s.order {
		if st.doubted() {
			list = append(list, st)
		}
	}
	return list
}

func (st *step) doubted() bool {
	return (st.def.Proves == firedrill.ProvesData || st.def.Proves == firedrill.ProvesService) && (st.status == failed || st.status == unknown)
}

// looksBack tells whether a step looks on the way back: those that say so, and the
// proofs of a recovered state that could not be made, because the run turned back
// meanwhile or no answer came. What was looked at and is not so is not asked again;
// nor is anything where the injection was undone, for then the undo is what counts.
func (s *state) looksBack(st *step) bool {
	if st.def.Look {
		return true
	}
	if s.turned == nil || s.undoesDamage() || !st.doubted() {
		return false
	}
	return !observed(st.def.Proves, st.ended.Problem.Kind)
}

// undoesDamage tells whether an injection is put back by its undo, and not by the
// recovery.
func (s *state) undoesDamage() bool {
	return slices.ContainsFunc(s.intents, func(st *step) bool {
		return st.resolved.Impact == firedrill.Damages && st.resolved.Undo != nil && !st.discharged
	})
}

// looks finds the steps that look, and what they may refer to: outputs of
// earlier steps, but of other looks only what they see now.
func (s *state) looks() *looking {
	l := &looking{waits: map[*step]int{}, then: map[*step][]*step{}, scope: s.scope()}
	l.scope.Outputs = maps.Clone(s.outputs)
	l.scope.Skipped = map[string]bool{}
	for id := range s.skips {
		if !s.steps[id].def.Look {
			l.scope.Skipped[id] = true
		}
	}
	due := map[string]*step{}
	for _, st := range s.order {
		if !s.looksBack(st) {
			continue
		}
		delete(l.scope.Outputs, st.def.ID)
		if st.look.state == ok {
			l.scope.Outputs[st.def.ID] = st.seen
		}
		if !st.lookOver() {
			due[st.def.ID] = st
			l.left++
		}
	}
	for _, st := range s.order {
		if due[st.def.ID] == nil {
			continue
		}
		for _, n := range st.def.Needs {
			if need := due[n]; need != nil {
				l.waits[st]++
				l.then[need] = append(l.then[need], st)
			}
		}
		if l.waits[st] == 0 && st.look.state != open {
			l.ready = append(l.ready, st)
		}
	}
	return l
}

func (m *Machine) lookScope() firedrill.Scope {
	if m.eyes == nil {
		m.eyes = m.state.looks()
	}
	return m.eyes.scope
}

func (st *step) lookOver() bool {
	switch st.look.state {
	case ok, excluded:
		return true
	}
	return st.look.fails >= lookAttempts
}

func (m *Machine) tryLook(st *step) {
	run, evaluated, err := m.when(st, m.eyes.scope)
	if err == nil && !run {
		m.emit(firedrill.StepSkipped{Step: st.def.ID, Reason: falseCondition(st), Evaluated: evaluated})
		m.looked(st)
		return
	}
	var r firedrill.Resolved
	if err == nil {
		r, err = m.resolver.Resolve(st.def, m.eyes.scope)
	}
	if err == nil && r.Impact != firedrill.Reads {
		err = &firedrill.Error{Op: st.def.Uses, Kind: firedrill.KindUsage, Target: "step " + st.def.ID, Detail: "changes something, so it cannot look"}
	}
	if err != nil {
		m.emit(firedrill.StepRefused{Step: st.def.ID, Problem: *firedrill.ProblemOf(err)})
		m.looked(st)
		return
	}
	if st.def.Timeout > 0 {
		r.Timeout = st.def.Timeout
	}
	r.Undo = nil
	m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleLook, Attempt: st.look.tries + 1, Op: m.state.op(st.def.ID), Uses: st.def.Uses, Resolved: r})
}

// looked decides what follows from the end of a look.
func (m *Machine) looked(st *step) {
	l := m.eyes
	if !st.lookOver() {
		l.ready = append(l.ready, st)
		return
	}
	l.left--
	if st.look.state == ok {
		l.scope.Outputs[st.def.ID] = st.seen
	}
	for _, d := range l.then[st] {
		if l.waits[d]--; l.waits[d] == 0 {
			l.ready = append(l.ready, d)
		}
	}
}
