package isolation

import (
	"fmt"
	"slices"
	"strings"

	"firedrill"
)

// dropped is what stands at the top level and not in an environment.
type dropped struct {
	field string
	names []string // of the bindings; empty for a field that is no list of them
	whole bool     // the environment has nothing of the field; wrangler warns of it
	at    firedrill.Position
}

// drop finds what the top level has and the environment has not.
func (u *unit) drop(n, top *node) {
	for _, d := range droppables() {
		above, here := top.get(d.path...), n.get(d.path...)
		if above.empty() {
			continue
		}
		names := d.names(above)
		if n.get(d.path[0]) == nil {
			u.dropped = append(u.dropped, dropped{strings.Join(d.path, "."), names, true, u.at})
			continue
		}
		kept := d.names(here)
		missing := slices.DeleteFunc(names, func(name string) bool { return slices.Contains(kept, name) })
		if len(missing) > 0 {
			at := u.at
			if here != nil {
				at = here.at
			}
			u.dropped = append(u.dropped, dropped{strings.Join(d.path, "."), missing, false, at})
		}
	}
}

// droppable is a field that is not inherited. Its names are those by which the
// Worker's code knows what it holds: of bindings in a list, or the keys of a table.
type droppable struct {
	path []string
	name string // key of a binding's name in a list
	keys bool   // the keys of the table are the names
}

// droppables are the fields that are not inherited and whose loss shows.
func droppables() []droppable {
	out := []droppable{{path: []string{"vars"}, keys: true}, {path: []string{"define"}, keys: true}}
	for _, b := range bindings() {
		if !slices.ContainsFunc(out, func(d droppable) bool { return slices.Equal(d.path, b.field) }) {
			out = append(out, droppable{path: b.field, name: b.name})
		}
	}
	for _, field := range []string{"secrets_store_secrets", "vpc_networks", "worker_loaders", "flagship", "artifacts"} {
		out = append(out, droppable{path: []string{field}, name: "binding"})
	}
	for _, field := range []string{"send_email", "ratelimits"} {
		out = append(out, droppable{path: []string{field}, name: "name"})
	}
	for _, field := range []string{"ai", "browser", "images", "stream", "media", "version_metadata", "containers", "secrets", "unsafe"} {
		out = append(out, droppable{path: []string{field}})
	}
	return out
}

// names gives what a field holds.
func (d droppable) names(v *node) []string {
	var out []string
	if d.keys && v != nil {
		for _, m := range v.members {
			out = append(out, m.key)
		}
	}
	for _, item := range v.list() {
		if name := item.string(d.name); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// drops tells which bindings an environment lost.
func (a *audit) drops() {
	for _, u := range a.units {
		for _, d := range u.dropped {
			f := Finding{Rule: DroppedBinding, Level: LevelWarning, At: d.at, Environment: u.env, Worker: u.worker,
				Message: fmt.Sprintf("%s has no %s; the top level's are not inherited", title(u.env), d.field)}
			if len(d.names) > 0 {
				f.Resource = strings.Join(d.names, ", ")
				f.Message = fmt.Sprintf("%s has no %s %s; the top level's are not inherited", title(u.env), d.field, f.Resource)
			}
			if !d.whole {
				f.Level = LevelNote // wrangler is silent about it, and it may be meant
			}
			a.report(f, d.field)
		}
	}
}
