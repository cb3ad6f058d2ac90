package report

import (
	"bytes"
	"fmt"
	"strings"
)

// Markdown writes the report of a run for reading as text, in a pull request or a
// terminal: the same facts as the page, in the same order, in full.
func Markdown(p Page) []byte {
	const all = 1 << 30
	v := p.view(limits{all, all})
	b := &bytes.Buffer{}
	d := &document{b}
	kind := "Drill"
	if v.Incident != nil {
		kind = "Recovery"
	}
	d.line("# %s: %s", kind, markdown(v.Drill))
	d.line("")
	d.line("%s, on %s.", markdown(v.About), markdown(v.Where))
	d.line("")
	d.line("**%s**%s. %s", strings.ToUpper(v.Verdict), codeOf(v.Code), v.Lead)
	d.items(v.Why.Items)
	if v.Dirty {
		d.line("")
		d.line("**The environment was left dirty**: it is not as it was.")
		d.line("")
		for _, l := range v.Left {
			d.line("- %s", markdown(l.What))
			if l.Repair != "" {
				d.line("  Repair: %s", code(l.Repair))
			}
		}
	}
	d.items(v.Unusual)
	d.heading("When, where, who")
	d.pairs(append(v.Facts, v.Incident...))
	d.heading("What was measured")
	var rows [][]string
	for _, f := range v.Figures {
		rows = append(rows, []string{strings.TrimSpace(f.Name + " " + f.Short), f.Value, f.Goal, f.Detail})
	}
	d.table([]string{"", "Measured", "Target", ""}, rows)
	d.heading("What was damaged")
	d.itemsOr(v.Damage.Items, "Nothing was damaged.")
	d.heading("What was shown")
	d.line("%s", v.Checks)
	d.line("")
	for _, pr := range v.Proofs {
		d.proof(pr)
	}
	d.trend(v.Trend)
	d.heading("Issues")
	d.itemsOr(v.Issues.Items, "None.")
	d.heading("What was done")
	d.itemsOr(v.Remedies.Items, "Nothing.")
	d.heading("Collateral")
	d.itemsOr(v.Collateral.Items, "None was found.")
	d.optional("How far to trust it", v.Notes.Items)
	d.optional("Remarks", v.Remarks.Items)
	d.heading("Steps")
	rows = nil
	for _, ph := range v.Phases {
		for _, s := range ph.Steps {
			rows = append(rows, []string{ph.Name, s.Title, s.Word, s.At, s.Took, s.Text})
		}
	}
	d.table([]string{"Phase", "Step", "Status", "At", "Took", "What came of it"}, rows)
	d.heading("Where this comes from")
	d.pairs(v.Origin)
	return b.Bytes()
}

// document writes the pieces of a Markdown document. Texts come in as they are and
// are escaped here.
type document struct{ *bytes.Buffer }

func (d *document) line(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

func (d *document) heading(text string) { d.line("\n## %s\n", text) }

func (d *document) items(texts []string) {
	if len(texts) > 0 {
		d.line("")
	}
	for _, t := range texts {
		d.line("- %s", markdown(t))
	}
}

func (d *document) itemsOr(texts []string, none string) {
	if len(texts) == 0 {
		d.line("%s", none)
		return
	}
	for _, t := range texts {
		d.line("- %s", markdown(t))
	}
}

func (d *document) optional(heading string, texts []string) {
	if len(texts) > 0 {
		d.heading(heading)
		d.itemsOr(texts, "")
	}
}

func (d *document) pairs(pairs []pair) {
	for _, p := range pairs {
		d.line("- %s: %s", p.Name, markdown(p.Text))
	}
}

func (d *document) table(head []string, rows [][]string) {
	d.line("| %s |", strings.Join(head, " | "))
	d.line("|%s", strings.Repeat("---|", len(head)))
	for _, r := range rows {
		d.line("| %s |", strings.Join(escaped(r), " | "))
	}
}

func (d *document) proof(p proofView) {
	d.line("- %s: **%s**", p.Claim, p.Word)
	for _, s := range p.Steps {
		text := fmt.Sprintf("%s (%s)", markdown(s.Title), s.Word)
		if s.Text != "" {
			text += ": " + markdown(s.Text)
		}
		d.line("  - %s", text)
		for _, f := range s.Failed.Items {
			d.line("    - does not hold: %s", markdown(f))
		}
	}
}

func (d *document) trend(t *trendView) {
	if t == nil {
		return
	}
	d.heading("Trend")
	var rows [][]string
	for _, r := range t.Runs {
		rows = append(rows, []string{r.Day, r.Run, r.Verdict, r.RTO, r.RPO, r.Lost})
	}
	d.table([]string{"Ran", "Run", "Verdict", "RTO", "RPO", "Lost, before + after"}, rows)
}

func codeOf(code string) string {
	if code == "" || code == "ok" {
		return ""
	}
	return " (" + code + ")"
}
