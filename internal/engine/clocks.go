package engine

import (
	"fmt"
	"time"

	"firedrill"
)

// jumped is by how much the wall clock must depart from the boot clock between
// two records to count as set: more than a correction of the time, which is slow,
// makes up in that stretch.
const (
	jumped = 2 * time.Second
	slewed = 1000 // one part of so many
)

// clocks compares the two clocks of a run's records. Which of two that disagree
// is wrong cannot be known, and what was measured, what expires, and when a fault
// dies by itself hang on one or the other.
type clocks struct {
	last firedrill.Stamp
	why  string // the first disagreement, "" if there was none
}

func (c *clocks) see(at firedrill.Stamp) {
	last := c.last
	c.last = at
	if c.why != "" || last.Boot == "" || last.Boot != at.Boot {
		return // clocks of different boots have nothing in common
	}
	ran := time.Duration(at.Mono - last.Mono)
	apart := at.Wall.Sub(last.Wall) - ran
	if apart.Abs() > jumped+ran.Abs()/slewed {
		c.why = fmt.Sprintf("the machine's clock was set or jumped by %s within %s after %s: times of this run cannot be relied on",
			apart.Round(time.Millisecond), ran.Round(time.Millisecond), last.Wall.UTC().Format("15:04:05.000"))
	}
}

// checkClocks: a pass needs times that can be relied on.
func (s *state) checkClocks(f *findings) {
	if s.clocks.why != "" {
		f.add(firedrill.ReasonNotMeasured, s.clocks.why)
	}
}
