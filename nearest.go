package firedrill

import "strings"

// Nearest gives the name that was probably meant, "" if none is near. Errors
// about a name that does not exist say it as their remedy.
func Nearest(given string, names []string) string {
	best, distance := "", 1+len([]rune(given))/2
	for _, n := range names {
		if d := editDistance(strings.ToLower(given), strings.ToLower(n)); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// editDistance counts the letters to insert, remove or replace.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(y)]
}
