package term

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill"
)

// Verdict writes how a run ended: the verdict and what was measured, or what
// is wrong and how to repair it.
func (p *Page) Verdict(r firedrill.Result) {
	p.Line(verdictStyle(r.Verdict), "  "+strings.ToUpper(string(r.Verdict)), verdictText(r))
	if r.Verdict != firedrill.Passed { // of a recovery, it is to be seen what it rests on
		for _, reason := range r.Reasons {
			p.Line(Plain, "    why", reason)
		}
	}
	for _, c := range append(slices.Clone(r.Collateral), r.Notes...) {
		p.Line(Faint, "    noted", c)
	}
	if r.State == firedrill.Dirty {
		p.Line(Bad, "  environment", "DIRTY: "+r.Environment+" is not as it was")
		for _, l := range r.Left {
			p.Line(Plain, "    "+l.Step, l.What)
			if l.Repair != "" {
				p.Command("    repair", l.Repair)
			}
		}
	}
}

func verdictStyle(v firedrill.Verdict) Style {
	switch v {
	case firedrill.Passed, firedrill.Recovered:
		return Good
	case firedrill.Failed, firedrill.NotRecovered:
		return Bad
	}
	return Warn
}

func verdictText(r firedrill.Result) string {
	var parts []string
	if r.Verdict != firedrill.Passed {
		parts = append(parts, string(r.ReasonCode))
	}
	if t := target("RTO", r.RTO.Actual, r.RTO.Target); t != "" {
		parts = append(parts, t)
	}
	if t := target("RPO", r.RPO.Actual, r.RPO.Target); t != "" {
		parts = append(parts, t)
	}
	if r.RPO.LostBefore != nil && r.RPO.LostAfter != nil {
		parts = append(parts, fmt.Sprintf("lost %s before, %s after the disaster",
			Plural(*r.RPO.LostBefore, "write"), Count(*r.RPO.LostAfter)))
	}
	if a := r.Availability; a.Probes > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s probes failed", Count(a.Failed), Count(a.Probes)))
	}
	return strings.Join(parts, " · ")
}

func target(name string, actual, target *float64) string {
	switch {
	case actual != nil && target != nil:
		return fmt.Sprintf("%s %s of %s", name, Seconds(*actual), goal(*target))
	case actual != nil:
		return fmt.Sprintf("%s %s", name, Seconds(*actual))
	case target != nil:
		return fmt.Sprintf("%s not measured (target %s)", name, goal(*target))
	}
	return ""
}

func goal(seconds float64) string {
	return Duration(time.Duration(seconds * float64(time.Second)))
}

// Table writes the runs of a command below each other: verdict, RTO against
// target, and why.
func (p *Page) Table(runs []firedrill.Result) {
	rows := [][]string{{"DRILL", "VERDICT", "RTO", "TARGET", "WHY"}}
	for _, r := range runs {
		actual, goalText := "–", "–"
		if r.RTO.Actual != nil {
			actual = Seconds(*r.RTO.Actual)
		}
		if r.RTO.Target != nil {
			goalText = goal(*r.RTO.Target)
		}
		why := string(r.ReasonCode)
		if r.Verdict == firedrill.Passed {
			why = why + ": " + fmt.Sprintf("%d checks held", len(r.Checks))
		} else if len(r.Reasons) > 0 {
			why = r.Reasons[0]
		}
		rows = append(rows, []string{r.Drill, string(r.Verdict), actual, goalText, why})
	}
	p.Columns(rows)
}

// Columns writes rows aligned; the first row is a heading. The last column is
// cut to the width of a terminal.
func (p *Page) Columns(rows [][]string) {
	widths := make([]int, 0)
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-len([]rune(c))+2))
			}
		}
		line := strings.TrimRight(b.String(), " ")
		if r := []rune(line); p.Terminal && len(r) > p.Width {
			line = string(r[:p.Width-1]) + "…"
		}
		if n == 0 {
			line = p.Paint(Faint, line)
		}
		p.Text(line)
	}
}
