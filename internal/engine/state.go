package engine

import (
	"fmt"
	"slices"

	"firedrill"
)

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
	children int // sub-steps that are not settled
	expanded bool
	status   status
	attempt  int
	resolved firedrill.Resolved
	ended    *firedrill.Ended
	reason   string // why it was skipped or refused
	waitsFor string // resource it was last blocked by; not from records

	needs      int     // unsettled needs
	dependents []*step // that need this one

	intended   int64 // sequence of its first intent; 0: never
	discharged bool
	undo       undoState
	undoTries  int
	look       undoState
	lookTries  int
	lookWhy    string
}

// undoState is where an undo or a look stands.
type undoState int

const (
	undoNone undoState = iota
	undoRunning
	undoDone
	undoFailed
)

// callKey names a call under way: an op has at most one in each role.
type callKey struct {
	op   string
	role firedrill.Role
}

// state is the fold of a run's records.
type state struct {
	seq      int64
	run      string
	program  *firedrill.Program
	steps    map[string]*step
	order    []*step // as in the program, sub-steps behind their parents
	open     map[callKey]firedrill.Intended
	opened   []callKey // in the order of their intents; may name closed ones
	outputs  map[string]firedrill.Values
	skips    map[string]bool
	intents  []*step // steps in the order of their first intent
	stopped  map[string]bool
	turned   *firedrill.Turned
	measured *firedrill.Measurement
	finished *firedrill.Finished
	plan     *schedule
	changed  bool // a step that changes something was intended
}

func newState() *state {
	return &state{steps: map[string]*step{}, open: map[callKey]firedrill.Intended{}, outputs: map[string]firedrill.Values{},
		skips: map[string]bool{}, stopped: map[string]bool{}, plan: newSchedule()}
}

// apply folds one record. It never decides.
func (s *state) apply(r firedrill.Record) error {
	if r.Seq != s.seq+1 {
		return fmt.Errorf("record %d follows record %d", r.Seq, s.seq)
	}
	if _, starts := r.Body.(firedrill.RunStarted); starts != (s.program == nil) {
		return fmt.Errorf("record %d: %T out of place", r.Seq, r.Body)
	}
	s.seq = r.Seq
	switch b := r.Body.(type) {
	case firedrill.RunStarted:
		return s.applyStart(b)
	case firedrill.StepSkipped:
		return s.settle(b.Step, skipped, b.Reason)
	case firedrill.StepRefused:
		return s.settle(b.Step, refused, b.Problem.Detail)
	case firedrill.Intended:
		return s.applyIntent(r.Seq, b)
	case firedrill.Ended:
		return s.applyEnd(b)
	case firedrill.Expanded:
		return s.applyExpansion(b)
	case firedrill.Discharged:
		return s.applyDischarge(b)
	case firedrill.Turned:
		s.turned = &b
	case firedrill.Measured:
		s.measured = &b.Measurement
	case firedrill.Finished:
		s.finished = &b
	case firedrill.Seen, firedrill.Resumed, firedrill.Answered:
		// Facts for measuring and for people; the state does not follow from them.
	default:
		return fmt.Errorf("record %d: %T is not understood", r.Seq, r.Body)
	}
	return nil
}

func (s *state) applyStart(b firedrill.RunStarted) error {
	if b.Format > firedrill.RecordFormat {
		return fmt.Errorf("the run was recorded in format %d by a newer version (%s)", b.Format, b.Version)
	}
	s.run, s.program = b.Run, &b.Program
	if err := validate(b.Program); err != nil {
		return err
	}
	return s.add(nil, b.Program.Steps)
}

// add makes steps known and schedules them.
func (s *state) add(parent *step, defs []firedrill.Step) error {
	var added []*step
	for _, d := range defs {
		if s.steps[d.ID] != nil {
			return fmt.Errorf("step %q exists twice", d.ID)
		}
		st := &step{def: d, parent: parent}
		if parent != nil {
			st.depth = parent.depth + 1
		}
		s.steps[d.ID] = st
		s.order = append(s.order, st)
		added = append(added, st)
	}
	for _, st := range added {
		for _, n := range st.def.Needs {
			need := s.steps[n]
			if need == nil {
				return fmt.Errorf("step %q needs %q, which does not exist", st.def.ID, n)
			}
			if !need.status.settled() || need.children > 0 {
				st.needs++
				need.dependents = append(need.dependents, st)
			}
		}
		s.plan.add(st)
	}
	return nil
}

func (s *state) applyIntent(seq int64, b firedrill.Intended) error {
	st := s.steps[b.Step]
	if st == nil {
		return fmt.Errorf("record %d: no step %q", seq, b.Step)
	}
	key := callKey{b.Op, b.Role}
	s.open[key] = b
	s.opened = append(s.opened, key)
	switch b.Role {
	case firedrill.RoleDo:
		st.status, st.attempt, st.resolved = running, b.Attempt, b.Resolved
		if st.intended == 0 {
			st.intended = seq
			s.intents = append(s.intents, st)
		}
		if b.Resolved.Impact != firedrill.Reads {
			s.changed = true
		}
		s.plan.claim(st)
	case firedrill.RoleUndo:
		st.undo, st.undoTries = undoRunning, b.Attempt
	case firedrill.RoleLook:
		st.look, st.lookTries = undoRunning, b.Attempt
	}
	return nil
}

func (s *state) applyEnd(b firedrill.Ended) error {
	st := s.steps[b.Step]
	key := callKey{b.Op, b.Role}
	if _, ok := s.open[key]; !ok || st == nil {
		return fmt.Errorf("call %s (%s) ended and was not under way", b.Op, b.Role)
	}
	delete(s.open, key)
	if b.Observation != nil {
		s.stopped[b.Observation.Observer] = true
	}
	ok := b.Status == firedrill.StatusOK
	switch b.Role {
	case firedrill.RoleDo:
		s.plan.release(st)
		st.ended = &b
		switch {
		case ok:
			s.outputs[st.def.ID] = b.Outputs
			return s.settle(b.Step, passed, "")
		case b.Status == firedrill.StatusUnknown:
			st.status = unknown
		default:
			st.status = failed
		}
	case firedrill.RoleUndo:
		st.undo = endState(ok)
	case firedrill.RoleLook:
		st.look, st.lookWhy = endState(ok), why(b)
	}
	return nil
}

func endState(ok bool) undoState {
	if ok {
		return undoDone
	}
	return undoFailed
}

// settle ends a step and frees what waited for it.
func (s *state) settle(id string, to status, reason string) error {
	st := s.steps[id]
	if st == nil {
		return fmt.Errorf("no step %q", id)
	}
	st.status, st.reason = to, reason
	if to == skipped {
		s.skips[id] = true
	}
	s.plan.settled(st)
	return nil
}

func (s *state) applyExpansion(b firedrill.Expanded) error {
	parent := s.steps[b.Step]
	if parent == nil {
		return fmt.Errorf("expansion of %q, which does not exist", b.Step)
	}
	parent.expanded = true
	parent.children += len(b.Steps)
	return s.add(parent, b.Steps)
}

func (s *state) applyDischarge(b firedrill.Discharged) error {
	for _, id := range b.Steps {
		st := s.steps[id]
		if st == nil {
			return fmt.Errorf("discharge of %q, which does not exist", id)
		}
		st.discharged = true
	}
	return nil
}

// openInOrder gives the calls under way in the order of their intents.
func (s *state) openInOrder() []firedrill.Intended {
	var calls []firedrill.Intended
	s.opened = slices.DeleteFunc(s.opened, func(k callKey) bool { _, ok := s.open[k]; return !ok })
	seen := map[callKey]bool{}
	for _, k := range s.opened {
		if !seen[k] {
			seen[k] = true
			calls = append(calls, s.open[k])
		}
	}
	return calls
}

// scope is what expressions may refer to now.
func (s *state) scope() firedrill.Scope {
	return firedrill.Scope{Run: s.run, Program: s.program, Outputs: s.outputs, Skipped: s.skips}
}

// op is the id of a step's mutation: the same for every attempt.
func (s *state) op(id string) string { return s.run + "/" + id }

// why says in one sentence how a call failed.
func why(b firedrill.Ended) string {
	for _, c := range b.Checks {
		if !c.OK {
			return firstOf(c.Detail, c.Expr)
		}
	}
	if b.Problem != nil {
		return b.Problem.Detail
	}
	return string(b.Status)
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
