package cloudflare

import (
	"context"
	"net/http"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/faultproxy"
	"firedrill/internal/testkit/sandboxtest"
)

// TestOnlyTheAPISaysThatAKeyIsNotThere asks for values while something else
// answers. That it was not the API must never be taken for an absent key, nor a
// page for a value.
func TestOnlyTheAPISaysThatAKeyIsNotThere(t *testing.T) {
	t.Parallel()
	cloud := sandboxtest.Start(t)
	id := cloud.KV("values")
	const envelope = `{"success":false,"errors":[],"result":null}` // a value may look like anything
	for key, value := range map[string]string{"there": "\xff\xfe", "page": "<html>\xff", "envelope": envelope} {
		if r := cloud.Call(http.MethodPut, sandboxtest.KVValue(id, key), "text/plain", []byte(value)); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
	}
	proxy := faultproxy.Start(t, cloud.API)
	c, err := New(Config{API: proxy.URL, Account: cloud.Account, Token: func(context.Context) (string, error) { return cloud.Token(), nil },
		Sleep: sandboxtest.NewClock().Sleep})
	if err != nil {
		t.Fatal(err)
	}
	ns, err := c.KV(t.Context(), "test", id, nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"there": "\xff\xfe", "page": "<html>\xff", "envelope": envelope} {
		if value, there, err := ns.Get(t.Context(), key); err != nil || !there || string(value) != want {
			t.Errorf("%s: %q, there %v, %v", key, value, there, err)
		}
	}
	if _, there, err := ns.Get(t.Context(), "absent"); err != nil || there {
		t.Errorf("absent: there %v, %v", there, err)
	}
	for what, f := range map[string]faultproxy.Fault{
		"404 in text": {Kind: faultproxy.Fail, Status: http.StatusNotFound},
		"410 in text": {Kind: faultproxy.Fail, Status: http.StatusGone},
		"a page":      {Kind: faultproxy.Page},
		"a refusal":   {Kind: faultproxy.Deny},
	} {
		proxy.Use(faultproxy.Always(f))
		if value, there, err := ns.Get(t.Context(), "there"); err == nil || firedrill.RemedyOf(err) == "" {
			t.Errorf("%s: %q, there %v, %v", what, value, there, err)
		}
	}
	// The namespace is gone, and says so: that is not about the key either.
	proxy.Use(faultproxy.Always(faultproxy.Fault{}))
	cloud.Must(http.MethodDelete, "storage/kv/namespaces/"+id, nil)
	if _, _, err := ns.Get(t.Context(), "there"); firedrill.KindOf(err) != firedrill.KindNotFound {
		t.Errorf("no namespace: %v", err)
	}
}
