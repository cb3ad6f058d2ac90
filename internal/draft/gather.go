package draft

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/isolation"
)

// Input is what a plan is drafted from.
type Input struct {
	Name        string // of the plan
	Deployments []isolation.Deployment
	Report      isolation.Report
	// Health gives the health route of a Worker by the path of its first module.
	Health map[string]Route
	// Top is the class of what stands at the top level of configurations and has
	// no name that says more; "" is production. On class sandbox and ci addresses
	// are those of a sandbox on this machine.
	Top firedrill.Class
}

// Route is a route that a Worker's code has, and where it stands.
type Route struct{ Path, At string }

// environment is one of the plan.
type environment struct {
	name, why string
	class     firedrill.Class
	account   string
	local     bool // on a sandbox of this machine
	proposed  bool // nobody has made it yet
	resources []resource
	notes     []string // why something is not there
}

// resource is one of an environment. id, name and url are as they stand in the plan.
type resource struct {
	key, kind     string
	id, name, url string
	health        Route  // that its code has; empty if none was seen
	below         string // what its route is limited to; "" if it takes everything
	hint          string // comment behind the url
}

// is tells whether two resources are one thing: by id anywhere, by name within an
// account.
func (r resource) is(o resource, account, other string) bool {
	if r.kind != o.kind {
		return false
	}
	if r.id != "" && o.id != "" {
		return strings.EqualFold(r.id, o.id)
	}
	return r.name != "" && r.name == o.name && (account == "" || other == "" || account == other)
}

// gather makes the environments: production first, then what is to be drilled, the
// best one for drills before the others.
func gather(in Input) []environment {
	var envs []environment
	for _, d := range in.Deployments {
		name, class, why := in.place(d)
		i := slices.IndexFunc(envs, func(e environment) bool { return e.name == name })
		if i < 0 {
			i = len(envs)
			envs = append(envs, environment{name: name, class: class, why: why, local: class == firedrill.ClassSandbox || class == firedrill.ClassCI})
		}
		envs[i].account = cmp.Or(envs[i].account, d.Account)
	}
	slices.SortStableFunc(envs, func(x, y environment) int { return cmp.Compare(x.rank(), y.rank()) })
	keys, claimed := newKeys(in.Deployments), in.claimed()
	for i := range envs {
		for _, d := range in.Deployments {
			if name, _, _ := in.place(d); name == envs[i].name {
				envs[i].take(d, keys, in.Health[d.Main], claimed)
			}
		}
		envs[i].disown(in.Deployments)
	}
	part(envs)
	if !slices.ContainsFunc(envs, environment.drilled) && len(envs) > 0 {
		envs = append(envs, propose(envs[0], in.Name))
	}
	return envs
}

// place gives the environment of a deployment, as a plan names it.
func (in Input) place(d isolation.Deployment) (name string, class firedrill.Class, why string) {
	switch {
	case d.Guessed && in.Top != "" && in.Top != firedrill.ClassProduction:
		return string(in.Top), in.Top, "as asked for"
	case d.Guessed:
		name = "production"
	default:
		name = Slug(strings.TrimSuffix(d.Environment.Name, " beside production")) // of a top level, see isolation
	}
	if d.Environment.Production {
		if _, taken := in.otherOf(name, true); taken {
			name += "-production"
		}
		return name, firedrill.ClassProduction, d.Environment.Why
	}
	return name, firedrill.ClassStaging, d.Environment.Why
}

// otherOf finds a deployment whose environment has this name and is not of the
// same kind: production or not.
func (in Input) otherOf(name string, production bool) (isolation.Deployment, bool) {
	i := slices.IndexFunc(in.Deployments, func(o isolation.Deployment) bool {
		return !o.Guessed && o.Environment.Production != production && Slug(o.Environment.Name) == name
	})
	if i < 0 {
		return isolation.Deployment{}, false
	}
	return in.Deployments[i], true
}

func (e environment) drilled() bool { return e.class != firedrill.ClassProduction }

// rank puts production first, and staging before other environments.
func (e environment) rank() int {
	switch {
	case !e.drilled():
		return 0
	case e.name == "staging":
		return 1
	}
	return 2
}

// take adds what a deployment has to its environment.
func (e *environment) take(d isolation.Deployment, keys keys, health Route, claimed map[string]string) {
	if e.drilled() && e.account != "" && d.Account != "" && d.Account != e.account {
		e.notes = append(e.notes, fmt.Sprintf("Worker %s is in another account (%s): it needs an environment of its own", d.Worker, d.Account))
		return
	}
	w := resource{key: keys.worker(d.Base), kind: "worker", name: d.Worker, health: health}
	if e.drilled() {
		w.reach(*e, d, claimed)
	}
	e.add(w)
	for _, r := range d.Resources {
		x := resource{key: keys.bound(d.Base, r), kind: r.Kind, id: r.ID, name: r.Name}
		if x.id == "" && x.name == "" {
			e.notes = append(e.notes, fmt.Sprintf("%s: {kind: %s, name: …}   # fill in: %s has a placeholder", x.key, x.kind, r.At))
			continue
		}
		e.add(x)
	}
}

// add adds a resource unless it is there already.
func (e *environment) add(r resource) {
	for i, x := range e.resources {
		if r.is(x, "", "") {
			e.resources[i].id, e.resources[i].name = cmp.Or(x.id, r.id), cmp.Or(x.name, r.name)
			return
		}
	}
	taken := func(key string) bool {
		return slices.ContainsFunc(e.resources, func(x resource) bool { return x.key == key })
	}
	if taken(r.key) {
		r.key += "-" + r.kind
	}
	for base, n := r.key, 2; taken(r.key); n++ {
		r.key = fmt.Sprintf("%s-%d", base, n)
	}
	e.resources = append(e.resources, r)
}

// part takes out of environments that are drilled what another one has, too: a
// drill would damage it there.
func part(envs []environment) {
	before := slices.Clone(envs)
	for i := range envs {
		e := &envs[i]
		if !e.drilled() {
			continue
		}
		var own []resource
		for _, r := range e.resources {
			owner := slices.IndexFunc(before, func(o environment) bool {
				return o.name != e.name && slices.ContainsFunc(o.resources, func(x resource) bool { return r.is(x, e.account, o.account) })
			})
			if owner < 0 {
				own = append(own, r)
				continue
			}
			e.notes = append(e.notes, fmt.Sprintf("%s: %s is what %s has, too. Give %s one of its own", r.key, cmp.Or(r.name, r.id), before[owner].name, e.name))
		}
		e.resources = own
	}
}

// claimed gives who has an address: the environment by host, production before
// others.
func (in Input) claimed() map[string]string {
	hosts := map[string]string{}
	for _, d := range in.Deployments {
		name, class, _ := in.place(d)
		for _, h := range d.Hosts {
			if _, taken := hosts[h.Name]; !h.Inherited && (!taken || class == firedrill.ClassProduction) {
				hosts[h.Name] = name
			}
		}
	}
	return hosts
}

// disown leaves the account out where production is in several: names are then
// protected in all of them.
func (e *environment) disown(all []isolation.Deployment) {
	for _, d := range all {
		if !e.drilled() && d.Environment.Production && d.Account != e.account {
			e.account = ""
		}
	}
}

// reach finds the address of a Worker.
func (r *resource) reach(e environment, d isolation.Deployment, claimed map[string]string) {
	host, below := "", ""
	for _, h := range d.Hosts {
		if h.Inherited || strings.Contains(h.Name, "*") || claimed[h.Name] != e.name {
			continue
		}
		if host == "" || below != "" && h.Path == "/*" {
			host, below = h.Name, strings.TrimSuffix(strings.TrimSuffix(h.Path, "*"), "/")
		}
	}
	switch {
	case e.local:
		r.url = "http://" + r.name + ".localhost:8788"
	case host != "":
		r.url, r.below = "https://"+host, below
	case d.WorkersDev:
		r.url = "https://" + r.name + "." + subdomain + ".workers.dev"
		r.hint = "fill in the account's subdomain"
	}
}

// subdomain stands for what an account is called below workers.dev.
const subdomain = "SUBDOMAIN"

// propose makes a staging environment after production, for people to make.
func propose(production environment, name string) environment {
	e := environment{name: "staging", class: firedrill.ClassStaging, account: production.account, proposed: true, why: "it does not exist yet"}
	for _, r := range production.resources {
		r.id = ""
		if r.name == "" {
			r.name = Slug(name) + "-" + r.key
		}
		r.name += "-staging"
		if r.kind == "worker" {
			r.url, r.hint = "https://"+r.name+"."+subdomain+".workers.dev", "fill in the account's subdomain"
		}
		e.resources = append(e.resources, r)
	}
	return e
}
