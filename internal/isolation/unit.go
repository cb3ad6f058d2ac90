package isolation

import (
	"slices"
	"strings"

	"firedrill"
)

// unit is a Worker in one environment as one configuration makes it: what
// `wrangler deploy --env NAME` puts in place. A plan's environment is a unit
// without Worker.
type unit struct {
	file string
	key  string // of the environment in the configuration; "" for the top level
	env  string // the environment it belongs to, see [Audit]
	at   firedrill.Position

	worker   string
	workerAt firedrill.Position
	services bool // environments of one service: all have the name of the Worker
	account  string

	refs    []reference
	routes  []route
	texts   []text
	dropped []dropped
}

// route is an address at which a Worker answers.
type route struct {
	pattern   string // without scheme
	inherited bool   // from the top level
	at        firedrill.Position
}

// host gives the pattern's host, which may begin with a wildcard.
func (r route) host() string {
	host, _, _ := strings.Cut(r.pattern, "/")
	host, _, _ = strings.Cut(host, ":")
	return strings.ToLower(host)
}

// text is a value of a variable.
type text struct {
	name  string // with the path to it
	value string
	at    firedrill.Position
}

// dropped is what stands at the top level and not in an environment.
type dropped struct {
	field string
	names []string // of the bindings; empty for a field that is no list of them
	whole bool     // the environment has nothing of the field; wrangler warns of it
	at    firedrill.Position
}

// units reads all environments of a configuration of wrangler.
func units(file string, root *node) []unit {
	top := newUnit(file, "", root, nil, root.at)
	out := []unit{top}
	env, _ := root.member("env")
	if env.value == nil || env.value.shape != aTable {
		return out
	}
	for _, m := range env.value.members {
		if m.value.shape == aTable {
			out = append(out, newUnit(file, m.key, m.value, root, m.at))
		}
	}
	return out
}

// newUnit reads one environment; top is the top level that it inherits from, nil
// for the top level itself.
func newUnit(file, key string, n, top *node, at firedrill.Position) unit {
	u := unit{file: file, key: key, at: at}
	u.name(n, top)
	u.account, _ = inherited(n, top, "account_id")
	for _, b := range bindings() {
		u.bind(n.get(b.field...), b)
	}
	u.route(n, top)
	for _, field := range []string{"vars", "define"} {
		u.text(field, n.get(field))
	}
	if top != nil {
		u.drop(n, top)
	}
	return u
}

// inherited gives a text of the environment, or else of the top level.
func inherited(n, top *node, field string) (string, firedrill.Position) {
	for _, from := range []*node{n, top} {
		if v := from.get(field); v != nil && v.shape == aText {
			return v.text, v.at
		}
	}
	return "", firedrill.Position{}
}

// name finds the Worker's name: an environment's own, or that of the top level
// with the environment's behind it. Environments of one service, which
// `legacy_env = false` asks for, share the name.
func (u *unit) name(n, top *node) {
	own := n.get("name")
	switch {
	case own != nil && own.shape == aText:
		u.worker, u.workerAt = own.text, own.at
	case top.string("name") != "":
		u.worker, u.workerAt = top.string("name"), u.at
		if v := top.get("legacy_env"); v != nil && v.text == "false" {
			u.services = true
			return
		}
		u.worker += "-" + u.key
	}
}

// bind reads a list of bindings.
func (u *unit) bind(list *node, b binding) {
	for _, item := range list.list() {
		r := reference{kind: b.kind, minor: b.minor, account: u.account, worker: u.worker, binding: strings.Join(b.field, "."), at: item.at}
		if own := item.string(b.name); b.name != "" && own != "" {
			r.binding += "." + own
		}
		// The place is that of what names the resource.
		for _, k := range []struct {
			key  string
			into *string
		}{{b.label, &r.name}, {b.id, &r.id}} {
			if v := item.get(k.key); k.key != "" && v != nil && v.shape == aText {
				*k.into, r.at = v.text, v.at
				r.blank = r.blank || v.text == ""
			}
		}
		if r.id != "" || r.name != "" || r.blank {
			u.refs = append(u.refs, r)
		}
		if v := item.get(b.preview); b.preview != "" && v != nil && v.shape == aText && v.text != "" {
			p := r
			p.preview, p.id, p.name, p.at = true, v.text, "", v.at
			if b.id == "" {
				p.id, p.name = "", v.text
			}
			u.refs = append(u.refs, p)
		}
		if out := item.get("outbound"); b.kind == "dispatch-namespace" && out.string("service") != "" {
			u.refs = append(u.refs, reference{kind: kindWorker, name: out.string("service"), account: u.account, worker: u.worker,
				binding: r.binding + ".outbound", at: out.get("service").at})
		}
	}
}

// route reads `route` and `routes`, each of which is inherited for itself.
func (u *unit) route(n, top *node) {
	for _, field := range []string{"route", "routes"} {
		v, from := n.get(field), false
		if v == nil || v.text == "null" {
			v, from = top.get(field), true
		}
		if v == nil {
			continue
		}
		all := []*node{v}
		if v.shape == aList {
			all = v.items
		}
		for _, r := range all {
			pattern := r
			if r.shape == aTable {
				pattern = r.get("pattern")
			}
			if pattern == nil || pattern.shape != aText || pattern.text == "" {
				continue
			}
			text := pattern.text
			if _, rest, found := strings.Cut(text, "://"); found {
				text = rest
			}
			u.routes = append(u.routes, route{text, from && top != nil, pattern.at})
		}
	}
}

// text gathers the texts of variables, also those deep in objects.
func (u *unit) text(name string, v *node) {
	switch {
	case v == nil:
	case v.shape == aText:
		u.texts = append(u.texts, text{name, v.text, v.at})
	case v.shape == aTable:
		for _, m := range v.members {
			u.text(name+"."+m.key, m.value)
		}
	case v.shape == aList:
		for _, item := range v.items {
			u.text(name, item)
		}
	}
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
	for _, field := range []string{"send_email", "secrets_store_secrets", "ratelimits"} {
		out = append(out, droppable{path: []string{field}, name: "binding"})
	}
	for _, field := range []string{"ai", "browser", "images", "version_metadata", "containers"} {
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
