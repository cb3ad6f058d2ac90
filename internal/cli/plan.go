package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
)

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use: "plan DRILL...", Short: "Dry run: what a drill would do; changes nothing", Args: args(1, -1, "names of drills"),
		ValidArgsFunction: a.completeDrills,
		RunE:              func(c *cobra.Command, names []string) error { return a.plan(c.Context(), names) },
	}
}

// dryRun is what a drill would do, as --json shows it.
type dryRun struct {
	Drill       string          `json:"drill"`
	Title       string          `json:"title"`
	Environment string          `json:"environment"`
	Class       firedrill.Class `json:"class"`
	InPlace     bool            `json:"in_place"`
	Resources   []string        `json:"resources"`
	RTO         *float64        `json:"rto_target_s"`
	RPO         *float64        `json:"rpo_target_s"`
	LastTook    *float64        `json:"last_run_took_s"`
	Quiesce     *dryQuiesce     `json:"quiesce,omitempty"` // where the drill stops the writers
	Steps       []dryStep       `json:"steps"`
}

// dryQuiesce is how writers are stopped and restarted.
type dryQuiesce struct {
	Pause  []string `json:"pause"`
	Resume []string `json:"resume"`
}

type dryStep struct {
	ID     string           `json:"id"`
	Phase  firedrill.Phase  `json:"phase"`
	Title  string           `json:"title"`
	Uses   string           `json:"uses"`
	Impact firedrill.Impact `json:"impact"`
	When   string           `json:"when,omitempty"`
	Proves firedrill.Proof  `json:"proves,omitempty"`
	Undo   string           `json:"undo,omitempty"`
}

func (a *app) plan(ctx context.Context, names []string) (err error) {
	p, c, err := a.loadPlan()
	if err != nil {
		return err
	}
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	docs := []dryRun{}
	for _, n := range names {
		prog, err := plan.Program(p, n, a.global.env, c.registry, c.library)
		if err != nil {
			return err
		}
		d := dry(*prog, c.registry)
		last, err := s.journal.Runs(ctx, journal.Query{Drill: n, Environment: prog.Environment.Name, Limit: 1})
		if err != nil {
			return err
		}
		if len(last) > 0 && !last[0].Finished.IsZero() {
			took := last[0].Finished.Sub(last[0].Started).Seconds()
			d.LastTook = &took
		}
		docs = append(docs, d)
	}
	if a.global.json {
		return a.printJSON(map[string]any{"schema_version": 1, "drills": docs})
	}
	for _, d := range docs {
		a.printDry(d)
	}
	return nil
}

func dry(p firedrill.Program, cat firedrill.Catalog) dryRun {
	d := dryRun{Drill: p.Drill, Title: p.Title, Environment: p.Environment.Name, Class: p.Environment.Class, InPlace: p.Environment.InPlace(), Resources: []string{}}
	seconds := func(x float64) *float64 {
		if x <= 0 {
			return nil
		}
		return &x
	}
	d.RTO, d.RPO = seconds(p.RTO.Seconds()), seconds(p.RPO.Seconds())
	for _, k := range slices.Sorted(maps.Keys(p.Inputs)) {
		if r, ok := p.Inputs[k].(map[string]any); ok {
			d.Resources = append(d.Resources, fmt.Sprintf("%v %v", r["kind"], first(r["name"], r["id"], r["key"])))
		}
	}
	for _, s := range p.Steps {
		spec, _ := cat.Action(s.Uses)
		ds := dryStep{ID: s.ID, Phase: s.Phase, Title: s.Title, Uses: s.Uses, Impact: spec.Impact, When: s.When, Proves: s.Proves}
		if s.Undo != nil {
			ds.Undo = s.Undo.Uses
		}
		d.Steps = append(d.Steps, ds)
		if s.Uses == "quiesce.pause" && p.Environment.Quiesces() {
			d.Quiesce = &dryQuiesce{called(p.Environment.Quiesce.Pause), called(p.Environment.Quiesce.Resume)}
		}
	}
	return d
}

// called gives what a person reads of steps.
func called(steps []firedrill.Step) []string {
	var list []string
	for _, s := range steps {
		list = append(list, fmt.Sprint(first(s.Title, s.Uses)))
	}
	return list
}

func first(values ...any) any {
	for _, v := range values {
		if v != nil && v != "" {
			return v
		}
	}
	return ""
}

func (a *app) printDry(d dryRun) {
	p := a.out
	p.Line(term.Strong, d.Drill, fmt.Sprintf("%s, on %s (class %s)", d.Title, d.Environment, d.Class))
	where := "the environment's own data is damaged and recovered"
	if !d.InPlace {
		where = "others may write here, so a scratch copy is damaged, and removed afterwards"
	}
	p.Line(term.Plain, "  damage", where)
	p.Line(term.Plain, "  touches", strings.Join(d.Resources, ", "))
	var times []string
	if d.RTO != nil {
		times = append(times, "RTO target "+term.Seconds(*d.RTO))
	}
	if d.RPO != nil {
		times = append(times, "RPO target "+term.Seconds(*d.RPO))
	}
	if d.LastTook != nil {
		times = append(times, "the last run took "+term.Seconds(*d.LastTook)+" in all")
	}
	if len(times) > 0 {
		p.Line(term.Plain, "  time", strings.Join(times, " · "))
	}
	if q := d.Quiesce; q != nil {
		p.Line(term.Plain, "  writers", "stopped by: "+strings.Join(q.Pause, ", ")+" · restarted by: "+strings.Join(q.Resume, ", "))
	}
	phase := firedrill.Phase("")
	for _, s := range d.Steps {
		label := "  "
		if s.Phase != phase {
			label, phase = "  "+string(s.Phase), s.Phase
		}
		text := s.Title + "  [" + s.Uses + "]"
		if s.Impact != firedrill.Reads {
			text += " · " + string(s.Impact)
		}
		if s.Undo != "" {
			text += " · undone by " + s.Undo
		}
		if s.Proves != "" {
			text += " · proves " + string(s.Proves)
		}
		if s.When != "" {
			text += " · when " + s.When
		}
		p.Line(term.Plain, label, text)
	}
	p.Blank()
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "validate", Short: "Check the plan: keys, references, expressions, arithmetic", Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error { return a.validate() },
	}
}

func (a *app) validate() error {
	p, _, err := a.loadPlan()
	if err != nil {
		return err
	}
	found := warnings(p)
	if a.global.json {
		texts := []string{}
		for _, w := range found {
			texts = append(texts, w.text)
		}
		return a.printJSON(map[string]any{"schema_version": 1, "plan": p.File, "hash": p.Hash, "environments": len(p.Environments), "drills": len(p.Drills), "warnings": texts})
	}
	for _, w := range found {
		a.err.Line(term.Warn, "warning", w.text)
		a.err.Line(term.Plain, "", w.remedy)
	}
	a.out.Text(fmt.Sprintf("%s is sound: %s, %s", p.File, term.Plural(int64(len(p.Environments)), "environment"), term.Plural(int64(len(p.Drills)), "drill")))
	return nil
}

// warnings names what is allowed and probably not meant.
func warnings(p *firedrill.Plan) []warning {
	list := []warning{}
	for _, name := range slices.Sorted(maps.Keys(p.Environments)) {
		e := p.Environments[name]
		probed := false
		for _, r := range e.Resources {
			_, has := r.Attrs["probes"]
			probed = probed || has
		}
		if !probed && e.Class != firedrill.ClassProduction {
			list = append(list, warning{fmt.Sprintf("environment %s has no probes, so no drill can show that the service answers as before, and none can pass", name), "add probes: docs/formats/plan.md"})
		}
	}
	for _, w := range p.Warnings {
		list = append(list, warning{w.At.String() + ": " + w.Text, w.Remedy})
	}
	return list
}

// warning is what is allowed, with its place, and what to do about it.
type warning struct{ text, remedy string }
