// Package plan reads firedrill.yaml, strictly: an unknown key, a reference to
// nothing, a duration that is none is refused with file:line:column, what was
// expected, and the nearest name that exists. All errors of a file are told
// together.
//
// What a plan may refer to (actions, kinds of resource, providers) comes from
// an injected catalog, so nothing here knows a provider. A drill becomes a
// [firedrill.Program] in [Program], where every expression is checked against
// the types of what it refers to, before anything runs.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/schedule"
)

// Library holds the built-in drills.
type Library interface {
	Names() []string // sorted
	// Source gives the text of a drill and the name it has in errors.
	Source(name string) (file string, data []byte, ok bool)
}

// Every lists the frequencies that have a name.
func Every() []string { return schedule.Names() }

// Parse reads a plan. The error joins one [firedrill.Error] for each thing
// that is wrong.
func Parse(file string, data []byte, cat firedrill.Catalog, lib Library) (*firedrill.Plan, error) {
	b := &builder{file: file, catalog: cat, library: lib}
	root := b.read(data)
	if root == nil || b.fields(root, "the plan", "version", "name", "state", "environments", "drills", "certification") == nil {
		return nil, b.err()
	}
	sum := sha256.Sum256(data)
	p := &firedrill.Plan{File: file, Hash: hex.EncodeToString(sum[:]), Environments: map[string]firedrill.Environment{}}
	switch v := root.get("version"); {
	case v == nil:
		b.fail(root.pos, `the plan needs "version"`, "begin it with: version: 1")
	case v.value != int64(1):
		b.fail(v.pos, fmt.Sprintf("version %v is not known", v.value), "this firedrill reads version: 1")
	}
	p.Name = b.required(root, "name", "the plan")
	if n := root.get("state"); n != nil {
		p.State = b.state(n)
	}
	b.environments(root, p)
	b.drills(root, p)
	if n := root.get("certification"); n != nil {
		p.Certification = b.certification(n, p.Drills)
	}
	if len(b.errs) == 0 {
		for _, d := range p.Drills {
			b.checkDrill(p, d)
		}
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	p.Warnings = b.warnings
	return p, nil
}

// checkDrill resolves a drill as a run would, so that validate finds what a
// run would.
func (b *builder) checkDrill(p *firedrill.Plan, d firedrill.Drill) {
	if _, err := Program(p, d.Name, "", b.catalog, b.library); err != nil {
		b.errs = append(b.errs, err)
		return
	}
	b.checkTimetable(p, d)
}

func (b *builder) environments(root *node, p *firedrill.Plan) {
	n := root.get("environments")
	if n == nil {
		b.fail(root.pos, `the plan needs "environments"`, "")
		return
	}
	if n.kind != isMap || len(n.pairs) == 0 {
		b.fail(n.pos, "environments must be a mapping from names to environments", "")
		return
	}
	for _, e := range n.pairs {
		b.named(e.pos, "environment", e.key)
		p.Environments[e.key] = b.environment(e)
	}
}

func (b *builder) environment(e pair) firedrill.Environment {
	providers := b.catalog.Providers()
	known := []string{"class", "exclusive", "quiesce", "resources", "window", "freeze", "limits"}
	for _, pr := range providers {
		known = append(known, pr.Name)
	}
	env := firedrill.Environment{Name: e.key, Resources: map[string]firedrill.Resource{}, Source: e.pos}
	n := b.fields(e.value, "environment "+e.key, known...)
	if n == nil {
		return env
	}
	env.Class = firedrill.Class(b.required(n, "class", "environment "+e.key))
	classes := []string{"sandbox", "ci", "staging", "production"}
	if c := n.get("class"); c != nil && !slices.Contains(classes, string(env.Class)) {
		b.fail(c.pos, fmt.Sprintf("class %q does not exist", env.Class), nearest(string(env.Class), classes))
	}
	env.Exclusive = b.boolean(n.get("exclusive"), "exclusive")
	for _, pr := range providers {
		if s := n.get(pr.Name); s != nil {
			if env.Provider != "" {
				b.fail(s.pos, "an environment has one provider", "make it two environments")
			}
			env.Provider = pr.Name
			env.Settings = asValues(b.typed(s, pr.Settings, pr.Name))
		}
	}
	if r := n.get("resources"); r != nil {
		b.resources(r, &env)
	}
	b.bounds(n, &env)
	if q := n.get("quiesce"); q != nil {
		env.Quiesce = b.quiesce(q)
		b.checkQuiesce(env)
	}
	return env
}

func asValues(v any) firedrill.Values {
	m, _ := v.(map[string]any)
	return m
}

func (b *builder) resources(n *node, env *firedrill.Environment) {
	if n.kind != isMap {
		b.fail(n.pos, "resources must be a mapping from names to resources", "")
		return
	}
	kinds := map[string]firedrill.KindSpec{}
	for _, k := range b.catalog.Kinds() {
		kinds[k.Name] = k
	}
	seen := map[string]string{}
	for _, r := range n.pairs {
		b.named(r.pos, "resource", r.key)
		if r.value.kind != isMap {
			b.fail(r.value.pos, fmt.Sprintf("resource %s must be a mapping, this is %s", r.key, r.value.kind), "")
			continue
		}
		kindName := b.required(r.value, "kind", "resource "+r.key)
		spec, ok := kinds[kindName]
		if !ok {
			if k := r.value.get("kind"); k != nil && kindName != "" {
				b.fail(k.pos, fmt.Sprintf("there is no kind %q", kindName), nearest(kindName, slices.Sorted(maps.Keys(kinds))))
			}
			continue
		}
		attrs := asValues(b.typed(without(r.value, "kind"), spec.Attrs, "resource "+r.key))
		sources := map[string]firedrill.Position{}
		for _, attr := range r.value.pairs {
			sources[attr.key] = attr.value.pos
		}
		env.Resources[r.key] = firedrill.Resource{Key: r.key, Kind: kindName, Attrs: attrs, Sources: sources}
		b.unique(r, kindName, attrs, seen)
		b.checkExports(r, n)
		b.warnProbes(r.key, r.value.get("probes"))
		if spec.Provider != env.Provider && env.Class != firedrill.ClassProduction {
			b.fail(r.pos, fmt.Sprintf("resource %s is of %s, and the environment has no section %q", r.key, spec.Provider, spec.Provider), "")
		}
	}
}

// objectClass is what the class of a Durable Object looks like.
var objectClass = regexp.MustCompile(`^[A-Z][A-Za-z0-9_]*$`)

// checkExports refuses an export of something that the environment does not have,
// and one that nobody could ask for. A class begins with a capital, a resource
// never does.
func (b *builder) checkExports(r pair, resources *node) {
	list := r.value.get("exports")
	if list == nil {
		return
	}
	if r.value.get("url") == nil {
		b.fail(list.pos, "exports need the url of resource "+r.key, "add url: https://…")
	}
	var keys []string
	for _, p := range resources.pairs {
		keys = append(keys, p.key)
	}
	for _, e := range list.items {
		if of := e.get("of"); of != nil && of.kind == isText && !slices.Contains(keys, of.value.(string)) && !objectClass.MatchString(of.value.(string)) {
			b.fail(of.pos, fmt.Sprintf("%q is neither a resource nor the class of a Durable Object", of.value), nearest(of.value.(string), keys))
		}
	}
}

// unique refuses two resources that are one thing, and one that is nothing.
func (b *builder) unique(r pair, kindName string, attrs firedrill.Values, seen map[string]string) {
	named := false
	for _, attr := range []string{"id", "name"} {
		v, ok := attrs[attr].(string)
		if !ok || v == "" {
			continue
		}
		named = true
		key := kindName + " " + attr + " " + v
		if other, taken := seen[key]; taken {
			b.fail(r.pos, fmt.Sprintf("resources %s and %s have one %s, %q", other, r.key, attr, v), "keep one of them")
		}
		seen[key] = r.key
	}
	if !named {
		b.fail(r.pos, fmt.Sprintf("resource %s needs a name or an id", r.key), "")
	}
}

// without gives a mapping without a key.
func without(n *node, key string) *node {
	rest := *n
	rest.pairs = slices.DeleteFunc(slices.Clone(n.pairs), func(p pair) bool { return p.key == key })
	return &rest
}

func (b *builder) drills(root *node, p *firedrill.Plan) {
	n := root.get("drills")
	if n == nil {
		return // a plan may only name what is protected
	}
	if n.kind != isMap {
		b.fail(n.pos, "drills must be a mapping from names to drills", "")
		return
	}
	for _, d := range n.pairs {
		b.named(d.pos, "drill", d.key)
		if drill, ok := b.drill(d, p); ok {
			p.Drills = append(p.Drills, drill)
		}
	}
}

func (b *builder) drill(d pair, p *firedrill.Plan) (firedrill.Drill, bool) {
	n := b.fields(d.value, "drill "+d.key, "on", "use", "with", "every", "grace", "starts", "window", "rto", "rpo", "unattended", "steps", "title", "alert", "limits")
	if n == nil {
		return firedrill.Drill{}, false
	}
	before := len(b.errs)
	out := firedrill.Drill{Name: d.key, Source: d.pos, On: b.text(n.get("on"), "on"), Use: b.text(n.get("use"), "use"),
		Every: b.text(n.get("every"), "every"), RTO: b.duration(n.get("rto"), "rto"), RPO: b.duration(n.get("rpo"), "rpo"),
		Unattended: b.boolean(n.get("unattended"), "unattended")}
	if on := n.get("on"); on != nil && out.On != "" {
		if _, ok := p.Environments[out.On]; !ok {
			b.fail(on.pos, fmt.Sprintf("there is no environment %q", out.On), nearest(out.On, slices.Sorted(maps.Keys(p.Environments))))
		}
	}
	b.timetable(n, &out)
	if w := n.get("with"); w != nil {
		if w.kind != isMap {
			b.fail(w.pos, "with must be a mapping from inputs to values", "")
		} else {
			out.Inputs = asValues(w.plain())
		}
	}
	if a := n.get("alert"); a != nil {
		out.Alert = b.alert(a)
	}
	if l := n.get("limits"); l != nil {
		out.Limits = b.limits(l)
	}
	steps := n.get("steps")
	switch {
	case steps != nil && out.Use != "":
		b.fail(steps.pos, "a drill has either steps or use", "remove one of them")
	case steps != nil:
		out.Steps = b.steps(steps)
	case out.Use == "":
		b.fail(d.pos, fmt.Sprintf("drill %s needs use or steps", d.key), "there are: "+strings.Join(b.library.Names(), ", "))
	default:
		if _, _, ok := b.library.Source(out.Use); !ok {
			b.fail(n.get("use").pos, fmt.Sprintf("there is no built-in drill %q", out.Use), nearest(out.Use, b.library.Names()))
		}
	}
	return out, len(b.errs) == before
}

// kindOf finds a kind of resource.
func kindOf(cat firedrill.Catalog, name string) (firedrill.KindSpec, bool) {
	for _, k := range cat.Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return firedrill.KindSpec{}, false
}

// attrsOf gives the type of a resource object in expressions.
func attrsOf(k firedrill.KindSpec) []field {
	return append(structFields(k.Attrs), field{name: "key", typ: reflect.TypeFor[string]()}, field{name: "kind", typ: reflect.TypeFor[string]()})
}
