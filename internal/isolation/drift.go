package isolation

import (
	"fmt"
	"slices"
	"strings"
)

// drift finds what a Worker is bound to otherwise than its configuration says.
// Variables are notes: they are set by hand, too, and kept. What was told already is
// left out.
func (a *audit) drift(acc Account, s serving, told map[string]bool) {
	if s.own == nil {
		return
	}
	here, there := leading(s.own.refs, s.worker), leading(s.refs, s.worker)
	for _, name := range both(here, there) {
		config, deployed := here[name], there[name]
		if told[name] || slices.Equal(things(config), things(deployed)) {
			continue
		}
		r := append(slices.Clone(deployed), config...)[0]
		f := Finding{Rule: DeployedDrift, Level: LevelWarning, At: s.place(name), Environment: s.env, Worker: s.worker, Kind: r.kind, Resource: name}
		switch {
		case len(deployed) == 0:
			f.Message = fmt.Sprintf("Worker %s is deployed without %s, which leads to %s by its configuration", s.worker, name, named(config))
		case len(config) == 0:
			f.Message = fmt.Sprintf("Worker %s is deployed with %s, which leads to %s; its configuration has no such binding", s.worker, name, named(deployed))
		default:
			f.Message = fmt.Sprintf("Worker %s is deployed with %s leading to %s; its configuration says %s", s.worker, name, named(deployed), named(config))
		}
		a.report(f, acc.ID)
	}
	own, set := valuesOf(s.own.texts), valuesOf(s.texts)
	for _, name := range both(own, set) {
		if told[name] || slices.Equal(own[name], set[name]) {
			continue
		}
		how := "another value of %s than its configuration has"
		switch {
		case len(set[name]) == 0:
			how = "no %s, which its configuration sets"
		case len(own[name]) == 0:
			how = "%s, which its configuration does not set"
		}
		a.report(Finding{Rule: DeployedDrift, Level: LevelNote, At: s.place(name), Environment: s.env, Worker: s.worker, Kind: "variable", Resource: name,
			Message: fmt.Sprintf("Worker %s is deployed with "+how, s.worker, name)}, acc.ID)
	}
}

// leading gives what bindings lead to by their names. Left out is what cannot be
// compared: kinds of which the API is not read, placeholders, names without an id
// where the platform goes by ids, and a Worker's own objects.
func leading(refs []reference, worker string) map[string][]reference {
	out := map[string][]reference{}
	for _, r := range refs {
		i := slices.IndexFunc(apiBindings(), func(b apiBinding) bool { return b.kind == r.kind })
		switch {
		case i < 0 || r.called == "" || r.preview || r.placeholder || r.kind == kindWorker && r.name == worker:
		case len(apiBindings()[i].id) > 0 && r.id == "" && r.held == "":
		default:
			out[r.called] = append(out[r.called], r)
		}
	}
	return out
}

func things(refs []reference) []string {
	var out []string
	for _, r := range refs {
		out = append(out, r.thing())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// named gives resources in a sentence.
func named(refs []reference) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.is())
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " and ")
}

// valuesOf gives the values of variables by their names.
func valuesOf(texts []text) map[string][]string {
	out := map[string][]string{}
	for _, t := range texts {
		if strings.HasPrefix(t.name, "vars.") {
			out[t.name] = append(out[t.name], t.value)
		}
	}
	for name := range out {
		slices.Sort(out[name])
		out[name] = slices.Compact(out[name])
	}
	return out
}

// both gives the keys of two maps.
func both[T any](x, y map[string]T) []string {
	keys := append(sortedKeys(x), sortedKeys(y)...)
	slices.Sort(keys)
	return slices.Compact(keys)
}
