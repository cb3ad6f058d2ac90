package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"firedrill"
)

// callKey names a call under way: an op has at most one in each role.
type callKey struct {
	op   string
	role firedrill.Role
}

// call is an intent without an end.
type call struct {
	firedrill.Intended
	seq int64
	at  firedrill.Stamp
}

// state is the fold of a run's records.
type state struct {
	seq      int64
	run      string
	program  *firedrill.Program
	steps    map[string]*step
	order    []*step // as in the program, sub-steps at the end
	open     map[callKey]call
	outputs  map[string]firedrill.Values
	skips    map[string]bool
	intents  []*step // steps in the order of their first intent
	stopped  map[string]bool
	rearms   int              // observers that are being started again
	busy     int              // calls under way for steps and observers
	undos    int              // undo calls that were begun, but those that wait for the looks
	changed  bool             // a step that changes something was intended
	damaged  bool             // an injection was intended
	began    *firedrill.Stamp // when the first injection that passed was sent
	verified *firedrill.Stamp // when the last proof was given
	turned   *firedrill.Turned
	turnedIn firedrill.Phase
	measured *firedrill.Measurement
	finished *firedrill.Finished
	clocks   clocks // of all records so far
	plan     *schedule
}

func newState() *state {
	return &state{steps: map[string]*step{}, open: map[callKey]call{}, outputs: map[string]firedrill.Values{},
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
	if s.finished != nil {
		return fmt.Errorf("record %d: %T after the end of the run", r.Seq, r.Body)
	}
	if err := s.fold(r); err != nil {
		return fmt.Errorf("record %d: %w", r.Seq, err)
	}
	s.seq = r.Seq
	s.clocks.see(r.At)
	return nil
}

func (s *state) fold(r firedrill.Record) error {
	switch b := r.Body.(type) {
	case firedrill.RunStarted:
		return s.applyStart(b)
	case firedrill.StepSkipped:
		return s.applySkip(b)
	case firedrill.StepRefused:
		return s.applyRefusal(b)
	case firedrill.Intended:
		return s.applyIntent(r, b)
	case firedrill.Ended:
		return s.applyEnd(r.Seq, b)
	case firedrill.Expanded:
		return s.applyExpansion(b)
	case firedrill.Discharged:
		return s.applyDischarge(b)
	case firedrill.Turned:
		s.plan.forward()
		s.turned, s.turnedIn = &b, firedrill.Phases()[s.plan.phase]
	case firedrill.Measured:
		s.measured = &b.Measurement
	case firedrill.Finished:
		s.finished = &b
	case firedrill.Seen, firedrill.Resumed, firedrill.Answered:
		// Facts for measuring and for people; the state does not follow from them.
	default:
		return fmt.Errorf("%T is not understood", r.Body)
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
	added := make([]*step, 0, len(defs))
	for _, d := range defs {
		if s.steps[d.ID] != nil {
			return fmt.Errorf("step %q exists twice", d.ID)
		}
		st := &step{def: d, parent: parent, unsettled: 1}
		if parent != nil {
			st.depth = parent.depth + 1
			parent.children = append(parent.children, st)
			if !parent.status.settled() {
				st.needs++
				parent.heirs = append(parent.heirs, st)
			}
		}
		for up := parent; up != nil; up = up.parent {
			up.unsettled++
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
			if !need.settledWhole() {
				st.needs++
				need.dependents = append(need.dependents, st)
			}
		}
		s.plan.add(st)
	}
	return nil
}

func (s *state) known(id string) (*step, error) {
	if st := s.steps[id]; st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("there is no step %q", id)
}

func (s *state) applyIntent(r firedrill.Record, b firedrill.Intended) error {
	st, err := s.known(b.Step)
	if err != nil {
		return err
	}
	key := callKey{b.Op, b.Role}
	if _, again := s.open[key]; !again {
		s.count(b.Role, 1)
	}
	s.open[key] = call{b, r.Seq, r.At}
	switch b.Role {
	case firedrill.RoleDo:
		s.begin(st, r, b)
	case firedrill.RoleUndo:
		if !st.undoneLast() {
			s.undos++
		}
		st.undo.state, st.undo.tries = open, b.Attempt
	case firedrill.RoleLook:
		st.look.state, st.look.tries = open, b.Attempt
	case firedrill.RoleRearm:
		st.rearm.state, st.rearm.tries = open, b.Attempt
	}
	return nil
}

func (s *state) count(role firedrill.Role, by int) {
	switch role {
	case firedrill.RoleRearm:
		s.rearms += by
		s.busy += by
	case firedrill.RoleDo:
		s.busy += by
	}
}

func (s *state) begin(st *step, r firedrill.Record, b firedrill.Intended) {
	st.status, st.resolved, st.began = running, b.Resolved, r.Seq
	s.plan.claim(st)
	if st.intended > 0 {
		return
	}
	st.intended = r.Seq
	s.intents = append(s.intents, st)
	s.changed = s.changed || b.Resolved.Impact != firedrill.Reads
	s.damaged = s.damaged || b.Resolved.Impact == firedrill.Damages
}

func (s *state) applyEnd(seq int64, b firedrill.Ended) error {
	st, err := s.known(b.Step)
	if err != nil {
		return err
	}
	key := callKey{b.Op, b.Role}
	if c, under := s.open[key]; !under || c.Attempt != b.Attempt {
		return fmt.Errorf("call %s (%s, attempt %d) ended and was not under way", b.Op, b.Role, b.Attempt)
	}
	delete(s.open, key)
	s.count(b.Role, -1)
	if b.Observation != nil && b.Status == firedrill.StatusOK {
		s.stopped[b.Observation.Observer] = true
	}
	switch b.Role {
	case firedrill.RoleDo:
		st.over = seq
		s.end(st, b)
	case firedrill.RoleUndo:
		st.undo.end(b)
	case firedrill.RoleLook:
		st.look.end(b)
		st.seen = nil
		if b.Status == firedrill.StatusOK {
			st.seen = b.Outputs
		}
	case firedrill.RoleRearm:
		st.rearm.end(b)
	}
	return nil
}

func (s *state) end(st *step, b firedrill.Ended) {
	s.plan.release(st)
	st.ended = &b
	switch b.Status {
	case firedrill.StatusOK:
		s.outputs[st.def.ID] = b.Outputs
		if st.def.Proves != "" {
			at := b.Finished
			s.verified = &at
		}
		if st.resolved.Impact == firedrill.Damages && s.began == nil {
			at := b.Started
			s.began = &at
		}
		s.settle(st, passed)
	case firedrill.StatusUnknown:
		st.status = unknown
	default:
		st.status = failed
	}
}

func (a *attempt) end(b firedrill.Ended) {
	switch b.Status {
	case firedrill.StatusOK:
		a.state, a.why = ok, ""
		return
	case firedrill.StatusUnknown:
		a.state = lost
	default:
		a.state = wrong
	}
	a.fails++
	a.why = why(b)
}

// settle ends a step and frees what waited for it.
func (s *state) settle(st *step, to status) {
	st.status = to
	s.plan.settled(st)
}

// applySkip and applyRefusal are about the step itself while it is not
// settled, and about its look afterwards.
func (s *state) applySkip(b firedrill.StepSkipped) error {
	st, err := s.known(b.Step)
	if err != nil {
		return err
	}
	if st.status != waiting {
		st.look = attempt{state: excluded, tries: st.look.tries, why: b.Reason}
		return nil
	}
	st.reason = b.Reason
	s.skips[b.Step] = true
	s.settle(st, skipped)
	return nil
}

func (s *state) applyRefusal(b firedrill.StepRefused) error {
	st, err := s.known(b.Step)
	if err != nil {
		return err
	}
	if st.status != waiting {
		st.look = attempt{state: lost, tries: st.look.tries, fails: lookAttempts, why: b.Problem.Detail}
		return nil
	}
	st.problem = &b.Problem
	st.status = refused
	return nil
}

func (s *state) applyExpansion(b firedrill.Expanded) error {
	parent, err := s.known(b.Step)
	if err != nil {
		return err
	}
	return s.add(parent, b.Steps)
}

func (s *state) applyDischarge(b firedrill.Discharged) error {
	for _, id := range b.Steps {
		st, err := s.known(id)
		if err != nil {
			return err
		}
		st.discharge()
	}
	return nil
}

func (st *step) discharge() {
	st.discharged = true
	for _, c := range st.children {
		c.discharge()
	}
}

// openInOrder gives the calls under way in the order of their intents.
func (s *state) openInOrder() []call {
	return slices.SortedFunc(maps.Values(s.open), func(a, b call) int { return cmp.Compare(a.seq, b.seq) })
}

// scope is what expressions may refer to now.
func (s *state) scope() firedrill.Scope {
	return firedrill.Scope{Run: s.run, Program: s.program, Outputs: s.outputs, Skipped: s.skips}
}

// op is the id of a step's mutation: the same for every attempt.
func (s *state) op(id string) string { return s.run + "/" + id }
