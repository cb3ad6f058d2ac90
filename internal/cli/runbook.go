package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/runbook"
)

func (a *app) runbookCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "runbook [DRILL]", Short: "The recovery steps of a drill as Markdown, with commands of wrangler, curl and sqlite3",
		Long: `Runbook writes down how a resource is recovered without firedrill: what to look at
first, how to keep the way back, the recovery, how to verify, how to undo it. The
commands are literal, with the plan's names and ids, and they exist: a test runs
them with the real wrangler. Without a drill, all of the plan are written.

It is about the environment of class production that has the resource, for that is
where incidents are, or else about the drill's own; --env names another one.
Print it, or keep it where it can be read when all else is down.`,
		Example: `  firedrill runbook d1-pitr -o runbook-d1.md
  firedrill runbook worker-rollback --env staging`,
		Args: args(0, 1, "one drill"), ValidArgsFunction: a.completeDrills,
		RunE: func(_ *cobra.Command, names []string) error { return a.runbook(names, output) },
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to this `FILE`, not to standard output")
	return c
}

func (a *app) runbook(names []string, output string) error {
	p, _, err := a.loadPlan()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, d := range p.Drills {
		if len(names) > 0 && !slices.Contains(names, d.Name) || len(names) == 0 && !slices.Contains(runbook.Uses(), d.Use) {
			continue
		}
		b, err := a.book(p, d)
		if err != nil {
			return err
		}
		if text.Len() > 0 {
			text.WriteString("\n---\n\n")
		}
		if err := runbook.Write(&text, b); err != nil {
			return err
		}
	}
	if text.Len() == 0 {
		return a.noBook(p, names)
	}
	if output == "" {
		_, err = io.Copy(a.Stdout, &text)
	} else {
		err = os.WriteFile(output, text.Bytes(), 0o644) //nolint:gosec // a runbook is for others to read
	}
	if err != nil {
		return &firedrill.Error{Op: "write the runbook", Kind: firedrill.KindStorage, Target: output, Err: err, Remedy: "name a file that can be written"}
	}
	return nil
}

// noBook says why nothing was written.
func (a *app) noBook(p *firedrill.Plan, names []string) error {
	if len(names) == 0 {
		return usage("no drill of the plan has a runbook", "there are runbooks for: "+strings.Join(runbook.Uses(), ", "))
	}
	var have []string
	for _, d := range p.Drills {
		have = append(have, d.Name)
	}
	return usage("the plan has no drill "+names[0], didYouMean(names[0], have, "firedrill validate"))
}

// book fills a runbook in from the plan.
func (a *app) book(p *firedrill.Plan, d firedrill.Drill) (runbook.Book, error) {
	if !slices.Contains(runbook.Uses(), d.Use) {
		return runbook.Book{Drill: d.Name, Use: d.Use}, nil // and Write says so
	}
	key := ""
	for _, input := range []string{"database", "namespace", "worker"} {
		if text, is := d.Inputs[input].(string); is {
			key = text
		}
	}
	env, err := a.incidentEnvironment(p, d, key)
	if err != nil {
		return runbook.Book{}, err
	}
	r := env.Resources[key]
	b := runbook.Book{Drill: d.Name, Use: d.Use, Plan: p.File, Environment: env.Name, Class: env.Class, Key: key, RTO: d.RTO, RPO: d.RPO, Token: `""  # fill in`}
	b.ID, _ = r.Attrs["id"].(string)
	b.Name, _ = r.Attrs["name"].(string)
	var s cloudflare.Settings
	if err := env.Settings.Into(&s); err != nil {
		return b, &firedrill.Error{Op: "write the runbook", Kind: firedrill.KindUsage, Target: "environment " + env.Name, Detail: "its settings cannot be read", Err: err, Remedy: "see: firedrill validate"}
	}
	if s.API != cloudflare.DefaultAPI {
		b.API = s.API
	}
	b.Account = s.Account
	if word := secretWord(s.Token); word != "" {
		b.Token = `"` + word + `"`
	}
	b.Pause, b.Resume = called(env.Quiesce.Pause), called(env.Quiesce.Resume)
	b.Probes, err = probesOf(env)
	return b, err
}

// incidentEnvironment chooses what a runbook is about: the environment that is
// named; the only one of class production that has the resource; the drill's own.
func (a *app) incidentEnvironment(p *firedrill.Plan, d firedrill.Drill, key string) (firedrill.Environment, error) {
	var production, others []string
	for _, name := range slices.Sorted(maps.Keys(p.Environments)) {
		e := p.Environments[name]
		if _, has := e.Resources[key]; !has {
			continue
		}
		if e.Class == firedrill.ClassProduction {
			production = append(production, name)
		} else {
			others = append(others, name)
		}
	}
	name := a.global.env
	switch {
	case name != "":
	case len(production) == 1:
		name = production[0]
	case len(production) > 1:
		return firedrill.Environment{}, usage("several environments of class production have "+key, "name one: --env "+strings.Join(production, " or "))
	case d.On != "":
		name = d.On
	case len(others) == 1:
		name = others[0]
	}
	env, ok := p.Environments[name]
	if _, has := env.Resources[key]; !ok || !has {
		have := append(production, others...)
		return env, usage(fmt.Sprintf("environment %s has no resource %s, which drill %s is about", name, key, d.Name), "name one that has it: --env "+strings.Join(have, " or "))
	}
	return env, nil
}

// secretWord writes a reference to a secret as a shell reads it inside of double
// quotes; "" where there is none.
func secretWord(s action.Secret) string {
	switch {
	case s.Env != "":
		return "$" + s.Env
	case s.File != "":
		return "$(cat " + runbook.Word(s.File) + ")"
	case len(s.Command) > 0:
		var words []string
		for _, w := range s.Command {
			words = append(words, runbook.Word(w))
		}
		return "$(" + strings.Join(words, " ") + ")"
	}
	return ""
}

// probesOf gives the probes of all Workers of an environment.
func probesOf(env firedrill.Environment) ([]runbook.Probe, error) {
	var out []runbook.Probe
	for _, key := range resources(env, "worker") {
		var w cloudflare.WorkerAttrs
		if err := env.Resources[key].Attrs.Into(&w); err != nil {
			return nil, &firedrill.Error{Op: "write the runbook", Kind: firedrill.KindUsage, Target: "resource " + key, Detail: "cannot be read", Err: err, Remedy: "see: firedrill validate"}
		}
		for _, probe := range w.Probes {
			b := runbook.Probe{Method: probe.Method, URL: strings.TrimSuffix(w.URL, "/") + probe.Path, Status: probe.Status, Expect: probe.Contains}
			if b.Status == 0 {
				b.Status = http.StatusOK
			}
			if len(probe.JSON) > 0 {
				text, err := json.Marshal(probe.JSON)
				if err != nil {
					return nil, err
				}
				b.Expect = strings.TrimSpace(string(text) + " " + b.Expect)
			}
			b.Expect = strings.Join(strings.Fields(b.Expect), " ")
			for _, name := range slices.Sorted(maps.Keys(probe.Headers)) {
				b.Headers = append(b.Headers, headerWord(name, probe.Headers[name]))
			}
			out = append(out, b)
		}
	}
	return out, nil
}

// headerWord writes a header as a word of a shell. A secret stays where it stands.
func headerWord(name string, value any) string {
	if m, is := value.(map[string]any); is {
		var s action.Secret
		if firedrill.Values(m).Into(&s) == nil && secretWord(s) != "" {
			return `"` + name + ": " + secretWord(s) + `"`
		}
	}
	return runbook.Word(fmt.Sprintf("%s: %v", name, value))
}
