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
	"firedrill/internal/action/cloudflare"
)

// environment finds the environment that is meant: the one named, or the only
// one of the plan.
func (a *app) environment(p *firedrill.Plan) (firedrill.Environment, error) {
	names := slices.Sorted(maps.Keys(p.Environments))
	name := a.global.env
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if env, ok := p.Environments[name]; ok {
		return env, nil
	}
	if name == "" {
		return firedrill.Environment{}, usage("the plan has several environments", "name one: --env "+strings.Join(names, " or "))
	}
	remedy := "choose from: " + strings.Join(names, ", ")
	if near := firedrill.Nearest(name, names); near != "" {
		remedy = "did you mean " + near + "?"
	}
	return firedrill.Environment{}, usage("the plan has no environment "+name, remedy)
}

// resources lists the resources of some kinds in an environment by their keys.
func resources(env firedrill.Environment, kinds ...string) []string {
	var list []string
	for key, r := range env.Resources {
		if slices.Contains(kinds, r.Kind) {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

// completeResources completes the names of resources of some kinds.
func (a *app) completeResources(kinds ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		p, _, err := a.loadPlan()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		env, err := a.environment(p)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return resources(env, kinds...), cobra.ShellCompDirectiveNoFileComp
	}
}

// kindName is what people call a kind of resource.
func kindName(kind string) string {
	switch kind {
	case "kv":
		return "KV namespace"
	case "d1":
		return "D1 database"
	}
	return kind
}

// site is an environment of the plan with a client that is guarded for it.
type site struct {
	env    firedrill.Environment
	client *cloudflare.Client
}

// site opens the environment that is meant.
func (a *app) site() (site, error) {
	p, _, err := a.loadPlan()
	if err != nil {
		return site{}, err
	}
	env, err := a.environment(p)
	if err != nil {
		return site{}, err
	}
	guard, err := a.guard(p.Environments)
	if err != nil {
		return site{}, err
	}
	client, err := cloudflare.NewFor(env, cloudflare.Deps{Secrets: action.SystemSecrets(), Now: a.Now, Guard: guard})
	return site{env, client}, err
}

// resource finds a resource of a kind in the environment, and gives its id or, if
// the plan has none, its name.
func (s site) resource(kind, key string) (ref string, err error) {
	r, ok := s.env.Resources[key]
	if !ok || r.Kind != kind {
		have := resources(s.env, kind)
		remedy := "write it into the plan: " + key + ": {kind: " + kind + ", name: …}"
		if len(have) > 0 {
			remedy = "choose from: " + strings.Join(have, ", ")
		}
		return "", usage(fmt.Sprintf("environment %s has no %s %s", s.env.Name, kindName(kind), key), remedy)
	}
	for _, attr := range []string{"id", "name"} {
		if text, _ := r.Attrs[attr].(string); text != "" {
			return text, nil
		}
	}
	return "", usage(fmt.Sprintf("resource %s has neither id nor name", key), "write one into the plan")
}

// namespace finds a KV namespace of the plan.
func (s site) namespace(ctx context.Context, op, key string, tell func(string)) (*cloudflare.KV, error) {
	ref, err := s.resource("kv", key)
	if err != nil {
		return nil, err
	}
	return s.client.KV(ctx, op, ref, tell)
}
