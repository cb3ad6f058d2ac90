package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/expr"
)

// resolver implements [firedrill.Resolver] with the expression language.
type resolver struct{ catalog firedrill.Catalog }

// NewResolver gives the resolver that the engine decides with.
func NewResolver(cat firedrill.Catalog) firedrill.Resolver { return resolver{cat} }

// open types leave every check to the evaluation: names were checked when the
// program was made, and sub-steps refer to what only the run knows.
func open() expr.Type { return expr.Type{Kind: expr.Object} }

// values gives what expressions may refer to now.
func values(sc firedrill.Scope, outputs firedrill.Values) map[string]any {
	steps := map[string]any{}
	for id, out := range sc.Outputs {
		steps[id] = map[string]any{"outputs": orEmpty(out), "skipped": false}
	}
	for id, skipped := range sc.Skipped {
		if skipped {
			steps[id] = map[string]any{"skipped": true}
		}
	}
	env := sc.Program.Environment
	resources := map[string]any{}
	for key, r := range env.Resources {
		resources[key] = object(r)
	}
	v := map[string]any{
		"inputs": orEmpty(sc.Program.Inputs), "steps": steps, "resources": resources, "run": map[string]any{"id": sc.Run},
		"environment": map[string]any{"name": env.Name, "class": string(env.Class), "exclusive": env.Exclusive, "in_place": env.InPlace(),
			"quiesces": env.Quiesces(), "probes": probes(env), "sentinels": sentinels(env), "exports": exports(env), "exported": exported(env)},
	}
	if outputs != nil {
		v["outputs"] = map[string]any(outputs)
	}
	return v
}

func orEmpty(v firedrill.Values) map[string]any {
	if v == nil {
		return map[string]any{}
	}
	return v
}

// probes gathers the probes of all resources, each with its name, its address
// and the resource that it belongs to.
func probes(env firedrill.Environment) []any { return routes(env, "probes") }

// exports gathers the export routes of all resources, each with its name and its
// address.
func exports(env firedrill.Environment) []any { return routes(env, "exports") }

func routes(env firedrill.Environment, attr string) []any {
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(env.Resources)) {
		r := env.Resources[key]
		base, _ := r.Attrs["url"].(string)
		all, _ := r.Attrs[attr].([]any)
		for _, p := range all {
			m, ok := p.(map[string]any)
			if !ok || base == "" {
				continue
			}
			path, _ := m["path"].(string)
			method, _ := m["method"].(string)
			one := maps.Clone(m)
			one["url"] = strings.TrimRight(base, "/") + path
			if one["name"] = key + " " + path; method != "" && method != "GET" {
				one["name"] = key + " " + method + " " + path
			}
			if attr == "probes" {
				one["service"] = key
			}
			delete(one, "path")
			list = append(list, one)
		}
	}
	return list
}

// sentinels names the resources whose applications take numbered writes.
func sentinels(env firedrill.Environment) []any {
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(env.Resources)) {
		attrs := env.Resources[key].Attrs
		if attrs["sentinel"] != nil && attrs["url"] != nil {
			list = append(list, key)
		}
	}
	return list
}

// exported lists what the export routes of the environment export.
func exported(env firedrill.Environment) []any {
	list := []any{}
	for _, e := range exports(env) {
		if m, ok := e.(map[string]any); ok {
			list = append(list, m["of"])
		}
	}
	return list
}

// When implements [firedrill.Resolver].
func (r resolver) When(step firedrill.Step, sc firedrill.Scope) (bool, []firedrill.Evaluation, error) {
	e, err := expr.Compile(step.When, open())
	if err != nil {
		return false, nil, failure(step, "when", err)
	}
	ok, ev, err := e.Bool(values(sc, nil))
	if err != nil {
		return false, nil, failure(step, "when", err)
	}
	return ok, []firedrill.Evaluation{ev}, nil
}

// Resolve implements [firedrill.Resolver].
func (r resolver) Resolve(step firedrill.Step, sc firedrill.Scope) (firedrill.Resolved, error) {
	spec, ok := r.catalog.Action(step.Uses)
	if !ok {
		return firedrill.Resolved{}, failure(step, "uses", fmt.Errorf("there is no action %q", step.Uses))
	}
	v := values(sc, nil)
	inputs, evaluated, err := fill(step.With, v)
	if err != nil {
		return firedrill.Resolved{}, failure(step, "with", err)
	}
	out := firedrill.Resolved{Inputs: inputs, Impact: spec.Impact, Replay: spec.Replay, Observer: spec.Observer, Timeout: step.Timeout, Evaluated: evaluated}
	if out.Timeout == 0 {
		out.Timeout = spec.Timeout
	}
	if spec.Claims != nil {
		out.Claims = spec.Claims(inputs)
	}
	if step.Undo != nil {
		if out.Undo, err = r.undo(step, v); err != nil {
			return firedrill.Resolved{}, failure(step, "undo", err)
		}
	}
	return out, nil
}

func (r resolver) undo(step firedrill.Step, v map[string]any) (*firedrill.ResolvedUndo, error) {
	spec, ok := r.catalog.Action(step.Undo.Uses)
	if !ok {
		return nil, fmt.Errorf("there is no action %q", step.Undo.Uses)
	}
	inputs, _, err := fill(step.Undo.With, v)
	if err != nil {
		return nil, err
	}
	u := &firedrill.ResolvedUndo{Uses: spec.Name, Inputs: inputs, Replay: spec.Replay}
	if spec.Claims != nil {
		u.Claims = spec.Claims(inputs)
	}
	if spec.Repair != nil {
		u.Repair = spec.Repair(inputs)
	}
	return u, nil
}

// Expect implements [firedrill.Resolver]: what cannot be evaluated is a check
// that failed.
func (r resolver) Expect(step firedrill.Step, sc firedrill.Scope, outputs firedrill.Values) []firedrill.Check {
	v := values(sc, firedrill.Values(orEmpty(outputs)))
	var checks []firedrill.Check
	for _, source := range step.Expect {
		c := firedrill.Check{Expr: source}
		e, err := expr.Compile(source, open())
		if err == nil {
			c.OK, _, err = e.Bool(v)
		}
		if err != nil {
			c.Detail = err.Error()
		} else if !c.OK {
			c.Detail = "is not so: " + source
		}
		checks = append(checks, c)
	}
	return checks
}

func failure(step firedrill.Step, what string, err error) error {
	return &firedrill.Error{Op: "resolve", Kind: firedrill.KindExpectation, Target: "step " + step.ID, Detail: what, Remedy: "correct the step: " + step.Source.String(), Err: err}
}

// fill evaluates all expressions in inputs.
func fill(with firedrill.Values, v map[string]any) (firedrill.Values, []firedrill.Evaluation, error) {
	var evaluated []firedrill.Evaluation
	out := firedrill.Values{}
	for _, k := range slices.Sorted(maps.Keys(with)) {
		x, err := fillValue(with[k], v, &evaluated)
		if err != nil {
			return nil, evaluated, fmt.Errorf("%s: %w", k, err)
		}
		out[k] = x
	}
	return out, evaluated, nil
}

func fillValue(x any, v map[string]any, evaluated *[]firedrill.Evaluation) (any, error) {
	switch x := x.(type) {
	case string:
		tpl, err := expr.ParseTemplate(x, open())
		if err != nil {
			return nil, err
		}
		if tpl.Literal() {
			value, _, err := tpl.Eval(v)
			return value, err
		}
		value, ev, err := tpl.Eval(v)
		*evaluated = append(*evaluated, ev...)
		return value, err
	case []any:
		list := make([]any, len(x))
		for i, y := range x {
			z, err := fillValue(y, v, evaluated)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			list[i] = z
		}
		return list, nil
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, y := range x {
			z, err := fillValue(y, v, evaluated)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
			m[k] = z
		}
		return m, nil
	}
	return x, nil
}
