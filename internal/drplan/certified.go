package drplan

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// certificationColumns are the columns of a certification table.
func certificationColumns() map[string]func(string) bool {
	return map[string]func(string) bool{
		"the requirement": is("requirement", "requirements", "criterion", "criteria", "item", "control"),
		"the status":      is("status", "state", "done", "met", "result"),
		"the notes":       is("notes", "note", "evidence", "comment", "comments", "remarks"),
	}
}

// certification brings the certification table and the lines of the score up to date.
func (u *updater) certification() (bool, error) {
	titled := func(h string) bool { return hasAny(words(h), "certification", "certified", "certificate", "score") }
	_, marked := u.markedAs(Certified)
	like := func(t table) (bool, error) {
		c, err := u.columns(t, certificationColumns())
		_, requirement := c["the requirement"]
		_, status := c["the status"]
		// Any list of tasks has such columns.
		return requirement && status && (marked || u.under(u.lines[t.line-1], titled)), err
	}
	t, ok, err := u.choose(Certified, like, titled)
	if err != nil {
		return false, err
	}
	where, scored := u.scoreLines(t, ok, titled)
	switch {
	case !ok && !scored:
		u.leave(0, Certified, "the certification", "no table with the columns Requirement and Status stands under a heading about certification")
		return false, nil
	case u.facts.Certification == nil:
		line := t.line
		if !ok {
			line = where[0]
		}
		u.leave(line, Certified, "the certification", "the score is not known, so the table and the score stay as they are")
		return true, nil
	}
	if ok {
		columns, err := u.columns(t, certificationColumns())
		if err != nil {
			return false, err
		}
		u.requirements(t, columns)
	}
	u.score(where)
	return true, nil
}

// scoreLines gives the lines in which the score may stand: those that are marked, or
// of the section of the table, or of a heading about the score. scored is true if one
// of them has it.
func (u *updater) scoreLines(t table, ok bool, titled func(string) bool) (lines []int, scored bool) {
	if m, marked := u.markedAs(Score); marked {
		return u.plainLines(m.span), true
	}
	for i, h := range u.headings {
		s := u.section(i)
		inside := ok && s.start <= u.lines[t.line-1] && u.lines[t.line-1] < s.stop
		if titled(h.text) && (inside || !ok) {
			for _, line := range u.plainLines(s) {
				if !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
		}
	}
	slices.Sort(lines)
	scored = slices.ContainsFunc(lines, func(l int) bool {
		return finalScore.MatchString(u.lineText(l)) || sumOfScore.MatchString(u.lineText(l))
	})
	return lines, scored
}

// item finds what a requirement speaks about.
func (u *updater) item(title string) (*Item, string) {
	c := u.facts.Certification
	only := func(passes func(Item) bool) *Item {
		var found *Item
		for i := range c.Items {
			if passes(c.Items[i]) {
				if found != nil {
					return nil
				}
				found = &c.Items[i]
			}
		}
		return found
	}
	w := words(title)
	for _, passes := range []func(Item) bool{
		func(i Item) bool { return joined(i.Title) == joined(title) || joined(i.ID) == joined(title) },
		func(i Item) bool {
			return i.Baseline && hasAny(w, "hardening", "baseline", "prerequisite", "prerequisites")
		},
		func(i Item) bool { return hasAll(w, words(i.ID)...) || hasAll(w, words(i.Title)...) },
	} {
		if i := only(passes); i != nil {
			return i, ""
		}
	}
	drill, _ := u.facts.find(title)
	if drill == nil {
		// A claim about a drill that the plan does not even have must not stay.
		if use := useOf(title); use != "" {
			if i := only(func(i Item) bool { return i.ID == use || i.Drill == use }); i != nil {
				return i, ""
			}
		}
		return nil, "the score has no such item"
	}
	if i := only(func(i Item) bool { return i.Drill == drill.Name || i.Drill != "" && i.Drill == drill.Use }); i != nil {
		return i, ""
	}
	return nil, "the score has no single item for drill " + drill.Name
}

// requirements brings the rows of the certification table up to date.
func (u *updater) requirements(t table, columns map[string]int) {
	statuses := u.column(t, columns["the status"])
	seen := map[string]int{}
	for _, r := range t.rows[1:] {
		at := columns["the requirement"]
		if at >= len(r.cells) || columns["the status"] >= len(r.cells) {
			u.leave(r.line, Certified, "a row", "it has no cell for its requirement and its status")
			continue
		}
		title := u.cell(r.cells[at])
		item, why := u.item(title)
		if item == nil {
			u.leave(r.line, Certified, title, why)
			continue
		}
		if first := seen[item.ID]; first > 0 {
			u.leave(r.line, Certified, title, fmt.Sprintf("line %d is about %s already", first, item.ID))
			continue
		}
		seen[item.ID] = r.line
		title = plainTitle(title)
		u.status(r.line, title, r.cells[columns["the status"]], *item, statuses.tick, u.openMark(t, columns["the status"]))
		if notes, has := columns["the notes"]; has && notes < len(r.cells) {
			u.notes(r.line, title, r.cells[notes], *item)
		}
	}
}

// openMark is how the column says that something is not done.
func (u *updater) openMark(t table, column int) string {
	for _, r := range t.rows[1:] {
		if column < len(r.cells) {
			if text := u.cell(r.cells[column]); text != "" && tickIn(text) == "" {
				return text
			}
		}
	}
	return "⏳"
}

// status writes whether an item counts.
func (u *updater) status(line int, title string, cell span, item Item, tick, open string) {
	text := u.text(cell)
	core := strings.TrimFunc(text, blank)
	start := cell.start + strings.Index(text, core)
	fact := span{start, start + len(core)}
	has := tickIn(core) != ""
	switch {
	case item.Shown && !has:
		u.set(line, Certified, title+": status", cell, fact, tick)
	case !item.Shown && (has || core == ""):
		u.set(line, Certified, title+": status", cell, fact, open)
	}
}

// claim is a note that says that something passed, or what we say instead.
var claim = regexp.MustCompile(`(?i)^\**\s*(?:passed|not shown|achieved)\b`)

// notes writes what shows an item. A note in other words stays, unless it is about a
// drill that now has a run to show.
func (u *updater) notes(line int, title string, cell span, item Item) {
	text := u.text(cell)
	core := strings.TrimFunc(text, blank)
	start := cell.start + strings.Index(text, core)
	fresh := ""
	switch {
	case item.Shown && item.Drill != "" && item.At != nil:
		fresh = "**PASSED " + item.At.In(u.facts.Zone).Format(dayForm([]string{core})) + "**"
		if took := u.took(item); took != "" {
			fresh += " - " + took
		}
	case !item.Shown && (claim.MatchString(core) || placeholder(core)):
		fresh = "not shown: " + strings.ReplaceAll(cmp.Or(inline(item.Why), "there is no evidence"), "|", `\|`)
	default:
		return
	}
	u.set(line, Certified, title+": notes", cell, span{start, start + len(core)}, fresh)
}

// took is how long the run that shows an item needed to recover.
func (u *updater) took(item Item) string {
	for _, d := range u.facts.Drills {
		if (d.Name == item.Drill || d.Use == item.Drill) && d.Passed != nil && d.Passed.RTO.Actual != nil && d.Passed.Started.Equal(*item.At) {
			return "recovered in " + seconds(*d.Passed.RTO.Actual)
		}
	}
	return ""
}

const number = `\d+(?:\.\d+)?`

var (
	finalScore = regexp.MustCompile(`(?i)^ {0,8}(?:(?:[-*+]|\d+[.)]) +)?\*{0,2}(?:(?:final|current|total|overall) +)?score\*{0,2}:\*{0,2} +\*{0,2}(` + number + `)(?: ?/ ?10(?:\.0)?)?\*{0,2}(?: \(([^()]*)\))?`)
	sumOfScore = regexp.MustCompile(`(?i)^ {0,8}(?:(?:[-*+]|\d+[.)]) +)?(` + number + `) \(baseline\) \+ (` + number + `) \(each passed drill\) [×x*] (\d+) = \*{0,2}(` + number + `)\*{0,2}`)
	itemPoints = regexp.MustCompile(`^( {0,8})[-*+] +([^:|]+): *\+(` + number + `)[ \t]*(?:<!--[^>]*-->)?[ \t]*$`)
	achieved   = regexp.MustCompile(`(?i)^ {0,8}(?:(?:[-*+]|\d+[.)]) +)?\*{0,2}certification\*{0,2}:\*{0,2} +(.*?)[ \t]*$`)
	achievedAs = regexp.MustCompile(`(?i)^\*{0,2}(?:not )?(?:achieved|pending|tbd)(?: ` + dayPattern + `)?\*{0,2}(?: \(target [^()]*\))?$`)
	wanted     = regexp.MustCompile(`(?i)^ {0,3}(?:[-*+] +)?\*{0,2}target score\*{0,2}:\*{0,2} +(` + number + `)`)
	wantedHead = regexp.MustCompile(`(?i)\bto (` + number + `)$`)
)

// score brings the lines of the score up to date.
func (u *updater) score(lines []int) {
	c := u.facts.Certification
	baseline, drills, each, all := 0.0, 0, 0.0, 0
	for _, i := range c.Items {
		switch {
		case i.Baseline && i.Shown:
			baseline += i.Points
		case i.Drill != "":
			all++
			each = max(each, i.Points)
			if i.Shown {
				drills++
			}
		}
	}
	for n, line := range lines {
		s := u.lineSpan(line)
		part := func(m []int, group int, what, text string) {
			if m[2*group] >= 0 {
				u.replace(line, Score, what, span{s.start + m[2*group], s.start + m[2*group+1]}, text)
			}
		}
		text := u.text(s)
		if m := finalScore.FindStringSubmatchIndex(text); m != nil {
			part(m, 1, "score", points(c.Score))
			part(m, 2, "level", cmp.Or(inline(c.Level), "no level"))
		} else if m := sumOfScore.FindStringSubmatchIndex(text); m != nil {
			part(m, 1, "baseline", points(baseline))
			part(m, 2, "points of a drill", points(each))
			part(m, 3, "passed drills", strconv.Itoa(drills))
			part(m, 4, "sum", points(baseline+each*float64(drills)))
		} else if strings.Contains(strings.ToLower(text), "baseline") && strings.Contains(text, "=") {
			u.leave(line, Score, "the sum", "it is not written as 8.0 (baseline) + 0.1 (each passed drill) × 4 = 8.4, and stays as it is")
		} else if m := achieved.FindStringSubmatchIndex(text); m != nil {
			u.achieved(line, span{s.start + m[2], s.start + m[3]})
		} else if m := itemPoints.FindStringSubmatchIndex(text); m != nil {
			u.points(lines[n+1:], line, span{s.start + m[6], s.start + m[7]}, m[3]-m[2], text[m[4]:m[5]])
		}
	}
}

// points writes what an item gives, or what all below it give.
func (u *updater) points(after []int, line int, s span, depth int, label string) {
	if item, _ := u.item(label); item != nil {
		u.replace(line, Score, inline(label), s, given(*item))
		return
	}
	sum, some := 0.0, false
	for n, next := range after {
		m := itemPoints.FindStringSubmatch(u.lineText(next))
		if m == nil || len(m[1]) <= depth || next != line+1+n {
			break
		}
		item, _ := u.item(m[2])
		if item == nil {
			u.leave(line, Score, label, "part of it is no item of the score")
			return
		}
		some = true
		if item.Shown {
			sum += item.Points
		}
	}
	if !some {
		u.leave(line, Score, label, "the score has no such item")
		return
	}
	u.replace(line, Score, label, s, decimal(sum))
}

// given is what an item gives now.
func given(i Item) string {
	if !i.Shown {
		return "0"
	}
	return decimal(i.Points)
}

func decimal(p float64) string { return strconv.FormatFloat(math.Round(p*100)/100, 'f', -1, 64) }

// achieved writes whether the score reaches what the document wants.
func (u *updater) achieved(line int, s span) {
	want, ok := u.wanted()
	switch {
	case !ok:
		u.leave(line, Score, "certification", "the document names no target score (Target Score: 8.5/10)")
		return
	case !achievedAs.MatchString(u.text(s)):
		u.leave(line, Score, "certification", "it is written in other words than ACHIEVED or NOT ACHIEVED, and stays as it is")
		return
	}
	c := u.facts.Certification
	if c.Score < want {
		u.replace(line, Score, "certification", s, "NOT ACHIEVED (target "+points(want)+")")
		return
	}
	// It holds since the newest of what shows it.
	text := "ACHIEVED"
	var since *Item
	for i, item := range c.Items {
		if item.Shown && item.At != nil && (since == nil || item.At.After(*since.At)) {
			since = &c.Items[i]
		}
	}
	if since != nil {
		text += " " + since.At.In(u.facts.Zone).Format(dayForm([]string{u.text(s)}))
	}
	u.replace(line, Score, "certification", s, text)
}

// wanted is the score that the document wants to reach.
func (u *updater) wanted() (float64, bool) {
	for _, line := range u.plainLines(span{0, len(u.body)}) {
		if m := wanted.FindStringSubmatch(u.lineText(line)); m != nil {
			v, err := strconv.ParseFloat(m[1], 64)
			return v, err == nil
		}
	}
	for _, h := range u.headings {
		if m := wantedHead.FindStringSubmatch(h.text); m != nil && hasAny(words(h.text), "certification", "score") {
			v, err := strconv.ParseFloat(m[1], 64)
			return v, err == nil
		}
	}
	return 0, false
}
