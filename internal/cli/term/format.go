package term

import (
	"time"

	"firedrill/internal/say"
)

// Seconds writes a measured time: "31 ms", "0.24 s", "2 min 5 s".
func Seconds(s float64) string { return say.Seconds(s) }

// Duration writes a time that somebody set: "15 min".
func Duration(d time.Duration) string { return say.Duration(d) }

// Count writes a number with thousands separated.
func Count(n int64) string { return say.Count(n) }

// Plural writes a count with its noun.
func Plural(n int64, noun string) string { return say.Plural(n, noun) }

// Ago writes how long ago something was, coarsely.
func Ago(d time.Duration) string { return say.Ago(d) }
