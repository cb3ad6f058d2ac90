package cli

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"firedrill"
	"firedrill/internal/cli/term"
)

// damageReport tells what is damaged at this moment and how to repair it.
type damageReport func() []firedrill.Left

// listen turns the first interrupt into a cancelled context, so that the
// command puts right what it changed, and leaves at once on the second, after
// saying what is damaged and which command repairs it.
func (a *app) listen(cancel context.CancelFunc) {
	if a.Signals == nil {
		return
	}
	go func() {
		first, ok := <-a.Signals
		if !ok {
			return
		}
		if a.report() != nil {
			fmt.Fprintf(a.Stderr, "\n%s %s: putting back what was changed; once more to leave at once\n", a.err.Paint(term.Warn, "interrupted"), first)
		}
		cancel()
		for again := range a.Signals {
			// A terminal that closes hangs up more than once, and asks nobody to hurry.
			if again != syscall.SIGHUP {
				a.leave()
				return
			}
		}
	}()
}

// leave ends the process in the middle of what it does.
func (a *app) leave() {
	status := firedrill.ExitInterrupted
	if report := a.report(); report != nil {
		left := report()
		for _, l := range left {
			status = firedrill.ExitDirty
			a.err.Line(term.Bad, "damaged", l.What)
			if l.Repair != "" {
				a.err.Command("  repair", l.Repair)
			}
		}
		if len(left) > 0 {
			a.err.Command("  or", a.again("resume"))
		}
	}
	a.Exit(status)
}

// again is the command line of another command on the same state folder.
func (a *app) again(command string) string {
	text := "firedrill " + command
	if a.global.home != "" {
		text += " --home '" + strings.ReplaceAll(a.global.home, "'", `'\''`) + "'"
	}
	return text
}

func (a *app) report() damageReport {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.damaged
}

func (a *app) setReport(r damageReport) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.damaged = r
}
