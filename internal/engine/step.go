package engine

import "firedrill"

// status is where a step stands.
type status int

const (
	waiting status = iota
	running
	passed
	failed
	unknown
	skipped
	refused
)

// settled tells whether nothing more is to be done for the step itself.
func (s status) settled() bool { return s >= passed }

// step is what the records say about one step.
type step struct {
	def      firedrill.Step
	parent   *step
	depth    int
	children []*step // its sub-steps
	status   status
	resolved firedrill.Resolved
	ended    *firedrill.Ended   // of its last attempt
	problem  *firedrill.Problem // why it was refused
	reason   string             // why it was skipped
	waitsFor string             // resource it was last blocked by; not from records

	unsettled  int     // itself and sub-steps
	needs      int     // unsettled needs
	dependents []*step // that need it and its sub-steps
	heirs      []*step // sub-steps that wait for itself

	intended   int64 // sequence of its first intent; 0: never
	began      int64 // sequence of its last intent
	over       int64 // sequence of its last end
	discharged bool
	rearm      attempt
	undo       attempt
	look       attempt
	seen       firedrill.Values // outputs of its look
}

// attempt is where a further call for a step stands: undo, look, rearm.
type attempt struct {
	state attemptState
	tries int
	fails int
	why   string
}

type attemptState int

const (
	never attemptState = iota
	open
	ok
	wrong    // it failed
	lost     // its outcome is unknown
	excluded // a look that does not apply
)

// settledWhole tells whether the step and all its sub-steps are settled.
func (st *step) settledWhole() bool { return st.unsettled == 0 }

// passedWhole tells whether the step and all its sub-steps passed.
func (st *step) passedWhole() bool {
	if st.status != passed {
		return false
	}
	for _, c := range st.children {
		if c.status != skipped && !c.passedWhole() {
			return false
		}
	}
	return true
}

// overBefore tells whether the step and all its sub-steps ended before seq:
// what begins later can speak for them.
func (st *step) overBefore(seq int64) bool {
	if !st.status.settled() || st.over > seq {
		return false
	}
	for _, c := range st.children {
		if !c.overBefore(seq) {
			return false
		}
	}
	return true
}

// owesUndo tells whether the step's undo is due: from the moment of its
// intent, whatever became of it, until it was discharged or undone.
func (st *step) owesUndo() bool {
	return st.intended > 0 && st.resolved.Undo != nil && !st.discharged && st.undo.state != ok
}

// unharmed tells whether a step that was attempted certainly changed nothing.
func (st *step) unharmed() bool {
	if st.intended == 0 || st.resolved.Impact == firedrill.Reads {
		return true
	}
	if st.status != failed || st.ended.Attempt > 1 || st.ended.Problem == nil {
		return false
	}
	switch st.ended.Problem.Kind {
	case firedrill.KindGuard, firedrill.KindBusy, firedrill.KindNotSent, firedrill.KindLimited:
		return true
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

// why says in one sentence how a call failed.
func why(b firedrill.Ended) string {
	if b.Problem != nil && b.Problem.Detail != "" {
		return b.Problem.Detail
	}
	return "it ended as " + string(b.Status)
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
