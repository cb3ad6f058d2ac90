package report

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/say"
)

// limits cap what a page may hold, so that it stays readable and small whatever the run.
type limits struct {
	rows int // of any list
	text int // characters of any one text
}

// view is what the HTML page shows, in words and in percent. It is made of plain
// values only, so that one pass can shorten every text in it.
type view struct {
	Title, Drill, About, Where string
	Verdict, Mood, Code, Lead  string
	Why                        lines
	Dirty                      bool
	Left                       []leftView
	LeftMore                   int
	Figures                    []figure
	Facts                      []pair
	Unusual                    []string
	Whole, Closer              *chart
	Damage                     lines
	Resources                  []string
	Proofs                     []proofView
	Checks                     string
	Collateral, Notes          lines
	Issues, Remedies, Remarks  lines
	Trend                      *trendView
	Phases                     []phaseView
	StepsMore                  int
	Origin                     []pair
	Incident                   []pair
}

// lines is a list of which only a part may be shown.
type lines struct {
	Items []string
	More  int
}

type pair struct{ Name, Text string }

type leftView struct{ What, Repair string }

// figure is a measured value beside its target.
type figure struct {
	Name, Short, Value, Goal, Detail string
	Mood                             string
	Bar                              bool
	Share                            float64 // of the target, in percent; at most 100
}

type proofView struct {
	Claim, Mood, Word string
	Steps             []proofStepView
	More              int
}

type proofStepView struct {
	Mood, Word, Title, Text string
	Failed                  lines
}

type trendView struct {
	Plots []*plot
	Runs  []trendRow
	Of    int // runs in the plots
	More  int // runs in the plots that have no row
	Older bool
}

type trendRow struct {
	Day, Run, Verdict, Mood, RTO, RPO, Lost string
	This                                    bool
}

type phaseView struct {
	Name  string
	Steps []stepRow
}

type stepRow struct {
	Title, ID, Mood, Word, At, Took, Text string
}

// view makes what the page shows.
func (p Page) view(l limits) *view {
	r := p.Result
	v := &view{Title: fmt.Sprintf("%s: %s on %s", r.Drill, verdict(r), p.day(r.Started)), Drill: r.Drill, About: r.Title,
		Where: r.Environment, Verdict: verdict(r), Mood: mood(r.Verdict), Code: string(r.ReasonCode), Lead: lead(r), Dirty: r.State == firedrill.Dirty,
		Facts: p.freshness(), Figures: p.figures(), Unusual: p.unusual(), Resources: p.resources(), Origin: p.origin(), Incident: p.incident(),
		Whole: p.timeline(min(l.rows, 12)), Closer: p.closer(min(l.rows, 16)), Trend: p.trend(min(l.rows, 12))}
	if r.Class != "" {
		v.Where += ", class " + string(r.Class)
	}
	v.Damage = some(p.damage(), l.rows)
	v.Collateral, v.Notes = some(r.Collateral, l.rows), some(r.Notes, l.rows)
	v.Issues, v.Remedies = some(p.issues(), l.rows), some(p.remedies(), l.rows)
	var remarks []string
	for _, m := range p.Remarks {
		remarks = append(remarks, p.remark(m))
	}
	v.Remarks = some(remarks, l.rows)
	v.Proofs = p.proofViews(l)
	v.Why = some(p.why(v.Proofs), l.rows)
	v.Checks = p.compared()
	left, more := cut(r.Left, l.rows)
	v.LeftMore = more
	for _, x := range left {
		v.Left = append(v.Left, leftView{x.What, x.Repair})
	}
	v.Phases, v.StepsMore = p.phases(l.rows)
	shorten(reflect.ValueOf(v).Elem(), l.text)
	return v
}

// mood says how to colour a verdict or a status; words always stand beside it.
func mood(v firedrill.Verdict) string {
	switch v {
	case firedrill.Passed, firedrill.Recovered:
		return "good"
	case firedrill.Failed, firedrill.NotRecovered:
		return "bad"
	}
	return "open"
}

// why says what the verdict rests on: for a pass what was shown, else the reasons.
func (p Page) why(proofs []proofView) []string {
	if p.Result.Verdict != firedrill.Passed || len(proofs) == 0 {
		return p.Result.Reasons
	}
	var texts []string
	for _, pr := range proofs {
		if pr.Mood != "good" {
			continue
		}
		var said []string
		for _, s := range pr.Steps {
			if s.Mood == "good" && s.Text != "" {
				said = append(said, s.Text)
			}
		}
		texts = append(texts, strings.TrimSuffix(pr.Claim+": "+strings.Join(said, " · "), ": "))
	}
	return texts
}

// compared says how much was compared in all.
func (p Page) compared() string {
	if len(p.Result.Checks) == 0 {
		return "Nothing was compared."
	}
	var things int64
	held := 0
	for _, c := range p.Result.Checks {
		things += c.Compared
		if c.OK {
			held++
		}
	}
	return fmt.Sprintf("%s of %s held; %s compared in all.", say.Count(int64(held)), say.Plural(int64(len(p.Result.Checks)), "check"), say.Plural(things, "thing"))
}

// figures are what was measured, each beside its target.
func (p Page) figures() []figure {
	r := p.Result
	f := []figure{
		timed("Recovery time", "RTO", r.RTO.Actual, r.RTO.Target, rtoParts(r.RTO)),
		timed("Data loss", "RPO", r.RPO.Actual, r.RPO.Target, "from the last write that survived to the disaster"),
	}
	lost := figure{Name: "Writes lost", Value: "not measured", Mood: "open", Detail: "no sentinel wrote, or its numbers could not be read back"}
	if r.RPO.LostBefore != nil && r.RPO.LostAfter != nil {
		lost.Value, lost.Mood = say.Count(*r.RPO.LostBefore), "plain"
		lost.Detail = fmt.Sprintf("acknowledged before the disaster; %s more after it", say.Count(*r.RPO.LostAfter))
		if r.RPO.Acknowledged != nil {
			lost.Detail += ", of " + say.Count(*r.RPO.Acknowledged)
		}
	}
	probes := figure{Name: "Probes failed", Value: "not measured", Mood: "open", Detail: "no probe watched"}
	if a := r.Availability; a.Probes > 0 {
		probes = figure{Name: "Probes failed", Value: say.Count(a.Failed), Mood: "plain", Detail: "of " + say.Count(a.Probes) + " requests"}
		if a.Slow > 0 {
			probes.Detail += "; " + say.Count(a.Slow) + " good ones were slow"
		}
	}
	return append(f, lost, probes)
}

func rtoParts(r firedrill.RTO) string {
	var parts []string
	for _, x := range []struct {
		s    *float64
		text string
	}{{r.Observe, "seen after %s"}, {r.Recover, "recovered in %s"}, {r.Green, "all green %s later"}, {r.Verified, "data compared after %s"}} {
		if x.s != nil {
			parts = append(parts, fmt.Sprintf(x.text, say.Seconds(*x.s)))
		}
	}
	if r.Detect.Named {
		text := "your alert was not seen"
		if r.Detect.Seconds != nil {
			text = "your alert fired after " + say.Seconds(*r.Detect.Seconds)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " · ")
}

func timed(name, short string, actual, target *float64, detail string) figure {
	f := figure{Name: name, Short: short, Value: "not measured", Goal: "no target", Mood: "open"}
	if target != nil {
		f.Goal = "target " + goal(*target)
	}
	if actual == nil {
		return f
	}
	f.Value, f.Mood, f.Detail = say.Seconds(*actual), "plain", detail
	if target != nil && *target > 0 {
		f.Bar, f.Mood = true, "good"
		f.Share = round(min(100, 100**actual / *target))
		if *actual > *target {
			f.Mood = "bad"
			f.Goal += ", missed"
		} else {
			f.Goal += ", met"
		}
	}
	return f
}

// freshness is what an auditor reads first: when this was last shown to work, on
// what, and by whom.
func (p Page) freshness() []pair {
	r := p.Result
	facts := []pair{{"Last shown to work", p.lastShown()}, {"Ran", p.moment(r.Started)}}
	if r.Verdict != "" {
		facts[1].Text += ", for " + say.Seconds(r.Finished.Sub(r.Started).Seconds())
	}
	facts = append(facts, pair{"On", r.Environment + ", class " + first(string(r.Class), "not recorded")}, pair{"By", r.Executor})
	if names := p.resources(); len(names) > 0 {
		facts = append(facts, pair{"Drilled", strings.Join(names, ", ")})
	}
	if r.Approver != nil {
		facts = append(facts, pair{"Approved by", *r.Approver})
	}
	if r.Ticket != nil {
		facts = append(facts, pair{"Ticket", *r.Ticket})
	}
	state := string(r.State)
	if r.State == firedrill.Dirty {
		state = "DIRTY: not as it was"
	}
	return append(facts, pair{"Environment left", state})
}

// lastShown says which run last showed that the recovery works.
func (p Page) lastShown() string {
	past := p.past()
	if p.Result.Verdict == firedrill.Passed {
		text := "by this run, on " + p.moment(p.Result.Finished)
		for _, h := range past {
			if h.Run != p.Result.Run && h.Verdict == firedrill.Passed && !h.Incident {
				return text + "; before it on " + p.day(h.Finished) + ", " + apart(p.Result.Finished.Sub(h.Finished)) + " earlier"
			}
		}
		return text
	}
	if p.Result.Incident != nil {
		return "this was no drill"
	}
	earlier := 0
	for _, h := range past {
		if h.Run == p.Result.Run || h.Incident {
			continue
		}
		if h.Verdict == firedrill.Passed {
			return "not by this run; last on " + p.moment(h.Finished) + " by run " + h.Run + ", " + apart(p.Result.Finished.Sub(h.Finished)) + " earlier"
		}
		earlier++
	}
	if earlier == 0 {
		return "never on this environment: this run did not pass, and none is known before it"
	}
	return fmt.Sprintf("not by this run, and not by the last %s before it on this environment", say.Plural(int64(earlier), "run"))
}

// apart writes the time between two runs, coarsely.
func apart(d time.Duration) string {
	if d < time.Minute {
		return "less than a minute"
	}
	if d >= 48*time.Hour {
		return say.Plural(int64(d/(24*time.Hour)), "day")
	}
	return say.Duration(d.Truncate(time.Minute))
}

// origin says what the page was made from.
func (p Page) origin() []pair {
	r, b := p.Result, p.begin()
	proven := "not every action that was used has been shown on this account to do what it says (firedrill doctor --live)"
	if r.Platform.Proven {
		proven = "each action that was used has been shown to do what it says"
	}
	facts := []pair{{"Run", r.Run}, {"Built-in drill", first(r.Use, "none: steps of its own")}}
	if r.Platform.API != "" {
		facts = append(facts, pair{"Platform", r.Platform.API + ": " + proven})
	}
	if b.Version != "" {
		facts = append(facts, pair{"firedrill", b.Version})
	}
	if b.Program.PlanHash != "" {
		facts = append(facts, pair{"Plan", b.Program.PlanFile + ", SHA-256 " + b.Program.PlanHash})
	}
	for _, rec := range p.Records {
		if x, is := rec.Body.(firedrill.Resumed); is {
			facts = append(facts, pair{"Taken up again", p.moment(rec.At.Wall) + " by " + x.Executor + ", version " + x.Version})
			break
		}
	}
	return append(facts, pair{"Records", say.Count(int64(len(p.Records)))})
}

// incident says what a recovery was about; a drill has none.
func (p Page) incident() []pair {
	i := p.Result.Incident
	if i == nil {
		return nil
	}
	began := "not said: the clock ran from the start of the run"
	if i.Began != nil {
		began = p.moment(*i.Began)
	}
	facts := []pair{{"Returned to", i.Point}, {"Incident began", began}}
	if i.Overwrites != "" {
		facts = append(facts, pair{"Replaced", i.Overwrites})
	}
	if i.Undoes != "" {
		facts = append(facts, pair{"Takes back", "run " + i.Undoes})
	}
	return facts
}

// status gives mood and word of a step's status.
func status(s string) (mood, word string) {
	switch s {
	case string(firedrill.StatusOK):
		return "good", "ok"
	case string(firedrill.StatusFailed), StatusRefused:
		return "bad", s
	case StatusSkipped:
		return "faint", s
	}
	return "open", s
}

func (p Page) proofViews(l limits) []proofView {
	var all []proofView
	for _, pr := range p.proofs() {
		v := proofView{Claim: pr.Claim, Mood: "open", Word: "not shown"}
		switch {
		case pr.Shown:
			v.Mood, v.Word = "good", "shown"
		case pr.Denied:
			v.Mood, v.Word = "bad", "does not hold"
		}
		steps, more := cut(pr.Steps, l.rows)
		v.More = more
		for _, s := range steps {
			told := slices.DeleteFunc(s.Failed, func(f string) bool { return f == s.Text })
			x := proofStepView{Title: s.Title, Text: s.Text, Failed: some(told, min(l.rows, 20))}
			x.Mood, x.Word = status(s.Status)
			if s.Partial {
				x.Mood, x.Text = "open", x.Text+partly(true)
			}
			if s.Compared > 0 && x.Mood == "good" {
				x.Word = say.Count(s.Compared) + " compared"
			}
			v.Steps = append(v.Steps, x)
		}
		all = append(all, v)
	}
	return all
}

// trend is the last runs of the drill on this environment, up to this one.
func (p Page) trend(rows int) *trendView {
	const plotted = 40
	past := p.past()
	runs := Follow(past)
	if len(runs) == 0 {
		return nil
	}
	older := len(runs) > plotted
	runs = runs[:min(len(runs), plotted)]
	t := &trendView{Of: len(runs), Older: older, More: max(0, len(runs)-rows)}
	for _, pl := range []*plot{
		p.plot("Recovery time (RTO)", runs, func(f Followed) Reading { return f.RTO }),
		p.plot("Data loss (RPO)", runs, func(f Followed) Reading { return f.RPO }),
	} {
		if pl != nil {
			t.Plots = append(t.Plots, pl)
		}
	}
	for _, f := range runs[:len(runs)-t.More] {
		row := trendRow{Day: p.moment(f.Started), Run: f.Run, Verdict: strings.ReplaceAll(string(f.Verdict), "-", " "), Mood: mood(f.Verdict),
			RTO: measuredOr(f.RTO), RPO: measuredOr(f.RPO), Lost: "not measured", This: f.Run == p.Result.Run}
		if f.LostBefore != nil && f.LostAfter != nil {
			row.Lost = say.Count(*f.LostBefore) + " + " + say.Count(*f.LostAfter)
		}
		t.Runs = append(t.Runs, row)
	}
	return t
}

func measuredOr(r Reading) string {
	if r.Actual == nil {
		return "not measured"
	}
	text := say.Seconds(*r.Actual)
	if r.Unusual() {
		text += ", unusual"
	}
	return text
}

// phases lists the steps. Where there are more than rows, those that did not simply
// succeed are kept before all others.
func (p Page) phases(rows int) (all []phaseView, more int) {
	steps := p.steps()
	begun := map[string]time.Duration{}
	spans, _ := p.spans()
	for _, s := range spans {
		if _, known := begun[s.step+"\x00"+string(s.role)]; !known {
			begun[s.step+"\x00"+string(s.role)] = s.from
		}
	}
	plain := 0
	for _, r := range p.Result.Steps {
		if r.Status == string(firedrill.StatusOK) || r.Status == StatusSkipped {
			plain++
		}
	}
	room := max(0, rows-(len(p.Result.Steps)-plain)) // for those that succeeded or were skipped
	kept := 0
	for _, r := range p.Result.Steps {
		quiet := r.Status == string(firedrill.StatusOK) || r.Status == StatusSkipped
		if quiet && room == 0 || kept == rows {
			more++
			continue
		}
		if quiet {
			room--
		}
		kept++
		name := string(r.Phase)
		switch r.Role {
		case firedrill.RoleUndo:
			name = "put back"
		case firedrill.RoleLook:
			name = "look again"
		case firedrill.RoleRearm:
			name = "observe again"
		}
		row := stepRow{Title: first(steps[r.Step].Title, r.Step), ID: r.Step + " · " + r.Uses, Text: outcome(r)}
		row.Mood, row.Word = status(r.Status)
		if at, known := begun[r.Step+"\x00"+string(r.Role)]; known {
			row.At = say.Seconds(at.Seconds())
		}
		if r.Seconds != nil {
			row.Took = say.Seconds(*r.Seconds)
		}
		i := len(all) - 1
		if i < 0 || all[i].Name != name {
			all = append(all, phaseView{Name: name})
			i++
		}
		all[i].Steps = append(all[i].Steps, row)
	}
	return all, more
}

// cut gives the first n of a list, and how many there are more.
func cut[T any](list []T, n int) ([]T, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}

func some(texts []string, n int) lines {
	items, more := cut(texts, n)
	return lines{append([]string{}, items...), more}
}

// shorten cuts every text in a value, and says so in its place. What cannot be seen
// is left out.
func shorten(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.String:
		text := oneLine(v.String())
		if runes := []rune(text); len(runes) > n {
			text = fmt.Sprintf("%s … (%s characters more)", string(runes[:n]), say.Count(int64(len(runes)-n)))
		}
		v.SetString(text)
	case reflect.Pointer:
		if !v.IsNil() {
			shorten(v.Elem(), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			shorten(v.Field(i), n)
		}
	case reflect.Slice:
		for i := range v.Len() {
			shorten(v.Index(i), n)
		}
	}
}
