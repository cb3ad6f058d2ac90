package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// scriptName is what a Worker may be called: it becomes a host name.
var scriptName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,62}$`)

// bindingName is what an entry of env may be called.
var bindingName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// Published is the result of an upload that is deployed at once.
type Published struct {
	Script     Script
	Version    Version
	Deployment Deployment
}

// Put uploads a version and deploys it at 100 %. The Worker is created when it
// does not exist.
func (m *Manager) Put(ctx context.Context, name string, up Upload) (Published, error) {
	const op = "upload"
	m.mu.Lock()
	defer m.mu.Unlock()
	if !scriptName.MatchString(name) {
		return Published{}, refuse(op, name, CodeInvalid, "%q cannot be the name of a Worker: use up to 63 of a-z, 0-9, - and _, not beginning with -", name)
	}
	sc, ok, err := m.store.script(ctx, name)
	if err != nil {
		return Published{}, err
	}
	if !ok {
		if sc, err = m.newScript(name); err != nil {
			return Published{}, err
		}
	}
	before, err := m.store.namespaces(ctx)
	if err != nil {
		return Published{}, err
	}
	after, err := m.migrate(op, sc, up.Metadata.Migrations, before)
	if err != nil {
		return Published{}, err
	}
	sc.MigrationTag = after.tag
	v, err := m.newVersion(ctx, op, sc, up, TriggeredUpload, before, after.namespaces)
	if err != nil {
		return Published{}, err
	}
	sc.Settings = sc.Settings.merged(up.Metadata.ScriptSettings)
	return m.publish(ctx, sc, v, up.Modules, up.Source, up.Metadata.Annotations, TriggeredUpload, after)
}

// UploadVersion stores a version of an existing Worker without deploying it.
func (m *Manager) UploadVersion(ctx context.Context, name string, up Upload) (Version, error) {
	const op = "upload version"
	m.mu.Lock()
	defer m.mu.Unlock()
	sc, err := m.mustScript(ctx, op, name)
	if err != nil {
		return Version{}, err
	}
	if present(up.Metadata.Migrations) {
		return Version{}, refuse(op, name, CodeMigrationUpload, "Version upload failed. You attempted to upload a version of a Worker that includes a Durable Object migration, but migrations must be fully applied by running a deployment.")
	}
	namespaces, err := m.store.namespaces(ctx)
	if err != nil {
		return Version{}, err
	}
	v, err := m.newVersion(ctx, op, sc, up, TriggeredUpload, namespaces, namespaces)
	if err != nil {
		return Version{}, err
	}
	sc.NextNumber, sc.Modified = v.Number+1, v.Created
	if err := m.store.apply(ctx, change{script: &sc, version: &v, modules: up.Modules}); err != nil {
		return Version{}, err
	}
	m.refresh(sc)
	return v, nil
}

// refresh keeps the deployed state in step with a script's record. The caller
// holds m.mu.
func (m *Manager) refresh(sc Script) {
	if l := m.live[sc.Name]; l != nil {
		next := *l
		next.script = sc
		m.live = m.with(sc.Name, &next)
	}
}

// publish deploys a new version at 100 % and stores both in one step, with the
// Durable Object classes as they are from then on.
func (m *Manager) publish(ctx context.Context, sc Script, v Version, modules []Module, source string, annotations map[string]string, trigger string, after migrated) (Published, error) {
	id, err := m.newID()
	if err != nil {
		return Published{}, err
	}
	d := Deployment{
		ID: id, Script: sc.Name, Created: v.Created, Source: source,
		Shares:      []Share{{VersionID: v.ID, Percentage: 100}},
		Annotations: map[string]string{AnnotationTriggeredBy: trigger},
	}
	if msg := annotations[AnnotationMessage]; msg != "" {
		d.Annotations[AnnotationMessage] = msg
	}
	sc.NextNumber, sc.Modified = v.Number+1, v.Created
	next := m.with(sc.Name, &live{script: sc, deployment: d, versions: []Version{v}, namespaces: ofScript(after.namespaces, sc.Name)})
	c := change{script: &sc, version: &v, modules: modules, deployment: &d}
	if after.changed {
		replaceNamespaces(next, after.namespaces)
		c.namespaces = &after.namespaces
	}
	m.fresh.set(v.ID, modules)
	defer m.fresh.drop(v.ID)
	err = m.enact(ctx, next, func() error {
		return m.store.apply(ctx, c)
	})
	if err != nil {
		return Published{}, deployError("deploy", sc.Name, err)
	}
	return Published{Script: sc, Version: v, Deployment: d}, nil
}

func (m *Manager) newScript(name string) (Script, error) {
	tag := make([]byte, 16)
	if _, err := io.ReadFull(m.opt.Random, tag); err != nil {
		return Script{}, fmt.Errorf("upload %s: %w", name, err)
	}
	now := m.now()
	return Script{Name: name, Tag: hex.EncodeToString(tag), Created: now, Modified: now, WorkersDev: true, NextNumber: 1}, nil
}

func (m *Manager) mustScript(ctx context.Context, op, name string) (Script, error) {
	sc, ok, err := m.store.script(ctx, name)
	if err != nil {
		return Script{}, err
	}
	if !ok {
		return Script{}, noWorker(op, name)
	}
	return sc, nil
}

// newVersion checks an upload in every way, including a real start, and returns
// the version it makes. Nothing is stored.
// The Durable Object classes are given as they are before and after it.
func (m *Manager) newVersion(ctx context.Context, op string, sc Script, up Upload, trigger string, before, after []Namespace) (Version, error) {
	md := up.Metadata
	if err := checkShape(op, sc.Name, up); err != nil {
		return Version{}, err
	}
	bindings, err := checker{m, op, sc.Name, after}.resolve(ctx, md.Bindings, append([]string{typeSecret}, md.KeepBindings...))
	if err != nil {
		return Version{}, err
	}
	id, err := m.newID()
	if err != nil {
		return Version{}, err
	}
	v := Version{
		ID: id, Script: sc.Name, Number: sc.NextNumber, Created: m.now(), Source: up.Source,
		Annotations:       map[string]string{AnnotationTriggeredBy: trigger},
		MainModule:        md.MainModule,
		ServiceWorker:     md.MainModule == "",
		CompatibilityDate: md.CompatibilityDate, CompatibilityFlags: md.CompatibilityFlags,
		Bindings: bindings, UsageModel: md.UsageModel, Limits: md.Limits, Placement: md.Placement,
		CacheOptions: md.CacheOptions, Etag: etag(up.Modules), MigrationTag: sc.MigrationTag,
	}
	if v.ServiceWorker {
		v.MainModule = md.BodyPart
	}
	for k, text := range md.Annotations {
		if k != AnnotationTriggeredBy {
			v.Annotations[k] = text
		}
	}
	own := ofScript(after, sc.Name)
	found, err := m.validate(ctx, op, program{member{v, own}, up.Modules})
	if err != nil {
		return Version{}, err
	}
	v.Handlers, v.NamedHandlers, v.StartupMS = found.handlers, found.named, found.startupMS
	return v, checkExports(op, before, own, v)
}

// checkShape refuses what can be refused without running anything.
func checkShape(op, name string, up Upload) error {
	md := up.Metadata
	for what, raw := range map[string]json.RawMessage{"static assets": md.Assets, "containers": md.Containers, "declarative exports": md.Exports} {
		if present(raw) {
			return refuse(op, name, CodeUnsupported, "the upload carries %s, which this sandbox does not have yet", what)
		}
	}
	if (md.MainModule == "") == (md.BodyPart == "") {
		return refuse(op, name, CodeInvalid, "the metadata must name either a main_module or a body_part")
	}
	main := md.MainModule + md.BodyPart
	seen := map[string]bool{}
	for _, mod := range up.Modules {
		if seen[mod.Name] {
			return refuse(op, name, CodeInvalid, "the module %q was uploaded twice", mod.Name)
		}
		seen[mod.Name] = true
		if mod.ContentType == sourceMap && mod.Name != main {
			continue
		}
		if strings.HasPrefix(mod.ContentType, "text/x-python") {
			return refuse(op, name, CodeUnsupported, "the module %q is Python, which this sandbox does not run", mod.Name)
		}
		if _, ok := moduleKind(mod.ContentType); !ok {
			return refuse(op, name, CodeInvalid, "the module %q has the content type %q, which is no type of module", mod.Name, mod.ContentType)
		}
		if mod.Name == md.MainModule && mod.ContentType != contentESModule {
			return refuse(op, name, CodeInvalid, "the main module %q has the content type %q instead of %q", mod.Name, mod.ContentType, contentESModule)
		}
		if md.BodyPart != "" && mod.Name != main {
			return refuse(op, name, CodeUnsupported, "the module %q was uploaded beside a script in service-worker syntax, which this sandbox runs only alone", mod.Name)
		}
	}
	if !seen[main] {
		return refuse(op, name, CodeInvalid, "No such module \"%s\": it is named as the main one but was not uploaded", main)
	}
	return nil
}

// resolve works out what a version's bindings are: those given, those inherited
// by name, and those of the kept types that are not given anew.
func (c checker) resolve(ctx context.Context, given []UploadBinding, keep []string) ([]Binding, error) {
	latest, err := c.m.latest(ctx, c.script)
	if err != nil {
		return nil, err
	}
	out := []Binding{}
	names := map[string]bool{}
	for _, b := range given {
		if !bindingName.MatchString(b.Name) {
			return nil, c.refuse(CodeInvalid, "%q cannot be the name of a binding", b.Name)
		}
		if names[b.Name] {
			return nil, c.refuse(CodeInvalid, "the binding %s is given twice", b.Name)
		}
		names[b.Name] = true
		if b.Type == typeInherit || b.Bare && (latest.has(b.Name, b.Type) || b.Type == typeSecret || b.Type == typePlainText) {
			found, err := c.m.inherit(ctx, c.op, c.script, b, latest)
			if err != nil {
				return nil, err
			}
			b = UploadBinding{Binding: found}
		}
		if err := c.check(ctx, &b); err != nil {
			return nil, err
		}
		out = append(out, b.Binding)
	}
	for _, have := range latest.Bindings {
		if !names[have.Name] && slices.Contains(keep, have.Type) {
			b := UploadBinding{Binding: have}
			if err := c.check(ctx, &b); err != nil {
				return nil, err
			}
			out = append(out, b.Binding)
		}
	}
	return out, nil
}

// has tells whether a version has a binding of this name and type.
func (v Version) has(name, kind string) bool {
	return slices.ContainsFunc(v.Bindings, func(b Binding) bool { return b.Name == name && b.Type == kind })
}

// inherit finds the binding that an entry of type inherit stands for: by its
// old name, in the version named or else in the one uploaded last.
func (m *Manager) inherit(ctx context.Context, op, script string, b UploadBinding, latest Version) (Binding, error) {
	from := latest
	if b.VersionID != "" && b.VersionID != "latest" {
		v, ok, err := m.store.version(ctx, script, b.VersionID)
		if err != nil {
			return Binding{}, err
		}
		if !ok {
			return Binding{}, refuse(op, script, CodeInherit, "inherit binding '%s' is invalid: there is no version %s of this Worker", b.Name, b.VersionID)
		}
		from = v
	}
	old := b.OldName
	if old == "" {
		old = b.Name
	}
	for _, have := range from.Bindings {
		if have.Name == old && (b.Type == typeInherit || b.Type == have.Type) {
			have.Name = b.Name
			return have, nil
		}
	}
	what := "the Worker has no version yet"
	if from.ID != "" {
		what = fmt.Sprintf("version %s has no binding '%s'", from.ID, old)
	}
	return Binding{}, refuse(op, script, CodeInherit, "inherit binding '%s' is invalid: %s", b.Name, what)
}

// latest is the version uploaded last; its ID is empty when there is none.
func (m *Manager) latest(ctx context.Context, script string) (Version, error) {
	v, _, err := first(m.store.versions(ctx, script, 1, 0))
	return v, err
}

// etag identifies a script's content.
func etag(modules []Module) string {
	h := sha256.New()
	for _, mod := range modules {
		sum := sha256.Sum256(mod.Data)
		_, _ = fmt.Fprintf(h, "%q %q %x\n", mod.Name, mod.ContentType, sum) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// present tells whether a JSON value was given and is not null or empty.
func present(raw json.RawMessage) bool {
	switch strings.TrimSpace(string(raw)) {
	case "", "null", "{}", "[]":
		return false
	}
	return true
}
