package drplan

import (
	"regexp"
	"slices"
	"strings"
)

var (
	onPaper  = regexp.MustCompile(`(?i)\b(?:audit(?:ed)?|reviewed|review|documented|walk-?through|tabletop|on paper|inspected)\b`)
	saysPass = regexp.MustCompile(`(?i)\bpassed\b`)
	wasRun   = regexp.MustCompile(`(?i)\*\*(?:result|recovery time|rto|run|restore command|command)\*\*`)
)

// passedOnPaper finds drills that are called passed because somebody looked at a
// document.
func passedOnPaper(r *reading) (all []Finding) {
	certifies := func(h string) bool {
		return isLog(h) || hasAny(words(h), "certification", "score", "drill", "drills", "schedule")
	}
	for _, t := range r.tables {
		if !r.under(r.lines[t.line-1], certifies) {
			continue
		}
		for _, row := range t.rows[1:] {
			text := ""
			for _, c := range row.cells[min(1, len(row.cells)):] {
				text += r.cell(c) + "\n"
			}
			if saysPass.MatchString(text) && onPaper.MatchString(text) {
				all = append(all, found(row.line, "%q counts as passed because of the word %q: nothing was recovered", plainTitle(r.cell(row.cells[0])), onPaper.FindString(text)))
			}
		}
	}
	for i, h := range r.headings {
		if !r.under(h.start, isLog) || !onPaper.MatchString(h.text) {
			continue
		}
		lines := r.plainLines(r.section(i))
		if !slices.ContainsFunc(lines, func(l int) bool { return wasRun.MatchString(r.lineText(l)) }) {
			all = append(all, found(r.lineAt(h.start), "the log has %q among the drills, and no recovery in it", plainTitle(h.text)))
		}
	}
	return all
}

// freshness tells whether a column says until when evidence counts.
func freshness(head string) bool {
	return is("valid until", "expires", "expiry", "fresh until", "evidence until", "until", "valid for")(head)
}

// sumOfClaims finds a score that is added up from what was once written down.
func sumOfClaims(r *reading) (all []Finding) {
	decays := slices.ContainsFunc(r.tables, func(t table) bool {
		return slices.ContainsFunc(t.rows[0].cells, func(c span) bool { return freshness(joined(r.cell(c))) })
	})
	if decays {
		return nil
	}
	for line := 1; line <= len(r.lines); line++ {
		text := r.lineText(line)
		if !r.hidden[line] && (sumOfScore.MatchString(text) || strings.Contains(strings.ToLower(text), "baseline") && sums.MatchString(text)) {
			all = append(all, found(line, "the score is a sum of what was once written down: nothing takes a point away when it is no longer true"))
		}
	}
	return all
}

// sums is a sum with its result.
var sums = regexp.MustCompile(number + `.*\+.*` + number + `.*=\s*\**` + number)

// pointsWithoutEvidence finds points for things of which no table and no drill says
// that they were shown.
func pointsWithoutEvidence(r *reading) (all []Finding) {
	var labels []string
	first := 0
	for line := 1; line <= len(r.lines); line++ {
		m := itemPoints.FindStringSubmatch(r.lineText(line))
		if m == nil || r.hidden[line] || m[3] == "0" || r.shown(m[2]) || r.sumsUp(line, len(m[1])) {
			continue
		}
		if labels = append(labels, strings.TrimSpace(m[2])); first == 0 {
			first = line
		}
	}
	if first > 0 {
		all = append(all, found(first, "points for %s, of which no drill and no table shows anything", strings.Join(labels, ", ")))
	}
	return all
}

// shown tells whether a row of a table, or a drill, is about something.
func (r *reading) shown(label string) bool {
	w := words(label)
	for _, t := range r.tables {
		for _, row := range t.rows[1:] {
			if len(row.cells) > 0 && hasAll(words(r.cell(row.cells[0])), w...) {
				return true
			}
		}
	}
	return slices.ContainsFunc(r.units, func(u unit) bool { return hasAll(words(u.title), w...) })
}

// sumsUp tells whether the points of a line are those of the lines below it.
func (r *reading) sumsUp(line, depth int) bool {
	if line >= len(r.lines) {
		return false
	}
	m := itemPoints.FindStringSubmatch(r.lineText(line + 1))
	return m != nil && len(m[1]) > depth
}
