package conformance

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/kv"
	"github.com/cloudflare/cloudflare-go/v7/shared"

	"firedrill/internal/testkit/sandboxtest"
)

func TestKV(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), kv.NewNamespaceService(options(t, c)...)
	ns := must[*kv.Namespace](t)(s.New(ctx, fill[kv.NamespaceNewParams](t, c.Account, map[string]any{"Title": "cache"})))
	for i := range 12 {
		c.KV(fmt.Sprintf("n%02d", i))
	}
	titles := all(t, s.ListAutoPaging(ctx, fill[kv.NamespaceListParams](t, c.Account, map[string]any{"PerPage": 5.0})), func(n kv.Namespace) string { return n.Title })
	expect(t, "namespaces in pages of five", len(titles), 13)
	must[*kv.Namespace](t)(s.Update(ctx, ns.ID, fill[kv.NamespaceUpdateParams](t, c.Account, map[string]any{"Title": "store"})))
	got := must[*kv.Namespace](t)(s.Get(ctx, ns.ID, fill[kv.NamespaceGetParams](t, c.Account, nil)))
	expect(t, "renamed", got.Title, "store")
	expect(t, "url encoding", got.SupportsURLEncoding, true)

	expires := time.Now().Add(time.Hour).Unix()
	var pairs []kv.NamespaceBulkUpdateParamsBody
	for i := range 35 {
		pairs = append(pairs, fill[kv.NamespaceBulkUpdateParamsBody](t, "", map[string]any{"Key": fmt.Sprintf("key%02d", i), "Value": "djE=", "Base64": true,
			"Expiration": float64(expires), "Metadata": map[string]any{"i": i}}))
	}
	put := must[*kv.NamespaceBulkUpdateResponse](t)(s.BulkUpdate(ctx, ns.ID, fill[kv.NamespaceBulkUpdateParams](t, c.Account, map[string]any{"Body": pairs})))
	expect(t, "stored", put.SuccessfulKeyCount, 35)
	keys := all(t, s.Keys.ListAutoPaging(ctx, ns.ID, fill[kv.NamespaceKeyListParams](t, c.Account, map[string]any{"Limit": 10.0, "Prefix": "key"})), func(k kv.Key) string {
		return fmt.Sprintf("%s %v %v", k.Name, int64(k.Expiration), k.Metadata)
	})
	expect(t, "keys in pages of ten", len(keys), 35)
	expect(t, "a key", keys[7], fmt.Sprintf("key07 %d map[i:7]", expires))

	value := func(key string) (*http.Response, error) {
		return s.Values.Get(ctx, ns.ID, key, fill[kv.NamespaceValueGetParams](t, c.Account, nil))
	}
	expect(t, "value", body(t, must[*http.Response](t)(value("key07"))), "v1")
	meta := must[*kv.NamespaceMetadataGetResponse](t)(s.Metadata.Get(ctx, ns.ID, "key07", fill[kv.NamespaceMetadataGetParams](t, c.Account, nil)))
	expect(t, "metadata", *meta, map[string]any{"i": 7.0})

	update := func(key string, fields map[string]any) error {
		fields["Value"] = shared.UnionString("text")
		_, err := s.Values.Update(ctx, ns.ID, key, fill[kv.NamespaceValueUpdateParams](t, c.Account, fields))
		return err
	}
	if err := update("a/b//c", map[string]any{"ExpirationTTL": 60.0}); err != nil {
		t.Error(err)
	}
	expect(t, "a key with slashes", body(t, must[*http.Response](t)(value("a/b//c"))), "text")
	if _, err := s.Values.Delete(ctx, ns.ID, "key00", fill[kv.NamespaceValueDeleteParams](t, c.Account, nil)); err != nil {
		t.Error(err)
	}
	gone := must[*kv.NamespaceBulkDeleteResponse](t)(s.BulkDelete(ctx, ns.ID, fill[kv.NamespaceBulkDeleteParams](t, c.Account, map[string]any{"Body": []string{"key01", "key02"}})))
	expect(t, "deleted", gone.SuccessfulKeyCount, 2)
	left := all(t, s.Keys.ListAutoPaging(ctx, ns.ID, fill[kv.NamespaceKeyListParams](t, c.Account, map[string]any{"Prefix": "key"})), func(k kv.Key) string { return k.Name })
	expect(t, "left", len(left), 32)

	_, err := s.New(ctx, fill[kv.NamespaceNewParams](t, c.Account, map[string]any{"Title": "store"}))
	refused(t, err, http.StatusBadRequest, 10014)
	if _, err := s.Delete(ctx, ns.ID, fill[kv.NamespaceDeleteParams](t, c.Account, nil)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(ctx, ns.ID, fill[kv.NamespaceGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10013)
}
