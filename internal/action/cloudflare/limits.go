package cloudflare

import (
	"fmt"

	"firedrill"
)

// capped is how much may be damaged: as much as is asked for, and no more than the
// plan allows. 0: it caps nothing.
func capped(asked, most int64) int64 {
	if most > 0 {
		return min(asked, most)
	}
	return asked
}

// withinCap refuses damage of more than the plan allows: before it is done where
// that can be known, and afterwards, by what the platform counted, so that the run
// turns back.
func withinCap(op, target, what string, is, most int64) error {
	if most == 0 || is <= most {
		return nil
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: target,
		Detail: fmt.Sprintf("%d %s are more than the plan allows to damage: %d", is, what, most), Remedy: "raise limits." + what + " in the plan, or damage less"}
}
