package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// recoverOptions are the flags of `recover`.
type recoverOptions struct {
	to, undo, began string
	noQuiesce       bool
	salvage         salvageOptions
	said            occasionOptions
}

func (a *app) recoverCommand() *cobra.Command {
	var o recoverOptions
	c := &cobra.Command{
		Use: "recover DRILL --to POINT [--salvage] | --undo RUN", Short: "A real incident: bring an environment back to a point",
		Long: `Recover damages nothing. It runs what is left of a built-in drill in a real
incident: it records the state that it replaces, returns to the point, looks at
what came of it, and measures. It works on any environment of the plan,
production included, where a person at a terminal types the environment's name.

POINT is a time (14:05, 2026-01-02 14:05, "20 minutes ago", RFC 3339), a bookmark
of a database, the id of a version, the folder of a backup, or latest-good: the
newest point at which an earlier run found all as it should be.

Where the plan says how writers are stopped (quiesce), they are stopped before
the state is recorded and restarted when the data was compared.

With --salvage only chosen rows of a database return to the point, and all that was
written since stays. A first call lists the rows that differ and changes nothing
for good; a second one applies the choices. While the rows are read the database
goes back to the point as a whole, and returns.

The state that was replaced can be brought back: --undo RUN.`,
		Example: `  firedrill recover d1-pitr --env production --to "20 minutes ago" --incident-started 14:02
  firedrill recover worker-rollback --env production --to latest-good
  firedrill recover d1-pitr --to 14:05 --salvage --plan-out rows.jsonl --keep audit_log
  firedrill recover d1-pitr --salvage --choices rows.jsonl
  firedrill recover --undo 01J8ZQ4T7V9X`,
		Args:              args(0, 1, "the name of a drill"),
		ValidArgsFunction: a.completeDrills,
		RunE: func(c *cobra.Command, names []string) error {
			if err := o.salvage.fit(c, o); err != nil {
				return err
			}
			switch {
			case o.undo != "" && (o.to != "" || len(names) > 0):
				return usage("--undo brings back what a run found, and takes no drill and no point", "firedrill recover --undo RUN")
			case o.undo != "":
				return a.recoverUndo(c.Context(), o)
			case len(names) == 0:
				return usage("it is not said what to recover", "firedrill recover DRILL --to POINT")
			case o.salvage.choices != "":
				return a.salvage(c.Context(), names[0], o)
			case o.to == "":
				return usage("it is not said what to return to", "give --to with a time, a bookmark, a version, a backup, or latest-good")
			}
			if o.salvage.on {
				return a.salvage(c.Context(), names[0], o)
			}
			return a.recover(c.Context(), names[0], o)
		},
	}
	o.said.flags(c)
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "`point` to return to")
	f.StringVar(&o.undo, "undo", "", "bring back what the recovery `RUN` replaced")
	f.BoolVar(&o.noQuiesce, "no-quiesce", false, "do not stop the writers, although the plan says how: the application is down")
	o.salvage.flags(f)
	f.StringVar(&o.began, "incident-started", "", "`time` when the incident began; the recovery is timed from it")
	return c
}

// recover returns to a point.
func (a *app) recover(ctx context.Context, name string, o recoverOptions) (err error) {
	p, c, err := a.loadPlan()
	if err != nil {
		return err
	}
	began, err := a.incidentBegan(o.began)
	if err != nil {
		return err
	}
	occasion, err := o.said.occasion()
	if err != nil {
		return err
	}
	s, live, err := a.emergency(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	defer live.Close()
	i := slices.IndexFunc(p.Drills, func(d firedrill.Drill) bool { return d.Name == name })
	if i < 0 {
		_, err := plan.Recovery(p, name, "", nil, firedrill.Incident{}, c.registry, playbook.Recoveries{})
		return err // there is no such drill
	}
	book, err := plan.RecoveryBook(p.Drills[i], c.registry, playbook.Recoveries{})
	if err != nil {
		return err
	}
	to, err := a.pointTo(ctx, s, p, c, name, o.to, book, playbook.Recoveries{})
	if err != nil {
		return err
	}
	if folder, ok := to.inputs["backup"].(string); ok && to.inputs["run"] == nil {
		if to.inputs["backup"], err = filepath.Abs(folder); err != nil {
			return &firedrill.Error{Op: "recover", Kind: firedrill.KindStorage, Target: folder, Err: err}
		}
	}
	if o.noQuiesce {
		if !book.Takes("quiesce") {
			return usage(book.Name+" stops no writers: it touches no data", "leave --no-quiesce out")
		}
		to.inputs["quiesce"] = false
	}
	prog, err := plan.Recovery(p, name, a.global.env, to.inputs, firedrill.Incident{Began: began, Point: to.words}, c.registry, playbook.Recoveries{})
	if err != nil {
		return err
	}
	prog.Occasion = occasion
	return a.recoverWith(ctx, s, live, *prog, p.Drills[i].Unattended)
}

// pointTo finds the point that a person named.
func (a *app) pointTo(ctx context.Context, s *station, p *firedrill.Plan, c catalog, name, text string, book *plan.Playbook, lib plan.Library) (point, error) {
	if text != latestGood {
		return parsePoint(text, book, a.Now())
	}
	// The environment, and that it may be touched, is settled before anything is looked up.
	probe, err := plan.Recovery(p, name, a.global.env, anyPoint(book), firedrill.Incident{}, c.registry, lib)
	if err != nil {
		return point{}, err
	}
	return s.good(ctx, *probe, a.Now())
}

// anyPoint fills the inputs that a playbook cannot do without.
func anyPoint(book *plan.Playbook) firedrill.Values {
	v := firedrill.Values{}
	for _, in := range book.Inputs {
		if in.Kind == "" && in.Default == nil {
			v[in.Name] = latestGood
		}
	}
	return v
}

// recoverUndo brings back what a recovery replaced.
func (a *app) recoverUndo(ctx context.Context, o recoverOptions) (err error) {
	p, c, err := a.loadPlan()
	if err != nil {
		return err
	}
	began, err := a.incidentBegan(o.began)
	if err != nil {
		return err
	}
	occasion, err := o.said.occasion()
	if err != nil {
		return err
	}
	s, live, err := a.emergency(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	defer live.Close()
	records, err := s.journal.Records(ctx, o.undo)
	if err != nil {
		return err
	}
	back, then, err := found(o.undo, records, a.Now())
	if err != nil {
		return err
	}
	env := then.Environment.Name
	if a.global.env != "" && a.global.env != env {
		return usage("run "+o.undo+" was on environment "+env+", not on "+a.global.env, "leave --env out")
	}
	if o.noQuiesce {
		back.inputs["quiesce"] = false
	}
	prog, err := plan.Recovery(p, then.Drill, env, back.inputs, firedrill.Incident{Began: began, Point: back.words, Undoes: o.undo}, c.registry, playbook.Recoveries{})
	if err != nil {
		return err
	}
	for key, was := range then.Inputs {
		if r, resource := was.(map[string]any); resource && !sameResource(r, prog.Inputs[key]) || prog.Use != then.Use {
			return &firedrill.Error{Op: "recover", Kind: firedrill.KindConflict, Target: "run " + o.undo, Detail: "the plan names something else now than what was recovered then",
				Remedy: "use the plan as it was"}
		}
	}
	unattended := slices.ContainsFunc(p.Drills, func(d firedrill.Drill) bool { return d.Name == then.Drill && d.Unattended })
	prog.Occasion = occasion
	return a.recoverWith(ctx, s, live, *prog, unattended)
}

// sameResource tells whether two resources of a plan are one.
func sameResource(was map[string]any, is any) bool {
	now, _ := is.(map[string]any)
	return reflect.DeepEqual([]any{was["kind"], was["id"], was["name"]}, []any{now["kind"], now["id"], now["name"]})
}

// found gives what a recovery found before it changed anything, as the point to
// return to, and the program that it was.
func found(run string, records []firedrill.Record, now time.Time) (point, firedrill.Program, error) {
	fail := func(detail, remedy string) (point, firedrill.Program, error) {
		return point{}, firedrill.Program{}, &firedrill.Error{Op: "recover", Kind: firedrill.KindUsage, Target: "run " + run, Detail: detail, Remedy: remedy}
	}
	if len(records) == 0 {
		return fail("is not in the journal", "see: firedrill history")
	}
	started, _ := records[0].Body.(firedrill.RunStarted)
	switch in := started.Program.Incident; {
	case in == nil:
		return fail("is a drill, which put back what it changed", "name a run of firedrill recover")
	case in.Lists:
		return fail("only listed what differs, so there is nothing to undo", "see: firedrill show "+run)
	}
	var out firedrill.Values
	over := false
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.Ended:
			if b.Step == foundStep && b.Status == firedrill.StatusOK {
				out = b.Outputs
			}
		case firedrill.Finished:
			over = true
		}
	}
	switch {
	case !over:
		return fail("has not finished", "finish it first: firedrill resume "+run)
	case out == nil:
		return fail("changed nothing, so there is nothing to undo", "see: firedrill show "+run)
	}
	p := point{firedrill.Values{"undo": true}, fmt.Sprintf("what run %s found, of %s", run, timeWords(records[0].At.Wall, now))}
	for _, key := range []string{"bookmark", "split", "backup", "against"} {
		if v, ok := out[key].(string); ok && v != "" {
			p.inputs[key] = v
			if key == "backup" || key == "against" {
				p.inputs["run"] = run
			}
		}
	}
	return p, started.Program, nil
}

// foundStep is the step of each playbook that records what the recovery replaces.
// Its outputs have the names of the inputs that lead back to it.
const foundStep = "found"

// incidentBegan reads --incident-started; nil where it is not given.
func (a *app) incidentBegan(text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	t, ok, err := parseTime(text, a.Now())
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, usage(fmt.Sprintf("--incident-started: %q is no time", text), `write for example 14:05, "20 minutes ago" or 2026-01-02T15:04:05Z`)
	case t.After(a.Now()):
		return nil, usage("the incident began in the future: "+timeWords(t, a.Now()), "give a time that has passed")
	}
	return &t, nil
}

// emergency opens the state folder with a view of what runs.
func (a *app) emergency(ctx context.Context, p *firedrill.Plan) (*station, *term.Live, error) {
	live := a.live()
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), live)
	if err != nil {
		live.Close()
		return nil, nil, err
	}
	return s, live, nil
}

// recoverWith shows what will happen, asks, and does it.
func (a *app) recoverWith(ctx context.Context, s *station, live *term.Live, prog firedrill.Program, unattended bool) error {
	results, err := a.perform(ctx, s, live, prog, unattended)
	return a.conclude(ctx, results, err)
}

// perform shows what will happen, asks, and does it. There are no results where it did
// not begin.
func (a *app) perform(ctx context.Context, s *station, live *term.Live, prog firedrill.Program, unattended bool) ([]firedrill.Result, error) {
	env := prog.Environment
	a.showRecovery(prog)
	// A person types the name of production, whatever the plan allows to drills.
	unattended = unattended && env.Class != firedrill.ClassProduction
	what := fmt.Sprintf("This recovers environment %s (class %s) with %s.", env.Name, env.Class, prog.Drill)
	if err := a.confirmChange("recover", what, env, unattended, "run it on a terminal and type "+env.Name); err != nil {
		return nil, err
	}
	return a.drill(ctx, s, live, []firedrill.Program{prog})
}

// showRecovery says what a recovery does, before anybody is asked.
func (a *app) showRecovery(p firedrill.Program) {
	if a.global.quiet {
		return
	}
	page, in := a.err, p.Incident
	page.Line(term.Strong, p.Drill, fmt.Sprintf("%s, on %s (class %s)", p.Title, p.Environment.Name, p.Environment.Class))
	page.Line(term.Plain, "  returns to", in.Point)
	if in.Began != nil {
		page.Line(term.Plain, "  clock", "runs since "+timeWords(*in.Began, a.Now()))
	}
	page.Line(term.Warn, "  overwrites", in.Overwrites)
	a.showWriters(p)
	for _, s := range p.Steps {
		after := s.Phase == firedrill.Recover || s.Phase == firedrill.Verify
		puts := s.Phase == firedrill.Baseline && s.Undo != nil && s.Undo.Uses == s.Uses // it changes something for a while
		if s.Title != "" && (after && !in.Lists || puts || s.ID == foundStep) {
			page.Line(term.Plain, "  "+string(s.Phase), s.Title+"  ["+s.Uses+"]")
		}
	}
	if in.Lists {
		page.Line(term.Plain, "  afterwards", "all is as it was, and the rows that differ are listed")
	} else {
		page.Line(term.Plain, "  undo", "afterwards: firedrill recover --undo RUN")
	}
	page.Blank()
}

// showWriters says what becomes of those who write meanwhile.
func (a *app) showWriters(p firedrill.Program) {
	why := p.Incident.WritersGoOn
	switch _, data := p.Inputs["quiesce"]; {
	case why != "":
		a.err.Line(term.Warn, "  writers", "go on: "+why)
	case data:
		a.err.Line(term.Plain, "  writers", "are stopped before, and restarted when the data was compared, whatever happens")
	}
}

// recoveryText says in one line how a recovery ended.
func recoveryText(r firedrill.Result) string {
	if r.ReasonCode == firedrill.ReasonListed {
		return "listed, and nothing changed · more: firedrill show " + r.Run
	}
	parts := []string{string(r.Verdict)}
	if slices.ContainsFunc(r.Steps, func(s firedrill.StepResult) bool {
		return s.Step == foundStep && s.Status == string(firedrill.StatusOK)
	}) {
		parts = append(parts, "undo it: firedrill recover --undo "+r.Run)
	}
	return strings.Join(append(parts, "more: firedrill show "+r.Run), " · ")
}
