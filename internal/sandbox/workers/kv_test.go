package workers_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"firedrill/internal/sandbox/kv"
	"firedrill/internal/sandbox/workers"
)

// namespaces is an account's KV with one namespace in it.
func namespaces(t testing.TB) (store *kv.Store, id string) {
	t.Helper()
	store, err := kv.Open(kv.Options{Dir: t.TempDir(), Now: time.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	n, err := store.Create("cache")
	if err != nil {
		t.Fatal(err)
	}
	return store, n.ID
}

func withKV(store *kv.Store) func(*workers.Options) {
	return func(o *workers.Options) { o.KV = store }
}

// kvCalls runs every call of a KV binding and answers with what it saw.
const kvCalls = `
const attempt = async (f) => { try { return await f(); } catch (e) { return String(e); } };
export default { async fetch(request, env) {
  const kv = env.KV, keys = ["/", "//", "%", "a b", "#", "?", "bulk/get", "🔥ü", "..x", "k".repeat(512)];
  const seen = {};
  for (const [i, k] of keys.entries()) await kv.put(k, "v" + i, { metadata: { i, text: "ü🔥\n" } });
  seen.back = [];
  for (const k of keys) seen.back.push((await kv.getWithMetadata(k)).metadata.i + ":" + await kv.get(k));
  seen.metadata = (await kv.getWithMetadata("/")).metadata;
  await kv.put("bytes", new Uint8Array([0, 255, 1]));
  seen.bytes = Array.from(new Uint8Array(await kv.get("bytes", "arrayBuffer")));
  await kv.put("stream", new Response("streamed").body);
  seen.stream = await new Response(await kv.get("stream", "stream")).text();
  await kv.put("json", JSON.stringify({ a: [1, null] }));
  seen.json = await kv.get("json", "json");
  await kv.put("empty", "");
  seen.empty = await kv.get("empty");
  seen.absent = await kv.get("absent");
  seen.absentMetadata = await kv.getWithMetadata("absent");
  seen.bulk = Object.fromEntries(await kv.get(["/", "absent", "json"]));
  seen.bulkMetadata = Object.fromEntries(await kv.getWithMetadata(["/", "absent"]));
  seen.bulkJSON = Object.fromEntries(await kv.get(["json"], "json"));
  seen.bulkNotJSON = await attempt(() => kv.get(["/"], "json"));
  seen.many = await attempt(() => kv.get(Array.from({ length: 101 }, (_, i) => "k" + i)));
  const ttl = Math.floor(Date.now() / 1000) + 1000;
  await kv.put("expires", "x", { expiration: ttl });
  seen.expires = (await kv.list({ prefix: "expires" })).keys[0].expiration - ttl;
  seen.badTTL = await attempt(() => kv.put("x", "y", { expirationTtl: 10 }));
  seen.longMetadata = await attempt(() => kv.put("x", "y", { metadata: "m".repeat(1100) }));
  seen.notStored = await kv.get("x");
  const names = [];
  let cursor, pages = 0;
  do {
    const page = await kv.list({ limit: 4, cursor });
    names.push(...page.keys.map((k) => k.name));
    cursor = page.list_complete ? undefined : page.cursor;
    pages++;
  } while (cursor);
  seen.pages = pages;
  seen.names = names.map((n) => n.slice(0, 10));
  seen.listed = (await kv.list({ prefix: "/" })).keys;
  await kv.delete("/");
  await kv.delete("absent");
  seen.deleted = await kv.get("/");
  return Response.json(seen);
} };`

func TestEveryCallOfAKVBinding(t *testing.T) {
	t.Parallel()
	store, id := namespaces(t)
	b := open(t, t.TempDir(), withKV(store))
	b.put("cache", js(kvCalls, bind("KV", "kv_namespace", func(u *workers.UploadBinding) { u.NamespaceID = id })))
	status, body := b.get("cache", "/")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%d %v in %q", status, err, body)
	}
	meta := map[string]any{"i": 0.0, "text": "ü🔥\n"}
	want := map[string]any{
		"back":     []any{"0:v0", "1:v1", "2:v2", "3:v3", "4:v4", "5:v5", "6:v6", "7:v7", "8:v8", "9:v9"},
		"metadata": meta,
		"bytes":    []any{0.0, 255.0, 1.0}, "stream": "streamed", "json": map[string]any{"a": []any{1.0, nil}}, "empty": "", "absent": nil,
		"absentMetadata": map[string]any{"value": nil, "metadata": nil, "cacheStatus": nil},
		"bulk":           map[string]any{"/": "v0", "absent": nil, "json": `{"a":[1,null]}`},
		"bulkMetadata":   map[string]any{"/": map[string]any{"value": "v0", "metadata": meta}, "absent": nil},
		"bulkJSON":       map[string]any{"json": map[string]any{"a": []any{1.0, nil}}},
		"bulkNotJSON":    "Error: KV GET_BULK failed: 400 At least one of the requested keys corresponds to a non-JSON value",
		"many":           "Error: KV GET_BULK failed: 400 You can request a maximum of 100 keys",
		"expires":        0.0,
		"badTTL":         "Error: KV PUT failed: 400 Invalid expiration_ttl of 10. Expiration TTL must be at least 60.",
		"longMetadata":   "Error: KV PUT failed: 413 Metadata length of 1102 exceeds limit of 1024.",
		"notStored":      nil,
		"pages":          4.0,
		"names":          []any{"#", "%", "..x", "/", "//", "?", "a b", "bulk/get", "bytes", "empty", "expires", "json", "kkkkkkkkkk", "stream", "🔥ü"},
		"listed":         []any{map[string]any{"name": "/", "metadata": meta}, map[string]any{"name": "//", "metadata": map[string]any{"i": 1.0, "text": "ü🔥\n"}}},
		"deleted":        nil,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what the Worker saw:\n%s", d)
	}
	e, ok, err := store.Get(context.Background(), id, "bytes", kv.Read{})
	if err != nil || !ok || string(e.Value) != "\x00\xff\x01" {
		t.Errorf("in the store: %q %v %v", e.Value, ok, err)
	}
}

func TestAKVBindingNeedsItsNamespace(t *testing.T) {
	t.Parallel()
	store, _ := namespaces(t)
	b := open(t, t.TempDir(), withKV(store))
	_, err := b.Put(t.Context(), "cache", js(`export default {}`, bind("KV", "kv_namespace", func(u *workers.UploadBinding) { u.NamespaceID = strings.Repeat("0", 32) })))
	wantCode(t, err, workers.CodeNoNamespace)
}
