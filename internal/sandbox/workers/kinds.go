package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/kv"
	"firedrill/internal/sandbox/r2"
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
	typeR2        = "r2_bucket"
	typeObjects   = "durable_object_namespace"
	typeService   = "service"
	typeMetadata  = "version_metadata"
	typeInherit   = "inherit" // only in uploads: stands for a binding of another version
)

// kind is all that the package knows of one type of binding. Another type is
// another entry in kinds.
type kind struct {
	// check refuses a binding that could not work, and fills in what follows
	// from the rest. It may be nil.
	check func(ctx context.Context, c checker, b *UploadBinding) error
	// config translates the binding for workerd.
	config func(c *composer, v Version, b Binding) workerd.Binding
	// show is how the API presents it: an object without name and type.
	show func(b Binding) map[string]any
}

// checker judges the bindings of one upload.
type checker struct {
	m          *Manager
	op, script string
	// namespaces are the Durable Object classes as they will be, with the
	// upload's own migrations.
	namespaces []Namespace
}

func (c checker) refuse(code Code, format string, args ...any) error {
	return refuse(c.op, c.script, code, format, args...)
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
			check: func(_ context.Context, c checker, b *UploadBinding) error {
				if len(b.JSON) == 0 {
					return c.refuse(CodeInvalid, "binding %s of type json must have a value", b.Name)
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
		typeR2: {
			check: checkR2,
			config: func(c *composer, _ Version, b Binding) workerd.Binding {
				return workerd.Binding{Name: b.Name, R2: &workerd.ServiceRef{Service: c.external(binding.KindR2, b.BucketName)}}
			},
			show: func(b Binding) map[string]any { return map[string]any{"bucket_name": b.BucketName} },
		},
		typeObjects: {
			check: checkObjects,
			config: func(c *composer, _ Version, b Binding) workerd.Binding {
				ref := c.class(b)
				return workerd.Binding{Name: b.Name, Objects: &ref}
			},
			show: func(b Binding) map[string]any {
				m := map[string]any{"class_name": b.ClassName, "namespace_id": b.NamespaceID}
				if b.ScriptName != "" {
					m["script_name"] = b.ScriptName
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

// kindOf finds the kind of a stored binding.
func kindOf(b Binding) (kind, bool) {
	if b.Given != nil {
		return stub(), true
	}
	k, ok := kinds()[b.Type]
	return k, ok
}

// check refuses what the sandbox cannot run, and what the kind refuses.
func (c checker) check(ctx context.Context, b *UploadBinding) error {
	k, ok := kinds()[b.Type]
	switch {
	case ok && k.check != nil:
		return k.check(ctx, c, b)
	case ok:
		return nil
	case slices.Contains(c.m.opt.Stubs, b.Type):
		if b.Given == nil { // else it comes from another version
			b.Given = b.all
		}
		return nil
	case slices.Contains(Stubs(), b.Type):
		return c.refuse(CodeUnsupported, "binding %s has the type %q, which this sandbox does not have. To deploy nevertheless, with a stub that refuses every call: firedrill sandbox up --stub %s", b.Name, b.Type, b.Type)
	}
	return c.refuse(CodeUnsupported, "binding %s has the type %q, which this sandbox does not have; it has %v", b.Name, b.Type, slices.Sorted(maps.Keys(kinds())))
}

// Show is how the API presents a binding: everything but the text of a secret.
func (b Binding) Show() map[string]any {
	out := map[string]any{"name": b.Name, "type": b.Type}
	if k, ok := kindOf(b); ok {
		for key, v := range k.show(b) {
			out[key] = v
		}
	}
	return out
}

func textConfig(_ *composer, _ Version, b Binding) workerd.Binding {
	return workerd.Binding{Name: b.Name, Text: &b.Text}
}

func checkD1(ctx context.Context, c checker, b *UploadBinding) error {
	if b.DatabaseID == "" {
		// wrangler recognises this very text.
		return c.refuse(CodeInvalid, "binding %s of type d1 must have a valid `id` specified", b.Name)
	}
	db, err := c.m.opt.D1.Get(ctx, b.DatabaseID)
	var refused *d1.Error
	switch {
	case errors.As(err, &refused) && refused.Code == d1.CodeNotFound, err == nil && db.ID != b.DatabaseID:
		return c.refuse(CodeNoDatabase, "D1 binding '%s' references database '%s' which was not found.", b.Name, b.DatabaseID)
	case err != nil:
		return fmt.Errorf("%s %s: look for database %s: %w", c.op, c.script, b.DatabaseID, err)
	}
	return nil
}

func checkKV(_ context.Context, c checker, b *UploadBinding) error {
	if c.m.opt.KV == nil {
		return c.refuse(CodeUnsupported, "binding %s is a KV namespace, and this sandbox runs without KV", b.Name)
	}
	_, err := c.m.opt.KV.Namespace(b.NamespaceID)
	var refused *kv.Error
	if errors.As(err, &refused) {
		return c.refuse(CodeNoNamespace, "KV namespace '%s' is not valid.", b.NamespaceID)
	}
	return err
}

func checkR2(ctx context.Context, c checker, b *UploadBinding) error {
	if c.m.opt.R2 == nil {
		return c.refuse(CodeUnsupported, "binding %s is an R2 bucket, and this sandbox runs without R2", b.Name)
	}
	if j, ok := b.all["jurisdiction"].(string); ok && j != "" && j != "default" {
		return c.refuse(CodeUnsupported, "binding %s leads to the jurisdiction %q, which this sandbox does not have", b.Name, j)
	}
	_, err := c.m.opt.R2.Bucket(ctx, b.BucketName)
	var refused *r2.Error
	if errors.As(err, &refused) {
		return c.refuse(CodeNoBucket, "R2 bucket '%s' not found. Please use a different name and try again.", b.BucketName)
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

func checkService(ctx context.Context, c checker, b *UploadBinding) error {
	if b.Service == c.script {
		return nil
	}
	_, ok, err := c.m.store.script(ctx, b.Service)
	if err != nil {
		return err
	}
	if !ok {
		return c.refuse(CodeNoServiceTarget,
			"Could not resolve service binding '%s'. Target script '%s' not found. Please verify the target script and try again.", b.Name, b.Service)
	}
	return nil
}

// checkObjects finds the class behind the binding: by its id where there is one,
// which stays when the class is renamed, else by its name.
func checkObjects(_ context.Context, c checker, b *UploadBinding) error {
	n, ok := byID(c.namespaces, b.NamespaceID)
	if b.NamespaceID == "" {
		script := b.ScriptName
		if script == "" {
			script = c.script
		}
		n, ok = byClass(c.namespaces, script, b.ClassName)
	}
	if !ok {
		return c.refuse(CodeNoClass, "Cannot create binding for class '%s' because it is not currently configured to implement Durable Objects. Ensure a --new-class migration has been applied to it.", b.ClassName)
	}
	b.NamespaceID = n.ID
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
