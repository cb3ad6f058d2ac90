package engine

import (
	"fmt"

	"firedrill"
)

// Machine is one run. It is not safe for concurrent use.
type Machine struct {
	resolver firedrill.Resolver
	state    *state
	now      firedrill.Stamp
	live     bool // started or resumed in this process: may decide

	records []firedrill.Record // emitted, not yet handed out
	effects []Effect           // to start once records are durable
	out     []Effect           // of the Ready that is not yet advanced
	waiting bool               // for Advance

	// What the shell was asked for in this process and has not answered.
	released map[callKey]bool // calls that may have started: their intent is durable
	asked    map[string]firedrill.Role
	measures bool

	swept bool // what a turn stops is stopped
	back  *unwinding
	last  *unwinding // of undos that wait for the looks
	eyes  *looking
}

// New makes a machine that waits for [Start].
func New(r firedrill.Resolver) *Machine {
	return &Machine{resolver: r, state: newState(), released: map[callKey]bool{}, asked: map[string]firedrill.Role{}}
}

// Load folds the records of an earlier process. The machine decides nothing
// until it is given [Resume]; its views work at once.
func Load(r firedrill.Resolver, records []firedrill.Record) (*Machine, error) {
	m := New(r)
	for _, rec := range records {
		if err := m.state.apply(rec); err != nil {
			return nil, &firedrill.Error{Op: "read the run's records", Kind: firedrill.KindCorrupt, Target: m.state.run, Err: err}
		}
	}
	if m.state.program == nil {
		return nil, &firedrill.Error{Op: "read the run's records", Kind: firedrill.KindCorrupt, Detail: "there are none"}
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
		if in.Abort {
			m.turn(firedrill.ReasonAborted, "", "the run was aborted after an interruption")
		}
		m.takeUp()
	case Completion:
		m.complete(in)
	case EdgeSeen:
		m.emit(firedrill.Seen{Edge: in.Edge})
		return nil
	case Interrupt:
		cause := firedrill.ReasonAborted
		if in.Kind != "" {
			cause = causeOfKind(m.state, in.Kind)
		}
		m.turn(cause, "", firstOf(in.Detail, "the run was interrupted"))
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
		return misfit("%T when the run is %s", in, map[bool]string{true: "not started", false: "started already"}[s.program == nil])
	}
	if s.finished != nil {
		return misfit("%T after the run finished", in)
	}
	if _, resumes := in.(Resume); !resumes && !m.live && s.program != nil {
		return misfit("%T before the run was resumed", in)
	}
	switch in := in.(type) {
	case Start:
		return validate(in.Program)
	case Resume:
		if m.live {
			return misfit("resumed twice")
		}
	case Completion:
		key := callKey{in.Op, in.Role}
		c, ok := s.open[key]
		if !ok || c.Attempt != in.Attempt || !m.released[key] {
			return misfit("completion of %s (%s, attempt %d), which is not under way", in.Op, in.Role, in.Attempt)
		}
	case Answer:
		role, ok := m.asked[in.Op]
		if !ok || !m.released[callKey{in.Op, role}] {
			return misfit("answer for %s, which was not asked", in.Op)
		}
	case MeasureDone:
		if !m.measures {
			return misfit("a measurement that was not asked for")
		}
	}
	return nil
}

func misfit(format string, args ...any) error {
	return &firedrill.Error{Op: "engine", Kind: firedrill.KindInternal, Detail: fmt.Sprintf(format, args...)}
}

// Ready gives what is to be done next; ok is false when there is nothing, or
// when the batch before it was not yet advanced.
func (m *Machine) Ready() (rd Ready, ok bool) {
	if m.waiting || len(m.records) == 0 && len(m.effects) == 0 {
		return Ready{}, false
	}
	rd = Ready{Records: m.records, Effects: m.effects}
	m.out, m.records, m.effects, m.waiting = m.effects, nil, nil, true
	return rd, true
}

// Advance says that the records of the last Ready are durable.
func (m *Machine) Advance() {
	for _, e := range m.out {
		if e.Kind == Do || e.Kind == AskDone {
			m.released[callKey{e.Op, e.Role}] = true
		}
	}
	m.out, m.waiting = nil, false
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

func (m *Machine) effect(kind EffectKind, c firedrill.Intended) Effect {
	return Effect{Kind: kind, Op: c.Op, Step: c.Step, Role: c.Role, Attempt: c.Attempt, Uses: c.Uses,
		Inputs: c.Resolved.Inputs, Impact: c.Resolved.Impact, Timeout: c.Resolved.Timeout}
}

// intend records that a call is about to start, and lets it start after that.
func (m *Machine) intend(c firedrill.Intended) {
	m.emit(c)
	delete(m.released, callKey{c.Op, c.Role})
	m.effects = append(m.effects, m.effect(Do, c))
}

// decide follows from the state alone: it starts what may start, or goes back,
// or ends the run.
func (m *Machine) decide() {
	s := m.state
	if s.finished != nil || s.turned == nil && m.advance() {
		return
	}
	if s.turned != nil {
		m.sweep()
	}
	if s.busy > 0 || m.undoSome() || m.lookSome() || m.undoLast() {
		return
	}
	switch {
	case s.measured != nil:
		m.emit(conclude(s))
	case !m.measures:
		m.measures = true
		m.effects = append(m.effects, Effect{Kind: Measure})
	}
}

// sweep stops what a turn stops, once: steps that did not start never will,
// and calls that change nothing are cancelled. Mutations settle.
func (m *Machine) sweep() {
	if m.swept {
		return
	}
	m.swept = true
	for _, st := range m.state.order {
		if st.status == waiting {
			m.emit(firedrill.StepSkipped{Step: st.def.ID, Reason: turnedBefore})
		}
	}
	for _, c := range m.state.openInOrder() {
		if _, asking := m.asked[c.Op]; !asking && c.Role == firedrill.RoleDo && c.Resolved.Impact == firedrill.Reads {
			m.effects = append(m.effects, m.effect(Cancel, c.Intended))
		}
	}
}

// turnedBefore is why a step is skipped that did not start before the turn.
const turnedBefore = "the run turned back before it started"
