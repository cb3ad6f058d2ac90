package isolation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// resolve gives references by name the id that another place has for the name,
// where there is one in the account, and no other name for this id.
func (a *audit) resolve() {
	names := map[string][]string{} // of each thing that has an id
	ids := map[string][]reference{}
	for _, r := range a.refs() {
		if r.id == "" || r.name == "" || r.placeholder {
			continue
		}
		if !slices.Contains(names[r.thing()], r.name) {
			names[r.thing()] = append(names[r.thing()], r.name)
		}
		if !slices.ContainsFunc(ids[r.byName()], func(o reference) bool { return o.thing() == r.thing() }) {
			ids[r.byName()] = append(ids[r.byName()], r)
		}
	}
	for i := range a.units {
		for j, r := range a.units[i].refs {
			known := ids[r.byName()]
			if r.id == "" && len(known) == 1 && !elsewhere(r.account, known[0].account) && len(names[known[0].thing()]) == 1 {
				a.units[i].refs[j].id = known[0].id
			}
		}
	}
}

func (a *audit) refs() []reference {
	var all []reference
	for _, u := range a.units {
		all = append(all, u.refs...)
	}
	return all
}

// byName is what a resource is known by in an account.
func (r reference) byName() string { return r.kind + "\x00name\x00" + r.scope + "\x00" + r.name }

// thing is a resource as the platform tells it from others.
func (r reference) thing() string {
	if id := cmp.Or(r.id, r.held); id != "" {
		return r.kind + "\x00" + strings.ToLower(id)
	}
	return r.byName()
}

// differ tells whether two references by name are of different accounts.
func differ(x, y reference) bool {
	return x.id == "" && x.held == "" && elsewhere(x.account, y.account)
}

// use is a reference and the unit that has it.
type use struct {
	unit *unit
	reference
}

// sharing finds resources that two environments use.
func (a *audit) sharing() {
	uses := map[string][]use{}
	var things []string
	for i := range a.units {
		for _, r := range a.units[i].refs {
			if r.kind == kindWorker || r.placeholder {
				continue
			}
			if len(uses[r.thing()]) == 0 {
				things = append(things, r.thing())
			}
			uses[r.thing()] = append(uses[r.thing()], use{&a.units[i], r})
		}
	}
	for _, thing := range things {
		for i, u := range uses[thing] {
			if other := a.opposite(u, i, uses[thing]); other != nil {
				a.shared(u, *other)
			}
		}
	}
}

// opposite finds the use of another environment that makes a use a finding. It is
// reported where it is to be repaired: beside production, at the other one;
// between others, at the later one.
func (a *audit) opposite(u use, i int, all []use) *use {
	if a.envs[u.unit.env].Production && !u.preview {
		return nil
	}
	var first *use
	for j := range all {
		o := &all[j]
		if j == i || o.preview || differ(u.reference, o.reference) {
			continue
		}
		live := a.envs[o.unit.env].Production
		switch {
		case u.preview && live:
			return o
		case u.preview || !a.apart(u.unit.env, o.unit.env):
		case live:
			return o
		case j < i && first == nil:
			first = o
		}
	}
	return first
}

func (a *audit) shared(u, o use) {
	f := Finding{Rule: SharedResource, Level: a.level(u.unit.env, o.unit.env), At: u.at, Environment: u.unit.env, Worker: u.worker, Kind: u.kind, Resource: cmp.Or(u.id, u.name),
		Message: fmt.Sprintf("%s uses %s, which belongs to %s", title(u.unit.env), u.is(), title(o.unit.env)),
		Related: []Related{{o.at, title(o.unit.env) + " uses it here"}}}
	switch {
	case u.preview:
		f.Rule, f.Level = PreviewOnLive, LevelError
		f.Message = fmt.Sprintf("`wrangler dev` works on %s, which belongs to %s", u.is(), title(o.unit.env))
	case !a.envs[o.unit.env].Production:
		f.Message = fmt.Sprintf("%s and %s use one %s", title(o.unit.env), title(u.unit.env), u.is())
	}
	if u.minor {
		f.Level = LevelNote
	}
	a.report(f, u.binding)
}

// twins finds databases that several Workers of one environment use.
func (a *audit) twins() {
	first := map[string]use{}
	for i := range a.units {
		for _, r := range a.units[i].refs {
			u := use{&a.units[i], r}
			if r.kind != kindDatabase || r.preview || u.worker == "" || r.placeholder {
				continue
			}
			key := u.unit.env + "\x00" + r.thing()
			o, known := first[key]
			switch {
			case !known:
				first[key] = u
			case o.worker != u.worker:
				a.report(Finding{Rule: Twins, Level: LevelNote, At: u.at, Environment: u.unit.env, Worker: u.worker, Kind: u.kind, Resource: cmp.Or(u.id, u.name),
					Message: fmt.Sprintf("Workers %s and %s of %s use one %s", o.worker, u.worker, title(u.unit.env), u.is()), Related: []Related{{o.at, "Worker " + o.worker + " uses it here"}}}, u.binding)
			}
		}
	}
}
