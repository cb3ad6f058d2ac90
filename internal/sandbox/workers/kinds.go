package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/kv"
	"firedrill/internal/sandbox/workers/binding"
	"firedrill/internal/sandbox/workers/workerd"
)

// The types of bindings that the sandbox runs, by their names in the API.
const (
	typePlainText = "plain_text"
	typeJSON      = "json"
	typeSecret    = "secret_text"
	typeD1        = "d1"
	typeKV        = "kv_namespace"
	typeService   = "service"
	typeMetadata  = "version_metadata"
	typeInherit   = "inherit" // only in uploads: stands for a binding of another version
)

// kind is all that the package knows of one type of binding. Another type is
// another entry in kinds.
type kind struct {
	// check refuses a binding that could not work. It may be nil.
	check func(ctx context.Context, m *Manager, op, script string, b UploadBinding) error
	// config translates the binding for workerd.
	config func(c *composer, v Version, b Binding) workerd.Binding
	// show is how the API presents it: an object without name and type.
	show func(b Binding) map[string]any
}

func kinds() map[string]kind {
	return map[string]kind{
		typePlainText: {
			config: textConfig,
			show:   func(b Binding) map[string]any { return map[string]any{"text": b.Text} },
		},
		typeSecret: {
			config: textConfig,
			show:   func(Binding) map[string]any { return nil }, // never
		},
		typeJSON: {
			check: func(_ context.Context, _ *Manager, op, script string, b UploadBinding) error {
				if len(b.JSON) == 0 {
					return refuse(op, script, CodeInvalid, "binding %s of type json must have a value", b.Name)
				}
				return nil
			},
			config: func(_ *composer, _ Version, b Binding) workerd.Binding {
				s := string(b.JSON)
				return workerd.Binding{Name: b.Name, JSON: &s}
			},
			show: func(b Binding) map[string]any { return map[string]any{"json": b.JSON} },
		},
		typeD1: {
			check:  checkD1,
			config: configD1,
			show: func(b Binding) map[string]any {
				return map[string]any{"id": b.DatabaseID, "database_id": b.DatabaseID}
			},
		},
		typeKV: {
			check: checkKV,
			config: func(c *composer, _ Version, b Binding) workerd.Binding {
				return workerd.Binding{Name: b.Name, KV: &workerd.ServiceRef{Service: c.external(binding.KindKV, b.NamespaceID)}}
			},
			show: func(b Binding) map[string]any { return map[string]any{"namespace_id": b.NamespaceID} },
		},
		typeService: {
			check:  checkService,
			config: configService,
			show: func(b Binding) map[string]any {
				m := map[string]any{"service": b.Service, "environment": "production"}
				if b.Entrypoint != "" {
					m["entrypoint"] = b.Entrypoint
				}
				return m
			},
		},
		typeMetadata: {
			config: configMetadata,
			show:   func(Binding) map[string]any { return nil },
		},
	}
}

// checkKind refuses what the sandbox cannot run, and what the kind refuses.
func checkKind(ctx context.Context, m *Manager, op, script string, b UploadBinding) error {
	k, ok := kinds()[b.Type]
	if !ok {
		var known []string
		for t := range kinds() {
			known = append(known, t)
		}
		slices.Sort(known)
		return refuse(op, script, CodeUnsupported, "binding %s has the type %q, which this sandbox does not have yet; it has %v", b.Name, b.Type, known)
	}
	if k.check == nil {
		return nil
	}
	return k.check(ctx, m, op, script, b)
}

// Show is how the API presents a binding: everything but the text of a secret.
func (b Binding) Show() map[string]any {
	out := map[string]any{"name": b.Name, "type": b.Type}
	if k, ok := kinds()[b.Type]; ok {
		for key, v := range k.show(b) {
			out[key] = v
		}
	}
	return out
}

func textConfig(_ *composer, _ Version, b Binding) workerd.Binding {
	return workerd.Binding{Name: b.Name, Text: &b.Text}
}

func checkD1(ctx context.Context, m *Manager, op, script string, b UploadBinding) error {
	if b.DatabaseID == "" {
		// wrangler recognises this very text.
		return refuse(op, script, CodeInvalid, "binding %s of type d1 must have a valid `id` specified", b.Name)
	}
	db, err := m.opt.D1.Get(ctx, b.DatabaseID)
	var refused *d1.Error
	switch {
	case errors.As(err, &refused) && refused.Code == d1.CodeNotFound, err == nil && db.ID != b.DatabaseID:
		return refuse(op, script, CodeNoDatabase, "D1 binding '%s' references database '%s' which was not found.", b.Name, b.DatabaseID)
	case err != nil:
		return fmt.Errorf("%s %s: look for database %s: %w", op, script, b.DatabaseID, err)
	}
	return nil
}

func checkKV(_ context.Context, m *Manager, op, script string, b UploadBinding) error {
	if m.opt.KV == nil {
		return refuse(op, script, CodeUnsupported, "binding %s is a KV namespace, and this sandbox runs without KV", b.Name)
	}
	_, err := m.opt.KV.Namespace(b.NamespaceID)
	var refused *kv.Error
	if errors.As(err, &refused) {
		return refuse(op, script, CodeNoNamespace, "KV namespace '%s' is not valid.", b.NamespaceID)
	}
	return err
}

func configD1(c *composer, _ Version, b Binding) workerd.Binding {
	service := c.external(binding.KindD1, b.DatabaseID)
	return workerd.Binding{Name: b.Name, Wrapped: &workerd.Wrapped{
		Module: "cloudflare-internal:d1-api",
		Inner:  []workerd.Binding{{Name: "fetcher", Service: &workerd.ServiceRef{Service: service}}},
	}}
}

func checkService(ctx context.Context, m *Manager, op, script string, b UploadBinding) error {
	if b.Service == script {
		return nil
	}
	_, ok, err := m.store.script(ctx, b.Service)
	if err != nil {
		return err
	}
	if !ok {
		return refuse(op, script, CodeNoServiceTarget,
			"Could not resolve service binding '%s'. Target script '%s' not found. Please verify the target script and try again.", b.Name, b.Service)
	}
	return nil
}

func configService(c *composer, _ Version, b Binding) workerd.Binding {
	ref := c.worker(b.Service, b.Entrypoint)
	return workerd.Binding{Name: b.Name, Service: &ref}
}

func configMetadata(_ *composer, v Version, b Binding) workerd.Binding {
	data, err := json.Marshal(map[string]string{
		"id": v.ID, "tag": v.Annotations[AnnotationTag], "timestamp": v.Created.UTC().Format("2006-01-02T15:04:05.000000Z"),
	})
	if err != nil {
		panic("a map of strings is always JSON: " + err.Error())
	}
	s := string(data)
	return workerd.Binding{Name: b.Name, JSON: &s}
}
