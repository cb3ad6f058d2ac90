package engine

import (
	"fmt"

	"firedrill"
)

// Machine is one run.
type Machine struct {
	resolver firedrill.Resolver
	state    *state
	now      firedrill.Stamp
	records  []firedrill.Record // emitted, not yet handed out
	effects  []Effect           // to start once records are durable
	out      bool               // a Ready is out and not yet advanced
	asked    map[string]bool    // ops an AskDone is out for
	canceled map[callKey]bool
	measures bool // a Measure is out
	live     bool // started or resumed in this process: may decide
}

// New makes a machine that waits for [Start].
func New(r firedrill.Resolver) *Machine {
	return &Machine{resolver: r, state: newState(), asked: map[string]bool{}, canceled: map[callKey]bool{}}
}

// Load folds the records of an earlier process. The machine decides nothing
// until it is given [Resume].
func Load(r firedrill.Resolver, records []firedrill.Record) (*Machine, error) {
	m := New(r)
	for _, rec := range records {
		if err := m.state.apply(rec); err != nil {
			return nil, err
		}
	}
	if m.state.program == nil {
		return nil, fmt.Errorf("engine: the records do not begin with a start")
	}
	return m, nil
}

// Step takes an input. An input that does not fit is an error and changes
// nothing.
func (m *Machine) Step(in Input) error {
	if err := m.admit(in); err != nil {
		return err
	}
	m.now = in.moment()
	switch in := in.(type) {
	case Start:
		m.live = true
		m.emit(firedrill.RunStarted{Format: firedrill.RecordFormat, Run: in.Run, Version: in.Version, Executor: in.Executor, Program: in.Program})
	case Resume:
		m.live = true
		m.emit(firedrill.Resumed{Version: in.Version, Executor: in.Executor})
		m.takeUp()
	case Completion:
		m.complete(in)
	case EdgeSeen:
		m.emit(firedrill.Seen{Edge: in.Edge})
	case Interrupt:
		m.turn(firedrill.ReasonAborted, "", in.Detail)
	case Answer:
		m.answered(in)
	case MeasureDone:
		m.measures = false
		m.emit(firedrill.Measured{Measurement: in.Measurement})
	}
	m.decide()
	return nil
}

// admit refuses inputs that do not fit.
func (m *Machine) admit(in Input) error {
	s := m.state
	if _, begins := in.(Start); begins != (s.program == nil) {
		return fmt.Errorf("engine: %T when the run is %s", in, map[bool]string{true: "not started", false: "started already"}[s.program == nil])
	}
	if s.finished != nil {
		return fmt.Errorf("engine: %T after the run finished", in)
	}
	switch in := in.(type) {
	case Start:
		return validate(in.Program)
	case Resume:
		if m.live {
			return fmt.Errorf("engine: resumed twice")
		}
		return nil
	case Completion:
		c, ok := s.open[callKey{in.Op, in.Role}]
		if !ok || c.Attempt != in.Attempt || m.asked[in.Op] && in.Role == firedrill.RoleDo {
			return fmt.Errorf("engine: completion of %s (%s, attempt %d), which is not under way", in.Op, in.Role, in.Attempt)
		}
	case Answer:
		if !m.asked[in.Op] {
			return fmt.Errorf("engine: answer for %s, which was not asked", in.Op)
		}
	case MeasureDone:
		if !m.measures {
			return fmt.Errorf("engine: a measurement that was not asked for")
		}
	}
	if !m.live {
		return fmt.Errorf("engine: %T before the run was resumed", in)
	}
	return nil
}

// Ready gives what is to be done next; ok is false when there is nothing. It
// may not be called again before [Machine.Advance].
func (m *Machine) Ready() (rd Ready, ok bool) {
	if m.out || len(m.records) == 0 && len(m.effects) == 0 {
		return Ready{}, false
	}
	rd = Ready{Records: m.records, Effects: m.effects}
	m.records, m.effects, m.out = nil, nil, true
	return rd, true
}

// Advance says that the records of the last Ready are durable.
func (m *Machine) Advance() { m.out = false }

// Done tells whether the run finished.
func (m *Machine) Done() bool { return m.state.finished != nil }

// InFlight gives the calls under way.
func (m *Machine) InFlight() []Effect {
	var calls []Effect
	for _, c := range m.state.openInOrder() {
		calls = append(calls, m.effect(c))
	}
	return calls
}

// Damaged lists what is changed at this moment and not put back, newest
// first, with the command that repairs it.
func (m *Machine) Damaged() []firedrill.Left {
	var left []firedrill.Left
	for _, st := range m.state.undoable() {
		left = append(left, st.left("was changed and is not put back"))
	}
	return left
}

// emit decides: the record is applied and will be persisted.
func (m *Machine) emit(b firedrill.Body) {
	rec := firedrill.Record{Seq: m.state.seq + 1, At: m.now, Body: b}
	if err := m.state.apply(rec); err != nil {
		// The machine made a record that it cannot fold: a defect that no
		// input can cause, and going on would be a lie.
		panic("engine: " + err.Error())
	}
	m.records = append(m.records, rec)
}

// turn makes the run start nothing new and go back. The first cause stays.
func (m *Machine) turn(cause firedrill.ReasonCode, step, detail string) {
	if m.state.turned == nil {
		m.emit(firedrill.Turned{Cause: cause, Step: step, Detail: detail})
	}
}

func (m *Machine) effect(c firedrill.Intended) Effect {
	return Effect{Kind: Do, Op: c.Op, Step: c.Step, Role: c.Role, Attempt: c.Attempt, Uses: c.Uses,
		Inputs: c.Resolved.Inputs, Impact: c.Resolved.Impact, Timeout: c.Resolved.Timeout}
}

// intend records that a call is about to start, and lets it start after that.
func (m *Machine) intend(c firedrill.Intended) {
	m.emit(c)
	m.effects = append(m.effects, m.effect(c))
}

// decide follows from the state alone: it starts what may start, or goes back,
// or ends the run.
func (m *Machine) decide() {
	if !m.live || m.state.finished != nil {
		return
	}
	s := m.state
	if s.turned == nil && m.advance() {
		return
	}
	if s.turned != nil {
		m.cancelReads()
	}
	if len(s.open) > 0 || len(m.asked) > 0 || m.undoSome() || m.lookSome() {
		return
	}
	switch {
	case s.measured == nil && !m.measures:
		m.measures = true
		m.effects = append(m.effects, Effect{Kind: Measure})
	case s.measured != nil:
		m.emit(conclude(s))
	}
}

// cancelReads cancels what is under way and changes nothing; mutations settle.
func (m *Machine) cancelReads() {
	for _, c := range m.state.openInOrder() {
		key := callKey{c.Op, c.Role}
		if c.Role == firedrill.RoleDo && c.Resolved.Impact == firedrill.Reads && !m.canceled[key] {
			m.canceled[key] = true
			m.effects = append(m.effects, Effect{Kind: Cancel, Op: c.Op, Step: c.Step, Role: c.Role, Attempt: c.Attempt})
		}
	}
}
