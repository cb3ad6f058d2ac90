package plan

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"firedrill"
	"firedrill/internal/expr"
)

// Program makes a drill ready to run. env overrides the environment that the
// plan names; "" leaves it.
func Program(p *firedrill.Plan, drill, env string, cat firedrill.Catalog, lib Library) (*firedrill.Program, error) {
	d, err := find(p, drill)
	if err != nil {
		return nil, err
	}
	e, err := environmentOf(p, d, env)
	if err != nil {
		return nil, err
	}
	e.Limits = e.Limits.Narrower(d.Limits)
	prog := &firedrill.Program{Drill: d.Name, Use: d.Use, Title: d.Name, Environment: e, RTO: d.RTO, RPO: d.RPO, PlanFile: p.File, PlanHash: p.Hash, Steps: d.Steps}
	inputTypes := map[string]expr.Type{}
	if d.Use != "" {
		file, data, ok := lib.Source(d.Use)
		if !ok {
			return nil, &firedrill.Error{Kind: firedrill.KindUsage, Target: d.Source.String(), Detail: fmt.Sprintf("there is no built-in drill %q", d.Use), Remedy: nearest(d.Use, lib.Names())}
		}
		book, err := ParsePlaybook(file, data, cat)
		if err != nil {
			return nil, err
		}
		if prog.Inputs, err = book.instantiate(d, e); err != nil {
			return nil, err
		}
		prog.Title, prog.Steps = book.Title, book.Steps
		inputTypes = book.inputTypes(cat)
	}
	if d.Alert != nil {
		prog.Alert, prog.Steps = d.Alert, append(slices.Clone(prog.Steps), alertSteps(d)...)
	}
	c := &linker{catalog: cat, program: prog, inputs: inputTypes, ids: map[string]int{}}
	if prog.Steps, err = c.link(prog.Steps); err != nil {
		return nil, err
	}
	return prog, nil
}

func find(p *firedrill.Plan, name string) (firedrill.Drill, error) {
	var names []string
	for _, d := range p.Drills {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return firedrill.Drill{}, &firedrill.Error{Kind: firedrill.KindUsage, Target: p.File, Detail: fmt.Sprintf("the plan has no drill %q", name), Remedy: nearest(name, names)}
}

func environmentOf(p *firedrill.Plan, d firedrill.Drill, override string) (firedrill.Environment, error) {
	e, err := environmentNamed(p, d, override)
	if err == nil && e.Class == firedrill.ClassProduction {
		return e, &firedrill.Error{Kind: firedrill.KindGuard, Target: d.Source.String(), Detail: "drill " + d.Name + ": environment " + e.Name + " is of class production, which no drill may touch",
			Remedy: "drill a staging environment"}
	}
	return e, err
}

// environmentNamed gives the environment that a drill is on, of any class.
func environmentNamed(p *firedrill.Plan, d firedrill.Drill, override string) (firedrill.Environment, error) {
	fail := func(detail, remedy string) (firedrill.Environment, error) {
		return firedrill.Environment{}, &firedrill.Error{Kind: firedrill.KindUsage, Target: d.Source.String(), Detail: "drill " + d.Name + ": " + detail, Remedy: remedy}
	}
	names := slices.Sorted(maps.Keys(p.Environments))
	on := d.On
	if override != "" {
		on = override
	}
	if on == "" {
		var fit []string
		for _, n := range names {
			if p.Environments[n].Class != firedrill.ClassProduction {
				fit = append(fit, n)
			}
		}
		if len(fit) != 1 {
			return fail(fmt.Sprintf("it could run on any of %v", fit), "say which: on: NAME, or --env NAME")
		}
		on = fit[0]
	}
	e, ok := p.Environments[on]
	switch {
	case !ok:
		return fail(fmt.Sprintf("there is no environment %q", on), nearest(on, names))
	case e.Provider == "" && e.Class != firedrill.ClassProduction:
		return fail("environment "+on+" has no provider section", "add for example: cloudflare: {…}")
	}
	return e, nil
}

func (p *Playbook) inputTypes(cat firedrill.Catalog) map[string]expr.Type {
	plain := map[string]expr.Kind{"text": expr.String, "integer": expr.Int, "number": expr.Float, "boolean": expr.Bool}
	types := map[string]expr.Type{}
	for _, in := range p.Inputs {
		if in.Kind == "" {
			types[in.Name] = expr.Type{Kind: plain[in.Type]}
			continue
		}
		fields := map[string]expr.Type{}
		if k, ok := kindOf(cat, in.Kind); ok {
			for _, f := range attrsOf(k) {
				fields[f.name] = expr.Of(f.typ)
			}
		}
		types[in.Name] = expr.Fields(fields)
	}
	return types
}

// linker checks the steps of a program against the catalog and each other.
type linker struct {
	catalog firedrill.Catalog
	program *firedrill.Program
	inputs  map[string]expr.Type
	ids     map[string]int
	steps   []firedrill.Step
	errs    []error
	common  map[string]expr.Type       // what expressions of every step may refer to
	types   map[reflect.Type]expr.Type // of outputs: actions are used many times
}

func (c *linker) fail(s firedrill.Step, detail, remedy string) {
	c.errs = append(c.errs, &firedrill.Error{Kind: firedrill.KindUsage, Target: s.Source.String(), Detail: "step " + s.ID + ": " + detail, Remedy: remedy})
}

// link checks all steps and gives them with their needs filled in from what
// their expressions refer to.
func (c *linker) link(steps []firedrill.Step) ([]firedrill.Step, error) {
	c.steps = slices.Clone(steps)
	for i, s := range c.steps {
		if _, twice := c.ids[s.ID]; twice {
			c.fail(s, "another step has the same id", "")
		}
		c.ids[s.ID] = i
	}
	for i := range c.steps {
		c.step(&c.steps[i])
	}
	if len(c.errs) == 0 {
		c.order()
		c.honest()
	}
	return c.steps, errors.Join(c.errs...)
}

// names gives the types of everything that expressions may refer to. outputs are
// those of the step that asks; nil for undo, which sees no outputs of its own step.
func (c *linker) names(outputs reflect.Type) expr.Type {
	if c.common == nil { // steps are all known by now, and the same for each
		c.common = c.commonNames()
	}
	fields := maps.Clone(c.common)
	if outputs != nil {
		fields["outputs"] = c.typeOf(outputs)
	}
	return expr.Fields(fields)
}

func (c *linker) typeOf(t reflect.Type) expr.Type {
	known, ok := c.types[t]
	if !ok {
		if c.types == nil {
			c.types = map[reflect.Type]expr.Type{}
		}
		known = expr.Of(t)
		c.types[t] = known
	}
	return known
}

// commonNames gives the types of what expressions of every step may refer to.
func (c *linker) commonNames() map[string]expr.Type {
	steps := map[string]expr.Type{}
	for _, s := range c.steps {
		t := expr.Type{Kind: expr.Object}
		if spec, ok := c.catalog.Action(s.Uses); ok {
			t = c.typeOf(spec.Out)
		}
		steps[s.ID] = expr.Fields(map[string]expr.Type{"outputs": t, "skipped": {Kind: expr.Bool}})
	}
	resources := map[string]expr.Type{}
	for key := range c.program.Environment.Resources {
		resources[key] = expr.Type{Kind: expr.Object}
	}
	text := expr.Type{Kind: expr.String}
	return map[string]expr.Type{
		"inputs": expr.Fields(c.inputs), "steps": expr.Fields(steps), "resources": expr.Fields(resources),
		"run": expr.Fields(map[string]expr.Type{"id": text}),
		"environment": expr.Fields(map[string]expr.Type{"name": text, "class": text, "exclusive": {Kind: expr.Bool}, "in_place": {Kind: expr.Bool},
			"quiesces": {Kind: expr.Bool}, "probes": {Kind: expr.List}, "sentinels": {Kind: expr.List}, "exports": {Kind: expr.List}, "exported": {Kind: expr.List}}),
	}
}

func (c *linker) step(s *firedrill.Step) {
	spec, ok := c.action(*s, s.Uses)
	if !ok {
		return
	}
	names := c.names(nil)
	refs := c.with(*s, "with", s.With, spec, names)
	if s.When != "" {
		e, err := expr.Compile(s.When, names)
		if err != nil {
			c.fail(*s, "when: "+err.Error(), "")
		} else {
			refs = append(refs, e.Steps()...)
		}
	}
	refs = append(refs, c.expect(*s, "expect", s.Expect, spec)...)
	if s.Undo != nil {
		if u, ok := c.action(*s, s.Undo.Uses); ok {
			refs = append(refs, c.with(*s, "undo", s.Undo.With, u, names)...)
			refs = append(refs, c.expect(*s, "undo.expect", s.Undo.Expect, u)...)
			if u.Impact == firedrill.Damages {
				c.fail(*s, "its undo "+u.Name+" damages", "an undo puts something back")
			}
		}
	}
	if s.Look && spec.Impact != firedrill.Reads {
		c.fail(*s, "look is for steps that change nothing", "")
	}
	c.need(s, refs)
	for _, d := range s.Discharges {
		c.exists(*s, "discharges", d)
	}
}

// expect checks expectations over the outputs of an action and gives the other
// steps that they refer to.
func (c *linker) expect(s firedrill.Step, what string, list []string, spec firedrill.Spec) []string {
	var refs []string
	names := c.names(spec.Out)
	for _, x := range list {
		e, err := expr.Compile(x, names)
		if err != nil {
			c.fail(s, what+": "+err.Error(), "see: firedrill action show "+spec.Name)
			continue
		}
		for _, r := range e.Steps() {
			if r != s.ID {
				refs = append(refs, r)
			}
		}
	}
	return refs
}

func (c *linker) action(s firedrill.Step, name string) (firedrill.Spec, bool) {
	spec, ok := c.catalog.Action(name)
	if !ok {
		var names []string
		for _, a := range c.catalog.Actions() {
			names = append(names, a.Name)
		}
		c.fail(s, fmt.Sprintf("there is no action %q", name), nearest(name, names))
	}
	return spec, ok
}

func (c *linker) exists(s firedrill.Step, what, id string) {
	if _, ok := c.ids[id]; !ok {
		c.fail(s, fmt.Sprintf("%s %q, which does not exist", what, id), nearest(id, slices.Sorted(maps.Keys(c.ids))))
	}
}

// need makes the needs of a step complete: what its expressions refer to.
func (c *linker) need(s *firedrill.Step, refs []string) {
	needs := slices.Clone(s.Needs)
	for _, n := range needs {
		c.exists(*s, "needs", n)
	}
	for _, r := range refs {
		i, ok := c.ids[r]
		switch {
		case !ok: // the compiler said so already
		case r == s.ID:
			c.fail(*s, "it refers to its own outputs before it has any", "")
		case c.steps[i].Phase.Index() > s.Phase.Index():
			c.fail(*s, fmt.Sprintf("it refers to step %s of a later phase", r), "")
		case c.steps[i].Phase == s.Phase && !slices.Contains(needs, r):
			needs = append(needs, r)
		}
	}
	s.Needs = needs
}

// with checks the inputs of an action and gives the steps that they refer to.
func (c *linker) with(s firedrill.Step, what string, with firedrill.Values, spec firedrill.Spec, names expr.Type) []string {
	var refs, known []string
	fields := structFields(spec.In)
	for _, f := range fields {
		known = append(known, f.name)
		v, given := with[f.name]
		if !given {
			if f.required {
				c.fail(s, fmt.Sprintf("%s: %s needs %q", what, spec.Name, f.name), f.doc)
			}
			continue
		}
		refs = append(refs, c.value(s, what+"."+f.name, v, f.typ, names)...)
	}
	for _, given := range slices.Sorted(maps.Keys(with)) {
		if !slices.Contains(known, given) {
			c.fail(s, fmt.Sprintf("%s: %s has no input %q", what, spec.Name, given), nearest(given, known))
		}
	}
	return refs
}

// value checks one value, its expressions included, against a declared type.
func (c *linker) value(s firedrill.Step, what string, v any, t reflect.Type, names expr.Type) []string {
	var refs []string
	switch v := v.(type) {
	case string:
		tpl, err := expr.ParseTemplate(v, names)
		if err != nil {
			c.fail(s, what+": "+err.Error(), "")
			return nil
		}
		got := expr.Type{Kind: expr.String}
		if e := tpl.Expr(); e != nil {
			got = e.Type
		}
		if want := expr.Of(t); !fits(got, want) {
			c.fail(s, fmt.Sprintf("%s must be %s, this is %s", what, want.Kind, got.Kind), "")
		}
		return tpl.Steps()
	case []any:
		elem := reflect.TypeFor[any]()
		if t.Kind() == reflect.Slice {
			elem = t.Elem()
		}
		for i, x := range v {
			refs = append(refs, c.value(s, fmt.Sprintf("%s[%d]", what, i), x, elem, names)...)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			refs = append(refs, c.value(s, what+"."+k, v[k], fieldType(t, k), names)...)
		}
	}
	if want := expr.Of(t); !fits(literalType(v), want) {
		c.fail(s, fmt.Sprintf("%s must be %s, this is %s", what, want.Kind, literalType(v).Kind), "")
	}
	return refs
}

func fieldType(t reflect.Type, name string) reflect.Type {
	for _, f := range structFields(t) {
		if f.name == name {
			return f.typ
		}
	}
	return reflect.TypeFor[any]()
}

func fits(got, want expr.Type) bool {
	return got.Kind == want.Kind || got.Kind == expr.Any || want.Kind == expr.Any || got.Kind == expr.Int && want.Kind == expr.Float
}

func literalType(v any) expr.Type {
	switch v.(type) {
	case bool:
		return expr.Type{Kind: expr.Bool}
	case int64:
		return expr.Type{Kind: expr.Int}
	case float64:
		return expr.Type{Kind: expr.Float}
	case string:
		return expr.Type{Kind: expr.String}
	case []any:
		return expr.Type{Kind: expr.List}
	case map[string]any:
		return expr.Type{Kind: expr.Object}
	}
	return expr.Type{Kind: expr.Any}
}

// order refuses circles and needs that point forward.
func (c *linker) order() {
	const underWay, done = 1, 2
	state := map[string]int{}
	var visit func(id string) bool
	visit = func(id string) bool {
		switch state[id] {
		case underWay:
			return false
		case done:
			return true
		}
		state[id] = underWay
		s := c.steps[c.ids[id]]
		for _, n := range s.Needs {
			if c.steps[c.ids[n]].Phase.Index() > s.Phase.Index() {
				c.fail(s, fmt.Sprintf("it needs step %s of a later phase", n), "")
				continue
			}
			if !visit(n) {
				c.fail(s, "it needs itself, by way of "+n, "")
				break
			}
		}
		state[id] = done
		return true
	}
	for _, s := range c.steps {
		visit(s.ID)
	}
}

// honest refuses a drill that damages and could never show what it must show.
func (c *linker) honest() {
	proofs := map[firedrill.Proof]bool{}
	damages := false
	for _, s := range c.steps {
		proofs[s.Proves] = true
		spec, _ := c.catalog.Action(s.Uses)
		if spec.Impact != firedrill.Damages {
			continue
		}
		damages = true
		if s.Undo == nil {
			c.fail(s, "it damages and has no undo", "say how it is put back: undo: {uses: …, with: {…}}")
		}
		if s.Phase != firedrill.Inject {
			c.fail(s, "only steps of phase inject may damage", "phase: inject")
		}
	}
	if !damages {
		return
	}
	whole := firedrill.Step{ID: c.steps[0].ID, Source: c.steps[0].Source}
	if !proofs[firedrill.ProvesDamage] {
		c.fail(whole, "the drill damages and no step proves: damage, so it could never pass", "")
	}
	if !proofs[firedrill.ProvesData] && !proofs[firedrill.ProvesService] {
		c.fail(whole, "the drill damages and no step proves: data or service, so it could never pass", "")
	}
}
