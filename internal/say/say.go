// Package say writes numbers as people read them, the same in the terminal, in log
// entries and in reports: times with a unit that fits, counts with their thousands
// separated.
package say

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Seconds writes a measured time as a person reads it: "31 ms", "0.24 s",
// "4.1 s", "2 min 5 s", "1 h 10 min".
func Seconds(s float64) string {
	switch {
	case s < 0:
		return "-" + Seconds(-s)
	case s == 0:
		return "0 s"
	case s < 0.0995:
		return fmt.Sprintf("%.0f ms", math.Max(1, math.Round(s*1000)))
	case s < 9.995:
		return fmt.Sprintf("%.2f s", s)
	case s < 59.95:
		return fmt.Sprintf("%.1f s", s)
	}
	return Duration(time.Duration(math.Round(s)) * time.Second)
}

// Duration writes a time that somebody set: "15 min", "1 h", "1 h 30 min".
func Duration(d time.Duration) string {
	if d < time.Minute {
		return strings.TrimSuffix(strings.TrimSuffix(fmt.Sprintf("%.2f", d.Seconds()), "0"), ".0") + " s"
	}
	var parts []string
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / u.unit; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.unit
		}
	}
	return strings.Join(parts[:min(2, len(parts))], " ")
}

// Count writes a number with thousands separated: "3,204".
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural writes a count with its noun: "1 database", "2 databases".
func Plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Ago writes how long ago something was, coarsely: "just now", "3 h ago".
func Ago(d time.Duration) string {
	if d < time.Minute {
		return "just now"
	}
	d = d.Truncate(time.Minute)
	parts := strings.Split(Duration(d), " ")
	return parts[0] + " " + parts[1] + " ago"
}
