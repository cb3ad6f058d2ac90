package workers

import (
	"context"
	"maps"
	"slices"
)

// Secrets lists the names of the secrets of the version uploaded last.
func (m *Manager) Secrets(ctx context.Context, name string) ([]string, error) {
	if _, err := m.mustScript(ctx, "list secrets of", name); err != nil {
		return nil, err
	}
	v, err := m.latest(ctx, name)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(secretsOf(v))), nil
}

// EditSecrets sets and, where the text is nil, deletes secrets. It makes a new
// version and deploys it; that is refused while the version uploaded last is
// not the one that serves, because it would deploy more than the secrets.
func (m *Manager) EditSecrets(ctx context.Context, name string, edits map[string]*string, source string) (Published, error) {
	const op = "edit secrets of"
	for secret := range edits {
		if !bindingName.MatchString(secret) {
			return Published{}, refuse(op, name, CodeInvalid, "%q cannot be the name of a secret", secret)
		}
	}
	return m.reissue(ctx, op, name, source, TriggeredSecret, func(base Version) ([]Binding, error) {
		out := []Binding{}
		done := map[string]bool{}
		for _, b := range base.Bindings {
			text, edited := edits[b.Name]
			switch {
			case !edited:
				out = append(out, b)
			case b.Type != typeSecret:
				return nil, refuse(op, name, CodeInvalid, "Binding name '%s' already in use by a binding of type %s. Please use a different name and try again.", b.Name, b.Type)
			case text != nil:
				b.Text = *text
				out = append(out, b)
			}
			done[b.Name] = edited
		}
		for _, secret := range slices.Sorted(maps.Keys(edits)) {
			switch text := edits[secret]; {
			case done[secret]:
			case text == nil:
				return nil, refuse(op, name, CodeNoSecret, "Secret '%s' not found.", secret)
			default:
				out = append(out, Binding{Name: secret, Type: typeSecret, Text: *text})
			}
		}
		return out, nil
	})
}

// SetBindings replaces the bindings of what serves: those given, where an entry
// without content keeps what there is. It makes a new version and deploys it.
// Other versioned settings in md that are set replace those of the version.
func (m *Manager) SetBindings(ctx context.Context, name string, md Metadata, replace bool, source string) (Published, error) {
	const op = "change settings of"
	trigger := TriggeredSettings
	for _, b := range md.Bindings {
		if b.Type == typeSecret {
			trigger = TriggeredSecret
		}
	}
	p, err := m.reissue(ctx, op, name, source, trigger, func(base Version) ([]Binding, error) {
		if !replace {
			return base.Bindings, nil
		}
		namespaces, err := m.store.namespaces(ctx)
		if err != nil {
			return nil, err
		}
		return checker{m, op, name, namespaces}.resolve(ctx, md.Bindings, md.KeepBindings)
	}, func(v *Version) {
		if md.CompatibilityDate != "" {
			v.CompatibilityDate = md.CompatibilityDate
		}
		if md.CompatibilityFlags != nil {
			v.CompatibilityFlags = md.CompatibilityFlags
		}
		if md.UsageModel != "" {
			v.UsageModel = md.UsageModel
		}
		if md.Limits != nil {
			v.Limits = md.Limits
		}
		if md.Placement != nil {
			v.Placement = md.Placement
		}
	})
	return p, err
}

// reissue deploys a copy of the version that serves, with other bindings.
func (m *Manager) reissue(ctx context.Context, op, name, source, trigger string, bindings func(Version) ([]Binding, error), more ...func(*Version)) (Published, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sc, err := m.mustScript(ctx, op, name)
	if err != nil {
		return Published{}, err
	}
	base, err := m.latest(ctx, name)
	if err != nil {
		return Published{}, err
	}
	l := m.live[name]
	if l == nil || len(l.versions) != 1 || l.versions[0].ID != base.ID {
		return Published{}, refuse(op, name, CodeLatestNotDeployed, "Secret edit failed. You attempted to modify a secret, but the latest version of your Worker isn't currently deployed. Please ensure that the latest version of your Worker is fully deployed before modifying secrets.")
	}
	namespaces, err := m.store.namespaces(ctx)
	if err != nil {
		return Published{}, err
	}
	v := base
	if v.Bindings, err = bindings(base); err != nil {
		return Published{}, err
	}
	for _, f := range more {
		f(&v)
	}
	if v.ID, err = m.newID(); err != nil {
		return Published{}, err
	}
	v.Number, v.Created, v.Source = sc.NextNumber, m.now(), source
	v.Annotations = map[string]string{AnnotationTriggeredBy: trigger}
	modules, err := m.store.modules(ctx, base.ID)
	if err != nil {
		return Published{}, err
	}
	own := ofScript(namespaces, name)
	found, err := m.validate(ctx, op, program{member{v, own}, modules})
	if err != nil {
		return Published{}, err
	}
	v.Handlers, v.NamedHandlers, v.StartupMS = found.handlers, found.named, found.startupMS
	if err := checkExports(op, namespaces, own, v); err != nil {
		return Published{}, err
	}
	return m.publish(ctx, sc, v, modules, source, nil, trigger, migrated{namespaces: namespaces, tag: sc.MigrationTag})
}
