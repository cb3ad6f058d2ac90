package isolation

import (
	"fmt"
	"strings"
)

// workers finds Workers that two environments deploy, and calls from one
// environment to a Worker of another.
func (a *audit) workers() {
	for i := range a.units {
		u := &a.units[i]
		for j := range i {
			if o := &a.units[j]; a.apart(u.env, o.env) && replaces(u, o) {
				a.sameName(u, o)
				break
			}
		}
		for _, r := range u.refs {
			if r.kind == kindWorker && r.name != "" {
				if f, found := a.callee(use{u, r}); found {
					a.report(f, r.binding)
				}
			}
		}
	}
}

// elsewhere tells whether two accounts are known to differ.
func elsewhere(x, y string) bool { return x != "" && y != "" && x != y }

// replaces tells whether deploying one unit replaces the Worker of another.
// Environments of one service have the name in common and nothing else.
func replaces(u, o *unit) bool {
	return u.worker != "" && u.worker == o.worker && !elsewhere(u.account, o.account) && (!u.services || !o.services || u.key == o.key)
}

// deploys tells whether a unit is what a reference to a Worker leads to. A service
// is reached in the environment that the reference names, or else in production,
// which is its top level.
func (u *unit) deploys(r reference) bool {
	if u.worker != r.name || elsewhere(u.account, r.account) {
		return false
	}
	return !u.services || u.key == r.environment || u.key == "" && r.environment == "production"
}

// sameName reports at the one that is not production.
func (a *audit) sameName(u, o *unit) {
	if a.envs[u.env].Production {
		u, o = o, u
	}
	a.report(Finding{Rule: SharedName, Level: a.level(u.env, o.env), At: u.workerAt, Environment: u.env, Worker: u.worker, Kind: kindWorker, Resource: u.worker,
		Message: fmt.Sprintf("deploying %s replaces Worker %s of %s", title(u.env), u.worker, title(o.env)), Related: []Related{{o.workerAt, title(o.env) + " deploys it from here"}}}, "name")
}

// callee looks at one reference to a Worker, which belongs to the environment that
// deploys it. Where none does, it is production's if production uses it.
func (a *audit) callee(u use) (f Finding, found bool) {
	env := u.unit.env
	f = Finding{Rule: ForeignWorker, At: u.at, Environment: env, Worker: u.worker, Kind: kindWorker, Resource: u.name,
		Message: fmt.Sprintf("%s of %s leads to Worker %s, which ", fieldOf(u.binding), title(env), u.name)}
	var owner *unit
	for i := range a.units {
		o := &a.units[i]
		switch {
		case !o.deploys(u.reference):
		case !a.apart(env, o.env):
			return f, false
		case owner == nil:
			owner = o
		}
	}
	switch o := a.productionUse(u); {
	case owner != nil:
		f.Level = a.level(env, owner.env)
		f.Message += "belongs to " + title(owner.env)
		f.Related = []Related{{owner.workerAt, title(owner.env) + " deploys it from here"}}
	case o != nil && !a.envs[env].Production:
		f.Level = LevelError
		f.Message += title(o.unit.env) + " uses, too"
		f.Related = []Related{{o.at, title(o.unit.env) + " uses it here"}}
	default:
		return f, false
	}
	return f, true
}

// productionUse finds a reference of production to the same Worker; nil if there
// is none.
func (a *audit) productionUse(u use) *use {
	for i := range a.units {
		for _, r := range a.units[i].refs {
			if a.envs[a.units[i].env].Production && r.kind == kindWorker && r.name == u.name && r.environment == u.environment && !elsewhere(r.account, u.account) {
				return &use{&a.units[i], r}
			}
		}
	}
	return nil
}

// fieldOf names a binding in a sentence.
func fieldOf(binding string) string { return strings.ReplaceAll(binding, ".bindings.", ".") }
