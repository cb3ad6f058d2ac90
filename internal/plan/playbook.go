package plan

import (
	"errors"
	"fmt"
	"slices"

	"firedrill"
)

// Playbook is a built-in drill: steps with inputs, in the users' own language.
type Playbook struct {
	Name   string
	Title  string
	Doc    string
	Inputs []Input // in the order of the file
	Steps  []firedrill.Step
}

// Input is something that a drill is given by the plan.
type Input struct {
	Name    string
	Doc     string
	Kind    string // of a resource; "" for a plain value
	Type    string // text, integer, number, boolean; "" for a resource
	Default any    // nil: required
	pos     firedrill.Position
}

// types lists the types of plain inputs.
func types() []string { return []string{"text", "integer", "number", "boolean"} }

// ParsePlaybook reads a built-in drill.
func ParsePlaybook(file string, data []byte, cat firedrill.Catalog) (*Playbook, error) {
	b := &builder{file: file, catalog: cat}
	root := b.read(data)
	if root == nil || b.fields(root, "the drill", "version", "name", "title", "doc", "inputs", "steps") == nil {
		return nil, b.err()
	}
	if v := root.get("version"); v == nil || v.value != int64(1) {
		b.fail(root.pos, "the drill must begin with version: 1", "")
	}
	p := &Playbook{Name: b.required(root, "name", "the drill"), Title: b.required(root, "title", "the drill"), Doc: b.text(root.get("doc"), "doc")}
	if in := root.get("inputs"); in != nil && in.kind == isMap {
		for _, i := range in.pairs {
			p.Inputs = append(p.Inputs, b.input(i))
		}
	} else if in != nil {
		b.fail(in.pos, "inputs must be a mapping", "")
	}
	if s := root.get("steps"); s != nil {
		p.Steps = b.steps(s)
	} else {
		b.fail(root.pos, `the drill needs "steps"`, "")
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	return p, nil
}

func (b *builder) input(i pair) Input {
	out := Input{Name: i.key, pos: i.pos}
	b.named(i.pos, "input", i.key)
	n := b.fields(i.value, "input "+i.key, "kind", "type", "default", "doc")
	if n == nil {
		return out
	}
	out.Doc, out.Kind, out.Type = b.text(n.get("doc"), "doc"), b.text(n.get("kind"), "kind"), b.text(n.get("type"), "type")
	_, known := kindOf(b.catalog, out.Kind)
	switch {
	case (out.Kind == "") == (out.Type == ""):
		b.fail(i.pos, fmt.Sprintf("input %s is either of a kind or of a type", i.key), "")
	case out.Kind != "" && !known:
		b.fail(n.get("kind").pos, fmt.Sprintf("there is no kind %q", out.Kind), "")
	case out.Type != "" && !slices.Contains(types(), out.Type):
		b.fail(n.get("type").pos, fmt.Sprintf("there is no type %q", out.Type), nearest(out.Type, types()))
	}
	if d := n.get("default"); d != nil {
		out.Default = d.plain()
		if err := out.accepts(out.Default); err != nil {
			b.fail(d.pos, err.Error(), "")
		}
	}
	return out
}

// accepts tells whether a value fits the input's type.
func (i Input) accepts(v any) error {
	ok := false
	switch i.Type {
	case "text":
		_, ok = v.(string)
	case "boolean":
		_, ok = v.(bool)
	case "integer":
		_, ok = v.(int64)
	case "number":
		_, isInt := v.(int64)
		_, isFloat := v.(float64)
		ok = isInt || isFloat
	default:
		_, ok = v.(string) // the key of a resource
	}
	if !ok {
		want := i.Type
		if i.Kind != "" {
			want = "the name of a resource of kind " + i.Kind
		}
		return fmt.Errorf("input %s must be %s", i.Name, want)
	}
	return nil
}

// instantiate gives the inputs of a drill as expressions see them: resources
// as objects.
func (p *Playbook) instantiate(d firedrill.Drill, env firedrill.Environment) (firedrill.Values, error) {
	var errs []error
	fail := func(detail, remedy string) {
		errs = append(errs, &firedrill.Error{Kind: firedrill.KindUsage, Target: d.Source.String(), Detail: "drill " + d.Name + ": " + detail, Remedy: remedy})
	}
	var names []string
	values := firedrill.Values{}
	for _, in := range p.Inputs {
		names = append(names, in.Name)
		v, given := d.Inputs[in.Name]
		if !given {
			v = in.Default
		}
		if in.Kind != "" {
			r, err := pick(in, v, env)
			if err != nil {
				fail(err.Error(), "with: {"+in.Name+": RESOURCE}")
				continue
			}
			values[in.Name] = object(r)
			continue
		}
		if v == nil {
			fail(fmt.Sprintf("it needs input %q", in.Name), in.Doc)
			continue
		}
		if err := in.accepts(v); err != nil {
			fail(err.Error(), in.Doc)
			continue
		}
		values[in.Name] = v
	}
	for given := range d.Inputs {
		if !slices.Contains(names, given) {
			fail(fmt.Sprintf("there is no input %q", given), nearest(given, names))
		}
	}
	return values, errors.Join(errs...)
}

// pick finds the resource that an input names, or the only one that fits.
func pick(in Input, v any, env firedrill.Environment) (firedrill.Resource, error) {
	var fitting []string
	for key, r := range env.Resources {
		if r.Kind == in.Kind {
			fitting = append(fitting, key)
		}
	}
	slices.Sort(fitting)
	key, given := v.(string)
	switch {
	case !given && v != nil:
		return firedrill.Resource{}, in.accepts(v)
	case !given && len(fitting) == 1:
		key = fitting[0]
	case !given && len(fitting) == 0:
		return firedrill.Resource{}, fmt.Errorf("environment %s has no resource of kind %s for input %q", env.Name, in.Kind, in.Name)
	case !given:
		return firedrill.Resource{}, fmt.Errorf("input %q could be any of %v", in.Name, fitting)
	}
	r, ok := env.Resources[key]
	switch {
	case !ok:
		hint := nearest(key, fitting)
		return r, fmt.Errorf("environment %s has no resource %q (%s)", env.Name, key, hint)
	case r.Kind != in.Kind:
		return r, fmt.Errorf("input %q must be a resource of kind %s, %s is of kind %s", in.Name, in.Kind, key, r.Kind)
	}
	return r, nil
}

// object is a resource as expressions see it.
func object(r firedrill.Resource) map[string]any {
	m := map[string]any{"key": r.Key, "kind": r.Kind}
	for k, v := range r.Attrs {
		m[k] = v
	}
	return m
}
