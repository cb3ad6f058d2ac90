package workers

import (
	"maps"
	"slices"

	"firedrill/internal/sandbox/workers/workerd"
)

// Stubs lists the types of bindings that can be stubbed: those that the
// platform has, that the sandbox does not run, and that a Worker can do without
// until it calls them. They are refused unless they are asked for by name.
func Stubs() []string {
	return []string{"ai", "ai_search", "analytics_engine", "browser", "dispatch_namespace", "hyperdrive", "images", "media", "mtls_certificate",
		"pipelines", "queue", "ratelimit", "secrets_store_secret", "send_email", "vectorize", "vpc_service", "workflow"}
}

// stubModule is the internal module behind all stubs.
const stubModule = "firedrill-internal:stub"

// stubSource makes a binding on which every call is refused by name. Nothing
// that a stub answers could be taken for an answer of the platform.
const stubSource = `export default function (env) {
  const call = (path) => new Proxy(function () {}, {
    get(_, p) { return typeof p === "symbol" || p === "then" || p === "toJSON" ? undefined : call(path + "." + p); },
    apply() { throw new Error(path + "(): " + env.type + " is a stub in this sandbox, which does nothing"); },
  });
  return call(env.name);
}
`

// stub is the kind of a binding that is stubbed.
func stub() kind {
	return kind{
		config: func(c *composer, _ Version, b Binding) workerd.Binding {
			if !slices.ContainsFunc(c.extensions, func(m workerd.Module) bool { return m.Name == stubModule }) {
				c.extensions = append(c.extensions, workerd.Module{Name: stubModule, Kind: workerd.ESModule, Body: []byte(stubSource)})
			}
			name, kind := "env."+b.Name, b.Type
			return workerd.Binding{Name: b.Name, Wrapped: &workerd.Wrapped{Module: stubModule,
				Inner: []workerd.Binding{{Name: "name", Text: &name}, {Name: "type", Text: &kind}}}}
		},
		show: func(b Binding) map[string]any {
			out := maps.Clone(b.Given)
			delete(out, "name")
			delete(out, "type")
			return out
		},
	}
}

// StubbedBinding is a binding that does nothing, because it was asked for.
type StubbedBinding struct{ Script, Name, Type string }

// Stubbed lists the stubs of what is deployed.
func (m *Manager) Stubbed() []StubbedBinding {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []StubbedBinding{}
	for _, name := range slices.Sorted(maps.Keys(m.live)) {
		for _, v := range m.live[name].versions {
			for _, b := range v.Bindings {
				if s := (StubbedBinding{name, b.Name, b.Type}); b.Given != nil && !slices.Contains(list, s) {
					list = append(list, s)
				}
			}
		}
	}
	return list
}
