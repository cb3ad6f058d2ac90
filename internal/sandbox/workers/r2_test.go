package workers_test

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"firedrill/internal/sandbox/r2"
	"firedrill/internal/sandbox/workers"
)

// bucket is an account's R2 with one bucket in it.
func bucket(t testing.TB) *r2.Store {
	t.Helper()
	store, err := r2.Open(t.Context(), r2.Options{Dir: t.TempDir(), Now: time.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := store.CreateBucket(t.Context(), "files"); err != nil {
		t.Fatal(err)
	}
	return store
}

// r2Calls runs every call of an R2 binding and answers with what it saw.
const r2Calls = `
const attempt = async (f) => { try { return await f(); } catch (e) { return String(e); } };
const text = async (o) => o && o.body ? await o.text() : o === null ? null : "no body";
export default { async fetch(request, env) {
  const b = env.B, seen = {};
  const put = await b.put("dir/a b#?%🔥", "hello world", { httpMetadata: { contentType: "text/plain", cacheControl: "no-store", cacheExpiry: new Date(1e12) },
    customMetadata: { k: "v", ü: "ö" }, sha256: "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9" });
  seen.put = [put.key, put.size, put.etag, put.httpEtag, put.checksums.toJSON(), put.version.length > 0];
  const got = await b.get(put.key);
  seen.get = [await got.text(), got.httpMetadata, got.customMetadata, got.etag === put.etag, got.uploaded.getTime() === put.uploaded.getTime()];
  const head = await b.head(put.key);
  seen.head = [head.size, head.customMetadata, head.storageClass];
  seen.absent = [await b.get("nope"), await b.head("nope")];
  seen.ranges = [];
  for (const range of [{ offset: 6 }, { offset: 2, length: 3 }, { suffix: 5 }, { length: 4 }])
    { const o = await b.get(put.key, { range }); seen.ranges.push([await o.text(), o.range]); }
  const h = await b.get(put.key, { range: new Headers({ Range: "bytes=1-4" }) });
  seen.rangeHeader = [await h.text(), h.range];
  seen.badRange = await attempt(() => b.get(put.key, { range: { offset: 100 } }));
  seen.onlyIf = [await text(await b.get(put.key, { onlyIf: { etagMatches: put.etag } })), await text(await b.get(put.key, { onlyIf: { etagMatches: "x" } })),
    await text(await b.get(put.key, { onlyIf: { etagDoesNotMatch: put.etag } })), await text(await b.get(put.key, { onlyIf: { uploadedBefore: new Date(0) } })),
    await text(await b.get(put.key, { onlyIf: new Headers({ "If-None-Match": "*" }) }))];
  seen.putIf = [await b.put(put.key, "never", { onlyIf: { etagMatches: "x" } }), (await b.put("new", "once", { onlyIf: new Headers({ "If-None-Match": "*" }) }))?.size,
    await b.put("new", "twice", { onlyIf: new Headers({ "If-None-Match": "*" }) })];
  seen.digest = (await attempt(() => b.put("bad", "x", { md5: "00000000000000000000000000000000" }))).split("\n")[0];
  await b.put("bytes", new Uint8Array([0, 255, 1]));
  seen.bytes = Array.from(new Uint8Array(await (await b.get("bytes")).arrayBuffer()));
  await b.put("stream", new Response("streamed").body === null ? "" : await new Response("streamed").blob());
  seen.stream = await text(await b.get("stream"));
  await b.put("empty", null);
  seen.empty = [await text(await b.get("empty")), (await b.head("empty")).size];
  for (const k of ["dir/b", "dir/sub/c", "dir/sub/d", "z"]) await b.put(k, k);
  const list = await b.list({ prefix: "dir/", delimiter: "/" });
  seen.list = [list.objects.map((o) => o.key), list.delimitedPrefixes, list.truncated];
  const keys = []; let cursor, pages = 0;
  do { const p = await b.list({ limit: 3, cursor }); keys.push(...p.objects.map((o) => o.key)); cursor = p.truncated ? p.cursor : undefined; pages++; } while (cursor);
  seen.keys = [keys, pages];
  seen.include = (await b.list({ prefix: "dir/a", include: ["customMetadata", "httpMetadata"] })).objects.map((o) => [o.customMetadata, o.httpMetadata.contentType]);
  seen.startAfter = (await b.list({ startAfter: "stream" })).objects.map((o) => o.key);
  const big = new Uint8Array(5 * 1024 * 1024).fill(97);
  const up = await b.createMultipartUpload("multi", { customMetadata: { m: "1" }, httpMetadata: { contentType: "x/y" } });
  const parts = [await up.uploadPart(1, big), await b.resumeMultipartUpload("multi", up.uploadId).uploadPart(2, "tail")];
  const whole = await up.complete(parts);
  seen.multi = [whole.size, whole.etag.endsWith("-2"), whole.customMetadata, await text(await b.get("multi", { range: { offset: big.length - 2 } }))];
  const small = await b.createMultipartUpload("small");
  const s1 = await small.uploadPart(1, "x"), s2 = await small.uploadPart(2, "y");
  seen.small = await attempt(() => small.complete([s1, s2]));
  await small.abort();
  seen.aborted = await attempt(() => small.uploadPart(3, "z"));
  await b.delete(put.key); await b.delete(["dir/b", "z", "nope"]);
  seen.deleted = (await b.list()).objects.map((o) => o.key);
  return Response.json(seen);
} };`

func TestEveryCallOfAnR2Binding(t *testing.T) {
	t.Parallel()
	store := bucket(t)
	b := open(t, t.TempDir(), func(o *workers.Options) { o.R2 = store })
	b.put("files", js(r2Calls, bind("B", "r2_bucket", func(u *workers.UploadBinding) { u.BucketName = "files" })))
	status, body := b.get("files", "/")
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%d %v in %q", status, err, body)
	}
	const key, etag = "dir/a b#?%🔥", "5eb63bbbe01eeed093cb22bb8f5acdc3"
	custom := map[string]any{"k": "v", "ü": "ö"}
	span := func(offset, length float64) any { return map[string]any{"offset": offset, "length": length} }
	want := map[string]any{
		"put":  []any{key, 11.0, etag, `"` + etag + `"`, map[string]any{"md5": etag, "sha256": "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"}, true},
		"get":  []any{"hello world", map[string]any{"contentType": "text/plain", "cacheControl": "no-store", "cacheExpiry": "2001-09-09T01:46:40.000Z"}, custom, true, true},
		"head": []any{11.0, custom, "Standard"}, "absent": []any{nil, nil},
		"ranges":      []any{[]any{"world", span(6, 5)}, []any{"llo", span(2, 3)}, []any{"world", span(6, 5)}, []any{"hell", span(0, 4)}},
		"rangeHeader": []any{"ello", span(1, 4)},
		"badRange":    "Error: get: The requested range is not satisfiable (10039)",
		"onlyIf":      []any{"hello world", "no body", "no body", "no body", "no body"},
		"putIf":       []any{nil, 4.0, nil},
		"digest":      "Error: put: The MD5 checksum you specified did not match what we received.",
		"bytes":       []any{0.0, 255.0, 1.0}, "stream": "streamed", "empty": []any{"", 0.0},
		"list":       []any{[]any{key, "dir/b"}, []any{"dir/sub/"}, false},
		"keys":       []any{[]any{"bytes", key, "dir/b", "dir/sub/c", "dir/sub/d", "empty", "new", "stream", "z"}, 3.0},
		"include":    []any{[]any{custom, "text/plain"}},
		"startAfter": []any{"z"},
		"multi":      []any{5.0*1024*1024 + 4, true, map[string]any{"m": "1"}, "aatail"},
		"small":      "Error: completeMultipartUpload: Your proposed upload is smaller than the minimum allowed object size. (10011)",
		"aborted":    "Error: uploadPart: The specified multipart upload does not exist. (10024)",
		"deleted":    []any{"bytes", "dir/sub/c", "dir/sub/d", "empty", "multi", "new", "stream"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what the Worker saw:\n%s", d)
	}
}

func TestAnR2BindingNeedsItsBucket(t *testing.T) {
	t.Parallel()
	store := bucket(t)
	b := open(t, t.TempDir(), func(o *workers.Options) { o.R2 = store })
	_, err := b.Put(t.Context(), "files", js(`export default {}`, bind("B", "r2_bucket", func(u *workers.UploadBinding) { u.BucketName = "nope" })))
	wantCode(t, err, workers.CodeNoBucket)
}
