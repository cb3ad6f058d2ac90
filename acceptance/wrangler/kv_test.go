package wrangler

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write puts a file into the folder in which wrangler runs.
func (b *bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// fails runs wrangler, which must fail and say so in these words.
func (b *bench) fails(dir string, args []string, said string) {
	b.t.Helper()
	out, err := b.run(dir, "", args...)
	if err == nil {
		b.t.Fatalf("wrangler %s succeeds: %s", strings.Join(args, " "), out)
	}
	if !strings.Contains(err.Error(), said) {
		b.t.Fatalf("wrangler %s: no %q in %v", strings.Join(args, " "), said, err)
	}
}

func TestKV(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("", words("kv namespace create cache"), "cache", `"id": "[0-9a-f]{32}"`)
	b.fails("", words("kv namespace create cache"), "already exists")
	var list []struct{ ID, Title string }
	b.json(b.must("", words("kv namespace list")), &list)
	if len(list) != 1 || list[0].Title != "cache" {
		t.Fatalf("namespaces %+v", list)
	}
	in := []string{"--remote", "--namespace-id", list[0].ID}
	kv := func(args ...string) []string { return append(append([]string{"kv"}, args...), in...) }
	b.must("", kv("key", "put", "a/b c?#%🔥", "väl ue", "--metadata", `{"m":[1,"ü"]}`, "--ttl", "600"))
	if out := b.must("", kv("key", "get", "a/b c?#%🔥", "--text")); out != "väl ue" && strings.TrimSuffix(out, "\n") != "väl ue" {
		t.Errorf("get says %q", out)
	}
	b.write("bytes", "\x00\xff\xfe bytes")
	b.must("", kv("key", "put", "bytes", "--path", "bytes"))
	if out := b.must("", kv("key", "get", "bytes")); !bytes.Equal([]byte(out), []byte("\x00\xff\xfe bytes")) {
		t.Errorf("bytes come back as %q", out)
	}
	b.must("", kv("key", "put", "with-file", "--path", "bytes", "--metadata", `"m"`))
	var keys []struct {
		Name       string
		Expiration int64
		Metadata   any
	}
	b.json(b.must("", kv("key", "list")), &keys)
	if len(keys) != 3 || keys[0].Name != "a/b c?#%🔥" || keys[0].Expiration == 0 || keys[2].Metadata != "m" {
		t.Errorf("keys %+v", keys)
	}
	b.json(b.must("", kv("key", "list", "--prefix", "by")), &keys)
	if len(keys) != 1 {
		t.Errorf("keys with a prefix %+v", keys)
	}
	b.must("", kv("key", "delete", "bytes"))
	b.fails("", kv("key", "get", "bytes"), "404")
	b.fails("", kv("key", "put", "short", "x", "--ttl", "5"), "expiration_ttl")

	b.write("pairs.json", `[{"key":"one","value":"1","metadata":{"n":1}},{"key":"two","value":"AP8=","base64":true},{"key":"three","value":"3","expiration_ttl":100}]`)
	b.must("", kv("bulk", "put", "pairs.json"), "Success")
	b.write("keys.json", `["one","absent"]`)
	var values map[string]any
	out := b.must("", kv("bulk", "get", "keys.json"))
	if err := json.NewDecoder(strings.NewReader(out[strings.Index(out, "{"):])).Decode(&values); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if v, ok := values["absent"]; !ok || v != nil || values["one"] == nil {
		t.Errorf("bulk get %v", values)
	}
	if got := b.must("", kv("key", "get", "two")); got != "\x00\xff" {
		t.Errorf("base64 comes back as %q", got)
	}
	b.must("", kv("bulk", "delete", "keys.json", "--force"), "Success")
	b.fails("", kv("key", "get", "one"), "404")

	b.must("", words("kv namespace rename cache --new-name store"), "store")
	b.must("", words("kv namespace delete --namespace-id "+list[0].ID))
	b.json(b.must("", words("kv namespace list")), &list)
	if len(list) != 0 {
		t.Errorf("left %+v", list)
	}
}
