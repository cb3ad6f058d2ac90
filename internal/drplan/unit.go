package drplan

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reading is a document as one reads a plan: its drills, and what they call.
type reading struct {
	*document
	units []unit
	sets  []assigned
}

// unit is what belongs together: a drill, or a section that is none.
type unit struct {
	title string
	use   string // built-in drill that its title speaks about
	drill bool
	line  int
	span
	calls []command
	lines []int // that are neither code nor table
}

// readPlan reads a document as a plan.
func readPlan(name string, data []byte) (*reading, error) {
	d, err := read(name, data)
	if err != nil {
		return nil, err
	}
	r := &reading{document: d}
	calls, sets := d.shell()
	if len(calls) > maxCalls {
		return nil, refuse(name, calls[maxCalls].line, fmt.Sprintf("it has more than %d commands", maxCalls), "keep the plan in a document of its own")
	}
	r.sets = sets
	for i, h := range d.headings {
		s := d.section(i)
		title, use := plainTitle(h.text), ""
		if m := drillHeading.FindStringSubmatch(title); m != nil {
			title = m[2]
			use = useOf(title)
		} else if use = useOf(title); use == "" && h.level != 2 {
			continue
		}
		inside := slices.ContainsFunc(r.units, func(u unit) bool { return u.start <= h.start && h.start < u.stop })
		if inside && (use == "" || r.drillAround(h.start)) {
			continue
		}
		u := unit{title: title, use: use, line: d.lineAt(h.start), span: s, lines: d.plainLines(s)}
		u.drill = (use != "" || drillHeading.MatchString(plainTitle(h.text))) && !d.isRecord(i)
		r.units = append(r.units, u)
	}
	// A call belongs to the innermost unit.
	for _, c := range calls {
		at := -1
		for i, u := range r.units {
			if pos := d.lines[c.line-1]; u.start <= pos && pos < u.stop && (at < 0 || u.start > r.units[at].start) {
				at = i
			}
		}
		if at < 0 {
			r.units = append([]unit{{title: name, span: span{0, len(d.body)}, line: 1}}, r.units...)
			at = 0
		}
		r.units[at].calls = append(r.units[at].calls, c)
	}
	return r, nil
}

// drillAround tells whether a position stands in a drill already.
func (r *reading) drillAround(pos int) bool {
	return slices.ContainsFunc(r.units, func(u unit) bool { return u.drill && u.start <= pos && pos < u.stop })
}

// isRecord tells whether a heading is about what was done, not about what is to be: it
// stands in a log or in a section about certification.
func (d *document) isRecord(i int) bool {
	passes := func(h string) bool { return isLog(h) || hasAny(words(h), "certification", "score", "template") }
	return passes(d.headings[i].text) || d.under(d.headings[i].start, passes)
}

// drills gives the units that are drills.
func (r *reading) drills() []unit {
	var all []unit
	for _, u := range r.units {
		if u.drill {
			all = append(all, u)
		}
	}
	return all
}

// says finds the first line of a unit that a pattern matches; 0 if there is none.
func (r *reading) says(u unit, pattern *regexp.Regexp) int {
	for _, line := range u.lines {
		if pattern.MatchString(r.lineText(line)) {
			return line
		}
	}
	return 0
}

// first gives the first call after a position that passes; ok is false if there is none.
func (u unit) first(after int, passes func(command) bool) (command, bool) {
	for _, c := range u.calls {
		if c.pos > after && passes(c) {
			return c, true
		}
	}
	return command{}, false
}

func (u unit) all(passes func(command) bool) []command {
	var found []command
	for _, c := range u.calls {
		if passes(c) {
			found = append(found, c)
		}
	}
	return found
}

// lasting is a number with a unit of time.
const lasting = `(\d+(?:\.\d+)?) ?(seconds?|secs?|s|minutes?|mins?|min|m|hours?|hrs?|h|days?|d)\b`

var (
	bounded    = regexp.MustCompile(`(?i)(?:<=?|≤|under|within|less than|at most|max(?:imum)?\.?|below|:|of) *\**` + lasting)
	timeTarget = regexp.MustCompile(`(?i)\brto\b|\btime\b|full recovery|recovery within|recover(?:ed|s)? (?:in|within|under)`)
	lossTarget = regexp.MustCompile(`(?i)\brpo\b|data loss`)
)

// target finds how long a unit says something may take; 0 if it says nothing.
func (r *reading) target(u unit, about *regexp.Regexp) (d time.Duration, line int) {
	for _, line := range u.lines {
		text := r.lineText(line)
		if !about.MatchString(text) || about == timeTarget && lossTarget.MatchString(text) && !strings.Contains(strings.ToLower(text), "rto") {
			continue
		}
		// "RTO: 15 min, RPO: 30 min" says two things: what follows the word counts first.
		for _, part := range []string{text[about.FindStringIndex(text)[0]:], text} {
			if m := bounded.FindStringSubmatch(part); m != nil {
				if d, ok := duration(m[1], m[2]); ok {
					return d, line
				}
			}
		}
	}
	return 0, 0
}

// duration reads a number with a unit.
func duration(number, of string) (time.Duration, bool) {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || n <= 0 || n > 1e6 {
		return 0, false
	}
	each := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[strings.ToLower(of)[0]]
	return time.Duration(n * float64(each)), each > 0
}
