package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// estate is an API that answers what it is told to, by path and page; anything else
// is a call that it does not have. It stands for what no sandbox has: queues, routes
// and custom domains.
type estate map[string]string

func (e estate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.ReplaceAll(strings.TrimPrefix(r.URL.Path, "/client/v4"), testAccount, "ACC")
	for _, key := range []string{"page", "cursor"} {
		if v := r.URL.Query().Get(key); v != "" && v != "1" {
			path += "?" + key + "=" + v
		}
	}
	answer, known := e[path]
	status := http.StatusOK
	switch {
	case !known && strings.Contains(path, "?"):
		answer = `{"success":true,"errors":[],"result":[]}`
	case !known:
		status, answer = http.StatusNotFound, `{"success":false,"errors":[{"code":7003,"message":"Could not route"}],"result":null}`
	case answer == "denied":
		status, answer = http.StatusForbidden, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"result":null}`
	case answer == "down":
		status, answer = http.StatusBadGateway, ``
	case !strings.HasPrefix(answer, `{"success"`):
		answer = `{"success":true,"errors":[],"result":` + answer + `}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(answer)) // the client may be gone
}

// reading reads the holdings of an estate.
func reading(t *testing.T, e estate) (Holdings, error) {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	c, err := New(Config{API: server.URL + "/client/v4", Account: testAccount, Token: func(context.Context) (string, error) { return canaryToken, nil },
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	return c.Holdings(t.Context(), "test", nil)
}

// full is an account with something of everything.
func full() estate {
	const version = `{"id":%q,"resources":{"bindings":[{"name":"DB","type":"d1","database_id":%q}]}}`
	return estate{
		"/accounts/ACC/d1/database":                              `[{"uuid":"6f1c2f0e-94d5-4b8a-9d0e-5f3c1a7be201","name":"orders"}]`,
		"/accounts/ACC/storage/kv/namespaces":                    `[{"id":"8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3","title":"cache"}]`,
		"/accounts/ACC/r2/buckets":                               `{"success":true,"errors":[],"result":{"buckets":[{"name":"a"}]},"result_info":{"cursor":"x"}}`,
		"/accounts/ACC/r2/buckets?cursor=x":                      `{"buckets":[{"name":"b"}]}`,
		"/accounts/ACC/queues":                                   `[{"queue_id":"q1","queue_name":"in","consumers":[{"script":"door"},{"type":"http_pull"}]}]`,
		"/accounts/ACC/queues?page=2":                            `[{"queue_id":"q2","queue_name":"out","consumers":[{"script_name":"door","service":"door"}]}]`,
		"/accounts/ACC/workers/scripts":                          `[{"id":"draft"},{"id":"door"},{"id":"gone"}]`,
		"/accounts/ACC/workers/scripts/draft/deployments":        `{"deployments":[]}`,
		"/accounts/ACC/workers/scripts/door/deployments":         `{"deployments":[{"id":"d1","created_on":"2026-01-01","versions":[{"version_id":"old","percentage":100}]},{"id":"d2","created_on":"2026-02-01","versions":[{"version_id":"v1","percentage":90},{"version_id":"v2","percentage":10}]}]}`,
		"/accounts/ACC/workers/scripts/door/versions/v1":         fmt.Sprintf(version, "v1", "x"),
		"/accounts/ACC/workers/scripts/door/versions/v2":         fmt.Sprintf(version, "v2", "y"),
		"/accounts/ACC/workers/domains":                          `[{"hostname":"shop.example.com","service":"door","zone_name":"example.com"}]`,
		"/zones":                                                 `[{"id":"11111111111111111111111111111111","name":"example.com"}]`,
		"/zones?page=2":                                          `[{"id":"22222222222222222222222222222222","name":"example.org"}]`,
		"/zones/11111111111111111111111111111111/workers/routes": `[{"id":"r","pattern":"example.com/*","script":"door"},{"id":"s","pattern":"example.com/off"}]`,
		"/zones/22222222222222222222222222222222/workers/routes": `null`,
	}
}

func TestHoldings(t *testing.T) {
	t.Parallel()
	h, err := reading(t, full())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(h.Databases[0].Name, h.Namespaces, h.Buckets, h.Queues); got != "orders[{8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3 cache}] [{ a} { b}] [{q1 in} {q2 out}]" {
		t.Error(got)
	}
	if len(h.Workers) != 2 || h.Workers[0].Name != "door" || !h.Workers[0].Read || h.Workers[1].Read || !slices.Equal(h.Workers[0].Consumes, []string{"in", "out"}) {
		t.Errorf("%+v", h.Workers)
	}
	var bound []any
	for _, b := range h.Workers[0].Bindings {
		bound = append(bound, b["database_id"])
	}
	if !slices.Equal(bound, []any{"x", "y"}) {
		t.Errorf("bound to %v: both versions that serve, and none that does not", bound)
	}
	if got := fmt.Sprint(h.Addresses); got != "[{shop.example.com example.com door true} {example.com/* example.com door false} {example.com/off example.com  false}]" {
		t.Error(got)
	}
	if l := h.Listed; !l.Databases || !l.Namespaces || !l.Buckets || !l.Queues || !l.Workers || len(h.Unseen) > 0 {
		t.Errorf("%+v %+v", l, h.Unseen)
	}
}

// TestHoldingsThatCannotBeRead takes one call after the other away: what is left is
// read, and what is not is told, or the reading fails.
func TestHoldingsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for path, what := range map[string]string{
		"/accounts/ACC/d1/database": "databases", "/accounts/ACC/storage/kv/namespaces": "KV namespaces", "/accounts/ACC/r2/buckets": "buckets", "/accounts/ACC/queues": "queues",
		"/accounts/ACC/workers/scripts": "Workers", "/accounts/ACC/workers/scripts/door/versions/v2": "bindings of Worker door", "/accounts/ACC/workers/domains": "custom domains",
		"/zones": "routes", "/zones/11111111111111111111111111111111/workers/routes": "routes of zone example.com",
	} {
		e := full()
		e[path] = "denied"
		h, err := reading(t, e)
		grave := strings.Contains(what, "Worker")
		if err != nil || len(h.Unseen) != 1 || h.Unseen[0].What != what || h.Unseen[0].Grave != grave || !strings.Contains(h.Unseen[0].Why, "the token may not read it") {
			t.Errorf("%s: %+v, %v", what, h.Unseen, err)
		}
		e[path] = "down"
		if h, err := reading(t, e); firedrill.KindOf(err) != firedrill.KindUnavailable || len(h.Unseen) > 0 {
			t.Errorf("%s is down: %+v, %v", what, h.Unseen, err)
		}
	}
}
