package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/packages/pagination"
	"github.com/cloudflare/cloudflare-go/v7/workers"

	"firedrill/internal/testkit/sandboxtest"
)

// TestBindings reads back every kind of binding that the sandbox serves.
func TestBindings(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), workers.NewScriptService(options(t, c)...)
	database, namespace := c.Database("shop"), c.KV("cache")
	c.Must(http.MethodPost, "r2/buckets", map[string]string{"name": "files"})
	c.Deploy("other", "export default {}", nil, nil)
	c.Deploy("w", `import { DurableObject } from "cloudflare:workers"; export class Counter extends DurableObject {}
export default { fetch() { return new Response("ok"); }, scheduled() {} };`, []map[string]any{
		{"name": "PLAIN", "type": "plain_text", "text": "p"}, {"name": "CONF", "type": "json", "json": map[string]any{"a": []int{1}}},
		{"name": "SECRET", "type": "secret_text", "text": "canary"}, {"name": "DB", "type": "d1", "id": database},
		{"name": "KV", "type": "kv_namespace", "namespace_id": namespace}, {"name": "BUCKET", "type": "r2_bucket", "bucket_name": "files"},
		{"name": "OTHER", "type": "service", "service": "other"}, {"name": "META", "type": "version_metadata"},
		{"name": "COUNTER", "type": "durable_object_namespace", "class_name": "Counter"},
	}, map[string]any{"migrations": map[string]any{"new_tag": "v1", "steps": []any{map[string]any{"new_sqlite_classes": []string{"Counter"}}}},
		"compatibility_flags": []string{"nodejs_compat"}, "annotations": map[string]string{"workers/message": "first"}})

	list := must[*pagination.V4PagePagination[workers.ScriptVersionListResponse]](t)(s.Versions.List(ctx, "w", fill[workers.ScriptVersionListParams](t, c.Account, map[string]any{"Deployable": true})))
	if len(list.Result.Items) != 1 {
		t.Fatalf("%d versions", len(list.Result.Items))
	}
	v := must[*workers.ScriptVersionGetResponse](t)(s.Versions.Get(ctx, "w", list.Result.Items[0].ID, fill[workers.ScriptVersionGetParams](t, c.Account, nil)))
	if strings.Contains(v.JSON.RawJSON(), "canary") {
		t.Errorf("the version tells a secret: %s", v.JSON.RawJSON())
	}
	var got []string
	for _, b := range v.Resources.Bindings {
		if b.Name == "DB" { // the newer name and the older one
			expect(t, "the older name of a database's id", b.ID, database) //nolint:staticcheck // deprecated, and still read
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s%s%s%s%s%s", b.Name, b.Type, b.Text, b.NamespaceID, b.BucketName, b.Service, b.ClassName, b.DatabaseID)))
	}
	var namespaces []struct{ ID string }
	c.Must(http.MethodGet, "workers/durable_objects/namespaces", nil).Into(t, &namespaces)
	want := []string{"PLAIN plain_text p", "CONF json", "SECRET secret_text", "DB d1 " + database, "KV kv_namespace " + namespace, "BUCKET r2_bucket files",
		"OTHER service other", "META version_metadata", "COUNTER durable_object_namespace " + namespaces[0].ID + "Counter"}
	slices.Sort(got)
	slices.Sort(want)
	expect(t, "bindings", strings.Join(got, "\n"), strings.Join(want, "\n"))
	expect(t, "handlers", v.Resources.Script.Handlers, []string{"fetch", "scheduled"})
	expect(t, "flags", v.Resources.ScriptRuntime.CompatibilityFlags, []string{"nodejs_compat"})
	expect(t, "date", v.Resources.ScriptRuntime.CompatibilityDate, "2026-04-01")
	expect(t, "migration", v.Resources.ScriptRuntime.MigrationTag, "v1")
	expect(t, "number", v.Number, 1)

	settings := must[*workers.ScriptScriptAndVersionSettingGetResponse](t)(s.ScriptAndVersionSettings.Get(ctx, "w", fill[workers.ScriptScriptAndVersionSettingGetParams](t, c.Account, nil)))
	expect(t, "bindings of the settings", len(settings.Bindings), len(want))
	if strings.Contains(settings.JSON.RawJSON(), "canary") {
		t.Errorf("the settings tell a secret: %s", settings.JSON.RawJSON())
	}
	scripts := must[*pagination.SinglePage[workers.ScriptListResponse]](t)(s.List(ctx, fill[workers.ScriptListParams](t, c.Account, nil)))
	audit(t, scripts.Result)
	expect(t, "Workers", len(scripts.Result), 2)
	for _, r := range scripts.Result {
		if age := time.Since(r.CreatedOn); age < 0 || age > time.Hour || r.ModifiedOn.Before(r.CreatedOn) {
			t.Errorf("Worker %s, made at %s and changed at %s", r.ID, r.CreatedOn, r.ModifiedOn)
		}
		expect(t, r.ID+" has modules", r.HasModules, true)
		expect(t, r.ID+" has assets", r.HasAssets, false)
		expect(t, "migration of "+r.ID, r.MigrationTag, map[string]string{"w": "v1"}[r.ID])
	}
	tagged := must[*pagination.SinglePage[workers.ScriptListResponse]](t)(s.List(ctx, fill[workers.ScriptListParams](t, c.Account, map[string]any{"Tags": "team:yes"})))
	differs(t, "Workers with a tag that none has", 2, 0, len(tagged.Result))
	text := must[*string](t)(s.Get(ctx, "w", fill[workers.ScriptGetParams](t, c.Account, nil)))
	if !strings.Contains(*text, "export class Counter") {
		t.Errorf("the Worker's code: %q", *text)
	}
	expect(t, "subdomain of the account", must[*workers.SubdomainGetResponse](t)(workers.NewSubdomainService(options(t, c)...).Get(ctx, fill[workers.SubdomainGetParams](t, c.Account, nil))).Subdomain, "sandbox")
}

func TestDeployments(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), workers.NewScriptService(options(t, c)...)
	var ids []string
	for i := range 3 {
		c.Deploy("w", fmt.Sprintf("export default { fetch() { return new Response('%d'); } };", i), nil, nil)
	}
	for _, v := range must[*pagination.V4PagePagination[workers.ScriptVersionListResponse]](t)(s.Versions.List(ctx, "w", fill[workers.ScriptVersionListParams](t, c.Account, nil))).Result.Items {
		ids = append(ids, v.ID) // newest first
	}
	past := must[*pagination.V4PagePagination[workers.ScriptVersionListResponse]](t)(s.Versions.List(ctx, "w", fill[workers.ScriptVersionListParams](t, c.Account, map[string]any{"Page": int64(9)})))
	expect(t, "a page past the end", len(past.Result.Items), 0)
	deploy := func(strategy string, shares ...any) (*workers.Deployment, error) {
		var list []workers.DeploymentVersionParam
		for i := 0; i < len(shares); i += 2 {
			list = append(list, fill[workers.DeploymentVersionParam](t, "", map[string]any{"VersionID": shares[i], "Percentage": shares[i+1]}))
		}
		p := fill[workers.ScriptDeploymentNewParams](t, c.Account, map[string]any{"Force": true})
		p.Deployment = fill[workers.DeploymentParam](t, "", map[string]any{"Strategy": strategy, "Versions": list,
			"Annotations": fill[workers.DeploymentAnnotationsParam](t, "", map[string]any{"WorkersMessage": "why"})})
		return s.Deployments.New(ctx, "w", p)
	}
	split := must[*workers.Deployment](t)(deploy("percentage", ids[0], 30.5, ids[2], 69.5))
	got := must[*workers.Deployment](t)(s.Deployments.Get(ctx, "w", split.ID, fill[workers.ScriptDeploymentGetParams](t, c.Account, nil)))
	expect(t, "message", got.Annotations.WorkersMessage, "why")
	expect(t, "source", got.Source, "api")
	shares := map[string]float64{}
	for _, v := range got.Versions {
		shares[v.VersionID] = v.Percentage
	}
	expect(t, "shares", shares, map[string]float64{ids[0]: 30.5, ids[2]: 69.5})
	seen := map[string]bool{}
	for i := 0; i < 400 && len(seen) < 2; i++ {
		_, text := c.Get("w", "/")
		seen[text] = true
	}
	expect(t, "versions that answer", seen, map[string]bool{"0": true, "2": true})

	for name, call := range map[string]func() (*workers.Deployment, error){
		"99 %":  func() (*workers.Deployment, error) { return deploy("percentage", ids[0], 99.0) },
		"101 %": func() (*workers.Deployment, error) { return deploy("percentage", ids[0], 51.0, ids[1], 50.0) },
		"three versions": func() (*workers.Deployment, error) {
			return deploy("percentage", ids[0], 40.0, ids[1], 30.0, ids[2], 30.0)
		},
		"no version":        func() (*workers.Deployment, error) { return deploy("percentage") },
		"one version twice": func() (*workers.Deployment, error) { return deploy("percentage", ids[0], 50.0, ids[0], 50.0) },
		"a negative share":  func() (*workers.Deployment, error) { return deploy("percentage", ids[0], 150.0, ids[1], -50.0) },
		"another strategy":  func() (*workers.Deployment, error) { return deploy("sometimes", ids[0], 100.0) },
	} {
		if _, err := call(); err == nil {
			t.Errorf("a deployment of %s succeeds", name)
		} else if got, _ := status(t, err); got != http.StatusBadRequest {
			t.Errorf("a deployment of %s: %v", name, err)
		}
	}
	_, err := deploy("percentage", "00000000-0000-4000-8000-000000000000", 100.0)
	refused(t, err, http.StatusNotFound, 100146)
	newest := must[*workers.ScriptDeploymentListResponse](t)(s.Deployments.List(ctx, "w", fill[workers.ScriptDeploymentListParams](t, c.Account, nil))).Deployments[0]
	expect(t, "newest deployment after refused ones", newest.ID, split.ID)
}
