package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// days is a flag for a span of time that also takes days: "30d", "36h". It is
// 0 until it is set.
type days time.Duration

func (d *days) String() string {
	if *d == 0 {
		return ""
	}
	if n := time.Duration(*d); n%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", n/(24*time.Hour))
	}
	return time.Duration(*d).String()
}

// Set reads a span; it has to be longer than nothing.
func (d *days) Set(text string) error {
	var span time.Duration
	if n, is := strings.CutSuffix(text, "d"); is {
		count, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no number of days", text)
		}
		span = time.Duration(count) * 24 * time.Hour
	} else {
		var err error
		if span, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("%q is no span of time: write for example 30d or 36h", text)
		}
	}
	if span <= 0 {
		return fmt.Errorf("%q is not longer than nothing", text)
	}
	*d = days(span)
	return nil
}

// Type names the flag's value in the help.
func (d *days) Type() string { return "span" }
