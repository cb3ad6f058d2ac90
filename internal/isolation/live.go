package isolation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"firedrill"
)

// serving is a Worker as it is deployed, as a unit of the environment that a file
// gives it to.
type serving struct {
	unit
	// own is the configuration that deploys it; nil where none does.
	own   *unit
	named bool // by a configuration or a plan
}

// in tells whether a unit is in an account. told is false where nothing says in
// which one it is.
func (a *audit) in(u unit, acc Account) (in, told bool) {
	if u.account != "" {
		return sameID(u.account, acc.ID), true
	}
	for _, o := range a.units {
		if o.plan && o.env == u.env && o.account != "" {
			if told = true; sameID(o.account, acc.ID) {
				return true, true
			}
		}
	}
	return !told, told
}

// hold gives references by name the ids that accounts have for the names.
func (a *audit) hold(accounts []Account) {
	for i := range a.units {
		u := &a.units[i]
		for j, r := range u.refs {
			if r.id != "" || r.name == "" {
				continue
			}
			ids := map[string]bool{}
			for _, acc := range accounts {
				if in, _ := a.in(*u, acc); !in {
					continue
				}
				if h, has, _ := acc.has(r); has && h.ID != "" {
					ids[h.ID] = true
				}
			}
			if len(ids) == 1 { // in two accounts, nothing says which it is
				u.refs[j].held = sortedKeys(ids)[0]
			}
		}
	}
}

// live holds what an account has against the files.
func (a *audit) live(acc Account) {
	a.absent(acc)
	all := a.serving(acc)
	for i, s := range all {
		if !s.named {
			a.unnamed(acc, s)
		}
		told := map[string]bool{} // one finding for one leak
		for _, r := range s.refs {
			if s.env != "" && !a.says(s.env, r) && a.foreign(acc, s, r, all, i) {
				told[r.called] = true
			}
		}
		a.deployedValues(acc, s, told)
		a.drift(acc, s, told)
		for _, b := range s.unread {
			a.report(Finding{Rule: NotLookedAt, Level: LevelNote, At: b.at, Environment: s.env, Worker: s.worker, Resource: b.name,
				Message: fmt.Sprintf("binding %s of Worker %s has the type %s, which this version cannot read", b.name, s.worker, b.typ)}, acc.ID+"."+b.name)
		}
	}
	a.answering(acc, all)
	for _, u := range acc.Unseen {
		f := Finding{Rule: NotLookedAt, Level: LevelNote, At: acc.At, Resource: u.What, Message: fmt.Sprintf("%s of account %s: %s", u.What, acc.ID, u.Why)}
		if u.Grave {
			f.Level = LevelWarning
		}
		a.report(f, acc.ID)
	}
}

// unreadBindings tells of `unsafe` bindings of types that this version does not know.
func (a *audit) unreadBindings() {
	for _, u := range a.units {
		for _, b := range u.unread {
			a.report(Finding{Rule: NotLookedAt, Level: LevelNote, At: b.at, Environment: u.env, Worker: u.worker, Resource: b.name,
				Message: fmt.Sprintf("the unsafe binding %s of %s has the type %s, which this version cannot read", b.name, title(u.env), b.typ)}, "unsafe."+b.name)
		}
	}
}

// serving makes units of the Workers of an account.
func (a *audit) serving(acc Account) []serving {
	var all []serving
	for _, d := range acc.Workers {
		s := serving{unit: unit{worker: d.Name, account: acc.ID, at: acc.At}}
		s.own, s.env, s.at, s.named = a.deployer(d.Name, acc)
		if !s.named {
			// What nobody names is production's or somebody's; only a name that says
			// that it is not production's says enough.
			s.at = acc.At
			if parts := wordsOf(d.Name); len(parts) > 1 && slices.Contains(suffixWords(), parts[len(parts)-1]) {
				s.env = synonym(parts[len(parts)-1])
			}
		}
		s.workerAt = s.at
		for _, b := range d.Bindings {
			refs, known := b.references()
			if !known {
				s.unread = append(s.unread, unread{b.Name, b.Type, s.place(b.Name)})
			}
			for _, r := range refs {
				if r.kind == kindWorker && r.name == d.Name {
					continue // its own objects
				}
				s.bound(acc, r, b.Name)
			}
			for _, t := range b.texts() {
				t.at = s.place(t.name)
				if !slices.Contains(s.texts, t) {
					s.texts = append(s.texts, t)
				}
			}
		}
		for _, q := range d.Consumes {
			s.bound(acc, reference{kind: "queue", name: q}, "queues.consumers")
		}
		s.read(d.Read)
		all = append(all, s)
	}
	return all
}

// bound adds a reference, once.
func (s *serving) bound(acc Account, r reference, binding string) {
	r.account, r.worker, r.binding, r.at = acc.ID, s.worker, binding, s.place(r.called)
	if r.environment == "production" { // as the API calls the only one
		r.environment = ""
	}
	if h, has, _ := acc.has(r); has {
		r.held = h.ID
		if r.kind != kindWorker {
			r.name = h.Name
		}
	}
	if !slices.Contains(s.refs, r) {
		s.refs = append(s.refs, r)
	}
}

// read forgets the configuration of a Worker whose bindings are not known: nothing
// can be held against it.
func (s *serving) read(is bool) {
	if !is {
		s.own = nil
	}
}

// place is where the configuration has a binding or a variable, or else the Worker.
func (s *serving) place(called string) firedrill.Position {
	if s.own != nil && called != "" {
		for _, r := range s.own.refs {
			if r.called == called && !r.preview {
				return r.at
			}
		}
		for _, t := range s.own.texts {
			if t.name == called {
				return t.at
			}
		}
	}
	return s.at
}

// deployer finds whose a Worker of an account is: the configuration that deploys
// it, or else the environment of a plan that names it. Of several, production's.
func (a *audit) deployer(name string, acc Account) (own *unit, env string, at firedrill.Position, named bool) {
	ref := reference{kind: kindWorker, name: name, account: acc.ID}
	before := func(x string) bool { // whether another environment takes precedence
		return !named || a.envs[x].Production && !a.envs[env].Production || a.envs[x].Production == a.envs[env].Production && x < env
	}
	for i := range a.units {
		u := &a.units[i]
		if in, _ := a.in(*u, acc); in && u.worker != "" && u.deploys(ref) && before(u.env) {
			own, env, at, named = u, u.env, u.workerAt, true
		}
	}
	if named {
		return own, env, at, true
	}
	for _, u := range a.units {
		in, _ := a.in(u, acc)
		for _, r := range u.refs {
			if in && u.plan && r.kind == kindWorker && r.name == name && before(u.env) {
				env, at, named = u.env, r.at, true
			}
		}
	}
	return nil, env, at, named
}

// says tells whether a file gives a resource to an environment already: then what
// is wrong with it is found in the files.
func (a *audit) says(env string, r reference) bool {
	return slices.ContainsFunc(a.units, func(u unit) bool {
		return u.env == env && slices.ContainsFunc(u.refs, func(o reference) bool {
			return !o.preview && !o.placeholder && o.thing() == r.thing() && !differ(o, r)
		})
	})
}

// foreign looks whether what a deployed Worker is bound to belongs to another
// environment: by a file, or because a Worker of that environment is bound to it.
func (a *audit) foreign(acc Account, s serving, r reference, all []serving, i int) (found bool) {
	if r.minor {
		return false
	}
	if r.kind == kindWorker {
		f, found := a.callee(use{&s.unit, r})
		if found {
			f.Rule, f.Message = DeployedForeign, "as deployed, "+f.Message
			a.report(f, acc.ID+"."+r.binding)
		}
		return found
	}
	f := Finding{Rule: DeployedForeign, At: r.at, Environment: s.env, Worker: s.worker, Kind: r.kind, Resource: cmp.Or(r.id, r.name),
		Message: fmt.Sprintf("as deployed, %s of Worker %s (%s) is bound to %s, which ", r.binding, s.worker, title(s.env), r.is())}
	if o := a.ownerOf(s.env, r); o != nil {
		f.Level = a.level(s.env, o.unit.env)
		f.Message += "belongs to " + title(o.unit.env)
		f.Related = []Related{{o.at, title(o.unit.env) + " uses it here"}}
		a.report(f, acc.ID+"."+r.binding)
		return true
	}
	for j, o := range all {
		live := a.envs[o.env].Production
		shares := slices.ContainsFunc(o.refs, func(x reference) bool { return x.thing() == r.thing() })
		if o.env == "" || !shares || !a.apart(s.env, o.env) || a.envs[s.env].Production || !live && j > i {
			continue
		}
		f.Level = a.level(s.env, o.env)
		f.Message += fmt.Sprintf("Worker %s of %s is bound to, too", o.worker, title(o.env))
		f.Related = []Related{{o.at, title(o.env) + " deploys Worker " + o.worker + " from here"}}
		a.report(f, acc.ID+"."+r.binding)
		return true
	}
	return false
}

// ownerOf finds the use of a resource by another environment in a file,
// production's first; nil if there is none.
func (a *audit) ownerOf(env string, r reference) *use {
	var first *use
	for i := range a.units {
		u := &a.units[i]
		if !a.apart(env, u.env) {
			continue
		}
		for _, o := range u.refs {
			if o.preview || o.placeholder || o.thing() != r.thing() || differ(o, r) {
				continue
			}
			if a.envs[u.env].Production {
				return &use{u, o}
			}
			if first == nil {
				first = &use{u, o}
			}
		}
	}
	return first
}

// deployedValues finds variables that lead to production and stand in no file.
func (a *audit) deployedValues(acc Account, s serving, told map[string]bool) {
	if s.env == "" || a.envs[s.env].Production {
		return
	}
	e := a.estate()
	for _, t := range s.texts {
		o, found := e.leads(t)
		if !found || s.own != nil && slices.ContainsFunc(s.own.texts, func(x text) bool { return x.name == t.name && x.value == t.value }) {
			continue
		}
		f := a.leading(&s.unit, t, o, true)
		f.Rule, f.Message = DeployedValue, "as deployed, "+f.Message
		a.report(f, acc.ID+"."+t.name)
		told[t.name] = true
	}
}

// unnamed tells of a Worker that no file names, and of what it is bound to.
func (a *audit) unnamed(acc Account, s serving) {
	f := Finding{Rule: UnnamedWorker, Level: LevelNote, At: acc.At, Worker: s.worker, Kind: kindWorker, Resource: s.worker,
		Message: fmt.Sprintf("account %s has Worker %s, which no file names", acc.ID, s.worker)}
	var uses []string
	for _, r := range s.refs {
		if o := a.ownerOf("", r); o != nil && r.kind != kindWorker {
			uses = append(uses, fmt.Sprintf("%s of %s", r.is(), title(o.unit.env)))
			f.Related = append(f.Related, Related{o.at, title(o.unit.env) + " uses it here"})
		}
	}
	if len(uses) > 0 {
		f.Message += "; it is bound to " + strings.Join(uses, ", ")
	}
	a.report(f, acc.ID)
}

// absent finds what files name and an account does not have, or has by another
// name. Of an environment whose account nothing tells, nothing is missing anywhere.
func (a *audit) absent(acc Account) {
	untold := map[string]bool{}
	for i := range a.units {
		u := &a.units[i]
		in, told := a.in(*u, acc)
		if !told && !untold[u.env] && len(u.refs) > 0 {
			untold[u.env] = true
			a.report(Finding{Rule: NotLookedAt, Level: LevelNote, At: u.at, Environment: u.env, Resource: "account",
				Message: fmt.Sprintf("what %s names was not looked for in account %s: nothing says in which account it is", title(u.env), acc.ID)}, acc.ID)
		}
		if !in || !told {
			continue
		}
		if u.worker != "" && !acc.serves(u.worker) {
			a.report(Finding{Rule: NotInAccount, Level: LevelNote, At: u.workerAt, Environment: u.env, Worker: u.worker, Kind: kindWorker, Resource: u.worker,
				Message: fmt.Sprintf("Worker %s of %s is not deployed in account %s", u.worker, title(u.env), acc.ID)}, acc.ID)
		}
		for _, r := range u.refs {
			if !r.preview && !r.minor {
				a.missing(acc, u, r)
			}
		}
	}
}

func (a *audit) missing(acc Account, u *unit, r reference) {
	f := Finding{Rule: NotInAccount, Level: LevelWarning, At: r.at, Environment: u.env, Worker: u.worker, Kind: r.kind, Resource: cmp.Or(r.id, r.name),
		Message: fmt.Sprintf("%s names %s, which account %s does not have", title(u.env), r.is(), acc.ID)}
	if r.kind == kindWorker {
		// A Worker of ours that is not deployed is told at its configuration.
		if !r.placeholder && r.name != "" && !acc.serves(r.name) && !a.deployed(r) {
			a.report(f, acc.ID+"."+r.binding)
		}
		return
	}
	h, has, known := acc.has(r)
	switch {
	case !known:
	case !has:
		a.report(f, acc.ID+"."+r.binding)
	case r.id != "" && r.name != "" && h.Name != "" && h.Name != r.name:
		f.Rule = OtherName
		f.Message = fmt.Sprintf("%s calls %s %s %q, and account %s calls it %q", title(u.env), wordFor(r.kind), r.id, r.name, acc.ID, h.Name)
		a.report(f, acc.ID+"."+r.binding)
	}
}

// serves tells whether an account has a Worker, or may have it.
func (acc Account) serves(worker string) bool {
	return !slices.Contains(acc.Listed, kindWorker) || slices.ContainsFunc(acc.Workers, func(d Deployed) bool { return d.Name == worker })
}

// answering finds Workers that answer at addresses of other environments.
func (a *audit) answering(acc Account, all []serving) {
	for _, at := range acc.Addresses {
		i := slices.IndexFunc(all, func(s serving) bool { return s.worker == at.Worker })
		if i < 0 || all[i].env == "" || a.envs[all[i].env].Production {
			continue
		}
		s := all[i]
		r := routeOf(at.Pattern, at.Domain, s.at)
		r.zone = strings.ToLower(at.Zone)
		if s.own != nil && slices.ContainsFunc(s.own.routes, func(o route) bool { return o.pattern == r.pattern }) {
			continue // found in the files
		}
		var of *claimed
		for _, c := range a.claims() {
			if a.apart(s.env, c.unit.env) && covers(r, c.route) && (of == nil || a.envs[c.unit.env].Production && !a.envs[of.unit.env].Production) {
				of = &c
			}
		}
		if of != nil {
			a.report(Finding{Rule: DeployedRoute, Level: a.level(s.env, of.unit.env), At: s.at, Environment: s.env, Worker: s.worker, Kind: kindRoute, Resource: r.pattern,
				Message: fmt.Sprintf("Worker %s of %s answers at %s, which takes the address %s of %s", s.worker, title(s.env), r.pattern, of.pattern, title(of.unit.env)),
				Related: []Related{{of.at, title(of.unit.env) + " has it here"}}}, acc.ID)
		}
	}
}
