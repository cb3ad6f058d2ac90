// Package report turns the records of a run into the result document that
// people and scripts read. It is pure: everything in the document is computed
// from records, and what they do not show is null.
//
// A run that did not finish has a document too: its verdict and reason code
// are empty, its environment is dirty as long as an undo is due or something
// damaged is not discharged, and unfinished steps have status "open".
package report

import (
	"fmt"
	"slices"
	"time"

	"firedrill"
)

// Statuses of steps beside those of [firedrill.Status].
const (
	StatusSkipped = "skipped"
	StatusRefused = "refused"
	StatusOpen    = "open" // under way, or its end is not recorded
)

// Result computes the document of a run. Platform and evidence are not in
// the records: whoever knows them fills them in. An empty or headless list of
// records is an error.
func Result(records []firedrill.Record) (firedrill.Result, error) {
	if len(records) == 0 {
		return firedrill.Result{}, corrupt("there are no records")
	}
	begin, is := records[0].Body.(firedrill.RunStarted)
	if !is {
		return firedrill.Result{}, corrupt(fmt.Sprintf("the first record is %T, not the start of a run", records[0].Body))
	}
	b := &builder{steps: map[string]firedrill.Step{}, calls: map[callKey]*call{}, due: map[string]*firedrill.Intended{}, known: map[string]bool{}}
	b.result = firedrill.Result{Run: begin.Run, Drill: begin.Program.Drill, Use: begin.Program.Use, Title: begin.Program.Title,
		Environment: begin.Program.Environment.Name, Class: begin.Program.Environment.Class,
		Started: records[0].At.Wall, Executor: begin.Executor, State: firedrill.Restored, Incident: begin.Program.Incident,
		Checks: []firedrill.StepCheck{}, Collateral: []string{}, Notes: []string{}, Reasons: []string{}, Steps: []firedrill.StepResult{},
		Availability: firedrill.Availability{Outages: []firedrill.Outage{}}}
	b.result.RTO.Target, b.result.RPO.Target = target(begin.Program.RTO), target(begin.Program.RPO)
	if o := begin.Program.Occasion; o != nil {
		b.result.Approver, b.result.Ticket, b.result.Comment = given(o.Approver), given(o.Ticket), o.Note
	}
	b.know(begin.Program.Steps)
	for _, r := range records[1:] {
		b.add(r)
	}
	b.close(records[len(records)-1].At)
	return b.result, nil
}

func corrupt(detail string) error {
	return &firedrill.Error{Op: "report a run", Kind: firedrill.KindCorrupt, Detail: detail}
}

func target(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// given is a text, or nil where there is none.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// callKey names one attempt.
type callKey struct {
	step    string
	role    firedrill.Role
	attempt int
}

// call is an intent and the place of its line in the result.
type call struct {
	intent firedrill.Intended
	line   int
}

// builder fills a result record by record.
type builder struct {
	result   firedrill.Result
	steps    map[string]firedrill.Step
	calls    map[callKey]*call
	order    []string                       // steps in the order of their first intent
	due      map[string]*firedrill.Intended // what is changed and neither undone nor discharged
	known    map[string]bool                // steps that have a line
	finished bool
}

func (b *builder) know(steps []firedrill.Step) {
	for _, s := range steps {
		b.steps[s.ID] = s
	}
}

func (b *builder) add(r firedrill.Record) {
	switch body := r.Body.(type) {
	case firedrill.StepSkipped:
		b.settled(body.Step, StatusSkipped, body.Reason, nil)
	case firedrill.StepRefused:
		b.settled(body.Step, StatusRefused, "", &body.Problem)
	case firedrill.Intended:
		b.intended(body)
	case firedrill.Ended:
		b.ended(body)
	case firedrill.Expanded:
		b.know(body.Steps)
	case firedrill.Discharged:
		for _, id := range body.Steps {
			b.discharge(id)
		}
	case firedrill.Measured:
		m := body.Measurement
		b.result.RTO, b.result.RPO, b.result.Availability = m.RTO, m.RPO, m.Availability
		b.note(m.Notes)
		if b.result.Availability.Outages == nil {
			b.result.Availability.Outages = []firedrill.Outage{}
		}
	case firedrill.Finished:
		b.finished = true
		b.result.Verdict, b.result.ReasonCode, b.result.State = body.Verdict, body.ReasonCode, body.Environment
		b.result.Reasons = append([]string{}, body.Reasons...)
		b.result.Left = body.Left
	}
}

// settled adds the line of a step that was not performed: itself, or, where
// it was performed before, its look.
func (b *builder) settled(id, status, summary string, problem *firedrill.Problem) {
	s := b.steps[id]
	role := firedrill.RoleDo
	if b.known[id] {
		role = firedrill.RoleLook
	}
	b.known[id] = true
	b.result.Steps = append(b.result.Steps, firedrill.StepResult{Step: id, Phase: s.Phase, Uses: s.Uses, Role: role, Status: status, Summary: summary, Problem: problem})
}

func (b *builder) intended(i firedrill.Intended) {
	b.known[i.Step] = true
	b.calls[callKey{i.Step, i.Role, i.Attempt}] = &call{i, len(b.result.Steps)}
	b.result.Steps = append(b.result.Steps, firedrill.StepResult{Step: i.Step, Phase: b.steps[i.Step].Phase, Uses: i.Uses, Role: i.Role, Status: StatusOpen})
	if i.Role == firedrill.RoleDo && (i.Resolved.Undo != nil || i.Resolved.Impact == firedrill.Damages) && b.due[i.Step] == nil {
		b.due[i.Step] = &i
		b.order = append(b.order, i.Step)
	}
}

func (b *builder) ended(e firedrill.Ended) {
	c := b.calls[callKey{e.Step, e.Role, e.Attempt}]
	if c == nil {
		return // its intent is not among the records given
	}
	line := &b.result.Steps[c.line]
	line.Status, line.Summary, line.Problem = string(e.Status), e.Summary, e.Problem
	if !e.Started.IsZero() && !e.Finished.IsZero() {
		if d, _ := e.Finished.Since(e.Started); d >= 0 {
			s := d.Seconds()
			line.Seconds = &s
		}
	}
	for _, c := range e.Checks {
		b.result.Checks = append(b.result.Checks, firedrill.StepCheck{Step: e.Step, Check: c})
	}
	b.result.Collateral = append(b.result.Collateral, e.Collateral...)
	b.note(e.Notes)
	if e.Role == firedrill.RoleUndo && e.Status == firedrill.StatusOK {
		delete(b.due, e.Step)
	}
}

// note adds notes. Several steps may find the same, of one probe for example.
func (b *builder) note(notes []string) {
	for _, n := range notes {
		if !slices.Contains(b.result.Notes, n) {
			b.result.Notes = append(b.result.Notes, n)
		}
	}
}

// discharge takes a step, and what it expanded to, off what is due.
func (b *builder) discharge(id string) {
	for _, other := range b.order {
		if other == id || len(other) > len(id) && other[:len(id)+1] == id+"/" {
			delete(b.due, other)
		}
	}
}

// close completes the document of a run at its last record.
func (b *builder) close(at firedrill.Stamp) {
	b.result.Finished = at.Wall
	if b.finished {
		return
	}
	b.result.Reasons = append(b.result.Reasons, "the run has not finished")
	for i := len(b.order) - 1; i >= 0; i-- {
		due := b.due[b.order[i]]
		if due == nil {
			continue
		}
		l := firedrill.Left{Step: due.Step, What: "changed and not put back: " + due.Uses}
		if due.Resolved.Undo != nil {
			l.Repair = due.Resolved.Undo.Repair
		}
		b.result.Left = append(b.result.Left, l)
	}
	if len(b.result.Left) > 0 {
		b.result.State = firedrill.Dirty
	}
}
