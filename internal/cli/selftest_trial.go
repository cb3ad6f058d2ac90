package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/plan"
	"firedrill/internal/report"
	"firedrill/internal/runner"
	"firedrill/internal/saboteur"
	lies "firedrill/internal/saboteur/cloudflare"
	"firedrill/internal/sandbox"
)

// try runs one trial in a world of its own on the sandbox.
func (a *app) try(ctx context.Context, t *trial, home string, e sandbox.Endpoint) {
	s, err := saboteur.Open(ctx, saboteur.Behind{API: e.API, Front: e.Front, Token: e.Token}, home)
	if err != nil {
		t.err = err
		return
	}
	records, err := a.tryOn(ctx, s, t, e)
	told, terr := s.Told()
	t.told, t.err = told, errors.Join(err, terr)
	if len(records) > 0 {
		if r, rerr := report.Result(records); rerr != nil {
			t.err = errors.Join(t.err, rerr)
		} else {
			t.result, t.caught = &r, caughtBy(records)
		}
	}
	t.err = errors.Join(t.err, lies.Raze(context.WithoutCancel(ctx), s), s.Close(), os.RemoveAll(home))
}

func (a *app) tryOn(ctx context.Context, s *saboteur.Stage, t *trial, e sandbox.Endpoint) (records []firedrill.Record, err error) {
	var telling saboteur.Telling // of the control: nothing
	if t.lie != nil {
		telling = t.lie.Tells[t.drill]
	}
	title := strings.ToLower(strings.NewReplacer(" ", "-", "(", "", ")", "").Replace(t.label() + "-" + t.drill))
	if err := lies.Build(ctx, s, e.Account, title, telling.Needs, a.Now()); err != nil {
		return nil, err
	}
	program, c, err := a.trialProgram(s, title, t.drill, telling.With, e)
	if err != nil {
		return nil, err
	}
	st, err := a.openAt(ctx, s.Home, c, runner.Config{Now: s.Now(runner.Clock()), Patience: trialPatience})
	if err != nil {
		return nil, err
	}
	defer func() { err = st.close(err) }()
	if t.lie != nil {
		for i := range program.Steps {
			if program.Steps[i].Uses == "http.await" {
				program.Steps[i].Timeout = trialPatience
			}
		}
		if err := s.Perform(ctx, telling.Tell); err != nil {
			return nil, err
		}
	}
	return st.runner.Run(ctx, *program)
}

// trialInputs are the inputs of the drills: little data, short windows.
func trialInputs(drill string) firedrill.Values {
	switch drill {
	case lies.D1PITR:
		return firedrill.Values{"database": "database", "rows": 20}
	case lies.KVBackup:
		return firedrill.Values{"namespace": "settings", "keys": 18, "large": 1000, "settle": 1, "shown": true}
	}
	return firedrill.Values{"worker": "app"}
}

// trialPatience is how long a drill that is lied to waits for a service to show
// something, and for an API that answers a recovery with errors: what it waits for
// may never come. A drill's own patience is a minute or more, and half an hour on the
// way back.
const trialPatience = 8 * time.Second

// trialProgram makes the program of a built-in drill for a stage. All that it works
// with is called title.
func (a *app) trialProgram(s *saboteur.Stage, title, drill string, with firedrill.Values, e sandbox.Endpoint) (*firedrill.Program, catalog, error) {
	route := map[string]string{lies.D1PITR: "/accounts", lies.KVBackup: "/settings", lies.WorkerRollback: "/config"}[drill]
	inputs := trialInputs(drill)
	for k, v := range with {
		inputs[k] = v
	}
	declared := map[string]any{"use": drill, "with": inputs, "rto": "5m", "rpo": "5m"}
	if drill == lies.WorkerRollback {
		delete(declared, "rpo") // it loses no writes, and counts none
	}
	// JSON is YAML, too.
	text, err := json.Marshal(map[string]any{"version": 1, "name": "selftest",
		"environments": map[string]any{"sandbox": map[string]any{"class": "sandbox",
			"cloudflare": map[string]any{"api": s.APIAddress(), "account": e.Account, "token": map[string]string{"env": "TOKEN"}},
			"resources": map[string]any{
				"database": map[string]string{"kind": "d1", "name": title},
				"settings": map[string]string{"kind": "kv", "name": title},
				"app": map[string]any{"kind": "worker", "name": title, "url": s.FrontAddress(title), "probes": []any{
					map[string]any{"path": "/health", "json": map[string]string{"status": "healthy"}},
					map[string]any{"path": route, "json": map[string]bool{"ok": true}}}},
			}}},
		"drills": map[string]any{drill: declared}})
	if err != nil {
		return nil, catalog{}, err
	}
	plain, err := a.plain()
	if err != nil {
		return nil, catalog{}, err
	}
	p, err := plan.Parse("selftest", text, plain.registry, plain.library)
	if err != nil {
		return nil, catalog{}, err
	}
	c, err := a.wire(p.Environments, s.Home, action.Secrets{LookupEnv: func(name string) (string, bool) { return e.Token, name == "TOKEN" }})
	if err != nil {
		return nil, c, err
	}
	program, err := plan.Program(p, drill, "", c.registry, c.library)
	if err != nil {
		return nil, c, err
	}
	return program, c, nil
}

// caughtBy names the step that spoke against a pass first, and what it found.
func caughtBy(records []firedrill.Record) string {
	for _, r := range records {
		if t, is := r.Body.(firedrill.Turned); is {
			if t.Step == "" || strings.HasPrefix(t.Detail, t.Step+":") {
				return t.Detail
			}
			return fmt.Sprintf("%s: %s", t.Step, t.Detail)
		}
	}
	end, is := records[len(records)-1].Body.(firedrill.Finished)
	if !is || end.Verdict == firedrill.Passed || len(end.Reasons) == 0 {
		return ""
	}
	return end.Reasons[0]
}
