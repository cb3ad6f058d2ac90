package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/workers"

	"firedrill/internal/testkit/sandboxtest"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), workers.NewScriptSecretService(options(t, c)...)
	const source = `export default { fetch(r, env) { return new Response([env.A, env.B, env.C].join(" ")); } };`
	serves := func(want string) {
		t.Helper()
		if _, got := c.Get("w", "/"); got != want {
			t.Errorf("the Worker answers %q, want %q", got, want)
		}
	}
	c.Deploy("w", source, nil, nil)
	put := func(name, text string) (*workers.ScriptSecretUpdateResponse, error) {
		return s.Update(ctx, "w", fill[workers.ScriptSecretUpdateParams](t, c.Account, map[string]any{
			"Body": fill[workers.ScriptSecretUpdateParamsBodyWorkersBindingKindSecretText](t, "", map[string]any{"Name": name, "Text": text, "Type": "secret_text"})}))
	}
	names := func() string {
		t.Helper()
		list := all(t, s.ListAutoPaging(ctx, "w", fill[workers.ScriptSecretListParams](t, c.Account, nil)), func(r workers.ScriptSecretListResponse) string {
			if strings.Contains(r.JSON.RawJSON(), "canary") {
				t.Errorf("the list tells a secret: %s", r.JSON.RawJSON())
			}
			return fmt.Sprintf("%s %s", r.Name, r.Type)
		})
		return strings.Join(list, ", ")
	}
	expect(t, "before any", names(), "")
	stored := must[*workers.ScriptSecretUpdateResponse](t)(put("A", "canary-a"))
	expect(t, "stored", stored.Name+" "+string(stored.Type), "A secret_text")
	if strings.Contains(stored.JSON.RawJSON(), "canary") {
		t.Errorf("the answer tells the secret: %s", stored.JSON.RawJSON())
	}
	serves("canary-a  ")
	must[*workers.ScriptSecretUpdateResponse](t)(put("A", "canary-2"))
	must[*workers.ScriptSecretUpdateResponse](t)(put("B", "canary-b"))
	serves("canary-2 canary-b ")
	expect(t, "list", names(), "A secret_text, B secret_text")
	got := must[*workers.ScriptSecretGetResponse](t)(s.Get(ctx, "w", "A", fill[workers.ScriptSecretGetParams](t, c.Account, nil)))
	expect(t, "get", got.Name+" "+string(got.Type), "A secret_text")
	if strings.Contains(got.JSON.RawJSON(), "canary") {
		t.Errorf("the answer tells the secret: %s", got.JSON.RawJSON())
	}

	// One change of several: one set, one deleted by null, one not named and kept.
	// The SDK drops a null from its map, so it is set in the body. It expects the
	// secrets by name and takes a list for nothing.
	bulk, err := s.BulkUpdate(ctx, "w", fill[workers.ScriptSecretBulkUpdateParams](t, c.Account, map[string]any{
		"Secrets": map[string]workers.ScriptSecretBulkUpdateParamsSecretsUnion{
			"C": fill[workers.ScriptSecretBulkUpdateParamsSecretsWorkersBindingKindSecretText](t, "", map[string]any{"Name": "C", "Text": "canary-c", "Type": "secret_text"})}}),
		option.WithJSONSet("secrets.A", nil))
	if err != nil {
		t.Fatal(err)
	}
	differs(t, "secrets in the answer to a change of several", 0, 2, len(*bulk))
	expect(t, "after the change of several", names(), "B secret_text, C secret_text")
	serves(" canary-b canary-c")

	c.Deploy("w", source, nil, nil)
	expect(t, "after a deploy", names(), "B secret_text, C secret_text")
	serves(" canary-b canary-c")
	if _, err := s.Delete(ctx, "w", "B", fill[workers.ScriptSecretDeleteParams](t, c.Account, map[string]any{"URLEncoded": true})); err != nil {
		t.Fatal(err)
	}
	expect(t, "after the deletion", names(), "C secret_text")
	serves("  canary-c")
	_, err = s.Get(ctx, "w", "B", fill[workers.ScriptSecretGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10056)
	_, err = s.Delete(ctx, "w", "B", fill[workers.ScriptSecretDeleteParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10056)
}

// TestSecretWhileAnOlderVersionServes: the new version would be made of one
// that nobody deployed.
func TestSecretWhileAnOlderVersionServes(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	c.Deploy("w", "export default { fetch() { return new Response('1'); } };", nil, nil)
	contentType, body := sandboxtest.Upload(t, "export default { fetch() { return new Response('2'); } };", nil, nil)
	if r := c.Call(http.MethodPost, "workers/scripts/w/versions", contentType, body); r.Status != http.StatusOK {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	s := workers.NewScriptSecretService(options(t, c)...)
	_, err := s.Update(t.Context(), "w", fill[workers.ScriptSecretUpdateParams](t, c.Account, map[string]any{
		"Body": fill[workers.ScriptSecretUpdateParamsBodyWorkersBindingKindSecretText](t, "", map[string]any{"Name": "S", "Text": "canary", "Type": "secret_text"})}))
	refused(t, err, http.StatusBadRequest, 10215)
	if _, got := c.Get("w", "/"); got != "1" {
		t.Errorf("the Worker answers %q", got)
	}
	_, err = s.Update(t.Context(), "w", fill[workers.ScriptSecretUpdateParams](t, c.Account, map[string]any{
		"Body": fill[workers.ScriptSecretUpdateParamsBodyWorkersBindingKindSecretKey](t, "", map[string]any{"Name": "K", "Type": "secret_key", "Format": "raw", "KeyBase64": "AAAA",
			"Algorithm": map[string]any{"name": "HMAC"}, "Usages": []workers.ScriptSecretUpdateParamsBodyWorkersBindingKindSecretKeyUsage{"sign"}})}))
	refused(t, err, http.StatusBadRequest, 10026)
}
