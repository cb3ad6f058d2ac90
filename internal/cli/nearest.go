package cli

import "firedrill"

// didYouMean suggests the nearest of names, or where to look.
func didYouMean(given string, names []string, list string) string {
	if best := firedrill.Nearest(given, names); best != "" {
		return "did you mean " + best + "? See: " + list
	}
	return "see: " + list
}
