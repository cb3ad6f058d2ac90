package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/workers"

	"firedrill/internal/testkit/sandboxtest"
)

func TestWorkers(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), workers.NewScriptService(options(t, c)...)
	source := func(n int) string {
		return fmt.Sprintf("export default { fetch(r, env) { return new Response('%d ' + (env.S ?? 'none')); } };", n)
	}
	for i := range 12 {
		c.Deploy("w", source(i), []map[string]any{{"name": "V", "type": "plain_text", "text": "v"}}, nil)
	}
	c.Deploy("other", source(0), nil, nil)
	scripts := all(t, s.ListAutoPaging(ctx, fill[workers.ScriptListParams](t, c.Account, nil)), func(r workers.ScriptListResponse) string { return r.ID })
	expect(t, "scripts", scripts, []string{"other", "w"})
	versions := all(t, s.Versions.ListAutoPaging(ctx, "w", fill[workers.ScriptVersionListParams](t, c.Account, map[string]any{"PerPage": int64(5)})), func(v workers.ScriptVersionListResponse) string { return v.ID })
	expect(t, "versions in pages of five", len(versions), 12)
	deployments := func() []workers.Deployment {
		t.Helper()
		return must[*workers.ScriptDeploymentListResponse](t)(s.Deployments.List(ctx, "w", fill[workers.ScriptDeploymentListParams](t, c.Account, nil))).Deployments
	}
	list := deployments()
	expect(t, "deployments shown", len(list), 10)
	third := list[2].Versions[0].VersionID
	v := must[*workers.ScriptVersionGetResponse](t)(s.Versions.Get(ctx, "w", third, fill[workers.ScriptVersionGetParams](t, c.Account, nil)))
	expect(t, "version", v.ID, third)
	shares := []workers.DeploymentVersionParam{fill[workers.DeploymentVersionParam](t, "", map[string]any{"Percentage": 100.0, "VersionID": third})}
	d := must[*workers.Deployment](t)(s.Deployments.New(ctx, "w", func() workers.ScriptDeploymentNewParams {
		p := fill[workers.ScriptDeploymentNewParams](t, c.Account, nil)
		p.Deployment = fill[workers.DeploymentParam](t, "", map[string]any{"Strategy": "percentage", "Versions": shares})
		return p
	}()))
	if _, text := c.Get("w", "/"); text != "9 none" {
		t.Errorf("after the deployment %q", text)
	}
	expect(t, "newest deployment", deployments()[0].ID, d.ID)
	expect(t, "deployment", must[*workers.Deployment](t)(s.Deployments.Get(ctx, "w", d.ID, fill[workers.ScriptDeploymentGetParams](t, c.Account, nil))).ID, d.ID)
	if _, err := s.Deployments.Delete(ctx, "w", list[5].ID, fill[workers.ScriptDeploymentDeleteParams](t, c.Account, nil)); err != nil {
		t.Error(err)
	}
	_, err := s.Deployments.Get(ctx, "w", list[5].ID, fill[workers.ScriptDeploymentGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10222)
	_, err = s.Deployments.Delete(ctx, "w", d.ID, fill[workers.ScriptDeploymentDeleteParams](t, c.Account, nil))
	if code, _ := status(t, err); code != http.StatusBadRequest {
		t.Errorf("the deployment that serves was deleted: %v", err)
	}
	expect(t, "the deployment that serves", deployments()[0].ID, d.ID)

	content := must[*http.Response](t)(s.Content.Get(ctx, "w", fill[workers.ScriptContentGetParams](t, c.Account, nil)))
	if text := body(t, content); !strings.Contains(text, source(9)) || content.Header.Get("Cf-Entrypoint") != "index.js" {
		t.Errorf("content %q", text)
	}
	settings := must[*workers.ScriptScriptAndVersionSettingGetResponse](t)(s.ScriptAndVersionSettings.Get(ctx, "w", fill[workers.ScriptScriptAndVersionSettingGetParams](t, c.Account, nil)))
	expect(t, "bindings", len(settings.Bindings), 1)
	must[*workers.ScriptSetting](t)(s.Settings.Edit(ctx, "w", func() workers.ScriptSettingEditParams {
		p := fill[workers.ScriptSettingEditParams](t, c.Account, nil)
		p.ScriptSetting = fill[workers.ScriptSettingParam](t, "", map[string]any{"Logpush": true})
		return p
	}()))
	expect(t, "logpush", must[*workers.ScriptSetting](t)(s.Settings.Get(ctx, "w", fill[workers.ScriptSettingGetParams](t, c.Account, nil))).Logpush, true)
	must[*workers.ScriptSubdomainNewResponse](t)(s.Subdomain.New(ctx, "w", fill[workers.ScriptSubdomainNewParams](t, c.Account, map[string]any{"Enabled": true})))
	expect(t, "subdomain", must[*workers.ScriptSubdomainGetResponse](t)(s.Subdomain.Get(ctx, "w", fill[workers.ScriptSubdomainGetParams](t, c.Account, nil))).Enabled, true)
	if _, err := s.Subdomain.Delete(ctx, "w", fill[workers.ScriptSubdomainDeleteParams](t, c.Account, nil)); err != nil {
		t.Error(err)
	}
	expect(t, "subdomain switched off", must[*workers.ScriptSubdomainGetResponse](t)(s.Subdomain.Get(ctx, "w", fill[workers.ScriptSubdomainGetParams](t, c.Account, nil))).Enabled, false)
	must[*workers.ScriptScheduleGetResponse](t)(s.Schedules.Get(ctx, "w", fill[workers.ScriptScheduleGetParams](t, c.Account, nil)))

	_, err = s.Versions.Get(ctx, "w", "00000000-0000-4000-8000-000000000000", fill[workers.ScriptVersionGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 100146)
	_, err = s.Deployments.List(ctx, "nobody", fill[workers.ScriptDeploymentListParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10007)
	if _, err := s.Delete(ctx, "w", fill[workers.ScriptDeleteParams](t, c.Account, map[string]any{"Force": true})); err != nil {
		t.Error(err)
	}
	_, err = s.Content.Get(ctx, "w", fill[workers.ScriptContentGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10007)
}
