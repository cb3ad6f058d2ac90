package drplan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Change is a fact of the document that is brought up to date.
type Change struct {
	Line int    `json:"line"` // of the document as it was; what is added comes after it
	Part Part   `json:"part"`
	What string `json:"what"`
	Old  string `json:"old"` // "" for what is added
	New  string `json:"new"`
}

// Left is something that stays as it is although it is a fact of the document, or a
// fact that has no place in it.
type Left struct {
	Line int    `json:"line,omitempty"` // 0: it is nowhere
	Part Part   `json:"part"`
	What string `json:"what"`
	Why  string `json:"why"`
}

// Updated is a document that is up to date.
type Updated struct {
	Text    []byte
	Changes []Change
	Left    []Left
}

// Update brings the facts of a document up to date and leaves every other byte as it
// was. name stands for the document in errors. A document that cannot be read, that is
// ambiguous, or in which nothing is recognised is refused.
func Update(name string, data []byte, facts Facts) (Updated, error) {
	u, err := update(name, data, facts)
	if err != nil || len(u.Changes) == 0 {
		return u, err
	}
	// What was written has to be found again: otherwise it stands where Markdown
	// sees something else, and every update would add to it.
	again, err := update(name, u.Text, facts)
	if err != nil {
		return Updated{}, err
	}
	if len(again.Changes) > 0 {
		c := again.Changes[0]
		return Updated{}, refuse(name, u.Changes[0].Line, c.What+" would not be found again where it belongs", "look at what stands there: code, HTML and lists that are not closed hide it")
	}
	return u, nil
}

func update(name string, data []byte, facts Facts) (Updated, error) {
	u, err := gather(name, data, facts)
	if err != nil {
		return Updated{}, err
	}
	return u.apply()
}

// gather finds what is to be changed.
func gather(name string, data []byte, facts Facts) (*updater, error) {
	d, err := read(name, data)
	if err != nil {
		return nil, err
	}
	if facts.Zone == nil {
		facts.Zone = time.UTC
	}
	u := &updater{document: d, facts: facts, eol: "\n", titles: map[string]string{}}
	if i := strings.IndexByte(string(d.body), '\n'); i > 0 && d.body[i-1] == '\r' {
		u.eol = "\r\n"
	}
	found := false
	for _, bring := range []func() (bool, error){u.schedule, u.log, u.certification} {
		some, err := bring()
		if err != nil {
			return nil, err
		}
		found = found || some
	}
	if !found {
		return nil, u.nothing()
	}
	return u, nil
}

// nothing is the error for a document in which no part was recognised.
func (u *updater) nothing() error {
	const mark = "give the schedule the columns Drill, Last Executed and Next Due, or mark a part: <!-- firedrill:schedule --> … <!-- /firedrill -->"
	example := slices.IndexFunc(u.codes, func(c code) bool {
		text := strings.ToLower(c.text)
		return strings.Contains(text, "last executed") || strings.Contains(text, "next due")
	})
	switch {
	case example >= 0:
		return refuse(u.name, u.codes[example].line, "its schedule stands in a block of code, which is an example", mark)
	case len(u.html) > 0:
		return refuse(u.name, u.html[0], "its table is HTML; only tables of Markdown are kept up to date", "write it as Markdown: | Drill | Frequency | Last Executed | Next Due |")
	case len(u.quoted) > 0:
		return refuse(u.name, u.quoted[0], "its table stands in a quotation or a list; only tables at the top level are kept up to date", "move it out")
	}
	return refuse(u.name, 0, "no schedule, execution log or certification table is recognised in it", mark)
}

// edit replaces a stretch of the body.
type edit struct {
	span
	text string
}

// updater gathers what is to be changed.
type updater struct {
	*document
	facts   Facts
	eol     string            // of lines that are added
	titles  map[string]string // of drills, as the schedule has them
	edits   []edit
	changes []Change
	left    []Left
}

func (u *updater) leave(line int, part Part, what, why string) {
	u.left = append(u.left, Left{line, part, what, why})
}

// replace changes a stretch within a line, unless it is that already.
func (u *updater) replace(line int, part Part, what string, s span, text string) {
	if old := u.text(s); old != text {
		u.edits = append(u.edits, edit{s, text})
		u.changes = append(u.changes, Change{line, part, what, strings.TrimSpace(old), strings.TrimSpace(text)})
	}
}

// set changes a stretch of a cell. Where spaces fill the cell up to the width of its
// column, they go on doing so.
func (u *updater) set(line int, part Part, what string, cell, fact span, text string) {
	old := u.text(fact)
	if old == text {
		return
	}
	whole := u.text(cell)
	before := whole[:fact.start-cell.start]
	after := whole[fact.stop-cell.start:]
	core := strings.TrimRightFunc(after, blank)
	pad := len(after) - len(core)
	grown := utf8.RuneCountInString(text) - utf8.RuneCountInString(old)
	switch {
	case strings.TrimFunc(whole, blank) == "":
		before, core, pad = " ", "", max(1, utf8.RuneCountInString(whole)-1-utf8.RuneCountInString(text))
	case pad > 1 && strings.TrimLeft(after[len(core):], " ") == "":
		pad = max(1, pad-grown)
	default:
		u.replace(line, part, what, fact, text)
		return
	}
	u.edits = append(u.edits, edit{cell, before + text + core + strings.Repeat(" ", pad)})
	u.changes = append(u.changes, Change{line, part, what, old, text})
}

// insert adds text after a line.
func (u *updater) insert(line int, part Part, what, text string) {
	at := u.afterLine(line)
	if at == len(u.body) && at > 0 && u.body[at-1] != '\n' {
		text = u.eol + strings.TrimSuffix(text, u.eol)
	}
	u.edits = append(u.edits, edit{span{at, at}, text})
	u.changes = append(u.changes, Change{line, part, what, "", strings.TrimSpace(text)})
}

// apply writes the document.
func (u *updater) apply() (Updated, error) {
	slices.SortStableFunc(u.edits, func(a, b edit) int { return a.start - b.start })
	slices.SortStableFunc(u.changes, func(a, b Change) int { return a.Line - b.Line })
	slices.SortStableFunc(u.left, func(a, b Left) int { return cmp.Compare(uint(a.Line-1), uint(b.Line-1)) }) // what is nowhere comes last
	out := []byte(u.bom)
	at := 0
	for _, e := range u.edits {
		if e.start < at {
			return Updated{}, refuse(u.name, u.lineAt(e.start), "two facts have one place here", "mark the parts: <!-- firedrill:schedule --> … <!-- /firedrill -->")
		}
		out = append(append(out, u.body[at:e.start]...), e.text...)
		at = e.stop
	}
	return Updated{Text: append(out, u.body[at:]...), Changes: u.changes, Left: u.left}, nil
}

// columns finds the columns of a table by their names. Two of one kind are refused.
func (d *document) columns(t table, kinds map[string]func(string) bool) (map[string]int, error) {
	found := map[string]int{}
	var err error
	for i, c := range t.rows[0].cells {
		head := joined(d.cell(c))
		for kind, is := range kinds {
			if !is(head) {
				continue
			}
			if _, twice := found[kind]; twice {
				err = refuse(d.name, t.line, "the table has two columns for "+kind, "give one of them another name")
			}
			found[kind] = i
		}
	}
	return found, err
}

// is tells whether a heading of a column is one of some.
func is(names ...string) func(string) bool {
	return func(head string) bool { return slices.Contains(names, head) }
}

// choose finds the table of a part among those that look like it: the one that is
// marked, the only one under a heading that passes, or the only one. ok is false where
// there is none.
func (u *updater) choose(part Part, like func(table) (bool, error), passes func(string) bool) (t table, ok bool, err error) {
	m, marked := u.markedAs(part)
	var all, titled []table
	for _, t := range u.tables {
		if marked && (u.lines[t.line-1] < m.start || u.lines[t.line-1] >= m.stop) {
			continue
		}
		yes, err := like(t)
		switch {
		case !yes:
			continue
		case err != nil:
			return table{}, false, err
		}
		all = append(all, t)
		if u.under(u.lines[t.line-1], passes) {
			titled = append(titled, t)
		}
	}
	if marked && len(all) == 0 {
		return table{}, false, refuse(u.name, m.line, "no table of the "+string(part)+" stands between the markers", columnsOf(part))
	}
	if len(titled) > 0 {
		all = titled
	}
	switch len(all) {
	case 0:
		return table{}, false, nil
	case 1:
		return all[0], true, nil
	}
	return table{}, false, refuse(u.name, all[1].line, fmt.Sprintf("this table looks like the %s, as the one of line %d does", part, all[0].line), "mark the one that counts: <!-- firedrill:"+string(part)+" --> … <!-- /firedrill -->")
}

func columnsOf(part Part) string {
	if part == Schedule {
		return "it needs the columns Drill, and Last Executed or Next Due"
	}
	return "it needs the columns Requirement and Status"
}
