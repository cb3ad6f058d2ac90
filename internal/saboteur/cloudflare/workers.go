package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"firedrill/internal/saboteur"
)

// What the API says of a deployment that it claims to have made.
const (
	claimedID = "00000000-0000-4000-8000-000000000000"
	farFuture = "2199-01-01T00:00:00.000000Z"
)

// workerLies are about rollbacks. The API says in each of its answers that the
// rollback was done as it was asked for: only what the service answers tells the
// truth.
func workerLies() []saboteur.Lie {
	none := func(context.Context, *scene, []share, string) error { return nil }
	// another makes a version serve that is nearly the good one.
	another := func(v version) plot {
		return rollback(func(ctx context.Context, c *scene, _ []share, _ string) error { return c.another(ctx, v) })
	}
	// divided leaves the bad version a part of the traffic.
	divided := func(good float64) plot {
		return rollback(func(ctx context.Context, c *scene, split []share, bad string) error {
			return c.deploy(ctx, share{split[0].Version, good}, share{bad, 100 - good})
		})
	}
	return []saboteur.Lie{
		{Name: "rollback-does-nothing", Sentence: "a rollback reports success while the bad version still serves", Tells: in(rollback(none), WorkerRollback)},
		{Name: "three-in-four", Sentence: "after a rollback the good version serves three requests in four", Tells: in(divided(75), WorkerRollback)},
		{Name: "never-finishes", Tells: in(divided(50), WorkerRollback)},
		{Name: "finishes-later", Tells: in(rollbackLater, WorkerRollback)},
		{Name: "other-target", Tells: in(otherWorker, WorkerRollback)},
		{Name: "wrong-moment", Tells: in(another(version{release: "the one before"}), WorkerRollback)},
		{Name: "code-without-bindings", Sentence: "a rollback brings the code back and not the bindings", Tells: in(another(version{platform: "of the bad version"}), WorkerRollback)},
		{Name: "loses-secret", Sentence: "a rollback loses a secret", Tells: in(rollback(withoutSecret), WorkerRollback)},
	}
}

// scripts is the path of the Worker.
func (c *scene) scripts(rest ...string) string {
	return path(c.Stage, append([]string{"workers/scripts/", c.Things[worker]}, rest...)...)
}

// another uploads a version and makes it serve.
func (c *scene) another(ctx context.Context, v version) error {
	var made struct{ ID string }
	if err := upload(ctx, c.Stage, http.MethodPost, c.scripts("/versions"), v, &made); err != nil {
		return err
	}
	return c.deploy(ctx, share{made.ID, 100})
}

// withoutSecret makes the good code serve and then takes its secret away. That
// takes a call of its own: an upload keeps the secrets that it does not name.
func withoutSecret(ctx context.Context, c *scene, _ []share, _ string) error {
	if err := c.another(ctx, version{}); err != nil {
		return err
	}
	if err := c.Ask(ctx, http.MethodDelete, c.scripts("/secrets/SECRET"), nil, nil); err != nil {
		return err
	}
	var left []struct{ Name string }
	if err := c.Ask(ctx, http.MethodGet, c.scripts("/secrets"), nil, &left); err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("the secret is still there: %v", left)
	}
	return nil
}

// otherWorker rolls a Worker back that nobody asked about.
func otherWorker(ctx context.Context, c *scene) (saboteur.Script, error) {
	other := path(c.Stage, "workers/scripts/", c.Things[name], "-other")
	if err := upload(ctx, c.Stage, http.MethodPut, other, version{}, nil); err != nil {
		return saboteur.Script{}, err
	}
	c.Things[bystander] = c.Things[name] + "-other"
	return rollback(func(ctx context.Context, c *scene, _ []share, _ string) error {
		var all struct {
			Deployments []struct{ Versions []share }
		}
		if err := c.Ask(ctx, http.MethodGet, other+"/deployments", nil, &all); err != nil {
			return err
		}
		return c.Ask(ctx, http.MethodPost, other+"/deployments", map[string]any{"strategy": "percentage", "versions": all.Deployments[0].Versions}, nil)
	})(ctx, c)
}

// deploy makes a split serve behind.
func (c *scene) deploy(ctx context.Context, shares ...share) error {
	return c.Ask(ctx, http.MethodPost, c.scripts("/deployments"), map[string]any{"strategy": "percentage", "versions": shares}, nil)
}

// claims is what the API is made to say about deployments.
type claims struct {
	*scene
	mu      sync.Mutex
	hidden  map[string]bool // versions and deployments that it keeps quiet about
	claimed []any           // deployments that it made up, the newest first
	instead func(ctx context.Context, c *scene, good []share, bad string) error
	asked   func(ctx context.Context) error // before a list of deployments is given
}

// rollback claims that every rollback is done, and does something instead. It is
// given what was to serve, and the version that is to go.
func rollback(instead func(ctx context.Context, c *scene, good []share, bad string) error) plot {
	return func(_ context.Context, c *scene) (saboteur.Script, error) {
		cl := &claims{scene: c, hidden: map[string]bool{}, instead: instead}
		return saboteur.Script{API: cl.answer}, nil
	}
}

// rollbackLater does the rollback when the drill has given up and looks what
// serves.
func rollbackLater(_ context.Context, c *scene) (saboteur.Script, error) {
	var later []share
	cl := &claims{scene: c, hidden: map[string]bool{}, instead: func(_ context.Context, _ *scene, good []share, _ string) error {
		later = good
		return nil
	}}
	cl.asked = func(ctx context.Context) error {
		if len(later) == 0 {
			return nil
		}
		defer func() { later = nil }()
		return cl.deploy(ctx, later...)
	}
	return saboteur.Script{API: cl.answer}, nil
}

func (c *claims) answer(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := below(x)
	switch {
	case c.isRecovery(x):
		return c.rollback(ctx, x)
	case x.Method == http.MethodGet && strings.HasSuffix(p, "/deployments"):
		if c.asked != nil && c.isRecovering() {
			if err := c.asked(ctx); err != nil {
				return nil, err
			}
		}
		return c.filtered(ctx, x, "deployments", c.claimed)
	case x.Method == http.MethodGet && strings.HasSuffix(p, "/versions"):
		return c.filtered(ctx, x, "items", nil)
	}
	return x.Forward(ctx)
}

// rollback does what is done instead, and hides it.
func (c *claims) rollback(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
	good, err := split(x)
	if err != nil {
		return nil, err
	}
	before, serves, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.instead(ctx, c.scene, good, serves); err != nil {
		return nil, err
	}
	after, _, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	for id := range after {
		c.hidden[id] = c.hidden[id] || !before[id]
	}
	a, err := c.pretend(ctx, x)
	if err != nil {
		return nil, err
	}
	var claim any
	if err := a.Result("the claim", &claim); err != nil {
		return nil, err
	}
	c.claimed = append([]any{claim}, c.claimed...)
	return a, nil
}

// known gives the ids of all deployments and versions behind, and the first
// version that serves.
func (c *claims) known(ctx context.Context) (ids map[string]bool, serves string, err error) {
	var all struct {
		Deployments []struct {
			ID       string
			Versions []share
		}
		Items []struct{ ID string }
	}
	if err := c.Ask(ctx, http.MethodGet, c.scripts("/deployments"), nil, &all); err != nil {
		return nil, "", err
	}
	if err := c.Ask(ctx, http.MethodGet, c.scripts("/versions?per_page=100"), nil, &all); err != nil {
		return nil, "", err
	}
	ids = map[string]bool{}
	for _, d := range all.Deployments {
		ids[d.ID] = true
	}
	for _, v := range all.Items {
		ids[v.ID] = true
	}
	if len(all.Deployments) == 0 || len(all.Deployments[0].Versions) == 0 {
		return nil, "", fmt.Errorf("nothing of %s is deployed", c.Things[worker])
	}
	return ids, all.Deployments[0].Versions[0].Version, nil
}

// filtered gives a list without what is hidden, behind what is made up.
func (c *claims) filtered(ctx context.Context, x *saboteur.Exchange, in string, first []any) (*saboteur.Answer, error) {
	a, err := x.Forward(ctx)
	if err != nil {
		return nil, err
	}
	return changeList(a, in, func(all []any) []any {
		return append(slices.Clone(first), slices.DeleteFunc(all, func(e any) bool {
			m, _ := e.(map[string]any)
			id, _ := m["id"].(string)
			return c.hidden[id]
		})...)
	})
}

// changeList changes the list that stands under a name in the result of an answer;
// an answer without one is left alone.
func changeList(a *saboteur.Answer, in string, change func([]any) []any) (*saboteur.Answer, error) {
	var envelope map[string]any
	if err := json.Unmarshal(a.Body, &envelope); err != nil {
		return nil, err
	}
	result, _ := envelope["result"].(map[string]any)
	all, is := result[in].([]any)
	if !is {
		return a, nil
	}
	result[in] = change(all)
	return saboteur.JSON(a.Status, envelope)
}
