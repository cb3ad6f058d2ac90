package report

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/say"
)

// Log writes the log entry of a run in Markdown, with the fields that entries of the
// kind have had on paper: date, executor, environment, times against targets, issues,
// remedies, and boxes. What was not measured says so. A box is ticked from facts:
//
//   - passed: the verdict is `passed` (`recovered` for the recovery of an incident).
//   - documentation: the run is finished, so that this entry is its documentation.
//   - runbook: the run passed, so that the steps as they are written did what they
//     are for, and nothing in them needs an update.
func Log(p Page) []byte {
	r := p.Result
	kind, good, box := "Drill", firedrill.Passed, "Drill passed"
	if r.Incident != nil {
		kind, good, box = "Recovery", firedrill.Recovered, "Recovered"
	}
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("## %s: %s", kind, markdown(r.Drill))
	line("**Date**: %s", p.day(r.Started))
	line("**Executor**: %s", markdown(r.Executor))
	line("**Environment**: %s", markdown(r.Environment))
	line("")
	line("### Metrics")
	line("- RTO Target: %s", minutes(r.RTO.Target, "not set"))
	line("- Actual Recovery Time: %s", withSeconds(r.RTO.Actual))
	line("- RPO Target: %s", minutes(r.RPO.Target, "not set"))
	line("- Actual Data Loss: %s%s", withSeconds(r.RPO.Actual), lostWrites(r.RPO))
	line("")
	line("### Issues Encountered")
	list(&b, p.logIssues(), "None")
	line("")
	line("### Remediation Actions")
	list(&b, p.logActions(), "None")
	line("")
	line("### Certification")
	line("- [%s] %s", tick(r.Verdict == good), box)
	line("- [%s] Documentation updated", tick(r.Verdict != ""))
	line("- [%s] Runbook updated if needed", tick(r.Verdict == good))
	return b.Bytes()
}

// logIssues are the issues of the log: what went wrong, what the recovery undid for
// others, how far to trust what was measured, and what people noted.
func (p Page) logIssues() []string {
	texts := []string{}
	if v := p.Result.Verdict; v != firedrill.Passed && v != firedrill.Recovered {
		texts = append(texts, fmt.Sprintf("the run is %s (%s), the environment %s", verdict(p.Result), first(string(p.Result.ReasonCode), "no reason yet"), p.Result.State))
	}
	texts = append(texts, p.issues()...)
	for _, c := range p.Result.Collateral {
		texts = append(texts, "collateral: "+c)
	}
	for _, n := range p.Result.Notes {
		texts = append(texts, "noted: "+n)
	}
	return append(escaped(texts), escaped(p.remarksOf(firedrill.RemarkNote))...)
}

// logActions are what was done, and what is left to do.
func (p Page) logActions() []string {
	texts := escaped(p.remedies())
	for _, l := range p.Result.Left {
		if l.Repair != "" {
			texts = append(texts, "to be done: "+code(l.Repair))
		}
	}
	texts = append(texts, escaped(p.remarksOf(firedrill.RemarkAck))...)
	if p.Result.Ticket != nil {
		texts = append(texts, "ticket: "+markdown(*p.Result.Ticket))
	}
	return texts
}

func tick(yes bool) string {
	if yes {
		return "x"
	}
	return " "
}

// minutes writes seconds as the log has its targets.
func minutes(seconds *float64, none string) string {
	if seconds == nil {
		return none
	}
	m := *seconds / 60
	digits := strconv.FormatFloat(m, 'f', -1, 64)
	if _, fraction, _ := strings.Cut(digits, "."); len(fraction) > 2 {
		digits = strconv.FormatFloat(m, 'g', 2, 64)
		if m >= 10 {
			digits = strconv.FormatFloat(m, 'f', 0, 64)
		}
	}
	if strings.Contains(digits, "e") {
		digits = strconv.FormatFloat(m, 'f', 7, 64)
	}
	return digits + " minutes"
}

// withSeconds writes a measured time in minutes, and as it was measured.
func withSeconds(seconds *float64) string {
	if seconds == nil {
		return "not measured"
	}
	return minutes(seconds, "") + " (" + say.Seconds(*seconds) + ")"
}

func lostWrites(r firedrill.RPO) string {
	if r.LostBefore == nil || r.LostAfter == nil {
		return ""
	}
	return fmt.Sprintf("; %s lost before the disaster, %s after it", say.Plural(*r.LostBefore, "write"), say.Count(*r.LostAfter))
}

// list writes items that are Markdown already.
func list(b *bytes.Buffer, items []string, none string) {
	if len(items) == 0 {
		items = []string{none}
	}
	for _, i := range items {
		fmt.Fprintf(b, "- %s\n", i)
	}
}
