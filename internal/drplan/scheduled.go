package drplan

import (
	"cmp"
	"regexp"
	"strings"

	"firedrill"
)

// scheduleColumns are the columns of a schedule by what stands in them.
func scheduleColumns() map[string]func(string) bool {
	return map[string]func(string) bool{
		"the drill":     is("drill", "drills", "dr drill", "drill name", "exercise", "scenario", "test", "name"),
		"the frequency": is("frequency", "interval", "cadence", "every", "how often", "schedule"),
		"the last run":  is("last executed", "last run", "last execution", "last tested", "last test", "last performed", "last drill", "last exercised", "last done", "last date"),
		"the next run":  is("next due", "next run", "next", "due", "due date", "next date", "next drill", "next test", "next scheduled", "next execution"),
	}
}

// schedule brings the table of the schedule up to date.
func (u *updater) schedule() (bool, error) {
	like := func(t table) (bool, error) {
		c, err := u.columns(t, scheduleColumns())
		_, drill := c["the drill"]
		_, last := c["the last run"]
		_, next := c["the next run"]
		return drill && (last || next), err
	}
	t, ok, err := u.choose(Schedule, like, func(h string) bool { return hasAny(words(h), "schedule", "schedules", "calendar") })
	if !ok {
		if err == nil {
			u.leave(0, Schedule, "the schedule", "no table with the columns Drill, and Last Executed or Next Due, is there")
		}
		return false, err
	}
	columns, err := u.columns(t, scheduleColumns())
	if err != nil {
		return false, err
	}
	for _, r := range u.drillRows(Schedule, t, columns["the drill"]) {
		u.titles[r.drill.Name] = r.title
		for _, kind := range []string{"the last run", "the next run"} {
			i, has := columns[kind]
			switch {
			case !has:
			case i >= len(r.cells):
				u.leave(r.line, Schedule, r.title, "the row has no cell for "+kind)
			case kind == "the last run":
				u.lastRun(r, r.cells[i], u.column(t, i))
			default:
				u.nextRun(r, r.cells[i], u.column(t, i))
			}
		}
	}
	return true, nil
}

// drillRow is a row of a table with the drill that it is about.
type drillRow struct {
	row
	title string
	drill *Drill
}

// drillRows gives the rows whose drill is known. The others are left, and so are two
// rows about one drill.
func (u *updater) drillRows(part Part, t table, column int) []drillRow {
	var rows []drillRow
	about := map[string][]int{}
	for _, r := range t.rows[1:] {
		if column >= len(r.cells) || u.cell(r.cells[column]) == "" {
			u.leave(r.line, part, "a row", "it names no drill")
			continue
		}
		title := u.cell(r.cells[column])
		drill, why := u.facts.find(title)
		if drill == nil {
			u.leave(r.line, part, title, why)
			continue
		}
		rows = append(rows, drillRow{r, plainTitle(title), drill})
		about[drill.Name] = append(about[drill.Name], r.line)
	}
	var single []drillRow
	for _, r := range rows {
		if len(about[r.drill.Name]) > 1 {
			u.leave(r.line, part, r.title, "more than one row is about "+r.drill.Name+"; name its drill: <!-- firedrill:DRILL -->")
			continue
		}
		single = append(single, r)
	}
	for _, d := range u.facts.Drills {
		if len(about[d.Name]) == 0 && part == Schedule {
			u.leave(0, part, d.Name, "no row is about it")
		}
	}
	return single
}

// column is how a column of a table is written.
type column struct {
	bold bool
	tick string
	form string // of days
}

func (u *updater) column(t table, i int) column {
	var texts []string
	for _, r := range t.rows[1:] {
		if i < len(r.cells) {
			texts = append(texts, u.cell(r.cells[i]))
		}
	}
	all := strings.Join(texts, "\n")
	return column{bold: strings.Contains(all, "**"), tick: cmp.Or(tickIn(all), "✅"), form: dayForm(texts)}
}

// strong writes a day as the cell had it; where it had none, as the column has it.
func (c column) strong(text, old string) string {
	if strings.HasPrefix(old, "**") || c.bold && placeholder(old) {
		return "**" + text + "**"
	}
	return text
}

// boldDay is a day, set in bold or not.
const boldDay = `(?:\*\*` + dayPattern + `\*\*|` + dayPattern + `)`

// outcome is a day with what became of the run of that day, in a cell.
var outcome = regexp.MustCompile(boldDay + `(?: (?:(?:not-recovered|recovered|passed|failed|inconclusive|aborted)(?:; passed ` + dayPattern + `)?))?`)

// factIn finds the part of a cell that is a fact: the day with what follows, or all of
// a cell that says that there is nothing yet.
func (u *updater) factIn(cell span, pattern *regexp.Regexp, tail ...string) (span, bool) {
	text := u.text(cell)
	if placeholder(text) {
		core := strings.TrimFunc(text, blank)
		start := cell.start + strings.Index(text, core)
		return span{start, start + len(core)}, true
	}
	at := pattern.FindStringIndex(text)
	if at == nil {
		return span{}, false
	}
	for _, t := range tail {
		if rest, has := strings.CutPrefix(strings.TrimLeft(text[at[1]:], " "), t); has {
			at[1] = len(text) - len(rest)
			break
		}
	}
	return span{cell.start + at[0], cell.start + at[1]}, true
}

// lastRun writes when a drill ran last. Only what passed gets a tick.
func (u *updater) lastRun(r drillRow, cell span, c column) {
	const what = "last run"
	if r.drill.Last == nil {
		u.leave(r.line, Schedule, r.title, "no finished run of "+r.drill.Name+" is known, so its last run stays as it is written")
		return
	}
	fact, ok := u.factIn(cell, outcome, append(ticks(), "❌", "✗", ":x:")...)
	if !ok {
		u.leave(r.line, Schedule, r.title, "its last run is written in words, and stays as it is")
		return
	}
	last := r.drill.Last
	text := c.strong(last.Started.In(u.facts.Zone).Format(c.form), u.text(fact))
	if last.Verdict == firedrill.Passed {
		text += " " + c.tick
	} else {
		text += " " + string(last.Verdict)
		if r.drill.Passed != nil {
			text += "; passed " + r.drill.Passed.Started.In(u.facts.Zone).Format(c.form)
		}
	}
	u.set(r.line, Schedule, r.title+": "+what, cell, fact, text)
}

var dueDay = regexp.MustCompile(boldDay + `(?: \(overdue\))?`)

// nextRun writes when a drill is due.
func (u *updater) nextRun(r drillRow, cell span, c column) {
	if r.drill.Due == nil {
		u.leave(r.line, Schedule, r.title, "when it is due next is not known")
		return
	}
	fact, ok := u.factIn(cell, dueDay)
	if !ok {
		u.leave(r.line, Schedule, r.title, "its next run is written in words, and stays as it is")
		return
	}
	text := c.strong(r.drill.Due.In(u.facts.Zone).Format(c.form), u.text(fact))
	if r.drill.Overdue {
		text += " (overdue)"
	}
	u.set(r.line, Schedule, r.title+": next due", cell, fact, text)
}
