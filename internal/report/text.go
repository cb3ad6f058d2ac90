package report

import (
	"time"

	"firedrill/internal/say"
)

// goal writes a target, given in seconds.
func goal(seconds float64) string {
	return say.Duration(time.Duration(seconds * float64(time.Second)))
}
