package workers

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
)

// VersionPage is a part of the list of versions, newest first.
type VersionPage struct {
	Versions []Version
	Total    int
}

// Versions lists a Worker's versions. limit -1 means all.
func (m *Manager) Versions(ctx context.Context, name string, limit, offset int) (VersionPage, error) {
	if _, err := m.mustScript(ctx, "list versions of", name); err != nil {
		return VersionPage{}, err
	}
	total, err := m.store.countVersions(ctx, name)
	if err != nil {
		return VersionPage{}, err
	}
	list, err := m.store.versions(ctx, name, limit, offset)
	return VersionPage{Versions: list, Total: total}, err
}

// Version finds one version. The id "latest" means the one uploaded last.
func (m *Manager) Version(ctx context.Context, name, id string) (Version, error) {
	const op = "get version of"
	if _, err := m.mustScript(ctx, op, name); err != nil {
		return Version{}, err
	}
	return m.mustVersion(ctx, op, name, id)
}

func (m *Manager) mustVersion(ctx context.Context, op, name, id string) (Version, error) {
	if id == "latest" {
		v, err := m.latest(ctx, name)
		if err == nil && v.ID == "" {
			err = refuse(op, name, CodeNoVersion, "The Worker has no version.")
		}
		return v, err
	}
	v, ok, err := m.store.version(ctx, name, normalID(id))
	if err != nil {
		return Version{}, err
	}
	if !ok {
		return Version{}, refuse(op, name, CodeNoVersion, "The version '%s' does not exist for this Worker.", id)
	}
	return v, nil
}

// normalID writes a version id with its hyphens, which clients may leave out.
func normalID(id string) string {
	if len(id) == 32 && !strings.Contains(id, "-") {
		return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	}
	return strings.ToLower(id)
}

// Content returns the files of a version, and the version. An empty id means
// the deployed one (of a split, the one with the greatest share).
func (m *Manager) Content(ctx context.Context, name, id string) (Version, []Module, error) {
	const op = "download"
	if _, err := m.mustScript(ctx, op, name); err != nil {
		return Version{}, nil, err
	}
	if id == "" {
		v, err := m.Deployed(ctx, name)
		if err != nil {
			return Version{}, nil, err
		}
		id = v.ID
	}
	v, err := m.mustVersion(ctx, op, name, id)
	if err != nil {
		return Version{}, nil, err
	}
	modules, err := m.store.modules(ctx, v.ID)
	return v, modules, err
}

// Deployed is the version that serves; of a split, the one with the greatest
// share.
func (m *Manager) Deployed(ctx context.Context, name string) (Version, error) {
	const op = "get deployed version of"
	if _, err := m.mustScript(ctx, op, name); err != nil {
		return Version{}, err
	}
	ds, err := m.store.deployments(ctx, name, 1)
	if err != nil {
		return Version{}, err
	}
	if len(ds) == 0 {
		return Version{}, refuse(op, name, CodeNoDeployment, "The Worker has no deployment.")
	}
	shares := slices.Clone(ds[0].Shares)
	slices.SortStableFunc(shares, func(a, b Share) int {
		switch {
		case a.Percentage > b.Percentage:
			return -1
		case a.Percentage < b.Percentage:
			return 1
		}
		return 0
	})
	return m.mustVersion(ctx, op, name, shares[0].VersionID)
}

// Deployments lists a Worker's deployments, newest first. limit -1 means all.
func (m *Manager) Deployments(ctx context.Context, name string, limit int) ([]Deployment, error) {
	if _, err := m.mustScript(ctx, "list deployments of", name); err != nil {
		return nil, err
	}
	return m.store.deployments(ctx, name, limit)
}

// Deployment finds one deployment.
func (m *Manager) Deployment(ctx context.Context, name, id string) (Deployment, error) {
	const op = "get deployment of"
	if _, err := m.mustScript(ctx, op, name); err != nil {
		return Deployment{}, err
	}
	d, ok, err := m.store.deployment(ctx, name, id)
	if err == nil && !ok {
		err = refuse(op, name, CodeNoDeployment, "The deployment '%s' does not exist for this Worker.", id)
	}
	return d, err
}

// DeleteDeployment removes a deployment from the history. The one that serves
// stays.
func (m *Manager) DeleteDeployment(ctx context.Context, name, id string) error {
	const op = "delete deployment of"
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.Deployment(ctx, name, id)
	if err != nil {
		return err
	}
	if l := m.live[name]; l != nil && l.deployment.ID == d.ID {
		return refuse(op, name, CodeBadRequest, "The deployment '%s' serves the Worker and cannot be deleted.", id)
	}
	return m.store.deleteDeployment(ctx, d.ID)
}

// DeployRequest asks for a new deployment.
type DeployRequest struct {
	Shares      []Share
	Annotations map[string]string
	Source      string
	// Force deploys an older version although secrets have changed since.
	Force bool
}

// Deploy makes versions serve: one, or two that share the requests. It returns
// when every new request reaches them.
func (m *Manager) Deploy(ctx context.Context, name string, req DeployRequest) (Deployment, error) {
	const op = "deploy"
	m.mu.Lock()
	defer m.mu.Unlock()
	sc, err := m.mustScript(ctx, op, name)
	if err != nil {
		return Deployment{}, err
	}
	versions, err := m.resolveShares(ctx, op, name, req.Shares)
	if err != nil {
		return Deployment{}, err
	}
	namespaces, err := m.store.namespaces(ctx)
	if err != nil {
		return Deployment{}, err
	}
	for _, v := range versions {
		if err := m.checkDeployable(ctx, op, sc, v, namespaces); err != nil {
			return Deployment{}, err
		}
	}
	current := m.live[name]
	if !req.Force && current != nil {
		if changed := changedSecrets(current.versions, versions); len(changed) > 0 {
			return Deployment{}, refuse(op, name, CodeSecretsChanged,
				"Deployment failed. You attempted to deploy a version of your Worker whose secrets are not those of the version that serves now. The following secrets have changed: %s", strings.Join(changed, ", "))
		}
	}
	trigger, err := m.trigger(ctx, current, versions)
	if err != nil {
		return Deployment{}, err
	}
	id, err := m.newID()
	if err != nil {
		return Deployment{}, err
	}
	d := Deployment{ID: id, Script: name, Created: m.now(), Source: req.Source,
		Annotations: map[string]string{AnnotationTriggeredBy: trigger}}
	for i, s := range req.Shares {
		d.Shares = append(d.Shares, Share{VersionID: versions[i].ID, Percentage: s.Percentage})
	}
	for k, text := range req.Annotations {
		if k != AnnotationTriggeredBy {
			d.Annotations[k] = text
		}
	}
	next := m.with(name, &live{script: sc, deployment: d, versions: versions, namespaces: ofScript(namespaces, name)})
	if err := m.enact(ctx, next, func() error { return m.store.apply(ctx, change{deployment: &d}) }); err != nil {
		return Deployment{}, deployError(op, name, err)
	}
	return d, nil
}

// checkDeployable refuses a version whose resources are not there any more, or
// whose classes are not those that exist, as the platform does
// (developers.cloudflare.com/workers/versions-and-deployments/rollbacks).
func (m *Manager) checkDeployable(ctx context.Context, op string, sc Script, v Version, namespaces []Namespace) error {
	if v.MigrationTag != sc.MigrationTag {
		return refuse(op, sc.Name, CodeInvalid, "Version %s cannot be deployed: a Durable Object migration (%s) has been applied since it was uploaded.", v.ID, sc.MigrationTag)
	}
	if err := checkExports(op, namespaces, ofScript(namespaces, sc.Name), v); err != nil {
		return err
	}
	c := checker{m, op, sc.Name, namespaces}
	for _, b := range v.Bindings {
		if err := c.check(ctx, &UploadBinding{Binding: b}); err != nil {
			return err
		}
	}
	return nil
}

// resolveShares checks a split and finds its versions.
func (m *Manager) resolveShares(ctx context.Context, op, name string, shares []Share) ([]Version, error) {
	if len(shares) < 1 || len(shares) > 2 {
		return nil, refuse(op, name, CodeInvalid, "a deployment has one or two versions, not %d", len(shares))
	}
	var versions []Version
	sum := 0.0
	for i, s := range shares {
		if math.IsNaN(s.Percentage) || s.Percentage < 0 || s.Percentage > 100 {
			return nil, refuse(op, name, CodeInvalid, "%v is not a percentage", s.Percentage)
		}
		sum += s.Percentage
		v, err := m.mustVersion(ctx, op, name, s.VersionID)
		if err != nil {
			return nil, err
		}
		if i > 0 && v.ID == versions[0].ID {
			return nil, refuse(op, name, CodeInvalid, "the version %s is given twice", v.ID)
		}
		versions = append(versions, v)
	}
	if math.Abs(sum-100) > 1e-9 {
		return nil, refuse(op, name, CodeInvalid, "the percentages of a deployment add up to 100, these to %v", sum)
	}
	return versions, nil
}

// changedSecrets names the secrets by which an older version in next differs
// from what serves now. A version that is newer brings its changes on purpose.
func changedSecrets(current, next []Version) []string {
	newest := slices.MaxFunc(current, func(a, b Version) int { return a.Number - b.Number })
	now := secretsOf(newest)
	var names []string
	for _, v := range next {
		if v.Number >= newest.Number {
			continue
		}
		then := secretsOf(v)
		for k, text := range now {
			if old, ok := then[k]; !ok || old != text {
				names = append(names, k)
			}
		}
		for k := range then {
			if _, ok := now[k]; !ok {
				names = append(names, k)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func secretsOf(v Version) map[string]string {
	out := map[string]string{}
	for _, b := range v.Bindings {
		if b.Type == typeSecret {
			out[b.Name] = b.Text
		}
	}
	return out
}

// trigger labels a deployment: going back, at 100 %, to a version older than
// what serves, which has served before, is a rollback.
func (m *Manager) trigger(ctx context.Context, current *live, next []Version) (string, error) {
	if current == nil || len(next) != 1 {
		return TriggeredDeployment, nil
	}
	for _, v := range current.versions {
		if v.Number <= next[0].Number {
			return TriggeredDeployment, nil
		}
	}
	all, err := m.store.deployments(ctx, next[0].Script, -1)
	if err != nil {
		return "", err
	}
	for _, d := range all {
		for _, s := range d.Shares {
			if s.VersionID == next[0].ID {
				return TriggeredRollback, nil
			}
		}
	}
	return TriggeredDeployment, nil
}

// deployError turns a process that did not start into a refusal: the version
// is stored and started once before, so its company is what it fails in.
func deployError(op, name string, err error) error {
	if text, ok := startFailure(err); ok {
		return refuse(op, name, CodeInvalid, "%s", text)
	}
	return fmt.Errorf("%s %s: %w", op, name, err)
}
