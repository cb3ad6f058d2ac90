package workers

import (
	"context"
	"maps"
	"slices"
)

// merged returns the settings with every field that given has replaced by it.
func (s ScriptSettings) merged(given ScriptSettings) ScriptSettings {
	if given.Logpush != nil {
		s.Logpush = given.Logpush
	}
	if given.TailConsumers != nil {
		s.TailConsumers = given.TailConsumers
	}
	if given.Observability != nil {
		s.Observability = given.Observability
	}
	if given.Tags != nil {
		s.Tags = given.Tags
	}
	return s
}

// Scripts lists the Workers by name.
func (m *Manager) Scripts(ctx context.Context) ([]Script, error) { return m.store.scripts(ctx) }

// Script finds one Worker.
func (m *Manager) Script(ctx context.Context, name string) (Script, error) {
	return m.mustScript(ctx, "get", name)
}

// SetScriptSettings merges settings that are not versioned.
func (m *Manager) SetScriptSettings(ctx context.Context, name string, given ScriptSettings) (Script, error) {
	return m.edit(ctx, "change settings of", name, func(sc *Script) { sc.Settings = sc.Settings.merged(given) })
}

// SetSubdomain switches the workers.dev name on or off. A nil flag stays.
func (m *Manager) SetSubdomain(ctx context.Context, name string, enabled, previews *bool) (Script, error) {
	return m.edit(ctx, "switch subdomain of", name, func(sc *Script) {
		if enabled != nil {
			sc.WorkersDev = *enabled
		}
		if previews != nil {
			sc.PreviewsEnabled = *previews
		}
	})
}

// edit changes a script's own record.
func (m *Manager) edit(ctx context.Context, op, name string, f func(*Script)) (Script, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sc, err := m.mustScript(ctx, op, name)
	if err != nil {
		return Script{}, err
	}
	f(&sc)
	sc.Modified = m.now()
	l := m.live[name]
	if l == nil {
		return sc, m.store.apply(ctx, change{script: &sc})
	}
	next := *l
	next.script = sc
	err = m.enact(ctx, m.with(name, &next), func() error { return m.store.apply(ctx, change{script: &sc}) })
	return sc, err
}

// Delete removes a Worker with its versions, deployments and secrets. A Worker
// that others are bound to, or that has Durable Objects, is refused unless force
// is set; bindings then lead nowhere, and the objects are gone.
func (m *Manager) Delete(ctx context.Context, name string, force bool) error {
	const op = "delete"
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.mustScript(ctx, op, name); err != nil {
		return err
	}
	if in := m.incoming(name); len(in) > 0 && !force {
		return refuse(op, name, CodeStillReferenced, "The Worker '%s' is bound to by %v: remove those service bindings first, or delete with force.", name, in)
	}
	if l := m.live[name]; l != nil && !force {
		for _, n := range l.namespaces {
			page, err := m.Objects(ctx, n.ID, "", 1)
			if err != nil {
				return err
			}
			if len(page.Objects) > 0 {
				return refuse(op, name, CodeStillReferenced, "The Worker '%s' has Durable Objects of the class '%s', whose data would be deleted: use a deleted_classes migration first, or delete with force.", name, n.Class)
			}
		}
	}
	return m.enact(ctx, m.with(name, nil), func() error { return m.store.deleteScript(ctx, name) })
}

// incoming lists the other Workers whose deployed versions are bound to name.
// The caller holds m.mu.
func (m *Manager) incoming(name string) []string {
	var list []string
	owner := owners(m.live)
	for other, l := range m.live {
		for _, v := range l.versions {
			if other != name && slices.Contains(v.targets(owner), name) && !slices.Contains(list, other) {
				list = append(list, other)
			}
		}
	}
	slices.Sort(list)
	return list
}

// References are the Workers that a Worker is connected with: by bindings to
// services and to Durable Objects, and which of its classes others use.
type References struct {
	Incoming, Outgoing []string
	Objects            []ObjectUse
}

// ObjectUse is a Worker's binding to a class of another.
type ObjectUse struct {
	Script    string
	Namespace Namespace
}

// References lists whom a Worker's service bindings connect it with.
func (m *Manager) References(ctx context.Context, name string) (References, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.mustScript(ctx, "references of", name); err != nil {
		return References{}, err
	}
	refs := References{Incoming: m.incoming(name)}
	if l := m.live[name]; l != nil {
		owner := owners(m.live)
		for _, v := range l.versions {
			for _, t := range v.targets(owner) {
				if !slices.Contains(refs.Outgoing, t) {
					refs.Outgoing = append(refs.Outgoing, t)
				}
			}
		}
	}
	slices.Sort(refs.Outgoing)
	refs.Objects = m.objectUses(name)
	return refs, nil
}

// objectUses lists which classes of a Worker others are bound to. The caller
// holds m.mu.
func (m *Manager) objectUses(name string) []ObjectUse {
	var list []ObjectUse
	own := m.live[name]
	if own == nil {
		return nil
	}
	for _, other := range slices.Sorted(maps.Keys(m.live)) {
		for _, v := range m.live[other].versions {
			for _, b := range v.Bindings {
				n, ok := byID(own.namespaces, b.NamespaceID)
				if use := (ObjectUse{other, n}); ok && other != name && !slices.Contains(list, use) {
					list = append(list, use)
				}
			}
		}
	}
	return list
}
