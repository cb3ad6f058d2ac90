package cloudflare

import "strings"

// nearest gives the name that is most like the wanted one, "" if none is.
func nearest(want string, names []string) string {
	best, found := len([]rune(want))/2+2, ""
	for _, n := range names {
		if d := distance(strings.ToLower(want), strings.ToLower(n)); d < best {
			best, found = d, n
		}
	}
	return found
}

// distance counts the letters to insert, delete or replace between two words.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range y {
			cost := diagonal
			if r != s {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}
