package cli

// didYouMean suggests the nearest of names, or where to look.
func didYouMean(given string, names []string, list string) string {
	best, distance := "", 1+len(given)/2
	for _, n := range names {
		if d := editDistance(given, n); d < distance {
			best, distance = n, d
		}
	}
	if best == "" {
		return "see: " + list
	}
	return "did you mean " + best + "? See: " + list
}

// editDistance counts the letters to insert, remove or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
