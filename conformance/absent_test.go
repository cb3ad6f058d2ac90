package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/r2"
	"github.com/cloudflare/cloudflare-go/v7/workers"

	"firedrill/internal/testkit/sandboxtest"
)

// TestAbsent makes calls that the sandbox does not have. Each must be refused
// with the reason, never answered by a stub.
func TestAbsent(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	c.Deploy("w", "export default {}", nil, nil)
	c.Must(http.MethodPost, "r2/buckets", map[string]string{"name": "files"})
	ctx, opts, a := t.Context(), options(t, c), c.Account
	ws, bs, beta := workers.NewScriptService(opts...), r2.NewBucketService(opts...), workers.NewBetaWorkerService(opts...)
	err1 := func(_ any, err error) error { return err }
	const unsupported, noCall = 10021, 7003
	for _, tt := range []struct {
		name         string
		err          error
		status, code int
		says         string
	}{
		{"cron triggers", err1(ws.Schedules.Update(ctx, "w", fill[workers.ScriptScheduleUpdateParams](t, a, map[string]any{
			"Body": []workers.ScriptScheduleUpdateParamsBody{fill[workers.ScriptScheduleUpdateParamsBody](t, "", map[string]any{"Cron": "0 * * * *"})}}))),
			http.StatusBadRequest, unsupported, "cron triggers"},
		{"live tails", err1(ws.Tail.New(ctx, "w", fill[workers.ScriptTailNewParams](t, a, map[string]any{"Body": map[string]any{}}))), http.StatusBadRequest, unsupported, "live tails"},
		{"assets", err1(ws.Assets.Upload.New(ctx, "w", fill[workers.ScriptAssetUploadNewParams](t, a, nil))), http.StatusNotFound, noCall, "no such call"},
		{"content alone", err1(ws.Content.Update(ctx, "w", fill[workers.ScriptContentUpdateParams](t, a, map[string]any{
			"Metadata": fill[workers.ScriptContentUpdateParamsMetadata](t, "", map[string]any{"MainModule": "index.js"})}))), http.StatusNotFound, noCall, "no such call"},
		{"search", err1(ws.Search(ctx, fill[workers.ScriptSearchParams](t, a, nil))), http.StatusNotFound, noCall, "no such call"},
		{"Workers by their newer calls", err1(beta.List(ctx, fill[workers.BetaWorkerListParams](t, a, nil))), http.StatusNotFound, noCall, "no such call"},
		{"custom domains", err1(workers.NewDomainService(opts...).List(ctx, fill[workers.DomainListParams](t, a, nil))), http.StatusNotFound, noCall, "no such call"},
		{"routes", err1(workers.NewRouteService(opts...).List(ctx, fill[workers.RouteListParams](t, "", map[string]any{"ZoneID": strings.Repeat("0", 32)}))), http.StatusNotFound, noCall, "no such call"},
		{"another account subdomain", err1(workers.NewSubdomainService(opts...).Update(ctx, fill[workers.SubdomainUpdateParams](t, a, map[string]any{"Subdomain": "mine"}))), http.StatusNotFound, noCall, "no such call"},
		{"R2 CORS", err1(bs.CORS.Get(ctx, "files", fill[r2.BucketCORSGetParams](t, a, nil))), http.StatusNotFound, noCall, "no such call"},
		{"R2 lifecycle", err1(bs.Lifecycle.Get(ctx, "files", fill[r2.BucketLifecycleGetParams](t, a, nil))), http.StatusNotFound, noCall, "no such call"},
		{"R2 public address", err1(bs.Domains.Managed.List(ctx, "files", fill[r2.BucketDomainManagedListParams](t, a, nil))), http.StatusNotFound, noCall, "no such call"},
	} {
		if tt.err == nil {
			t.Errorf("%s: the call succeeds", tt.name)
			continue
		}
		if s, code := status(t, tt.err); s != tt.status || code != tt.code || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: want status %d, code %d and %q: %v", tt.name, tt.status, tt.code, tt.says, tt.err)
		}
	}
	// That there are no schedules can be said, and asked.
	none := must[*workers.ScriptScheduleUpdateResponse](t)(ws.Schedules.Update(ctx, "w", fill[workers.ScriptScheduleUpdateParams](t, a, map[string]any{"Body": []workers.ScriptScheduleUpdateParamsBody{}})))
	expect(t, "schedules", len(none.Schedules), 0)
	kept := must[*workers.ScriptScheduleGetResponse](t)(ws.Schedules.Get(ctx, "w", fill[workers.ScriptScheduleGetParams](t, a, nil)))
	expect(t, "schedules", len(kept.Schedules), 0)
}
