package plan

import (
	"encoding/json"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"firedrill"
)

// Schema gives the JSON Schema (2020-12) of a plan file, derived from the same
// types that plans are checked against. Editors complete and check with it;
// what it cannot express (references, expressions) `firedrill validate` checks.
func Schema(cat firedrill.Catalog, lib Library) ([]byte, error) {
	root := closed(map[string]*jsonschema.Schema{
		"version": {Const: jsonschema.Ptr[any](1), Description: "version of the format"},
		"name":    text("name of the plan"),
		"state":   stateSchema(),
		"environments": {Type: "object", Description: "places that can be drilled, or must be protected",
			AdditionalProperties: environmentSchema(cat), MinProperties: jsonschema.Ptr(1)},
		"drills":        {Type: "object", Description: "drills, by name", AdditionalProperties: drillSchema(cat, lib)},
		"certification": certificationSchema(lib),
	}, "version", "name", "environments")
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "firedrill plan"
	return json.MarshalIndent(root, "", "  ")
}

func text(doc string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Description: doc}
}

func boolean(doc string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "boolean", Description: doc}
}

func duration(doc string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Description: doc + ": 90s, 15m, 2h, 1h30m", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
}

func oneOf(doc string, names []string) *jsonschema.Schema {
	s := text(doc)
	for _, n := range names {
		s.Enum = append(s.Enum, n)
	}
	return s
}

// closed makes an object that takes no other keys.
func closed(properties map[string]*jsonschema.Schema, required ...string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Properties: properties, Required: required, AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
}

func stateSchema() *jsonschema.Schema {
	s := typeSchema(reflect.TypeFor[stateSettings]())
	s.Description = "bucket in which runs are kept, so that another machine can finish them; left out: the local folder"
	return s
}

func environmentSchema(cat firedrill.Catalog) *jsonschema.Schema {
	properties := map[string]*jsonschema.Schema{
		"class":     oneOf("how careful to be: production is never drilled", []string{"sandbox", "ci", "staging", "production"}),
		"exclusive": boolean("nobody else writes here during a drill, so in-place damage is fine"),
		"resources": {Type: "object", Description: "databases, Workers, by name", AdditionalProperties: resourceSchema(cat)},
		"quiesce": closed(map[string]*jsonschema.Schema{
			"pause":  {Type: "array", Description: "what stops the writers", Items: quiesceSchema(cat), MinItems: jsonschema.Ptr(1)},
			"resume": {Type: "array", Description: "what restarts them; also the undo of pause", Items: quiesceSchema(cat), MinItems: jsonschema.Ptr(1)},
		}, "pause", "resume"),
	}
	window, limits := typeSchema(reflect.TypeFor[firedrill.Window]()), limitsSchema()
	window.Description = "when drills may run"
	properties["window"], properties["limits"] = window, limits
	properties["freeze"] = &jsonschema.Schema{Type: "array", Description: "days on which no drill runs", Items: typeSchema(reflect.TypeFor[firedrill.Freeze]())}
	for _, p := range cat.Providers() {
		s := typeSchema(p.Settings)
		s.Description = p.Doc
		properties[p.Name] = s
	}
	return closed(properties, "class")
}

func resourceSchema(cat firedrill.Catalog) *jsonschema.Schema {
	var kinds []*jsonschema.Schema
	for _, k := range cat.Kinds() {
		s := typeSchema(k.Attrs)
		s.Description = k.Doc
		s.Properties["kind"] = &jsonschema.Schema{Const: jsonschema.Ptr[any](k.Name)}
		s.Required = append(s.Required, "kind")
		kinds = append(kinds, s)
	}
	return &jsonschema.Schema{OneOf: kinds}
}

func drillSchema(cat firedrill.Catalog, lib Library) *jsonschema.Schema {
	drillWindow := typeSchema(reflect.TypeFor[firedrill.Window]())
	drillWindow.Description = "when firedrill run --due may run it, beside the window of the environment"
	properties := map[string]*jsonschema.Schema{
		"on":         text("environment; may be left out where only one is not production"),
		"use":        oneOf("built-in drill", lib.Names()),
		"with":       {Type: "object", Description: "inputs of the built-in drill"},
		"every":      everySchema(),
		"grace":      text("from its date until it is overdue: 7 days, 36h; a quarter of the interval if left out, 30 days at most"),
		"starts":     {Type: "string", Description: "day from which dates are counted: 2027-01-31; from the runs that passed if left out", Pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
		"window":     drillWindow,
		"rto":        duration("target of the recovery time"),
		"rpo":        duration("target of the loss"),
		"unattended": boolean("--yes may stand for the typed confirmation"),
		"title":      text("what it is about"),
		"limits":     limitsSchema(),
		"steps":      {Type: "array", Description: "steps of its own, instead of use", Items: stepSchema(cat), MinItems: jsonschema.Ptr(1)},
	}
	if spec, ok := cat.Action(alertAction); ok {
		properties["alert"] = typeSchema(spec.In)
		properties["alert"].Description = "the user's own alert: a route that shows whether it fires"
	}
	return closed(properties)
}

func limitsSchema() *jsonschema.Schema {
	s := typeSchema(reflect.TypeFor[firedrill.Limits]())
	s.Description = "caps on what one drill may damage"
	for _, p := range s.Properties {
		p.Minimum = jsonschema.Ptr(1.0)
	}
	return s
}

func stepSchema(cat firedrill.Catalog) *jsonschema.Schema {
	var actions []string
	for _, a := range cat.Actions() {
		actions = append(actions, a.Name)
	}
	list := func(doc string) *jsonschema.Schema {
		return &jsonschema.Schema{Description: doc, OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "array", Items: &jsonschema.Schema{Type: "string"}}}}
	}
	with := &jsonschema.Schema{Type: "object", Description: "inputs of the action; texts may hold ${{ … }}"}
	return closed(map[string]*jsonschema.Schema{
		"id":     {Type: "string", Pattern: stepID.String()},
		"phase":  oneOf("what the step is for", texts(firedrill.Phases())),
		"title":  text("what a person reads while it runs"),
		"uses":   oneOf("action; see: firedrill action list", actions),
		"with":   with,
		"when":   text("expression; the step is skipped if it gives false"),
		"expect": list("expressions over outputs that must be true"),
		"proves": oneOf("what the step shows when it passes", texts(firedrill.Proofs())),
		"needs":  list("steps that must be settled first"),
		"undo": closed(map[string]*jsonschema.Schema{"uses": oneOf("action that puts it back", actions), "with": with,
			"expect": list("expressions over outputs that must be true"),
			"last":   boolean("waits until all else was undone and looked at")}, "uses"),
		"discharges": list("steps whose undo is no longer needed once this one passed"),
		"look":       boolean("runs once more after an undo, to tell whether all is as before"),
		"timeout":    duration("how long it may take"),
		"retry":      {Type: "integer", Minimum: jsonschema.Ptr(0.0), Maximum: jsonschema.Ptr(20.0), Description: "further attempts after a failure that changed nothing"},
	}, "id", "phase", "uses")
}

// quiesceSchema is a step without a place of its own.
func quiesceSchema(cat firedrill.Catalog) *jsonschema.Schema {
	all := stepSchema(cat).Properties
	own := map[string]*jsonschema.Schema{}
	for _, key := range []string{"title", "uses", "with", "when", "expect", "timeout", "retry"} {
		own[key] = all[key]
	}
	return closed(own, "uses")
}

// typeSchema derives a schema from a declared Go type.
func typeSchema(t reflect.Type) *jsonschema.Schema {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[firedrill.Values](), t.Kind() == reflect.Map:
		return &jsonschema.Schema{Type: "object"}
	case t.Kind() == reflect.Struct:
		properties := map[string]*jsonschema.Schema{}
		var required []string
		for _, f := range structFields(t) {
			s := typeSchema(f.typ)
			s.Description = f.doc
			properties[f.name] = s
			if f.required {
				required = append(required, f.name)
			}
		}
		return closed(properties, required...)
	case t.Kind() == reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: typeSchema(t.Elem())}
	case t == reflect.TypeFor[firedrill.Duration]():
		return duration("a length of time")
	case t.Kind() == reflect.String:
		return &jsonschema.Schema{Type: "string"}
	case t.Kind() == reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return &jsonschema.Schema{Type: "number"}
	case t.Kind() == reflect.Interface:
		return &jsonschema.Schema{}
	}
	return &jsonschema.Schema{Type: "integer"}
}
