package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
)

func (a *app) doctorCommand() *cobra.Command {
	live, front := false, ""
	c := &cobra.Command{
		Use: "doctor [--live]", Short: "Check this machine, the plan, the token, the API and what the plan names",
		Long: `Doctor looks whether drills can run: workerd and npm, disk, clock and state folder
of this machine; the plan; and for each environment the token, the API, its quota, and
whether the resources of the plan exist. It only reads.

One line each: ok, a warning, or a problem and what to do about it.
Exit status: 0 no problem, 1 a problem, 6 something could not be looked at.`,
		Example: `  firedrill doctor
  firedrill doctor --env staging --json`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), live, front) },
	}
	c.Flags().BoolVar(&live, "live", false, "prove the actions on scratch resources of the account")
	c.Flags().StringVar(&front, "front", "", "with --live on a sandbox: `URL` of its Workers")
	return c
}

// health is how something was found.
type health string

const (
	healthOK      health = "ok"
	healthWarning health = "warning"
	healthProblem health = "problem"
	// healthUnknown is what could not be looked at.
	healthUnknown health = "unknown"
)

// check is one thing that was looked at.
type check struct {
	Environment string `json:"environment,omitempty"`
	Name        string `json:"name"`
	Status      health `json:"status"`
	Detail      string `json:"detail"`
	Remedy      string `json:"remedy,omitempty"`
}

// doctorDocument is what --json prints.
type doctorDocument struct {
	SchemaVersion int     `json:"schema_version"`
	Checks        []check `json:"checks"`
}

// examination gathers checks and shows each as soon as it is known.
type examination struct {
	a   *app
	all []check
}

func (x *examination) add(c check) {
	x.all = append(x.all, c)
	if x.a.global.json {
		return
	}
	style := map[health]term.Style{healthOK: term.Plain, healthWarning: term.Warn, healthProblem: term.Bad, healthUnknown: term.Bad}[c.Status]
	text := c.Detail
	if c.Status != healthOK {
		text = string(c.Status) + ": " + text
	}
	name := c.Name
	if c.Environment != "" {
		name = "  " + name
	}
	x.a.out.Line(style, name, text)
	if c.Remedy != "" {
		x.a.out.Line(term.Plain, "", c.Remedy)
	}
}

// failed is a check that an error answers. What could not be reached is not known;
// everything else is a problem.
func failed(name string, err error) check {
	c := check{Name: name, Status: healthProblem, Detail: err.Error(), Remedy: firedrill.RemedyOf(err)}
	switch firedrill.KindOf(err) {
	case firedrill.KindNotSent, firedrill.KindUnavailable, firedrill.KindTimeout, firedrill.KindLimited, firedrill.KindUnknown, firedrill.KindInterrupted:
		c.Status = healthUnknown
	}
	return c
}

func (a *app) doctor(ctx context.Context, live bool, front string) error {
	x := &examination{a: a}
	a.examineMachine(ctx, x)
	p, _, err := a.loadPlan()
	if err != nil {
		for _, e := range flatten(err) {
			x.add(failed("plan", e))
		}
	} else {
		x.add(check{Name: "plan", Status: healthOK, Detail: fmt.Sprintf("%s: %s, %s", p.File, term.Plural(int64(len(p.Environments)), "environment"), term.Plural(int64(len(p.Drills)), "drill"))})
		for _, w := range warnings(p) {
			x.add(check{Name: "plan", Status: healthWarning, Detail: w.text, Remedy: w.remedy})
		}
		a.examineEnvironments(ctx, p, x)
	}
	if live {
		if err := a.proveLive(ctx, front, x); err != nil {
			return err
		}
	}
	return a.concludeExamination(x)
}

// examineEnvironments looks at the environments that drills run on, or at the one
// that is named.
func (a *app) examineEnvironments(ctx context.Context, p *firedrill.Plan, x *examination) {
	if _, known := p.Environments[a.global.env]; a.global.env != "" && !known {
		_, err := a.environment(p)
		x.add(failed("environment", err))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.Environments)) {
		e := p.Environments[name]
		switch {
		case a.global.env != "" && a.global.env != name:
		case a.global.env == "" && e.Class == firedrill.ClassProduction:
			x.add(check{Name: name, Status: healthOK, Detail: fmt.Sprintf("class production: %s protected, not looked at (--env %s does)", term.Plural(int64(len(e.Resources)), "resource"), name)})
		default:
			a.examineAccount(ctx, p, e, x)
		}
	}
}

// concludeExamination prints the sum and gives the exit status.
func (a *app) concludeExamination(x *examination) error {
	count := map[health]int64{}
	for _, c := range x.all {
		count[c.Status]++
	}
	if a.global.json {
		if err := a.printJSON(doctorDocument{1, x.all}); err != nil {
			return err
		}
	} else {
		a.out.Blank()
		text := fmt.Sprintf("%d ok, %s, %s", count[healthOK], term.Plural(count[healthWarning], "warning"), term.Plural(count[healthProblem], "problem"))
		if n := count[healthUnknown]; n > 0 {
			text += fmt.Sprintf(", %d not known", n)
		}
		a.out.Text(text)
	}
	switch {
	case count[healthProblem] > 0:
		return exitStatus(firedrill.ExitFailed)
	case count[healthUnknown] > 0:
		return exitStatus(firedrill.ExitOperational)
	}
	return nil
}
