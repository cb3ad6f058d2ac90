package drplan

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// words gives the words of a text in small letters, without signs and emphasis.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(comment.ReplaceAllString(text, " ")), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

var comment = regexp.MustCompile(`<!--.*?-->`)

// joined gives the words of a text with single spaces.
func joined(text string) string { return strings.Join(words(text), " ") }

// hasAll tells whether all of the words are among those of a text.
func hasAll(text []string, all ...string) bool {
	for _, w := range all {
		if !slices.Contains(text, w) {
			return false
		}
	}
	return len(all) > 0
}

func hasAny(text []string, any ...string) bool {
	return slices.ContainsFunc(any, func(w string) bool { return slices.Contains(text, w) })
}

// mention tells whether words follow each other in a text.
func mention(text []string, phrase string) bool {
	return strings.Contains(" "+strings.Join(text, " ")+" ", " "+phrase+" ")
}

// placeholder tells whether a cell says that there is nothing yet.
func placeholder(cell string) bool {
	return slices.Contains([]string{"", "pending", "tbd", "tba", "never", "none", "n a", "not yet", "not run", "not executed", "not scheduled", "todo", "to be determined", "unknown"}, joined(cell))
}

// ticks are the signs by which documents say that something is done.
func ticks() []string {
	return []string{"✅", "✔️", "✔", "☑️", "☑", "✓", ":white_check_mark:", ":heavy_check_mark:", "[x]", "[X]"}
}

// tickIn gives the tick of a text, or "".
func tickIn(text string) string {
	for _, t := range ticks() {
		if strings.Contains(text, t) {
			return t
		}
	}
	return ""
}

// dayForms are the ways in which a day is written that cannot be misread.
func dayForms() []string {
	return []string{time.DateOnly, "2006/01/02", "02.01.2006", "2.1.2006", "2 January 2006", "2 Jan 2006", "January 2, 2006", "Jan 2, 2006"}
}

// dayPattern finds a day in one of these ways.
const dayPattern = `(?:\d{4}-\d{2}-\d{2}|\d{4}/\d{2}/\d{2}|\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2} [A-Z][a-z]{2,8} \d{4}|[A-Z][a-z]{2,8} \d{1,2}, \d{4})`

var day = regexp.MustCompile(dayPattern)

// dayForm gives the way in which the first day of some texts is written.
func dayForm(texts []string) string {
	for _, t := range texts {
		found := day.FindString(t)
		for _, form := range dayForms() {
			if at, err := time.Parse(form, found); err == nil && at.Format(form) == found {
				return form
			}
		}
	}
	return time.DateOnly
}

// seconds writes a measured time: "31 ms", "0.24 s", "12.4 s", "2 min 5 s".
func seconds(s float64) string {
	switch {
	case s < 0.0995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 9.995:
		return fmt.Sprintf("%.2f s", s)
	case s < 59.95:
		return fmt.Sprintf("%.1f s", s)
	}
	whole := int64(math.Round(s))
	var parts []string
	for _, u := range []struct {
		of   int64
		name string
	}{{24 * 3600, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}} {
		if n := whole / u.of; n > 0 {
			parts, whole = append(parts, fmt.Sprintf("%d %s", n, u.name)), whole%u.of
		}
	}
	return strings.Join(parts[:min(2, len(parts))], " ")
}

// points writes a score: "8.0", "8.45".
func points(p float64) string {
	s := strconv.FormatFloat(math.Round(p*100)/100, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// inline makes a text safe inside a line of Markdown: one line, without what would
// begin a comment or end a code span.
func inline(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	return strings.NewReplacer("<", "&lt;", "`", "'").Replace(strings.Join(strings.Fields(text), " "))
}
