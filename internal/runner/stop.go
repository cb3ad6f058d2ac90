package runner

import (
	"context"
	"errors"
	"time"

	"firedrill"
)

// stopPoll is how often a run looks whether somebody wants it to turn back. It
// reads two files that are hardly ever there.
const stopPoll = 200 * time.Millisecond

// halted refuses new runs while drills are halted. A recovery is no drill: it may be
// what they were halted for.
func (r *Runner) halted(p firedrill.Program) error {
	if p.Incident != nil {
		return nil
	}
	s, err := r.cfg.Home.Halted()
	if err != nil || s == nil {
		return err
	}
	return &firedrill.Error{Op: "run " + p.Drill, Kind: firedrill.KindGuard, Target: "environment " + p.Environment.Name,
		Detail: "all drills are halted " + s.String(), Remedy: "when it is safe again: firedrill halt --off"}
}

// watch turns a run back when somebody aborts it or halts all. A mark that cannot
// be read is no wish: the run goes on as it would without, and its own writing
// meets the same disk.
func (r *Runner) watch(ctx context.Context, p firedrill.Program, run string, stop context.CancelCauseFunc) {
	asked := r.cfg.Home.Stopped
	if p.Incident != nil { // a halt is for drills
		asked = r.cfg.Home.Aborted
	}
	tick := time.NewTicker(stopPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s, err := asked(run); err == nil && s != nil {
			stop(errors.New("it was stopped " + s.String()))
			return
		}
	}
}
