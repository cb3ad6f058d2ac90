package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/cli/term"
	"firedrill/internal/isolation"
)

// opAuditLive names the calls of an audit.
const opAuditLive = "audit isolation"

// asked is an account and one environment with whose token it is asked.
type asked struct {
	env   firedrill.Environment
	all   []string // environments that name the account
	named bool     // by --env
}

// accounts reads what the accounts hold that plans name: each once, with the token of
// an environment that is not production's where there is one. An account that is
// production's alone is asked only where --env names it.
func (a *app) accounts(ctx context.Context, plans []isolation.Plan) ([]isolation.Account, error) {
	environments := map[string]firedrill.Environment{}
	for _, p := range plans {
		if p.Err == nil { // else the audit tells why
			maps.Copy(environments, p.Plan.Environments)
		}
	}
	names := slices.Sorted(maps.Keys(environments))
	if a.global.env != "" && !slices.Contains(names, a.global.env) {
		return nil, usage(fmt.Sprintf("no plan has an environment %q", a.global.env), didYouMean(a.global.env, names, "firedrill audit isolation"))
	}
	var all []isolation.Account
	for _, in := range a.toAsk(plans) {
		if in.env.Settings["token"] == nil || a.global.env != "" && !in.named {
			continue
		}
		acc, err := a.account(ctx, in, environments)
		if err != nil {
			return nil, err
		}
		all = append(all, acc)
	}
	if len(all) == 0 {
		return nil, usage("no plan names an account and a token to ask it with", "add cloudflare: {account: …, token: {env: …}} to the environment, or leave out --live")
	}
	return all, nil
}

// toAsk gives the accounts that plans name.
func (a *app) toAsk(plans []isolation.Plan) []asked {
	var all []asked
	setting := func(e firedrill.Environment, name string) string {
		text, _ := e.Settings[name].(string)
		return strings.ToLower(text)
	}
	// One without a token only says that the account is its, too.
	same := func(x, y firedrill.Environment) bool {
		return setting(x, "account") == setting(y, "account") && (setting(x, "api") == setting(y, "api") || x.Settings["token"] == nil || y.Settings["token"] == nil)
	}
	for _, p := range plans {
		if p.Err != nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(p.Plan.Environments)) {
			e := p.Plan.Environments[name]
			if setting(e, "account") == "" {
				continue
			}
			i := slices.IndexFunc(all, func(in asked) bool { return same(in.env, e) })
			if i < 0 {
				i, all = len(all), append(all, asked{env: e})
			}
			in := &all[i]
			in.all = append(in.all, name)
			in.named = in.named || name == a.global.env
			if better(e, in.env, a.global.env) {
				in.env = e
			}
		}
	}
	return all
}

// better tells whether an account is rather asked with the token of an environment
// than with another one's: one that has a token, then the one that is named, then one
// that is not production.
func better(e, than firedrill.Environment, named string) bool {
	if has, had := e.Settings["token"] != nil, than.Settings["token"] != nil; has != had {
		return has
	}
	if e.Name == named || than.Name == named {
		return e.Name == named
	}
	return e.Class != firedrill.ClassProduction && than.Class == firedrill.ClassProduction
}

// account asks one account.
func (a *app) account(ctx context.Context, in asked, environments map[string]firedrill.Environment) (isolation.Account, error) {
	id, _ := in.env.Settings["account"].(string)
	acc := isolation.Account{ID: id, Environments: in.all, At: in.env.Source}
	if in.env.Class == firedrill.ClassProduction && !in.named {
		acc.Unseen = []isolation.Unseen{{What: "everything", Why: "it is production's alone; --env " + in.env.Name + " asks it"}}
		return acc, nil
	}
	tell := func(text string) {
		if !a.global.quiet {
			a.err.Line(term.Plain, in.env.Name, text)
		}
	}
	client, err := cloudflare.NewFor(in.env, cloudflare.Deps{Secrets: action.SystemSecrets(), Now: a.Now, Guard: cloudflare.GuardPlan(environments)})
	if err != nil {
		return acc, err
	}
	h, err := client.Holdings(ctx, opAuditLive, tell)
	if err != nil {
		return acc, err
	}
	return holdingsOf(acc, h), nil
}

// holdingsOf says what an account holds in the words of an audit.
func holdingsOf(acc isolation.Account, h cloudflare.Holdings) isolation.Account {
	list := func(kind string, listed bool, all []cloudflare.Holding) {
		if listed {
			acc.Listed = append(acc.Listed, kind)
		}
		for _, x := range all {
			acc.Held = append(acc.Held, isolation.Held{Kind: kind, ID: x.ID, Name: x.Name})
		}
	}
	databases := make([]cloudflare.Holding, 0, len(h.Databases))
	for _, d := range h.Databases {
		databases = append(databases, cloudflare.Holding{ID: d.ID, Name: d.Name})
	}
	list("d1", h.Listed.Databases, databases)
	list("kv", h.Listed.Namespaces, h.Namespaces)
	list("r2", h.Listed.Buckets, h.Buckets)
	list("queue", h.Listed.Queues, h.Queues)
	list("worker", h.Listed.Workers, nil)
	for _, w := range h.Workers {
		d := isolation.Deployed{Name: w.Name, Read: w.Read, Consumes: w.Consumes}
		for _, b := range w.Bindings {
			d.Bindings = append(d.Bindings, bindingOf(b))
		}
		acc.Workers = append(acc.Workers, d)
	}
	for _, x := range h.Addresses {
		acc.Addresses = append(acc.Addresses, isolation.Address{Pattern: x.Pattern, Domain: x.Domain, Zone: x.Zone, Worker: x.Worker})
	}
	for _, u := range h.Unseen {
		acc.Unseen = append(acc.Unseen, isolation.Unseen(u))
	}
	return acc
}

// bindingOf takes a binding apart; name and type are what all of them have.
func bindingOf(b map[string]any) isolation.Binding {
	out := isolation.Binding{Fields: map[string]any{}}
	for key, v := range b {
		switch key {
		case "name":
			out.Name, _ = v.(string)
		case "type":
			out.Type, _ = v.(string)
		default:
			out.Fields[key] = v
		}
	}
	return out
}

// auditAccount tells what was looked at in an account.
func auditAccount(page *term.Page, acc isolation.Seen) {
	var parts []string
	for _, of := range []struct{ kind, noun string }{{"worker", "Worker"}, {"d1", "database"}, {"kv", "namespace"}, {"r2", "bucket"}, {"queue", "queue"}} {
		if n, listed := acc.Held[of.kind]; listed {
			parts = append(parts, term.Plural(int64(n), of.noun))
		}
	}
	page.Line(term.Plain, "account", fmt.Sprintf("%s (%s): %s", acc.Account, strings.Join(acc.Environments, ", "), strings.Join(parts, ", ")))
	if len(acc.NotLookedAt) > 0 {
		page.Line(term.Plain, "", "not looked at: "+strings.Join(acc.NotLookedAt, ", "))
	}
}
