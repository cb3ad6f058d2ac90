package runner

import (
	"fmt"

	"firedrill"
	"firedrill/internal/engine"
	"firedrill/internal/schedule"
)

// guard refuses what must never be drilled, before anything is done. The recovery
// of an incident is no drill.
func (r *Runner) guard(p firedrill.Program) error {
	if p.Environment.Class != firedrill.ClassProduction || p.Incident != nil {
		return nil
	}
	return &firedrill.Error{Op: "run " + p.Drill, Kind: firedrill.KindGuard, Target: "environment " + p.Environment.Name,
		Detail: "it is of class production, which no drill may touch", Remedy: "drill a staging environment"}
}

// closed refuses a drill outside the hours that the plan gives it. An incident keeps
// none.
func (r *Runner) closed(p firedrill.Program) error {
	if p.Incident != nil {
		return nil
	}
	return schedule.OpenFor(p.Environment, p.Window, r.cfg.Now().Wall)
}

// guard refuses an effect that is about to be performed. Damage is held against
// the window and the caps once more: a baseline can take long, and steps can ask
// for further ones. What puts things back is never refused for the time of day.
func (d *drive) guard(e engine.Effect) error {
	p := d.m.Program()
	if err := d.r.guard(*p); err != nil || e.Impact != firedrill.Damages || e.Role != firedrill.RoleDo {
		return err
	}
	if d.room.full() {
		return &firedrill.Error{Op: e.Uses, Kind: firedrill.KindNotSent, Target: "step " + e.Step, Detail: diskFull, Remedy: "make room on the disk"}
	}
	if most, is := p.Environment.Limits.Resources, int64(len(d.injection.damaged)); most > 0 && is > most {
		return &firedrill.Error{Op: e.Uses, Kind: firedrill.KindGuard, Target: "step " + e.Step,
			Detail: fmt.Sprintf("it would damage a resource more than the plan allows: %d of %d", is, most), Remedy: "raise limits.resources in the plan, or damage less"}
	}
	return d.r.closed(*p)
}
