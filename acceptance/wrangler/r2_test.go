package wrangler

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestR2(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("", words("r2 bucket create files"), "files")
	b.fails("", words("r2 bucket create files"), "10004")
	b.must("", words("r2 bucket list"), "files")
	b.must("", words("r2 bucket info files"), "files")
	b.write("in", "\x00\xff bytes of an object")
	b.must("", []string{"r2", "object", "put", "files/dir/a b.bin", "--remote", "--file", "in", "--content-type", "x/y", "--cache-control", "no-store"})
	b.must("", []string{"r2", "object", "get", "files/dir/a b.bin", "--remote", "--file", "out"})
	out, err := os.ReadFile(filepath.Join(b.dir, "out"))
	if err != nil || string(out) != "\x00\xff bytes of an object" {
		t.Errorf("out %q, %v", out, err)
	}
	b.fails("", words("r2 bucket delete files"), "10008")

	// A Worker reads what the command line wrote, and the other way round.
	b.write("rooms/index.js", `export default { async fetch(r, env) { const o = await env.FILES.get("dir/a b.bin"); await env.FILES.put("by-worker", "written");
  return new Response(o.httpMetadata.contentType + " " + o.httpMetadata.cacheControl + " " + o.size); } };`)
	config := func(bucket string) {
		b.write("rooms/wrangler.jsonc", `{ "name": "rooms", "main": "index.js", "compatibility_date": "2026-04-01", "r2_buckets": [{ "binding": "FILES", "bucket_name": "`+bucket+`" }] }`)
	}
	config("provisioned") // wrangler makes it
	b.must("rooms", words("deploy"), "env.FILES")
	b.must("", words("r2 bucket list"), "provisioned")
	config("files")
	b.must("rooms", words("deploy"), "env.FILES")
	if status, body := b.cloud.Get("rooms", "/"); status != http.StatusOK || body != "x/y no-store 21" {
		t.Errorf("%d %q", status, body)
	}
	b.must("", words("r2 object get files/by-worker --remote --file out"))
	if out, err := os.ReadFile(filepath.Join(b.dir, "out")); err != nil || string(out) != "written" {
		t.Errorf("out %q, %v", out, err)
	}
	b.must("", []string{"r2", "object", "delete", "files/dir/a b.bin", "--remote"})
	b.must("", words("r2 object delete files/by-worker --remote"))
	b.fails("", words("r2 object get files/by-worker --remote --file out"), "does not exist")
	b.must("", words("r2 bucket delete files"))
}
