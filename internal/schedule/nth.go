package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// nth is a weekday by its place in the month: the first Monday, the last Friday.
type nth struct {
	place int // 1 to 4; 0: the last
	of    time.Weekday
}

// places lists the places in a month, by their numbers.
func places() []string { return []string{"last", "first", "second", "third", "fourth"} }

// weekdays lists the short names of the days, by their numbers.
func weekdays() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// readNth reads "first monday"; nil for "".
func readNth(text string) (*nth, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // a window without it opens in every week
	}
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) == 2 {
		place := slices.Index(places(), fields[0])
		for d := range 7 {
			if name := strings.ToLower(time.Weekday(d).String()); place >= 0 && (fields[1] == name || fields[1] == weekdays()[d]) {
				return &nth{place, time.Weekday(d)}, nil
			}
		}
	}
	return nil, fmt.Errorf("%q is no day of the month", text)
}

// day gives its day of a month. The fourth is always there.
func (n nth) day(year int, month time.Month) int {
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	day := 1 + (int(n.of)-int(first.Weekday())+7)%7
	if n.place > 0 {
		return day + 7*(n.place-1)
	}
	for last := first.AddDate(0, 1, -1).Day(); day+7 <= last; {
		day += 7
	}
	return day
}
