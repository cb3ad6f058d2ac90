package runner

import (
	"time"

	"firedrill"
)

// Clock gives the function that stamps moments on this machine. The boot
// clock goes on while the machine sleeps and is the same in every process, so
// that times compare across a resume.
func Clock() func() firedrill.Stamp {
	boot := bootID()
	return func() firedrill.Stamp {
		return firedrill.Stamp{Wall: time.Now().UTC(), Mono: sinceBoot(), Boot: boot}
	}
}
