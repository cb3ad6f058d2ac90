package cli

import (
	"context"
	"errors"
	"slices"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/plan"
	"firedrill/internal/schedule"
)

// leftOut is a drill that run --due did not run, and why.
type leftOut struct {
	Drill string `json:"drill"`
	Why   string `json:"why"`
	exit  int
}

// runDue runs the drills that are due and allowed now, one after another, and says
// what it left and why.
func (a *app) runDue(ctx context.Context, said occasionOptions) (err error) {
	occasion, err := said.occasion()
	if err != nil {
		return err
	}
	p, c, err := a.loadPlan()
	if err != nil {
		return err
	}
	live := a.live()
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), live)
	if err != nil {
		live.Close()
		return err
	}
	defer func() { err = s.close(err) }()
	list, err := a.duties(ctx, s, p)
	var results []firedrill.Result
	left := []leftOut{}
	for _, d := range list {
		if err != nil || ctx.Err() != nil {
			break
		}
		if !d.stands.Scheduled() || !d.stands.IsDue {
			if d.stands.Waits != nil {
				left = append(left, leftOut{d.drill.Name, "run " + d.stands.Waits.Run + " did not pass, and nobody acknowledged it: firedrill ack " + d.stands.Waits.Run, 0})
			}
			continue
		}
		if why, next := d.table.Allowed(a.Now()); why != "" {
			if !next.IsZero() {
				why += "; it may run from " + schedule.DateIn(next, d.table.Zone())
			}
			left = append(left, leftOut{d.drill.Name, why, 0})
			continue
		}
		var prog *firedrill.Program
		if prog, err = plan.Program(p, d.drill.Name, a.global.env, c.registry, c.library); err != nil {
			break
		}
		prog.Window, prog.Occasion = d.drill.Window, occasion
		one := []firedrill.Program{*prog}
		refused := a.confirm(*prog, d.drill.Unattended)
		if refused == nil {
			refused = a.leftLocally(ctx, one)
		}
		if refused == nil {
			var r []firedrill.Result
			r, refused = a.drill(ctx, s, live, one)
			results = append(results, r...)
			if len(r) > 0 {
				err, refused = refused, nil
			}
		}
		switch kind := firedrill.KindOf(refused); {
		case refused == nil:
		case kind == firedrill.KindGuard || kind == firedrill.KindBusy:
			why := refused.Error()
			if remedy := firedrill.RemedyOf(refused); remedy != "" {
				why += "; " + remedy
			}
			left = append(left, leftOut{d.drill.Name, why, kind.Exit()})
		default:
			err = refused
		}
	}
	if err == nil {
		a.score = a.scoreNow(ctx, s, p)
	}
	live.Close()
	return a.concludeDue(ctx, results, left, err)
}

func (a *app) concludeDue(ctx context.Context, results []firedrill.Result, left []leftOut, err error) error {
	if a.global.json {
		doc := struct {
			firedrill.Document
			Left []leftOut `json:"left"`
		}{document(results...), left}
		if perr := a.printJSON(doc); perr != nil {
			return errors.Join(err, perr)
		}
		err = a.ending(ctx, results, err)
	} else {
		for _, l := range left {
			a.out.Line(term.Plain, l.Drill, "not run: "+l.Why)
		}
		if len(results) == 0 && len(left) == 0 && err == nil {
			a.out.Text("Nothing is due. See: firedrill status")
		}
		err = a.conclude(ctx, results, err)
	}
	var statuses []int
	var status exitStatus
	switch {
	case errors.As(err, &status):
		statuses = append(statuses, int(status))
	case err != nil:
		return err
	}
	for _, l := range left {
		statuses = append(statuses, l.exit)
	}
	if slices.Contains(statuses, firedrill.ExitInterrupted) {
		return err
	}
	if w := worst(statuses); w != firedrill.ExitOK {
		return exitStatus(w)
	}
	return nil
}
