package isolation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// apiBinding says where a binding in the form of the API names its resources.
type apiBinding struct {
	typ    string
	kind   string
	id     []string // keys of the id, the one that counts first
	label  string   // key of the name
	minor  bool
	nested []string // path to the table that has the keys
}

// apiBindings are the types of bindings that name a resource. One type can name
// several.
func apiBindings() []apiBinding {
	return []apiBinding{
		{typ: "d1", kind: kindDatabase, id: []string{"database_id", "id"}},
		{typ: "kv_namespace", kind: "kv", id: []string{"namespace_id"}},
		{typ: "r2_bucket", kind: "r2", label: "bucket_name"},
		{typ: "queue", kind: "queue", label: "queue_name"},
		{typ: "service", kind: kindWorker, label: "service"},
		{typ: "durable_object_namespace", kind: kindWorker, label: "script_name"},
		{typ: "workflow", kind: kindWorker, label: "script_name"},
		{typ: "workflow", kind: "workflow", label: "workflow_name"},
		{typ: "vectorize", kind: "vectorize", label: "index_name"},
		{typ: "hyperdrive", kind: "hyperdrive", id: []string{"id"}},
		{typ: "dispatch_namespace", kind: "dispatch-namespace", label: "namespace"},
		{typ: "dispatch_namespace", kind: kindWorker, label: "service", nested: []string{"outbound", "worker"}},
		{typ: "mtls_certificate", kind: "certificate", id: []string{"certificate_id"}},
		{typ: "pipelines", kind: "pipeline", label: "pipeline"},
		{typ: "vpc_service", kind: "vpc-service", id: []string{"service_id"}},
		{typ: "analytics_engine", kind: "dataset", label: "dataset", minor: true},
	}
}

// selfContained are the types that name nothing an environment could share, or
// whose values nobody can read.
func selfContained() []string {
	return []string{"plain_text", "json", "secret_text", "secret_key", "version_metadata", "assets", "ai", "browser", "images", "media", "stream", "ratelimit", "send_email",
		"wasm_module", "text_blob", "data_blob", "worker_loader", "inherit"}
}

// references gives what a binding leads to. known is false for a type that this
// version cannot read.
func (b Binding) references() (refs []reference, known bool) {
	for _, t := range apiBindings() {
		if t.typ != b.Type {
			continue
		}
		known = true
		fields := b.Fields
		for _, key := range t.nested {
			fields, _ = fields[key].(map[string]any)
		}
		r := reference{kind: t.kind, called: b.Name, minor: t.minor}
		for _, key := range t.id {
			r.id = cmp.Or(r.id, textOf(fields, key))
		}
		r.name, r.environment = textOf(fields, t.label), textOf(fields, "environment")
		if j := textOf(fields, "jurisdiction"); j != "default" {
			r.scope = j
		}
		if r.id != "" || r.name != "" {
			refs = append(refs, r)
		}
	}
	return refs, known || slices.Contains(selfContained(), b.Type)
}

// texts gives the texts of a variable, also those deep in objects, by the names
// that they have in a configuration.
func (b Binding) texts() []text {
	var out []text
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case string:
			out = append(out, text{name: name, value: v})
		case []any:
			for _, x := range v {
				walk(name, x)
			}
		case map[string]any:
			for _, key := range sortedKeys(v) {
				walk(name+"."+key, v[key])
			}
		}
	}
	switch b.Type {
	case "plain_text":
		walk("vars."+b.Name, b.Fields["text"])
	case "json":
		walk("vars."+b.Name, b.Fields["json"])
	}
	return out
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func textOf(fields map[string]any, key string) string {
	s, _ := fields[key].(string)
	return s
}

func sameID(x, y string) bool { return x != "" && strings.EqualFold(x, y) }

// unsafe reads `unsafe.bindings`, which wrangler hands to the API as they stand.
func (u *unit) unsafe(list *node) {
	for i, item := range list.list() {
		b := Binding{Name: item.string("name"), Type: item.string("type"), Fields: map[string]any{}}
		fieldsOf(item, b.Fields)
		refs, known := b.references()
		for _, r := range refs {
			r.account, r.worker, r.at = u.account, u.worker, item.at
			r.binding = "unsafe.bindings." + cmp.Or(b.Name, fmt.Sprint(i))
			if v := valueAt(item, r.id, r.name); v != nil {
				r.at = v.at
			}
			u.refs = append(u.refs, r)
		}
		for _, t := range b.texts() {
			t.name, t.at = "unsafe.bindings."+b.Name, item.at
			if v := valueAt(item, t.value); v != nil {
				t.at = v.at
			}
			u.texts = append(u.texts, t)
		}
		if !known && b.Type != "" {
			u.unread = append(u.unread, unread{b.Name, b.Type, item.at})
		}
	}
}

// fieldsOf gives a table as the API would see it; what is no text is left out.
func fieldsOf(n *node, into map[string]any) {
	for _, m := range n.members {
		switch m.value.shape {
		case aText:
			into[m.key] = m.value.text
		case aTable:
			below := map[string]any{}
			fieldsOf(m.value, below)
			into[m.key] = below
		}
	}
}

// valueAt finds the first of some texts in a table, so that a finding stands at it.
func valueAt(n *node, texts ...string) *node {
	for _, m := range n.members {
		switch {
		case m.value.shape == aText && m.value.text != "" && slices.Contains(texts, m.value.text):
			return m.value
		case m.value.shape == aTable:
			if v := valueAt(m.value, texts...); v != nil {
				return v
			}
		}
	}
	return nil
}
