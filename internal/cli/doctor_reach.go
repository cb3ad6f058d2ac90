package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action/cloudflare"
)

// examineReach looks what a token can reach besides its environment, as far as the
// API tells.
func (a *app) examineReach(ctx context.Context, client *cloudflare.Client, p *firedrill.Plan, e firedrill.Environment, s cloudflare.Standing) check {
	r, err := client.Reach(ctx, "doctor", s, nil)
	if err != nil {
		return failed("reach", err)
	}
	return reachCheck(r, p.Environments, e)
}

func reachCheck(r cloudflare.Reach, environments map[string]firedrill.Environment, e firedrill.Environment) check {
	const apart = "a separate account for what is drilled is safer than any guard: permissions on databases, namespaces and Workers are for a whole account"
	c := check{Name: "reach", Status: healthOK, Detail: r.Text()}
	if e.Class == firedrill.ClassSandbox {
		return c
	}
	warn := func(text, remedy string) {
		if c.Status, c.Remedy = healthWarning, remedy; text != "" {
			c.Detail += "; " + text
		}
	}
	account, _ := e.Settings["account"].(string)
	elsewhere, told := r.Elsewhere(account)
	shared, unknown := production(environments, e, account)
	switch {
	case len(shared) > 0:
		warn("environment "+strings.Join(shared, ", ")+" is in the same account, and is kept from drills by guards alone", apart)
	case elsewhere:
		warn("that is more than the environment's account", "make a token for this account alone; "+apart)
	case len(unknown) > 0:
		warn("the plan does not say in which account environment "+strings.Join(unknown, ", ")+" is", "say it in the plan (cloudflare: {account: …}); "+apart)
	case !told:
		warn("", "look at the token on the platform's own page; "+apart)
	}
	if lacks := lacking(r, e); len(lacks) > 0 {
		warn("it lacks "+strings.Join(lacks, ", "), "give the token the permissions that drills of these resources need")
	}
	return c
}

// production gives the other environments of class production that share an account,
// and those of which the plan does not say where they are.
func production(environments map[string]firedrill.Environment, e firedrill.Environment, account string) (shared, unknown []string) {
	for name, o := range environments {
		if name == e.Name || o.Class != firedrill.ClassProduction || len(o.Resources) == 0 {
			continue
		}
		switch id, _ := o.Settings["account"].(string); {
		case id == "":
			unknown = append(unknown, name)
		case strings.EqualFold(id, account):
			shared = append(shared, name)
		}
	}
	slices.Sort(shared)
	slices.Sort(unknown)
	return shared, unknown
}

// lacking gives the permissions that drills of an environment's resources need and a
// token has not. They are known by their names, as the platform's pages have them.
func lacking(r cloudflare.Reach, e firedrill.Environment) []string {
	if !r.ReadsItself {
		return nil
	}
	var lacks []string
	for _, need := range []struct{ kind, permission string }{{"d1", "D1 Write"}, {"kv", "Workers KV Storage Write"}, {"worker", "Workers Scripts Write"}} {
		has := slices.Contains(r.Permissions, need.permission) && !slices.Contains(r.Denied, need.permission)
		for _, res := range e.Resources {
			if res.Kind == need.kind && !has {
				lacks = append(lacks, fmt.Sprintf("%q", need.permission))
				break
			}
		}
	}
	return lacks
}
