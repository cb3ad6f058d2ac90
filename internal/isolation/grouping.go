package isolation

import (
	"slices"
	"strings"

	"firedrill"
)

func (a *audit) add(us []unit, envs []Environment) {
	a.units = append(a.units, us...)
	for _, e := range envs {
		a.hear(e)
	}
}

func (a *audit) hear(e Environment) {
	if _, known := a.envs[e.Name]; !known {
		a.names = append(a.names, e.Name)
		a.envs[e.Name] = e
		return
	}
	if e.Production { // one file is enough to make it production
		a.envs[e.Name] = e
	}
}

// synonym gives the usual word of those that mean one environment.
func synonym(name string) string {
	for _, all := range [][]string{{"production", "prod", "prd"}, {"staging", "stage", "stg"}, {"dev", "development", "develop"}, {"test", "testing", "tst"}} {
		if slices.Contains(all, strings.ToLower(name)) {
			return all[0]
		}
	}
	return name
}

// unify makes one environment of those that different files give synonyms for.
// Where one file has two of them, they are two.
func (a *audit) unify() {
	apart := map[string]map[string]bool{} // synonym: names, within one file
	for _, u := range a.units {
		key := u.file + "\x00" + synonym(u.env)
		if apart[key] == nil {
			apart[key] = map[string]bool{}
		}
		apart[key][u.env] = true
	}
	split := map[string]bool{}
	for key, names := range apart {
		if len(names) > 1 {
			_, s, _ := strings.Cut(key, "\x00")
			split[s] = true
		}
	}
	for i, u := range a.units {
		if s := synonym(u.env); s != u.env && !split[s] {
			a.rename(i, s)
		}
	}
}

// rename moves a unit to an environment of another name.
func (a *audit) rename(i int, to string) {
	from := a.units[i].env
	e := a.envs[from]
	e.Name = to
	a.hear(e)
	a.units[i].env = to
	if !slices.ContainsFunc(a.units, func(u unit) bool { return u.env == from }) {
		delete(a.envs, from)
		a.names = slices.DeleteFunc(a.names, func(n string) bool { return n == from })
	}
}

// addPlan adds the environments of a plan. One that no configuration has by this
// name is the one that has it by a synonym, or the one whose Workers it names.
func (a *audit) addPlan(p firedrill.Plan) {
	us, envs := planUnits(p)
	for i := range us {
		name := us[i].env
		if _, known := a.envs[name]; !known {
			owners := a.ownersOf(us[i])
			if same := slices.DeleteFunc(slices.Clone(a.names), func(n string) bool { return synonym(n) != synonym(name) }); len(same) > 0 {
				owners = same
			}
			switch {
			case len(owners) != 1:
			case owners[0] == topLevel || owners[0] == besides: // a name that somebody wrote down says more
				for j := range a.units {
					if a.units[j].env == owners[0] {
						a.rename(j, name)
					}
				}
			default:
				name = owners[0]
			}
		}
		us[i].env, envs[i].Name = name, name
		if _, known := a.envs[name]; known {
			a.envs[name] = envs[i] // a class that somebody wrote down counts before a guess
		}
		a.hear(envs[i])
	}
	a.units = append(a.units, us...)
}

// ownersOf gives the environments that deploy the Workers that a unit refers to.
func (a *audit) ownersOf(u unit) []string {
	var owners []string
	for _, r := range u.refs {
		for _, o := range a.units {
			if r.kind == kindWorker && o.deploys(r) && !slices.Contains(owners, o.env) {
				owners = append(owners, o.env)
			}
		}
	}
	return owners
}
