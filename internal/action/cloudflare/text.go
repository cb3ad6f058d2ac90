package cloudflare

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// count gives a number with its noun: "1 row", "3,204 rows".
func count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	plural := noun + "s"
	switch {
	case strings.HasSuffix(noun, "x"):
		plural = noun + "es"
	case strings.HasSuffix(noun, "ry"):
		plural = strings.TrimSuffix(noun, "y") + "ies"
	}
	return grouped(int64(n)) + " " + plural
}

// grouped writes a number with commas between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// sortedKeys gives the names in a map in order.
func sortedKeys[V any](m map[string]V) []string {
	out := slices.Sorted(maps.Keys(m))
	if out == nil {
		out = []string{}
	}
	return out
}
