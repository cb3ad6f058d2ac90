package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"firedrill"
)

// Recovery makes the playbook of a real incident ready to run: that of the built-in
// drill which a drill of the plan uses, on any environment, production included.
// inputs are those that say to what it returns; of the drill's own inputs those
// count that the playbook has. lib holds the playbooks of incidents.
func Recovery(p *firedrill.Plan, drill, env string, inputs firedrill.Values, in firedrill.Incident, cat firedrill.Catalog, lib Library) (*firedrill.Program, error) {
	d, err := find(p, drill)
	if err != nil {
		return nil, err
	}
	book, err := RecoveryBook(d, cat, lib)
	if err != nil {
		return nil, err
	}
	e, err := environmentNamed(p, d, env)
	if err != nil {
		return nil, err
	}
	if err := ownToken(p, e); err != nil {
		return nil, err
	}
	e.Incident = true
	given := firedrill.Values{}
	for _, i := range book.Inputs {
		for _, from := range []firedrill.Values{d.Inputs, inputs} { // the later counts
			if v, ok := from[i.Name]; ok {
				given[i.Name] = v
			}
		}
	}
	d.Inputs = given
	in.Overwrites = book.Doc
	prog := &firedrill.Program{Drill: d.Name, Use: d.Use, Title: book.Title, Environment: e, RTO: d.RTO, RPO: d.RPO, PlanFile: p.File, PlanHash: p.Hash, Incident: &in}
	if prog.Inputs, err = book.instantiate(d, e); err != nil {
		return nil, err
	}
	in.WritersGoOn = book.writersGoOn(e, prog.Inputs)
	c := &linker{catalog: cat, program: prog, inputs: book.inputTypes(cat), ids: map[string]int{}}
	prog.Steps, err = c.link(book.Steps)
	return prog, err
}

// writersGoOn says why nobody stops the writers; "" where somebody does, or where no
// data is touched that they could write to.
func (p *Playbook) writersGoOn(e firedrill.Environment, inputs firedrill.Values) string {
	switch {
	case !p.Takes("quiesce"):
		return ""
	case inputs["quiesce"] == false:
		return "as it was asked for"
	case !e.Quiesces():
		return "the plan does not say how those of " + e.Name + " are stopped (quiesce)"
	}
	return ""
}

// RecoveryBook gives the playbook of incidents that belongs to a drill.
func RecoveryBook(d firedrill.Drill, cat firedrill.Catalog, lib Library) (*Playbook, error) {
	file, data, ok := lib.Source(d.Use)
	if !ok {
		detail := fmt.Sprintf("drill %s has steps of its own, and none of them say what belongs to an incident", d.Name)
		if d.Use != "" {
			detail = fmt.Sprintf("%s has no playbook for an incident", d.Use)
		}
		return nil, &firedrill.Error{Kind: firedrill.KindUsage, Target: d.Source.String(), Detail: detail, Remedy: fmt.Sprintf("name a drill of the plan that uses one of %v", lib.Names())}
	}
	return ParsePlaybook(file, data, cat)
}

// ownToken refuses production without a token of its own: one that drills use, too,
// would let a drill's token into production.
func ownToken(p *firedrill.Plan, e firedrill.Environment) error {
	if e.Class != firedrill.ClassProduction {
		return nil
	}
	refuse := func(detail string) error {
		return &firedrill.Error{Op: "recover", Kind: firedrill.KindGuard, Target: "environment " + e.Name, Detail: detail,
			Remedy: "give it a token that only people hold who may recover it, for example: cloudflare: {account: …, token: {env: PRODUCTION_TOKEN}}"}
	}
	token := e.Settings["token"]
	if e.Provider == "" || token == nil {
		return refuse("it is of class production and names no token of its own")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Environments)) {
		if other := p.Environments[name]; other.Class != firedrill.ClassProduction && reflect.DeepEqual(other.Settings["token"], token) {
			return refuse("it is of class production, and environment " + name + " uses the same token")
		}
	}
	return nil
}

// Points lists in words what a recovery can return to, by the inputs of its playbook.
func (p *Playbook) Points() []string {
	words := map[string]string{"at": "a time", "bookmark": "a bookmark", "split": "a version", "backup": "the folder of a backup"}
	var list []string
	for _, i := range p.Inputs {
		if w := words[i.Name]; w != "" {
			list = append(list, w)
		}
	}
	return append(list, "latest-good")
}

// Takes tells whether the playbook has an input.
func (p *Playbook) Takes(input string) bool {
	return slices.ContainsFunc(p.Inputs, func(i Input) bool { return i.Name == input })
}
