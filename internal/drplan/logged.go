package drplan

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"firedrill"
)

// logSection is one part of the execution log. Some documents have one a day.
type logSection struct {
	at    int // index of its heading
	level int
	day   string // in its heading; "" for none
	span
}

// isLog tells whether a heading is that of an execution log.
func isLog(text string) bool {
	w := words(text)
	return hasAny(w, "log", "logbook") && hasAny(w, "execution", "executions", "drill", "drills", "run", "runs") && !hasAny(w, "template", "entry", "format", "example")
}

// log adds entries of runs that the execution log has not, and brings those of
// firedrill's own that it has up to date. Entries of people stay.
func (u *updater) log() (bool, error) {
	var sections []logSection
	mark, marked := u.markedAs(Log)
	for i, h := range u.headings {
		s := u.section(i)
		if isLog(h.text) && (!marked || mark.start <= h.start && h.start < mark.stop) {
			if marked {
				s.stop = min(s.stop, mark.stop)
			}
			sections = append(sections, logSection{i, h.level, day.FindString(h.text), s})
		}
	}
	switch {
	case len(sections) == 0 && marked:
		return false, refuse(u.name, mark.line, "no heading of an execution log stands between the markers", "write one: ## Drill Execution Log")
	case len(sections) == 0:
		u.leave(0, Log, "the execution log", "no heading such as Drill Execution Log is there")
		return false, nil
	}
	for _, s := range sections[1:] {
		if s.start < sections[0].stop || s.day == "" || sections[0].day == "" {
			return false, refuse(u.name, u.lineAt(u.headings[s.at].start), fmt.Sprintf("this is a second execution log, beside that of line %d", u.lineAt(u.headings[sections[0].at].start)),
				"give each a day: ## Drill Execution Log (2026-01-31), or mark one: <!-- firedrill:log --> … <!-- /firedrill -->")
		}
	}
	fresh := map[string][]string{} // new sections by their day
	var days []string
	for _, r := range u.runs() {
		if u.known(sections, r.Entry) {
			continue
		}
		at := u.day(sections, r.Entry)
		i := slices.IndexFunc(sections, func(s logSection) bool { return s.day == at })
		if i >= 0 {
			u.append(u.last(sections[i].span), "run "+r.Past.Run, u.eol+u.entry(sections[i].level+1, r, at == ""))
			continue
		}
		if fresh[at] == nil {
			days = append(days, at)
		}
		fresh[at] = append(fresh[at], u.entry(sections[0].level+1, r, false))
	}
	if u.newestFirst(sections) {
		slices.Reverse(days)
	}
	for _, at := range days {
		u.newSection(sections, at, fresh[at])
	}
	return true, nil
}

// run is an entry and the drill that it is about.
type run struct {
	Entry
	drill Drill
}

// runs gives all entries, the oldest first.
func (u *updater) runs() []run {
	var all []run
	for _, d := range u.facts.Drills {
		for _, e := range d.Entries {
			all = append(all, run{e, d})
		}
	}
	slices.SortStableFunc(all, func(a, b run) int { return a.Past.Started.Compare(b.Past.Started) })
	return all
}

// append adds text after the last line of a section. What follows may need an empty
// line before it.
func (u *updater) append(line int, what, text string) {
	if line < len(u.lines) && strings.TrimSpace(u.lineText(line+1)) != "" {
		text += u.eol
	}
	u.insert(line, Log, what, text)
}

// day gives the day of a run as the headings of the log write it; "" where they have none.
func (u *updater) day(sections []logSection, e Entry) string {
	if sections[0].day == "" {
		return ""
	}
	return e.Past.Started.In(u.facts.Zone).Format(dayForm([]string{sections[0].day}))
}

// last gives the last line of a section that says something; what follows are empty
// lines and the rule before the next section.
func (u *updater) last(s span) int {
	head := u.lineAt(s.start - 1)
	line := u.lineAt(max(s.start, s.stop) - 1)
	for ; line > head; line-- {
		text := strings.TrimSpace(u.lineText(line))
		if text != "" && !rule.MatchString(text) && !marker.MatchString(text) {
			break
		}
	}
	return line
}

var rule = regexp.MustCompile(`^(?:-{3,}|\*{3,}|_{3,})$`)

// newSection adds a section for a day, after the last one, or before the first where
// the newest comes first.
func (u *updater) newSection(sections []logSection, at string, entries []string) {
	first := sections[0]
	head := strings.Repeat("#", first.level) + " " + strings.Replace(u.headings[first.at].text, first.day, at, 1)
	text := head + u.eol + u.eol + strings.Join(entries, u.eol)
	ruled := false
	for line := u.last(first.span) + 1; line <= len(u.lines) && u.lines[line-1] < first.stop; line++ {
		ruled = ruled || rule.MatchString(strings.TrimSpace(u.lineText(line)))
	}
	if h := u.headings[first.at]; u.newestFirst(sections) {
		after := u.eol
		if ruled {
			after = u.eol + "---" + u.eol + u.eol
		}
		u.insert(u.lineAt(h.start)-1, Log, "the log of "+at, text+after)
		return
	}
	before := u.eol
	if ruled || u.closes(first) {
		before = u.eol + "---" + u.eol + u.eol
	}
	u.append(u.last(sections[len(sections)-1].span), "the log of "+at, before+text)
}

// closes tells whether a rule stands before the heading of a section, where none can
// stand after it because it is the last of the document.
func (u *updater) closes(s logSection) bool {
	line := u.lineAt(u.headings[s.at].start) - 1
	for ; line > 1 && strings.TrimSpace(u.lineText(line)) == ""; line-- {
	}
	return s.stop == len(u.body) && line > 0 && rule.MatchString(strings.TrimSpace(u.lineText(line)))
}

func (u *updater) newestFirst(sections []logSection) bool {
	if len(sections) < 2 {
		return false
	}
	form := dayForm([]string{sections[0].day})
	first, err := time.Parse(form, sections[0].day)
	second, other := time.Parse(form, sections[1].day)
	return err == nil && other == nil && first.After(second)
}

// entry writes one run. dated entries have their day in the heading.
func (u *updater) entry(level int, r run, dated bool) string {
	head := strings.Repeat("#", min(level, 6)) + " " + u.titleOf(r.drill)
	if dated {
		head += " (" + r.Past.Started.In(u.facts.Zone).Format("2006-01-02") + ")"
	}
	return head + u.eol + strings.Join(bullets(r.Entry), u.eol) + u.eol
}

// titleOf is what the document calls a drill: the heading of its own section, or its
// row in the schedule.
func (u *updater) titleOf(d Drill) string {
	for _, h := range u.headings {
		if m := drillHeading.FindStringSubmatch(h.text); m != nil {
			if found, _ := u.facts.find(m[2]); found != nil && found.Name == d.Name {
				return plainTitle(h.text)
			}
		}
	}
	return cmp.Or(u.titles[d.Name], inline(d.Title), inline(d.Name))
}

// drillHeading is the heading of a drill: "Drill 1: D1 Point-in-Time Recovery".
var drillHeading = regexp.MustCompile(`(?i)^(?:dr )?drill\s*#?(\d+)\s*[:.–—-]\s*(.+)$`)

// bullets are the lines of an entry. The first names the run, by which the entry is
// known again.
func bullets(e Entry) []string {
	p := e.Past
	lines := []string{fmt.Sprintf("- **Run**: `%s` on %s", inline(p.Run), inline(p.Environment))}
	for _, d := range e.Details {
		lines = append(lines, fmt.Sprintf("- **%s**: `%s`", inline(d.Label), inline(d.Value)))
	}
	result := strings.ToUpper(string(p.Verdict))
	if p.Verdict != firedrill.Passed && p.ReasonCode != "" {
		result += " (" + inline(string(p.ReasonCode)) + ")"
	}
	if p.State == firedrill.Dirty {
		result += ", environment left dirty"
	}
	lines = append(lines, "- **Result**: "+result, "- **Recovery Time**: "+measured(p.RTO))
	if p.RPO.Actual != nil || p.RPO.Target != nil {
		lines = append(lines, "- **Data Loss**: "+measured(p.RPO))
	}
	if p.Executor != "" {
		lines = append(lines, "- **Executor**: "+inline(p.Executor))
	}
	for _, r := range p.Remarks {
		if r.Text != "" {
			lines = append(lines, fmt.Sprintf("- **Note**: %s (%s)", inline(r.Text), inline(r.By)))
		}
	}
	return lines
}

func measured(f firedrill.Figure) string {
	text := "not measured"
	if f.Actual != nil {
		text = seconds(*f.Actual)
	}
	if f.Target != nil {
		text += " (target " + seconds(*f.Target) + ")"
	}
	return text
}

var bullet = regexp.MustCompile(`^([-*+]) \*\*([^*]+)\*\*: ?(.*)$`)

// known finds the entry of a run by its id, and brings its lines up to date. What
// people added to it stays.
func (u *updater) known(sections []logSection, e Entry) bool {
	want := bullets(e)
	for _, s := range sections {
		for _, line := range u.plainLines(s.span) {
			if m := bullet.FindStringSubmatch(u.lineText(line)); m == nil || m[2] != "Run" || !strings.HasPrefix(m[3], "`"+inline(e.Past.Run)+"`") {
				continue
			}
			u.refresh(line, e, want)
			return true
		}
	}
	return false
}

// refresh brings the lines of an entry up to date, of which the given one is the first.
// The entry ends with its list.
func (u *updater) refresh(line int, e Entry, want []string) {
	end := line
	at := map[string]int{} // line by label
	notes := map[string]bool{}
	for ; end <= len(u.lines) && !u.hidden[end] && strings.TrimSpace(u.lineText(end)) != ""; end++ {
		m := bullet.FindStringSubmatch(u.lineText(end))
		if m == nil {
			continue
		}
		text := "- **" + m[2] + "**: " + m[3]
		if _, twice := at[m[2]]; m[2] == "Note" {
			notes[text] = true
		} else if !twice {
			at[m[2]] = end
		}
	}
	for _, text := range want {
		label := bullet.FindStringSubmatch(text)[2]
		what := "run " + e.Past.Run + ": " + label
		old, has := at[label]
		switch {
		case label == "Note" && notes[text]:
		case label != "Note" && has:
			s := u.lineSpan(old)
			u.replace(old, Log, what, span{s.start + 1, s.stop}, text[1:]) // the bullet stays as it is
		default:
			u.insert(end-1, Log, what, u.lineText(line)[:1]+text[1:]+u.eol)
		}
	}
}
