package isolation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"firedrill"
)

// File is a configuration of wrangler, by a path for people and its content.
type File struct {
	Path string
	Data []byte
}

// Plan is a firedrill.yaml by a path for people; Err is why it cannot be read.
type Plan struct {
	Path string
	Plan *firedrill.Plan
	Err  error
}

// Report is what an audit found.
type Report struct {
	Files        []string      `json:"files"`
	Environments []Environment `json:"environments"`
	Findings     []Finding     `json:"findings"`
}

// Fails tells whether anything counts.
func (r Report) Fails() bool { return slices.ContainsFunc(r.Findings, Finding.Counts) }

// Audit reads configurations and plans, and finds what one environment has of
// another. Environments of one name belong together, in whichever file they
// stand. The top level of a configuration is production, unless a name or another
// environment says otherwise; a plan's classes count before everything else.
func Audit(files []File, plans []Plan) Report {
	a := &audit{envs: map[string]Environment{}}
	report := Report{Files: []string{}, Environments: []Environment{}, Findings: []Finding{}}
	classes := map[string]bool{} // of the plans' environments: production or not
	for _, p := range plans {
		if p.Err != nil {
			a.unreadablePlan(p)
			continue
		}
		for name, e := range p.Plan.Environments {
			classes[name] = e.Class == firedrill.ClassProduction
		}
	}
	for _, f := range files {
		root, err := parse(f.Path, f.Data)
		if err == nil && generated(root) {
			continue
		}
		report.Files = append(report.Files, f.Path)
		if err != nil {
			a.unreadable(err.at, err.detail, "")
			continue
		}
		us := units(f.Path, root)
		a.add(us, place(us, classes))
	}
	a.unify()
	for _, p := range plans {
		report.Files = append(report.Files, p.Path)
		if p.Err == nil {
			a.addPlan(*p.Plan)
		}
	}
	a.resolve()
	a.sharing()
	a.workers()
	a.addresses()
	a.variables()
	a.placeholders()
	a.drops()
	a.twins()
	report.Findings = append(report.Findings, sorted(a.found)...)
	for _, name := range a.names {
		report.Environments = append(report.Environments, a.envs[name])
	}
	return report
}

// audit is one in progress.
type audit struct {
	units []unit
	envs  map[string]Environment
	names []string // of the environments, in the order in which they were heard of
	found []Finding
}

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
// name is the one whose Workers it names.
func (a *audit) addPlan(p firedrill.Plan) {
	us, envs := planUnits(p)
	for i := range us {
		name := us[i].env
		if _, known := a.envs[name]; !known {
			owners := a.ownersOf(us[i])
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

// resolve gives references by name the id that another place has for the name,
// where there is one, and no other name for this id.
func (a *audit) resolve() {
	known := map[string][]string{} // both ways
	note := func(key, value string) {
		if !slices.Contains(known[key], value) {
			known[key] = append(known[key], value)
		}
	}
	for _, u := range a.units {
		for _, r := range u.refs {
			if r.id != "" && r.name != "" && !r.placeholder() {
				note(r.byName(), r.id)
				note(r.thing(), r.name)
			}
		}
	}
	for i := range a.units {
		for j, r := range a.units[i].refs {
			ids := known[r.byName()]
			if r.id != "" || r.name == "" || len(ids) != 1 {
				continue
			}
			r.id = ids[0]
			if len(known[r.thing()]) == 1 {
				a.units[i].refs[j].id = r.id
			}
		}
	}
}

// byName is what a resource is known by in an account.
func (r reference) byName() string { return r.kind + "\x00name\x00" + r.scope + "\x00" + r.name }

// thing is a resource as the platform tells it from others.
func (r reference) thing() string {
	if r.id != "" {
		return r.kind + "\x00" + strings.ToLower(r.id)
	}
	return r.byName()
}

// differ tells whether two references by name are of different accounts.
func differ(x, y reference) bool { return x.id == "" && elsewhere(x.account, y.account) }

// use is a reference and the unit that has it.
type use struct {
	unit *unit
	reference
}

// apart tells whether two environments must share nothing: they are different,
// and not both production.
func (a *audit) apart(x, y string) bool {
	return x != y && (!a.envs[x].Production || !a.envs[y].Production)
}

// level of a finding between two environments.
func (a *audit) level(x, y string) Level {
	if a.envs[x].Production || a.envs[y].Production {
		return LevelError
	}
	return LevelWarning
}

// title names an environment in a sentence.
func (a *audit) title(env string) string {
	switch {
	case env == topLevel && a.envs[env].Production:
		return "production (the top level)"
	case env == besides || env == topLevel:
		return "the top level"
	}
	return env
}

// report adds a finding; where is its place in the configuration.
func (a *audit) report(f Finding, where string) {
	f.identify(where)
	a.found = append(a.found, f)
}

func (a *audit) unreadable(at firedrill.Position, detail, where string) {
	a.report(Finding{Rule: UnreadableConfig, Level: LevelError, At: at, Message: "cannot be read: " + detail}, where)
}

// unreadablePlan reports each mistake of a plan at its place.
func (a *audit) unreadablePlan(p Plan) {
	mistakes := []error{p.Err}
	if all, several := p.Err.(interface{ Unwrap() []error }); several {
		mistakes = all.Unwrap()
	}
	for _, m := range mistakes {
		at, detail := firedrill.Position{File: p.Path, Line: 1, Column: 1}, m.Error()
		var e *firedrill.Error
		if errors.As(m, &e) {
			if place, is := strings.CutPrefix(e.Target, p.Path+":"); is {
				line, column := 0, 0
				if n, _ := fmt.Sscanf(place, "%d:%d", &line, &column); n == 2 { // no place is the first line
					at.Line, at.Column, detail = line, column, e.Detail
				}
			}
		}
		a.unreadable(at, detail, detail)
	}
}

// sharing finds resources that two environments use.
func (a *audit) sharing() {
	uses := map[string][]use{}
	var things []string
	for i := range a.units {
		for _, r := range a.units[i].refs {
			if r.kind == kindWorker || r.placeholder() {
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
		Message: fmt.Sprintf("%s uses %s, which belongs to %s", a.title(u.unit.env), u.is(), a.title(o.unit.env)),
		Related: []Related{{o.at, a.title(o.unit.env) + " uses it here"}}}
	switch {
	case u.preview:
		f.Rule, f.Level = PreviewOnLive, LevelError
		f.Message = fmt.Sprintf("`wrangler dev` works on %s, which belongs to %s", u.is(), a.title(o.unit.env))
	case !a.envs[o.unit.env].Production:
		f.Message = fmt.Sprintf("%s and %s use one %s", a.title(o.unit.env), a.title(u.unit.env), u.is())
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
			if r.kind != kindDatabase || r.preview || u.worker == "" || r.placeholder() {
				continue
			}
			key := u.unit.env + "\x00" + r.thing()
			o, known := first[key]
			switch {
			case !known:
				first[key] = u
			case o.worker != u.worker:
				a.report(Finding{Rule: Twins, Level: LevelNote, At: u.at, Environment: u.unit.env, Worker: u.worker, Kind: u.kind, Resource: cmp.Or(u.id, u.name),
					Message: fmt.Sprintf("Workers %s and %s of %s use one %s", o.worker, u.worker, a.title(u.unit.env), u.is()), Related: []Related{{o.at, "Worker " + o.worker + " uses it here"}}}, u.binding)
			}
		}
	}
}

// drops tells which bindings an environment lost.
func (a *audit) drops() {
	for _, u := range a.units {
		for _, d := range u.dropped {
			f := Finding{Rule: DroppedBinding, Level: LevelWarning, At: d.at, Environment: u.env, Worker: u.worker,
				Message: fmt.Sprintf("%s has no %s; the top level's are not inherited", a.title(u.env), d.field)}
			if len(d.names) > 0 {
				f.Resource = strings.Join(d.names, ", ")
				f.Message = fmt.Sprintf("%s has no %s %s; the top level's are not inherited", a.title(u.env), d.field, f.Resource)
			}
			if !d.whole {
				f.Level = LevelNote // wrangler is silent about it, and it may be meant
			}
			a.report(f, d.field)
		}
	}
}
