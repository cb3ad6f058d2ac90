package isolation

import (
	"cmp"
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

	plan     bool // an environment of a plan
	worker   string
	workerAt firedrill.Position
	services bool // environments of one service: all have the name of the Worker
	account  string

	refs    []reference
	routes  []route
	answers []route // addresses at which its Workers answer, by a plan
	texts   []text
	dropped []dropped
	unread  []unread
	// hidden is set where the texts may be secrets, of which nothing is shown.
	hidden bool
}

// unread is a binding of a type that this version cannot read.
type unread struct {
	name, typ string
	at        firedrill.Position
}

// text is a value of a variable.
type text struct {
	name  string // with the path to it
	value string
	at    firedrill.Position
}

// units reads all environments of a configuration of wrangler.
func units(file string, root *node) []unit {
	if root.get("pages_build_output_dir") != nil {
		return pages(file, root)
	}
	out := []unit{newUnit(file, "", root, nil, root.at)}
	if env := root.get("env"); env != nil {
		for _, m := range env.members {
			if m.value.shape == aTable {
				out = append(out, newUnit(file, m.key, m.value, root, m.at))
			}
		}
	}
	return out
}

// pages reads the configuration of a Pages project. It has two environments; one
// that the file does not name is the top level, and both can be.
func pages(file string, root *node) []unit {
	var out []unit
	for _, key := range []string{"production", "preview"} {
		m, named := root.get("env").member(key)
		u := newUnit(file, key, root, nil, root.at)
		if named {
			u = newUnit(file, key, m.value, root, m.at)
		}
		u.worker, u.routes = "", nil // a project is no Worker, and has its addresses elsewhere
		out = append(out, u)
	}
	return out
}

// newUnit reads one environment; top is the top level that it inherits from, nil
// for the top level itself.
func newUnit(file, key string, n, top *node, at firedrill.Position) unit {
	u := unit{file: file, key: key, at: at}
	u.name(n, top)
	u.account = inherited(n, top, "account_id")
	for _, b := range bindings() {
		u.bind(n.get(b.field...), b)
	}
	u.unsafe(n.get("unsafe", "bindings"))
	u.markPlaceholders()
	u.route(n, top)
	for _, field := range []string{"vars", "define"} {
		u.text(field, n.get(field))
	}
	if top != nil {
		u.drop(n, top)
	}
	return u
}

// inherited gives a text of the environment, or else of the top level. An empty
// one does not count.
func inherited(n, top *node, field string) string {
	return cmp.Or(n.string(field), top.string(field))
}

// name finds the Worker's name: an environment's own, or that of the top level
// with the environment's behind it. Environments of one service, which
// `legacy_env = false` asks for, share the name.
func (u *unit) name(n, top *node) {
	whole := cmp.Or(top, n)
	v := whole.get("legacy_env")
	u.services = v != nil && v.shape == another && v.text == "false"
	switch {
	case n.string("name") != "" && (top == nil || !u.services):
		u.worker, u.workerAt = n.string("name"), n.get("name").at
	case whole.string("name") != "":
		u.worker, u.workerAt = whole.string("name"), u.at
		if !u.services {
			u.worker += "-" + u.key
		}
	}
}

// bind reads a list of bindings.
func (u *unit) bind(list *node, b binding) {
	for _, item := range list.list() {
		r := reference{kind: b.kind, minor: b.minor, scope: item.string("jurisdiction"), environment: item.string("environment"),
			account: u.account, worker: u.worker, binding: strings.Join(b.field, "."), at: item.at}
		if own := item.string(b.name); own != "" {
			r.binding, r.called = r.binding+"."+own, own
		}
		// The place is that of what names the resource.
		for _, k := range []struct {
			key  string
			into *string
		}{{b.label, &r.name}, {b.id, &r.id}} {
			if v := item.get(k.key); v != nil && v.shape == aText {
				*k.into, r.at = v.text, v.at
				r.blank = r.blank || v.text == ""
			}
		}
		if r.id != "" || r.name != "" || r.blank {
			u.refs = append(u.refs, r)
		}
		if v := item.get(b.preview); item.string(b.preview) != "" {
			p := r
			p.preview, p.id, p.name, p.at = true, v.text, "", v.at
			if b.id == "" {
				p.id, p.name = "", v.text
			}
			u.refs = append(u.refs, p)
		}
		if out := item.get("outbound"); out.string("service") != "" {
			u.refs = append(u.refs, reference{kind: kindWorker, name: out.string("service"), environment: out.string("environment"), account: u.account, worker: u.worker,
				called: r.called, binding: r.binding + ".outbound", at: out.get("service").at})
		}
	}
}

// route reads the routes. Each of the fields is inherited for itself, and wrangler
// asks for `route` only where there are no `routes`: those of the top level count
// before the environment's own `route`.
func (u *unit) route(n, top *node) {
	for _, field := range []string{"routes", "route"} {
		for _, from := range []*node{n, top} {
			v := from.get(field)
			if v == nil || v.shape == another || v.shape == aText && v.text == "" {
				continue
			}
			all := []*node{v}
			if v.shape == aList {
				all = v.items
			}
			for _, item := range all {
				pattern := item
				if item.shape == aTable {
					pattern = item.get("pattern")
				}
				if pattern == nil || pattern.shape != aText || pattern.text == "" {
					continue
				}
				custom := item.get("custom_domain")
				r := routeOf(pattern.text, custom != nil && custom.text == "true", pattern.at)
				r.zone = strings.ToLower(cmp.Or(item.string("zone_name"), item.string("zone_id")))
				r.inherited = from == top
				u.routes = append(u.routes, r)
			}
			return
		}
	}
}

// text gathers the texts of variables, also those deep in objects.
func (u *unit) text(name string, v *node) {
	switch {
	case v == nil:
	case v.shape == aText:
		u.texts = append(u.texts, text{name: name, value: v.text, at: v.at})
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
