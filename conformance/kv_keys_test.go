package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/kv"
	"github.com/cloudflare/cloudflare-go/v7/packages/pagination"
	"github.com/cloudflare/cloudflare-go/v7/shared"

	"firedrill/internal/testkit/sandboxtest"
)

func pairOf(t *testing.T, key, value string, more map[string]any) kv.NamespaceKeyBulkUpdateParamsBody {
	fields := map[string]any{"Key": key, "Value": value}
	for k, v := range more {
		fields[k] = v
	}
	return fill[kv.NamespaceKeyBulkUpdateParamsBody](t, "", fields)
}

// TestKVBulk uses the calls by their older names, which go to the same routes
// with types of their own; TestKV uses the newer ones.
//
//nolint:staticcheck // deprecated, and still called
func TestKVBulk(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, id := t.Context(), c.KV("cache")
	s := kv.NewNamespaceKeyService(options(t, c)...)
	expires := time.Now().Add(time.Hour).Unix()
	put := must[*kv.NamespaceKeyBulkUpdateResponse](t)(s.BulkUpdate(ctx, id, fill[kv.NamespaceKeyBulkUpdateParams](t, c.Account, map[string]any{"Body": []kv.NamespaceKeyBulkUpdateParamsBody{
		pairOf(t, "plain", "v1", nil),
		pairOf(t, "json", `{"n":[1,2]}`, map[string]any{"Metadata": map[string]any{"m": true}, "Expiration": float64(expires)}),
		pairOf(t, "brief", "v3", map[string]any{"ExpirationTTL": 3600.0}),
	}})))
	expect(t, "stored", put.SuccessfulKeyCount, 3)
	expect(t, "not stored", len(put.UnsuccessfulKeys), 0)

	get := func(more map[string]any, keys ...string) map[string]any {
		t.Helper()
		fields := map[string]any{"Keys": keys}
		for k, v := range more {
			fields[k] = v
		}
		got, err := s.BulkGet(ctx, id, fill[kv.NamespaceKeyBulkGetParams](t, c.Account, fields))
		if err != nil {
			t.Fatal(err)
		}
		// The SDK decodes the values into an empty map; what came is in its raw form.
		var raw struct{ Values map[string]any }
		if err := json.Unmarshal([]byte(got.JSON.RawJSON()), &raw); err != nil {
			t.Fatal(err)
		}
		return raw.Values
	}
	expect(t, "as text", get(nil, "plain", "json", "absent"), map[string]any{"plain": "v1", "json": `{"n":[1,2]}`, "absent": nil})
	expect(t, "as JSON", get(map[string]any{"Type": "json"}, "json"), map[string]any{"json": map[string]any{"n": []any{1, 2}}})
	expect(t, "with metadata", get(map[string]any{"WithMetadata": true}, "plain", "json", "absent"), map[string]any{
		"plain": map[string]any{"value": "v1", "metadata": nil}, "absent": nil,
		"json": map[string]any{"value": `{"n":[1,2]}`, "metadata": map[string]any{"m": true}, "expiration": float64(expires)}})

	keys := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("k%d", i)
		}
		return list
	}
	expect(t, "a hundred keys", len(get(nil, keys(100)...)), 100)
	for name, fields := range map[string]map[string]any{
		"101 keys":      {"Keys": keys(101)},
		"no key":        {"Keys": []string{}},
		"unknown type":  {"Keys": keys(1), "Type": "arrayBuffer"},
		"text as JSON":  {"Keys": []string{"plain"}, "Type": "json"},
		"a key of dots": {"Keys": []string{".."}},
	} {
		if _, err := s.BulkGet(ctx, id, fill[kv.NamespaceKeyBulkGetParams](t, c.Account, fields)); err == nil {
			t.Errorf("bulk get of %s succeeds", name)
		} else {
			refused(t, err, http.StatusBadRequest, 10012)
		}
	}

	// One pair that is not valid, and none is stored.
	for name, bad := range map[string]kv.NamespaceKeyBulkUpdateParamsBody{
		"empty key":    pairOf(t, "", "v", nil),
		"ttl of 59 s":  pairOf(t, "bad", "v", map[string]any{"ExpirationTTL": 59.0}),
		"in the past":  pairOf(t, "bad", "v", map[string]any{"Expiration": 1.0}),
		"not base64":   pairOf(t, "bad", "***", map[string]any{"Base64": true}),
		"a key of dot": pairOf(t, ".", "v", nil),
	} {
		if _, err := s.BulkUpdate(ctx, id, fill[kv.NamespaceKeyBulkUpdateParams](t, c.Account, map[string]any{
			"Body": []kv.NamespaceKeyBulkUpdateParamsBody{pairOf(t, "good", "v", nil), bad}})); err == nil {
			t.Errorf("bulk update with %s succeeds", name)
		} else {
			refused(t, err, http.StatusBadRequest, 10012)
		}
	}
	expect(t, "keys after refused writes", len(get(nil, "good", "bad")), 2)
	expect(t, "values after refused writes", get(nil, "good", "bad"), map[string]any{"good": nil, "bad": nil})

	gone := must[*kv.NamespaceKeyBulkDeleteResponse](t)(s.BulkDelete(ctx, id, fill[kv.NamespaceKeyBulkDeleteParams](t, c.Account, map[string]any{"Body": []string{"plain", "brief", "absent"}})))
	expect(t, "deleted", gone.SuccessfulKeyCount, 3) // an absent key counts
	left := all(t, s.ListAutoPaging(ctx, id, fill[kv.NamespaceKeyListParams](t, c.Account, nil)), func(k kv.Key) string { return k.Name })
	expect(t, "left", left, []string{"json"})
}

func TestKVKeysAndValues(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, id := t.Context(), c.KV("cache")
	s := kv.NewNamespaceService(options(t, c)...)
	put := func(key, value string, more map[string]any) error {
		fields := map[string]any{"Value": shared.UnionString(value)}
		for k, v := range more {
			fields[k] = v
		}
		_, err := s.Values.Update(ctx, id, key, fill[kv.NamespaceValueUpdateParams](t, c.Account, fields))
		return err
	}
	get := func(key string) (*http.Response, error) {
		return s.Values.Get(ctx, id, key, fill[kv.NamespaceValueGetParams](t, c.Account, nil))
	}
	// The SDK puts a key into the path as it is. A caller escapes it, except for
	// slashes, which also arrive unescaped.
	keys := []string{"a b", "ä/ö//ü", "100%", "?query#fragment", "..x", "😀", "a+b&c=d;e,f", strings.Repeat("k", 512), `"quoted"`, "tab\tand\nline"}
	for i, key := range keys {
		value := fmt.Sprintf("value %d of \x00\xff\r\n--boundary %s", i, key)
		if err := put(url.PathEscape(key), value, nil); err != nil {
			t.Errorf("%q: %v", key, err)
			continue
		}
		expect(t, key, strconv.Quote(body(t, must[*http.Response](t)(get(url.PathEscape(key))))), strconv.Quote(value))
	}
	expect(t, "slashes as they are", strings.HasPrefix(body(t, must[*http.Response](t)(get("ä/ö//ü"))), "value 1 "), true)
	listed := all(t, s.Keys.ListAutoPaging(ctx, id, fill[kv.NamespaceKeyListParams](t, c.Account, map[string]any{"Limit": 10.0})), func(k kv.Key) string { return k.Name })
	slices.Sort(keys) // Go compares bytes, and so do the lists
	expect(t, "keys in the order of their bytes", strconv.Quote(fmt.Sprint(listed)), strconv.Quote(fmt.Sprint(keys)))
	refused(t, put(strings.Repeat("k", 513), "v", nil), http.StatusRequestURITooLong, 10012)

	// A write replaces all of what was there.
	at := time.Now().Add(2 * time.Hour).Unix()
	for _, err := range []error{put("k", "one", map[string]any{"Expiration": float64(at)}), put("ttl", "v", map[string]any{"ExpirationTTL": 60.0, "Expiration": float64(at)})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	first := must[*http.Response](t)(get("k"))
	expect(t, "expiration", first.Header.Get("Expiration"), at)
	expect(t, "value", body(t, first), "one")
	brief := must[*http.Response](t)(get("ttl"))
	if got, err := strconv.ParseInt(brief.Header.Get("Expiration"), 10, 64); err != nil || got >= at {
		t.Errorf("with both, expiration %d, want that of the ttl: %v", got, err)
	}
	expect(t, "value", body(t, brief), "v")
	if err := put("k", "", nil); err != nil {
		t.Fatal(err)
	}
	second := must[*http.Response](t)(get("k"))
	expect(t, "expiration after a write without one", second.Header.Get("Expiration"), "")
	expect(t, "an empty value", body(t, second), "")
	meta, err := s.Metadata.Get(ctx, id, "k", fill[kv.NamespaceMetadataGetParams](t, c.Account, nil))
	if err != nil || *meta != nil {
		t.Errorf("metadata of a key without: %v, %v", *meta, err)
	}
	for name, more := range map[string]map[string]any{
		"ttl of 59 s": {"ExpirationTTL": 59.0}, "in the past": {"Expiration": 1.0}, "half a second": {"ExpirationTTL": 60.5},
	} {
		if err := put("k", "refused", more); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			refused(t, err, http.StatusBadRequest, 10012)
		}
	}
	expect(t, "after refused writes", body(t, must[*http.Response](t)(get("k"))), "")
	if _, err := s.Values.Delete(ctx, id, "absent", fill[kv.NamespaceValueDeleteParams](t, c.Account, nil)); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}

	for _, limit := range []float64{9, 1001} {
		_, err := s.Keys.List(ctx, id, fill[kv.NamespaceKeyListParams](t, c.Account, map[string]any{"Limit": limit}))
		refused(t, err, http.StatusBadRequest, 10012)
	}
	_, err = s.Keys.List(ctx, id, fill[kv.NamespaceKeyListParams](t, c.Account, map[string]any{"Cursor": "not a cursor"}))
	refused(t, err, http.StatusBadRequest, 10012)
}

func TestKVNamespacesInOrder(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), kv.NewNamespaceService(options(t, c)...)
	list := func(fields map[string]any) []string {
		t.Helper()
		return all(t, s.ListAutoPaging(ctx, fill[kv.NamespaceListParams](t, c.Account, fields)), func(n kv.Namespace) string { return n.Title })
	}
	expect(t, "before any", len(list(nil)), 0)
	ids := map[string]string{}
	for _, title := range []string{"b", "d", "a", "c"} {
		ids[c.KV(title)] = title
	}
	expect(t, "by title", list(map[string]any{"Order": "title", "Direction": "asc"}), []string{"a", "b", "c", "d"})
	expect(t, "by title, down", list(map[string]any{"Order": "title", "Direction": "desc", "PerPage": 3.0}), []string{"d", "c", "b", "a"})
	expect(t, "in full pages", len(list(map[string]any{"PerPage": 2.0})), 4)
	var sorted, byID []string
	for id := range ids {
		sorted = append(sorted, id)
	}
	slices.Sort(sorted)
	for _, id := range sorted {
		byID = append(byID, ids[id])
	}
	differs(t, "by id", []string{"a", "b", "c", "d"}, byID, list(map[string]any{"Order": "id", "Direction": "asc"}))
	past := must[*pagination.V4PagePaginationArray[kv.Namespace]](t)(s.List(ctx, fill[kv.NamespaceListParams](t, c.Account, map[string]any{"Page": 99.0})))
	expect(t, "a page past the end", len(past.Result), 0)
	for _, title := range []string{"", strings.Repeat("t", 513)} {
		if _, err := s.New(ctx, fill[kv.NamespaceNewParams](t, c.Account, map[string]any{"Title": title})); err == nil {
			t.Errorf("a title of %d bytes is taken", len(title))
		} else {
			refused(t, err, http.StatusBadRequest, 10012)
		}
	}
	var a string
	for id, title := range ids {
		if title == "a" {
			a = id
		}
	}
	_, err := s.Update(ctx, a, fill[kv.NamespaceUpdateParams](t, c.Account, map[string]any{"Title": "b"}))
	refused(t, err, http.StatusBadRequest, 10014)
}
