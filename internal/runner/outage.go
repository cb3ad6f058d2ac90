package runner

import (
	"context"
	"fmt"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/engine"
)

// DefaultPatience is how long a run waits on its way back for a platform that is
// away.
const DefaultPatience = 30 * time.Minute

// The pauses between two tries while the platform is away; each is twice the one
// before it.
const (
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// outage is the time since which the platform is away. All calls of the run share
// it, so that its patience is spent once and not by every attempt.
type outage struct {
	mu    sync.Mutex
	since firedrill.Stamp // zero: it answers
}

// patient tells whether a call waits for a platform that is away: those on which it
// depends whether the environment is damaged in the end. All others fail, and make
// the run turn back.
func (d *drive) patient(e engine.Effect) bool {
	switch e.Role {
	case firedrill.RoleUndo, firedrill.RoleLook:
		return true
	case firedrill.RoleDo:
		return d.injection.phases[e.Step] == firedrill.Recover && e.Impact == firedrill.Changes
	}
	return false
}

// isAway tells whether a call failed because the platform takes no requests, and may
// be tried again without harm.
func (d *drive) isAway(e engine.Effect, err error) bool {
	switch firedrill.KindOf(err) {
	case firedrill.KindNotSent, firedrill.KindUnavailable, firedrill.KindLimited:
		return true
	case firedrill.KindUnknown:
		spec, _ := d.r.cfg.Registry.Action(e.Uses)
		return spec.Replay == firedrill.Idempotent
	}
	return false
}

// wait waits until the platform is asked again. It gives false when the patience is
// used up or the call was cancelled.
func (d *drive) wait(ctx context.Context, cause error, pause time.Duration) bool {
	now := d.r.cfg.Now()
	d.away.mu.Lock()
	first := d.away.since.IsZero()
	if first {
		d.away.since = now
	}
	gone, _ := now.Since(d.away.since)
	d.away.mu.Unlock()
	if gone >= d.r.cfg.Patience {
		return false
	}
	if first {
		d.r.cfg.Notice(fmt.Sprintf("%v; waiting up to %s for it, and then putting back goes on", cause, d.r.cfg.Patience))
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// answers notes that the platform took a call.
func (d *drive) answers() {
	now := d.r.cfg.Now()
	d.away.mu.Lock()
	since := d.away.since
	d.away.since = firedrill.Stamp{}
	d.away.mu.Unlock()
	if !since.IsZero() {
		gone, _ := now.Since(since)
		d.r.cfg.Notice(fmt.Sprintf("it answers again after %s", gone.Round(time.Second)))
	}
}
