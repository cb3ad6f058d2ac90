package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/say"
)

// proof is one thing that a drill has to show, and what its steps gave.
type proof struct {
	Proves firedrill.Proof
	Claim  string // what it shows, as a sentence
	Shown  bool
	Denied bool // a comparison did not hold
	Steps  []proofStep
}

// proofStep is a step that was to give a proof.
type proofStep struct {
	Title    string
	Status   string
	Text     string
	Compared int64
	Failed   []string // comparisons that did not hold
	Partial  bool
}

// claim says what a proof shows.
func claim(p firedrill.Proof) string {
	switch p {
	case firedrill.ProvesDamage:
		return "The damage was really there"
	case firedrill.ProvesData:
		return "The data equals the data before"
	case firedrill.ProvesService:
		return "The application answers as before"
	case firedrill.ProvesProtection:
		return "New writes are protected again"
	case firedrill.ProvesClean:
		return "Nothing unnamed was left behind"
	}
	return string(p)
}

// proofs tells for each proof that the drill declares whether it was given. It says
// less than the engine at most, never more: a proof is shown when a step that was to
// give it compared something and all of it held, after the recovery (for the damage:
// before it), and no other step of the same proof failed or is unknown.
func (p Page) proofs() []proof {
	steps := p.steps()
	checks := p.lastChecks()
	declared := map[firedrill.Proof]bool{}
	for _, s := range steps {
		declared[s.Proves] = true
	}
	var all []proof
	for _, kind := range firedrill.Proofs() {
		if !declared[kind] {
			continue
		}
		one := proof{Proves: kind, Claim: claim(kind)}
		bad := false
		for _, r := range lastCalls(p.Result.Steps) {
			s, known := steps[r.Step]
			if !known || s.Proves != kind || r.Role != firedrill.RoleDo {
				continue
			}
			ps := proofStep{Title: title(s), Status: r.Status, Text: outcome(r)}
			held := 0
			for _, c := range checks[r.Step] {
				ps.Compared += c.Compared
				ps.Partial = ps.Partial || c.Partial
				if c.OK {
					held++
				} else {
					ps.Failed = append(ps.Failed, checkText(c))
				}
			}
			switch {
			case r.Status == StatusSkipped:
			case r.Status != string(firedrill.StatusOK) || len(ps.Failed) > 0 || ps.Partial:
				bad, one.Denied = true, one.Denied || len(ps.Failed) > 0
			case held > 0 && inTime(s):
				one.Shown = true
			}
			one.Steps = append(one.Steps, ps)
		}
		one.Shown = one.Shown && !bad
		// What was skipped comes last: it shows nothing, and is named all the same.
		slices.SortStableFunc(one.Steps, func(a, b proofStep) int { return skippedLast(a.Status) - skippedLast(b.Status) })
		all = append(all, one)
	}
	return all
}

func skippedLast(status string) int {
	if status == StatusSkipped {
		return 1
	}
	return 0
}

// inTime tells whether a step's proof shows something where it stands: damage before
// the recovery, all else after it.
func inTime(s firedrill.Step) bool {
	if s.Proves == firedrill.ProvesDamage {
		return s.Phase.Index() >= firedrill.Inject.Index() && s.Phase.Index() < firedrill.Recover.Index()
	}
	return s.Phase.Index() > firedrill.Recover.Index()
}

// lastCalls leaves out the attempts that were followed by another: what counts of a
// step is how it ended.
func lastCalls(steps []firedrill.StepResult) []firedrill.StepResult {
	type key struct {
		step string
		role firedrill.Role
	}
	last := map[key]int{}
	for i, s := range steps {
		last[key{s.Step, s.Role}] = i
	}
	var out []firedrill.StepResult
	for i, s := range steps {
		if last[key{s.Step, s.Role}] == i {
			out = append(out, s)
		}
	}
	return out
}

// lastChecks are the comparisons of each step's last attempt.
func (p Page) lastChecks() map[string][]firedrill.Check {
	last := map[string][]firedrill.Check{}
	for _, r := range p.Records {
		if b, is := r.Body.(firedrill.Ended); is && b.Role == firedrill.RoleDo {
			last[b.Step] = b.Checks
		}
	}
	return last
}

func checkText(c firedrill.Check) string {
	return strings.TrimSpace(strings.TrimSpace(c.Expr+" "+c.Detail) + partly(c.Partial))
}

func partly(partial bool) string {
	if partial {
		return " (compared in part only)"
	}
	return ""
}

func title(s firedrill.Step) string {
	if s.Title != "" {
		return s.Title
	}
	return s.ID
}

// outcome is what came of a step, in words.
func outcome(r firedrill.StepResult) string {
	if r.Problem == nil {
		return r.Summary
	}
	if r.Summary == "" || r.Summary == r.Problem.Detail {
		return r.Problem.Detail
	}
	return r.Summary + ": " + r.Problem.Detail
}

// damage is what was destroyed on purpose, a sentence each.
func (p Page) damage() []string {
	steps, impacts := p.steps(), p.impacts()
	var texts []string
	for _, r := range lastCalls(p.Result.Steps) {
		s := steps[r.Step]
		if r.Role != firedrill.RoleDo || s.Phase != firedrill.Inject || impacts[r.Step] != firedrill.Damages {
			continue
		}
		text := outcome(r)
		if text == "" {
			text = title(s)
		}
		if r.Status != string(firedrill.StatusOK) {
			text = r.Status + ": " + text
		}
		texts = append(texts, text)
	}
	return texts
}

// issues are what went wrong or asks for attention, a sentence each: why the run did
// not pass, what is left, what is out of the usual.
func (p Page) issues() []string {
	r := p.Result
	var texts []string
	if r.Verdict != firedrill.Passed && r.Verdict != firedrill.Recovered || r.ReasonCode != firedrill.ReasonOK {
		texts = append(texts, r.Reasons...)
	}
	for i, s := range r.Steps {
		switch s.Status {
		case string(firedrill.StatusFailed), string(firedrill.StatusUnknown), StatusRefused:
			text := outcome(s)
			if !slices.ContainsFunc(texts, func(t string) bool { return text != "" && strings.Contains(t, text) }) {
				again := ""
				if slices.ContainsFunc(r.Steps[i+1:], func(t firedrill.StepResult) bool { return t.Step == s.Step && t.Role == s.Role }) {
					again = ", and was tried again"
				}
				texts = append(texts, strings.TrimSuffix(fmt.Sprintf("%s (%s) %s%s: %s", s.Step, s.Role, s.Status, again, text), ": "))
			}
		}
	}
	for _, l := range r.Left {
		texts = append(texts, "left as it should not be: "+l.What)
	}
	return append(texts, p.unusual()...)
}

// unusual says what of this run is out of the usual.
func (p Page) unusual() []string {
	for _, f := range Follow(p.past()) {
		if f.Run == p.Result.Run {
			return f.Unusual()
		}
	}
	return nil
}

// remedies are what was done about it, a sentence each: the recovery, what was put
// back after it, and what people say they did.
func (p Page) remedies() []string {
	steps := p.steps()
	var texts []string
	for _, r := range p.Result.Steps {
		s := steps[r.Step]
		if r.Status != string(firedrill.StatusOK) {
			continue
		}
		switch {
		case r.Role == firedrill.RoleDo && s.Phase == firedrill.Recover:
			texts = append(texts, withTime(first(r.Summary, title(s)), r.Seconds))
		case r.Role == firedrill.RoleUndo:
			texts = append(texts, withTime("put back: "+first(r.Summary, r.Uses), r.Seconds))
		}
	}
	return texts
}

func withTime(text string, seconds *float64) string {
	if seconds == nil {
		return text
	}
	return text + " (took " + say.Seconds(*seconds) + ")"
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// remark writes what a person added.
func (p Page) remark(r firedrill.Remark) string {
	who := r.By + ", " + p.moment(r.At)
	switch {
	case r.Kind == firedrill.RemarkAck && r.Text == "":
		return "looked into by " + who
	case r.Kind == firedrill.RemarkAck:
		return "looked into by " + who + ": " + r.Text
	}
	return r.Text + " (" + who + ")"
}

// remarksOf gives the remarks of one kind as sentences.
func (p Page) remarksOf(kind firedrill.RemarkKind) []string {
	var texts []string
	for _, r := range p.Remarks {
		if r.Kind == kind {
			texts = append(texts, p.remark(r))
		}
	}
	return texts
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
