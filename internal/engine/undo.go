package engine

import (
	"slices"

	"firedrill"
)

// undoAttempts is how often an undo is attempted. It is what stands between a
// failed drill and a damaged environment, so it is stubborn.
const undoAttempts = 3

// unwinding is the order in which undos run. It follows from the state and is
// not part of it. Groups are the phases, backwards. Inside one, the undo of a
// step comes after those of the steps that needed it, and per resource the
// newest comes first; others run side by side.
type unwinding struct {
	state  *state
	groups [][]*step
	left   int               // of the first group
	waits  map[*step]int     // newer undos of the group that come before
	then   map[*step][]*step // older ones that wait for it
	ready  []*step
}

// undoSome starts every undo that may start. It gives true while undo goes on.
func (m *Machine) undoSome() bool {
	if m.back == nil {
		m.back = m.state.unwind(false)
	}
	return m.unwind(m.back)
}

// undoLast does the same with the undos that wait for the looks.
func (m *Machine) undoLast() bool {
	if m.last == nil {
		m.last = m.state.unwind(true)
	}
	return m.unwind(m.last)
}

func (m *Machine) unwind(b *unwinding) bool {
	for b.left == 0 && len(b.groups) > 0 {
		b.enter(b.groups[0])
		b.groups = b.groups[1:]
	}
	for _, st := range b.ready {
		m.undo(st)
	}
	b.ready = nil
	return b.left > 0
}

func (m *Machine) undo(st *step) {
	u := st.resolved.Undo
	m.intend(firedrill.Intended{Step: st.def.ID, Role: firedrill.RoleUndo, Attempt: st.undo.tries + 1, Op: m.state.op(st.def.ID), Uses: u.Uses,
		Resolved: firedrill.Resolved{Inputs: u.Inputs, Claims: u.Claims, Impact: firedrill.Changes, Replay: u.Replay}})
}

// undid decides what follows from the end of an undo: the next attempt, or
// the undos that waited for it. What was done before it is put back even when
// it could not be.
func (m *Machine) undid(st *step) {
	b := m.back
	if st.undoneLast() {
		b = m.last
	}
	if b == nil {
		return // taken up: undoSome and undoLast find out
	}
	if !st.undoOver() {
		m.undo(st)
		return
	}
	b.left--
	for _, older := range b.then[st] {
		if b.waits[older]--; b.waits[older] == 0 {
			b.ready = append(b.ready, older)
		}
	}
}

// undoneLast tells whether the undo of a step waits for the looks.
func (st *step) undoneLast() bool { return st.def.Undo != nil && st.def.Undo.Last }

// undoOver tells whether nothing more is attempted. A lost undo is repeated
// only where that does no harm.
func (st *step) undoOver() bool {
	switch st.undo.state {
	case ok:
		return true
	case lost:
		return st.resolved.Undo.Replay != firedrill.Idempotent || st.undo.fails >= undoAttempts
	}
	return st.undo.fails >= undoAttempts
}

// unwind orders the undos that are due: those that wait for the looks, or the
// others.
func (s *state) unwind(last bool) *unwinding {
	var due []*step
	for i := len(s.intents) - 1; i >= 0; i-- {
		if st := s.intents[i]; st.undoneLast() == last && st.owesUndo() && !st.undoOver() {
			due = append(due, st)
		}
	}
	slices.SortStableFunc(due, func(a, b *step) int { return b.def.Phase.Index() - a.def.Phase.Index() })
	u := &unwinding{state: s}
	for i := 0; i < len(due); {
		j := i
		for j < len(due) && due[j].def.Phase == due[i].def.Phase {
			j++
		}
		u.groups = append(u.groups, due[i:j])
		i = j
	}
	return u
}

// enter orders one group, which has the newest first.
func (u *unwinding) enter(group []*step) {
	u.left, u.waits, u.then = len(group), map[*step]int{}, map[*step][]*step{}
	u.orderByResource(group)
	u.orderByNeed(group)
	for _, st := range group {
		if u.waits[st] == 0 && st.undo.state != open {
			u.ready = append(u.ready, st)
		}
	}
}

// after makes the undo of st wait for that of a newer step.
func (u *unwinding) after(st, newer *step) {
	if newer != nil && newer != st {
		u.waits[st]++
		u.then[newer] = append(u.then[newer], st)
	}
}

// orderByResource puts the newest first per resource. A step that claims
// nothing may have touched anything: it keeps its place among all.
func (u *unwinding) orderByResource(group []*step) {
	last := map[string]*step{} // by resource, the oldest so far
	var barrier *step
	var since []*step // those older than the barrier
	for _, st := range group {
		names := st.resources()
		if len(names) == 0 {
			for _, newer := range since {
				u.after(st, newer)
			}
			if len(since) == 0 {
				u.after(st, barrier)
			}
			barrier, since, last = st, nil, map[string]*step{}
			continue
		}
		before := map[*step]bool{}
		for _, r := range names {
			newer := last[r]
			if newer == nil {
				newer = barrier
			}
			if !before[newer] {
				before[newer] = true
				u.after(st, newer)
			}
			last[r] = st
		}
		since = append(since, st)
	}
}

// orderByNeed puts those that needed a step before it.
func (u *unwinding) orderByNeed(group []*step) {
	due := map[*step]bool{}
	for _, st := range group {
		due[st] = true
	}
	for _, newer := range group {
		if p := newer.parent; p != nil && due[p] {
			u.after(p, newer)
		}
		for _, n := range newer.def.Needs {
			u.afterTree(u.state.steps[n], newer, due)
		}
	}
}

func (u *unwinding) afterTree(st, newer *step, due map[*step]bool) {
	if due[st] {
		u.after(st, newer)
	}
	for _, c := range st.children {
		u.afterTree(c, newer, due)
	}
}

// resources are what an undo is ordered by: what its step touched and what it
// touches itself.
func (st *step) resources() []string {
	var names []string
	for _, claims := range [][]firedrill.Claim{st.resolved.Claims, st.resolved.Undo.Claims} {
		for _, c := range claims {
			if !slices.Contains(names, c.Resource) {
				names = append(names, c.Resource)
			}
		}
	}
	return names
}
