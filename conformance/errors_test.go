package conformance

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/accounts"
	"github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/durable_objects"
	"github.com/cloudflare/cloudflare-go/v7/kv"
	"github.com/cloudflare/cloudflare-go/v7/option"
	"github.com/cloudflare/cloudflare-go/v7/r2"
	"github.com/cloudflare/cloudflare-go/v7/shared"
	"github.com/cloudflare/cloudflare-go/v7/user"
	"github.com/cloudflare/cloudflare-go/v7/workers"

	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/api"
	"firedrill/internal/testkit/sandboxtest"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx := t.Context()
	verify := fill[accounts.TokenVerifyParams](t, c.Account, nil)
	own := must[*accounts.TokenVerifyResponse](t)(accounts.NewTokenService(options(t, c)...).Verify(ctx, verify))
	expect(t, "the account's view of the token", own.Status, accounts.TokenVerifyResponseStatusActive)
	mine := must[*user.TokenVerifyResponse](t)(user.NewTokenService(options(t, c)...).Verify(ctx))
	expect(t, "the user's view of the token", mine.Status, user.TokenVerifyResponseStatusActive)
	expect(t, "the token's id", mine.ID, own.ID)
	if own.ID == "" || strings.Contains(own.JSON.RawJSON(), c.Token()) {
		t.Errorf("token %s", own.JSON.RawJSON())
	}
	// It may read itself, by either of two paths, and never shows its value.
	shown := must[*shared.Token](t)(accounts.NewTokenService(options(t, c)...).Get(ctx, own.ID, fill[accounts.TokenGetParams](t, c.Account, nil)))
	alike := must[*shared.Token](t)(user.NewTokenService(options(t, c)...).Get(ctx, own.ID))
	expect(t, "the token by both paths", alike.JSON.RawJSON(), shown.JSON.RawJSON())
	if len(shown.Policies) != 1 || shown.Policies[0].Effect != shared.TokenPolicyEffectAllow || len(shown.Policies[0].PermissionGroups) == 0 || strings.Contains(shown.JSON.RawJSON(), c.Token()) {
		t.Errorf("token %s", shown.JSON.RawJSON())
	}
	_, err := user.NewTokenService(options(t, c)...).Get(ctx, strings.Repeat("0", 32))
	refused(t, err, http.StatusNotFound, 1001)
}

// families are one harmless call of each.
func families(t *testing.T, account string, opts []option.RequestOption) map[string]func() error {
	ctx := t.Context()
	return map[string]func() error{
		"D1": func() error {
			_, err := d1.NewDatabaseService(opts...).List(ctx, fill[d1.DatabaseListParams](t, account, nil))
			return err
		},
		"KV": func() error {
			_, err := kv.NewNamespaceService(opts...).List(ctx, fill[kv.NamespaceListParams](t, account, nil))
			return err
		},
		"Workers": func() error {
			_, err := workers.NewScriptService(opts...).List(ctx, fill[workers.ScriptListParams](t, account, nil))
			return err
		},
		"Durable Objects": func() error {
			_, err := durable_objects.NewNamespaceService(opts...).List(ctx, fill[durable_objects.NamespaceListParams](t, account, nil))
			return err
		},
		"R2": func() error {
			_, err := r2.NewBucketService(opts...).List(ctx, fill[r2.BucketListParams](t, account, nil))
			return err
		},
		"tokens": func() error {
			_, err := accounts.NewTokenService(opts...).Verify(ctx, fill[accounts.TokenVerifyParams](t, account, nil))
			return err
		},
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	other := "0" + c.Account[1:]
	if other == c.Account {
		other = "1" + c.Account[1:]
	}
	for _, tt := range []struct {
		name         string
		account      string
		credentials  []option.RequestOption
		status, code int
	}{
		{"wrong token", c.Account, []option.RequestOption{option.WithAPIToken("wrong")}, http.StatusUnauthorized, 10000},
		{"a part of the token", c.Account, []option.RequestOption{option.WithAPIToken(c.Token()[:8])}, http.StatusUnauthorized, 10000},
		{"more than the token", c.Account, []option.RequestOption{option.WithAPIToken(c.Token() + "x")}, http.StatusUnauthorized, 10000},
		{"empty token", c.Account, []option.RequestOption{option.WithAPIToken("")}, http.StatusBadRequest, 6003},
		{"another scheme", c.Account, []option.RequestOption{option.WithHeader("Authorization", "Basic "+c.Token())}, http.StatusBadRequest, 6003},
		{"another account", other, []option.RequestOption{option.WithAPIToken(c.Token())}, http.StatusForbidden, 7403},
		{"another account, wrong token", other, []option.RequestOption{option.WithAPIToken("wrong")}, http.StatusUnauthorized, 10000},
	} {
		for family, call := range families(t, tt.account, optionsFor(t, c, tt.credentials...)) {
			err := call()
			if err == nil {
				t.Errorf("%s, %s: the call succeeds", tt.name, family)
				continue
			}
			if s, code := status(t, err); s != tt.status || code != tt.code {
				t.Errorf("%s, %s: status %d, code %d, want %d and %d", tt.name, family, s, code, tt.status, tt.code)
			}
			if strings.Contains(err.Error(), c.Token()) {
				t.Errorf("%s, %s: the error tells the token", tt.name, family)
			}
		}
	}
}

// TestCredentialsKnownToDiffer: the platform's codes for these are documented,
// and the sandbox says something else.
func TestCredentialsKnownToDiffer(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	for _, tt := range []struct {
		name              string
		account           string
		credentials       []option.RequestOption
		sandbox, platform int
	}{
		{"no token", c.Account, nil, 10000, 1001},
		{"an account that is no id", "not-an-id", []option.RequestOption{option.WithAPIToken(c.Token())}, 7403, 7003},
	} {
		for family, call := range families(t, tt.account, optionsFor(t, c, tt.credentials...)) {
			s, code := status(t, call())
			if s < http.StatusBadRequest || s >= http.StatusInternalServerError {
				t.Errorf("%s, %s: status %d", tt.name, family, s)
			}
			differs(t, tt.name+", "+family, tt.sandbox, tt.platform, code)
		}
	}
}

// TestQuotas: the window is longer than any test, so that the refusal is sure.
func TestQuotas(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t, func(cfg *sandbox.Config) { cfg.Quotas = api.Quotas{Window: time.Hour} })
	ctx, s, id := t.Context(), d1.NewDatabaseTimeTravelService(options(t, c)...), c.Database("shop")
	mark := must[*d1.DatabaseTimeTravelGetBookmarkResponse](t)(s.GetBookmark(ctx, id, fill[d1.DatabaseTimeTravelGetBookmarkParams](t, c.Account, nil))).Bookmark
	for range api.MaxRestores {
		must[*d1.DatabaseTimeTravelRestoreResponse](t)(s.Restore(ctx, id, fill[d1.DatabaseTimeTravelRestoreParams](t, c.Account, map[string]any{"Bookmark": mark})))
	}
	var resp *http.Response
	_, err := s.Restore(ctx, id, fill[d1.DatabaseTimeTravelRestoreParams](t, c.Account, map[string]any{"Bookmark": mark}), option.WithResponseInto(&resp))
	if code, _ := status(t, err); code != http.StatusTooManyRequests {
		t.Errorf("one restore too many: %v", err)
	}
	// The SDK waits for as long as this header says before it tries again.
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 2*60*60 {
		t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
	}
}

// TestUnknownIDs asks every call that names something for something that is
// not there.
func TestUnknownIDs(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, opts, a := t.Context(), options(t, c), c.Account
	const noDatabase, noVersion = "00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000001"
	noID := strings.Repeat("0", 32)
	namespace := c.KV("cache")
	c.Deploy("w", "export default {}", nil, nil)
	c.Must(http.MethodPost, "r2/buckets", map[string]string{"name": "files"})
	db, ns, ws, bs := d1.NewDatabaseService(opts...), kv.NewNamespaceService(opts...), workers.NewScriptService(opts...), r2.NewBucketService(opts...)
	err1 := func(_ any, err error) error { return err }
	for _, tt := range []struct {
		name string
		err  error
		code int
	}{
		{"D1 Get", err1(db.Get(ctx, noDatabase, fill[d1.DatabaseGetParams](t, a, nil))), 7404},
		{"D1 Delete", err1(db.Delete(ctx, noDatabase, fill[d1.DatabaseDeleteParams](t, a, nil))), 7404},
		{"D1 Edit", err1(db.Edit(ctx, noDatabase, fill[d1.DatabaseEditParams](t, a, map[string]any{
			"ReadReplication": fill[d1.DatabaseEditParamsReadReplication](t, "", map[string]any{"Mode": "auto"})}))), 7404},
		{"D1 Update", err1(db.Update(ctx, noDatabase, fill[d1.DatabaseUpdateParams](t, a, map[string]any{
			"ReadReplication": fill[d1.DatabaseUpdateParamsReadReplication](t, "", map[string]any{"Mode": "auto"})}))), 7404},
		{"D1 Query", err1(db.Query(ctx, noDatabase, fill[d1.DatabaseQueryParams](t, a, map[string]any{
			"Body": fill[d1.DatabaseQueryParamsBodyD1SingleQuery](t, "", map[string]any{"Sql": "SELECT 1"})}))), 7404},
		{"D1 Raw", err1(db.Raw(ctx, noDatabase, fill[d1.DatabaseRawParams](t, a, map[string]any{
			"Body": fill[d1.DatabaseRawParamsBodyD1SingleQuery](t, "", map[string]any{"Sql": "SELECT 1"})}))), 7404},
		{"D1 GetBookmark", err1(db.TimeTravel.GetBookmark(ctx, noDatabase, fill[d1.DatabaseTimeTravelGetBookmarkParams](t, a, nil))), 7404},
		{"D1 Restore", err1(db.TimeTravel.Restore(ctx, noDatabase, fill[d1.DatabaseTimeTravelRestoreParams](t, a, map[string]any{"Bookmark": "00000001-00000000-00000000-" + noID}))), 7404},
		{"D1 Import", err1(db.Import(ctx, noDatabase, fill[d1.DatabaseImportParams](t, a, map[string]any{
			"Body": fill[d1.DatabaseImportParamsBodyInit](t, "", map[string]any{"Action": "init", "Etag": noID})}))), 7404},
		{"D1 Export", err1(db.Export(ctx, noDatabase, fill[d1.DatabaseExportParams](t, a, map[string]any{"OutputFormat": "polling"}))), 7404},

		{"KV Get", err1(ns.Get(ctx, noID, fill[kv.NamespaceGetParams](t, a, nil))), 10013},
		{"KV Update", err1(ns.Update(ctx, noID, fill[kv.NamespaceUpdateParams](t, a, map[string]any{"Title": "t"}))), 10013},
		{"KV Delete", err1(ns.Delete(ctx, noID, fill[kv.NamespaceDeleteParams](t, a, nil))), 10013},
		{"KV Keys.List", err1(ns.Keys.List(ctx, noID, fill[kv.NamespaceKeyListParams](t, a, nil))), 10013},
		{"KV BulkGet", err1(ns.BulkGet(ctx, noID, fill[kv.NamespaceBulkGetParams](t, a, map[string]any{"Keys": []string{"k"}}))), 10013},
		{"KV BulkDelete", err1(ns.BulkDelete(ctx, noID, fill[kv.NamespaceBulkDeleteParams](t, a, map[string]any{"Body": []string{"k"}}))), 10013},
		{"KV BulkUpdate", err1(ns.BulkUpdate(ctx, noID, fill[kv.NamespaceBulkUpdateParams](t, a, map[string]any{
			"Body": []kv.NamespaceBulkUpdateParamsBody{fill[kv.NamespaceBulkUpdateParamsBody](t, "", map[string]any{"Key": "k", "Value": "v"})}}))), 10013},
		{"KV Values.Get", err1(ns.Values.Get(ctx, noID, "k", fill[kv.NamespaceValueGetParams](t, a, nil))), 10013},
		{"KV Values.Update", err1(ns.Values.Update(ctx, noID, "k", fill[kv.NamespaceValueUpdateParams](t, a, map[string]any{"Value": shared.UnionString("v")}))), 10013},
		{"KV Values.Delete", err1(ns.Values.Delete(ctx, noID, "k", fill[kv.NamespaceValueDeleteParams](t, a, nil))), 10013},
		{"KV Metadata.Get", err1(ns.Metadata.Get(ctx, noID, "k", fill[kv.NamespaceMetadataGetParams](t, a, nil))), 10013},
		{"KV Values.Get of no key", err1(ns.Values.Get(ctx, namespace, "k", fill[kv.NamespaceValueGetParams](t, a, nil))), 10009},
		{"KV Metadata.Get of no key", err1(ns.Metadata.Get(ctx, namespace, "k", fill[kv.NamespaceMetadataGetParams](t, a, nil))), 10009},

		{"Workers Get", err1(ws.Get(ctx, "nobody", fill[workers.ScriptGetParams](t, a, nil))), 10007},
		{"Workers Delete", err1(ws.Delete(ctx, "nobody", fill[workers.ScriptDeleteParams](t, a, nil))), 10007},
		{"Workers Content.Get", err1(ws.Content.Get(ctx, "nobody", fill[workers.ScriptContentGetParams](t, a, nil))), 10007},
		{"Workers settings", err1(ws.ScriptAndVersionSettings.Get(ctx, "nobody", fill[workers.ScriptScriptAndVersionSettingGetParams](t, a, nil))), 10007},
		{"Workers script settings", err1(ws.Settings.Get(ctx, "nobody", fill[workers.ScriptSettingGetParams](t, a, nil))), 10007},
		{"Workers Subdomain.Get", err1(ws.Subdomain.Get(ctx, "nobody", fill[workers.ScriptSubdomainGetParams](t, a, nil))), 10007},
		{"Workers Subdomain.New", err1(ws.Subdomain.New(ctx, "nobody", fill[workers.ScriptSubdomainNewParams](t, a, map[string]any{"Enabled": true}))), 10007},
		{"Workers Schedules.Get", err1(ws.Schedules.Get(ctx, "nobody", fill[workers.ScriptScheduleGetParams](t, a, nil))), 10007},
		{"Workers Versions.List", err1(ws.Versions.List(ctx, "nobody", fill[workers.ScriptVersionListParams](t, a, nil))), 10007},
		{"Workers Versions.Get", err1(ws.Versions.Get(ctx, "nobody", noVersion, fill[workers.ScriptVersionGetParams](t, a, nil))), 10007},
		{"Workers Versions.Get of no version", err1(ws.Versions.Get(ctx, "w", noVersion, fill[workers.ScriptVersionGetParams](t, a, nil))), 100146},
		{"Workers Deployments.List", err1(ws.Deployments.List(ctx, "nobody", fill[workers.ScriptDeploymentListParams](t, a, nil))), 10007},
		{"Workers Deployments.Get", err1(ws.Deployments.Get(ctx, "w", noVersion, fill[workers.ScriptDeploymentGetParams](t, a, nil))), 10222},
		{"Workers Deployments.Delete", err1(ws.Deployments.Delete(ctx, "w", noVersion, fill[workers.ScriptDeploymentDeleteParams](t, a, nil))), 10222},
		{"Workers Secrets.List", err1(ws.Secrets.List(ctx, "nobody", fill[workers.ScriptSecretListParams](t, a, nil))), 10007},
		{"Workers Secrets.Get", err1(ws.Secrets.Get(ctx, "w", "S", fill[workers.ScriptSecretGetParams](t, a, nil))), 10056},
		{"Workers Secrets.Delete", err1(ws.Secrets.Delete(ctx, "w", "S", fill[workers.ScriptSecretDeleteParams](t, a, nil))), 10056},

		{"Durable Objects", err1(durable_objects.NewNamespaceObjectService(opts...).List(ctx, noID, fill[durable_objects.NamespaceObjectListParams](t, a, nil))), 10066},

		{"R2 Get", err1(bs.Get(ctx, "nobody", fill[r2.BucketGetParams](t, a, nil))), 10006},
		{"R2 Delete", err1(bs.Delete(ctx, "nobody", fill[r2.BucketDeleteParams](t, a, nil))), 10006},
		{"R2 Objects.List", err1(bs.Objects.List(ctx, "nobody", fill[r2.BucketObjectListParams](t, a, nil))), 10006},
		{"R2 Objects.Get", err1(bs.Objects.Get(ctx, "nobody", "k", fill[r2.BucketObjectGetParams](t, a, nil))), 10006},
		{"R2 Objects.Upload", err1(bs.Objects.Upload(ctx, "nobody", "k", strings.NewReader("v"), fill[r2.BucketObjectUploadParams](t, a, nil))), 10006},
		{"R2 Objects.Get of no key", err1(bs.Objects.Get(ctx, "files", "k", fill[r2.BucketObjectGetParams](t, a, nil))), 10007},
	} {
		if tt.err == nil {
			t.Errorf("%s: the call succeeds", tt.name)
			continue
		}
		if s, code := status(t, tt.err); s != http.StatusNotFound || code != tt.code {
			t.Errorf("%s: status %d, code %d, want 404 and %d", tt.name, s, code, tt.code)
		}
	}
}
