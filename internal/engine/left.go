package engine

import "firedrill"

// remains lists what the run could not put back. The environment is dirty
// unless there is nothing.
func (s *state) remains() []firedrill.Left {
	r := &remainder{state: s, back: map[string]int64{}}
	r.undos()
	r.looks()
	r.proofs()
	r.loose()
	return r.left
}

// remainder gathers what is left.
type remainder struct {
	*state
	left    []firedrill.Left
	back    map[string]int64 // resources that an undo put back, and the earliest intent it undid
	culprit *step            // an injection that was undone
	looked  bool             // some look found all as before
}

// undos: whose undo was due and did not succeed.
func (r *remainder) undos() {
	for i := len(r.intents) - 1; i >= 0; i-- {
		st := r.intents[i]
		if st.resolved.Undo == nil || st.discharged {
			continue
		}
		if st.undo.state != ok {
			r.left = append(r.left, st.left("was changed and could not be put back: "+firstOf(st.undo.why, "its undo did not run")))
			continue
		}
		if st.resolved.Impact == firedrill.Damages {
			r.culprit = st
		}
		for _, name := range st.resources() {
			r.back[name] = st.intended
		}
	}
}

// looks: what is not as before. Where an injection was undone, something must
// have looked and found all as before.
func (r *remainder) looks() {
	refused := []firedrill.Left(nil)
	for _, st := range r.order {
		switch {
		case st.look.state == never || st.look.state == excluded:
		case st.look.state == ok:
			r.looked = r.looked || st.def.Look
		case st.lookRefused():
			refused = append(refused, r.repaired(st.left("could not look whether it is as before: "+st.look.why)))
		case !st.def.Look:
			r.left = append(r.left, r.repaired(st.left("was not shown to be as before: "+st.look.why)))
		default:
			r.left = append(r.left, r.repaired(st.left("is not as before: "+st.look.why)))
		}
	}
	if r.culprit == nil {
		return // changes that were taken back, and said so
	}
	r.left = append(r.left, refused...)
	if !r.looked && len(r.left) == 0 {
		r.left = append(r.left, r.culprit.left("was put back, but nothing looked whether it is as before"))
	}
}

// lookRefused tells whether a look could not even be prepared.
func (st *step) lookRefused() bool { return st.look.state == lost && st.look.tries == 0 }

// repaired gives what a look found the command of the injection that it follows from.
func (r *remainder) repaired(l firedrill.Left) firedrill.Left {
	for _, st := range r.intents {
		if l.Repair == "" && st.resolved.Impact == firedrill.Damages && st.resolved.Undo != nil {
			l.Repair = st.resolved.Undo.Repair
		}
	}
	return l
}

// proofs: what was shown to be left behind is left; and a recovered state that
// was shown not to be as before, or could not be compared, stays so unless an
// undo followed or a later look holds. One that finds a difference is told already.
func (r *remainder) proofs() {
	for _, st := range r.order {
		if st.def.Proves == firedrill.ProvesClean && st.status == failed && st.look.state != ok && st.ended.Problem.Kind == firedrill.KindExpectation {
			r.left = append(r.left, st.left("something was left behind: "+why(*st.ended)))
		}
	}
	if !r.damaged || r.culprit != nil {
		return
	}
	for _, st := range r.doubts() {
		if st.look.state == never || st.look.state == excluded || st.lookRefused() {
			r.left = append(r.left, r.repaired(st.left("was not shown to be as before: "+why(*st.ended))))
		}
	}
}

// loose: changes without undo. In a run that went to its end the proofs speak
// for them; in one that turned back somebody must have put them back.
func (r *remainder) loose() {
	over := true // every injection is discharged or undone
	for _, st := range r.intents {
		if st.resolved.Impact == firedrill.Damages && !st.discharged && st.undo.state != ok {
			over = false
		}
	}
	shown := r.proved()
	for _, st := range r.intents {
		if st.resolved.Impact == firedrill.Reads || st.resolved.Undo != nil || st.discharged || st.unharmed() {
			continue
		}
		damages := st.resolved.Impact == firedrill.Damages
		switch {
		case r.turned == nil && (!damages || shown[firedrill.ProvesData] || shown[firedrill.ProvesService]):
		case st.def.Phase == firedrill.Recover && over:
		case st.def.Phase == firedrill.Cleanup && st.status == passed && !damages:
		case r.covered(st):
		default:
			r.left = append(r.left, st.left("was changed and nothing says how to put it back"))
		}
	}
}

// covered tells whether undos of earlier steps put back all that a step wrote,
// and a look confirmed it.
func (r *remainder) covered(st *step) bool {
	wrote := false
	for _, c := range st.resolved.Claims {
		if !c.Write {
			continue
		}
		wrote = true
		if earliest, undone := r.back[c.Resource]; !undone || earliest > st.intended {
			return false
		}
	}
	return wrote && r.looked && len(r.left) == 0
}
