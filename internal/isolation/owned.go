package isolation

import (
	"cmp"
	"errors"
	"slices"

	"firedrill"
)

// Owned is a resource that a configuration of wrangler gives to an environment.
type Owned struct {
	Kind     string // as in a plan: d1, kv, worker; and the others that Workers bind
	ID, Name string // one of them at least
	Account  string // "" where the configuration does not say
	// Plan is the name by which the plan knows the environment; "" if it does not.
	Plan        string
	Environment string // for a person: "production (the top level)"
	At          firedrill.Position
}

// Resources gives the resources of each environment, as the configurations that lie
// beside a plan name them. Environments belong together as in [Audit]: by name, by
// synonym, or because the plan names their Workers. What two environments name is
// given twice. A Worker that another one only calls is its deployer's.
//
// A configuration that cannot be read is an error of kind [firedrill.KindGuard]:
// what it names would go unprotected.
func Resources(files []File, p firedrill.Plan) ([]Owned, error) {
	a := &audit{envs: map[string]Environment{}}
	classes := map[string]bool{}
	for name, e := range p.Environments {
		classes[name] = e.Class == firedrill.ClassProduction
	}
	var errs []error
	for _, f := range files {
		root, err := parse(f.Path, f.Data)
		switch {
		case err != nil:
			errs = append(errs, &firedrill.Error{Op: "protect other environments", Kind: firedrill.KindGuard, Target: err.at.String(),
				Detail: "cannot be read, so it is not known what it names: " + err.detail, Remedy: "repair it, or move it out of the plan's folder"})
		case !generated(root):
			us := units(f.Path, root)
			a.add(us, place(us, classes))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	a.unify()
	configured := len(a.units)
	a.addPlan(p)
	a.resolve()
	known := map[string]string{} // environment: its name in the plan
	for _, u := range a.units[configured:] {
		known[u.env] = u.key
	}
	var all []Owned
	for _, u := range a.units[:configured] {
		own := Owned{Plan: known[u.env], Environment: title(u.env)}
		if u.worker != "" {
			w := own
			w.Kind, w.Name, w.Account, w.At = kindWorker, u.worker, u.account, u.workerAt
			all = append(all, w)
		}
		for _, r := range u.refs {
			if r.minor || r.placeholder || r.kind == kindWorker && a.deployed(r) {
				continue
			}
			o := own
			o.Kind, o.ID, o.Name, o.Account, o.At = r.kind, r.id, r.name, cmp.Or(r.account, u.account), r.at
			all = append(all, o)
		}
	}
	return all, nil
}

// deployed tells whether a configuration deploys what a reference leads to.
func (a *audit) deployed(r reference) bool {
	return slices.ContainsFunc(a.units, func(u unit) bool { return u.deploys(r) })
}
