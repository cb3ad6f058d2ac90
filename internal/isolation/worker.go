package isolation

import (
	"fmt"
	"strings"
)

// workers finds Workers that two environments deploy, and calls from one
// environment to a Worker of another.
func (a *audit) workers() {
	owners := map[string][]*unit{}
	for i := range a.units {
		u := &a.units[i]
		if u.worker == "" {
			continue
		}
		for _, o := range owners[u.worker] {
			if a.apart(u.env, o.env) && !(u.services && o.services) && !(u.services && o.key == "") && !(u.account != "" && o.account != "" && u.account != o.account) {
				a.sameName(u, o)
				break
			}
		}
		owners[u.worker] = append(owners[u.worker], u)
	}
	users := map[string][]use{}
	for i := range a.units {
		for _, r := range a.units[i].refs {
			if r.kind == kindWorker {
				users[r.name] = append(users[r.name], use{&a.units[i], r})
			}
		}
	}
	for i := range a.units {
		for _, r := range a.units[i].refs {
			if r.kind == kindWorker && r.name != "" {
				a.call(use{&a.units[i], r}, owners[r.name], users[r.name])
			}
		}
	}
}

// sameName reports at the one that is not production.
func (a *audit) sameName(u, o *unit) {
	if a.envs[u.env].Production {
		u, o = o, u
	}
	a.report(Finding{Rule: SharedName, Level: a.level(u.env, o.env), At: u.workerAt, Environment: u.env, Worker: u.worker, Kind: kindWorker, Resource: u.worker,
		Message: fmt.Sprintf("deploying %s replaces Worker %s of %s", a.title(u.env), u.worker, a.title(o.env)), Related: []Related{{o.workerAt, a.title(o.env) + " deploys it from here"}}}, "name")
}

// call looks at one reference to a Worker. Its owner is the environment that
// deploys it. Where none does, it is whoever else uses it, production first.
func (a *audit) call(u use, owners []*unit, users []use) {
	env := u.unit.env
	f := Finding{Rule: ForeignWorker, At: u.at, Environment: env, Worker: u.worker, Kind: kindWorker, Resource: u.name}
	for _, o := range owners {
		if o.env == env || !a.apart(env, o.env) {
			return
		}
	}
	for _, o := range owners {
		if a.envs[env].Production && !a.envs[o.env].Production {
			f.Level = LevelError
		} else {
			f.Level = a.level(env, o.env)
		}
		f.Message = fmt.Sprintf("%s of %s leads to Worker %s, which belongs to %s", fieldOf(u.binding), a.title(env), u.name, a.title(o.env))
		f.Related = []Related{{o.workerAt, a.title(o.env) + " deploys it from here"}}
		a.report(f, u.binding)
		return
	}
	if a.envs[env].Production {
		return
	}
	for _, o := range users {
		if a.envs[o.unit.env].Production && !differ(u.reference, o.reference) {
			f.Level = LevelError
			f.Message = fmt.Sprintf("%s of %s leads to Worker %s, which %s uses, too", fieldOf(u.binding), a.title(env), u.name, a.title(o.unit.env))
			f.Related = []Related{{o.at, a.title(o.unit.env) + " uses it here"}}
			a.report(f, u.binding)
			return
		}
	}
}

// fieldOf names a binding in a sentence.
func fieldOf(binding string) string { return strings.ReplaceAll(binding, ".bindings.", ".") }
