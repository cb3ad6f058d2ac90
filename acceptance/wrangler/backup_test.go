package wrangler

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"firedrill/internal/cli"
	"firedrill/internal/testkit/sandboxtest"
)

// firedrill runs the program and gives what it printed, and its exit status.
func firedrill(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Run(cli.Process{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(k string) string { return env[k] },
		Now: time.Now, Version: "test", Exit: func(int) {}})
	return out.String(), errs.String(), status
}

// contents reads a namespace key by key through the API.
func contents(c *sandboxtest.Cloud, ns string) map[string]string {
	out := map[string]string{}
	cursor := ""
	for {
		r := c.Must("GET", "storage/kv/namespaces/"+ns+"/keys?limit=1000&cursor="+cursor, nil)
		var keys []struct {
			Name       string
			Expiration int64
			Metadata   json.RawMessage
		}
		var info struct{ Cursor string }
		if json.Unmarshal(r.Result, &keys) != nil || json.Unmarshal(r.ResultInfo, &info) != nil {
			return nil
		}
		for _, k := range keys {
			value := c.Call("GET", sandboxtest.KVValue(ns, k.Name), "", nil)
			out[k.Name] = fmt.Sprintf("%x %d %s", value.Body, k.Expiration, k.Metadata)
		}
		if cursor = info.Cursor; cursor == "" {
			return out
		}
	}
}

// TestABackupIsRestoredWithAndWithoutUs backs a namespace up, restores it with
// firedrill, and its parts with the unmodified wrangler into another sandbox.
func TestABackupIsRestoredWithAndWithoutUs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.cloud
	cache, copied := c.KV("cache"), c.KV("copy")
	big := make([]byte, 3<<20)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	in := time.Now().Unix() + 100_000
	pairs := []map[string]any{
		{"key": "text", "value": "plain", "metadata": map[string]any{"a": []any{1, "ü"}}},
		{"key": "bytes", "value": base64.StdEncoding.EncodeToString([]byte{0, 255, 1}), "base64": true, "expiration": in},
		{"key": "big", "value": base64.StdEncoding.EncodeToString(big), "base64": true},
		{"key": "empty", "value": ""}, {"key": "a/b c?#%🔥", "value": "awkward"}, {"key": strings.Repeat("0123456789abcdef", 2), "value": "looks like an id"},
		{"key": "replacement", "value": "real \ufffd"}, {"key": "html", "value": "<a href='x'>&</a>\u2028"},
	}
	for i := range 1500 {
		pairs = append(pairs, map[string]any{"key": fmt.Sprintf("many/%04d", i), "value": fmt.Sprint(i)})
	}
	c.Must("PUT", "storage/kv/namespaces/"+cache+"/bulk", pairs)
	want := contents(c, cache)
	if len(want) != len(pairs) {
		t.Fatalf("%d keys", len(want))
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(c.Token()), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := filepath.Join(t.TempDir(), "firedrill.yaml")
	if err := os.WriteFile(plan, fmt.Appendf(nil, `version: 1
name: x
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: %s, account: %s, token: {file: %s}}
    resources:
      cache: {kind: kv, name: cache}
      copy: {kind: kv, id: %s}
  staging:
    class: staging
    cloudflare: {api: %s, account: %s, token: {file: %s}}
    resources:
      other: {kind: kv, name: cache}
`, c.API, c.Account, token, copied, c.API, c.Account, token), 0o600); err != nil {
		t.Fatal(err)
	}
	home := map[string]string{"FIREDRILL_HOME": t.TempDir()}
	run := func(want int, args ...string) (string, string) {
		t.Helper()
		out, errs, status := firedrill(t, home, append(args, "--plan", plan)...)
		if status != want {
			t.Fatalf("firedrill %s: status %d\n%s\n%s", strings.Join(args, " "), status, out, errs)
		}
		return out, errs
	}
	dir := filepath.Join(t.TempDir(), "backup")
	run(2, "backup", "kv", "cache", "--env", "sandbox")
	run(2, "backup", "kv", "nope", "--env", "sandbox", "-o", dir)
	run(2, "backup", "kv", "cache", "-o", dir) // two environments
	out, _ := run(0, "backup", "kv", "cache", "--env", "sandbox", "-o", dir)
	if !strings.Contains(out, "1,508 keys") {
		t.Errorf("backup says %s", out)
	}
	run(0, "backup", "verify", dir)
	run(0, "backup", "show", dir)

	if out, _ := run(0, "restore", dir, "--into", "copy", "--env", "sandbox", "--dry-run", "--json"); !strings.Contains(out, `"put": 1508`) || len(contents(c, copied)) != 0 {
		t.Errorf("dry run: %s, %d keys", out, len(contents(c, copied)))
	}
	run(0, "restore", dir, "--into", "copy", "--env", "sandbox")
	if d := cmp.Diff(want, contents(c, copied)); d != "" {
		t.Errorf("restored by firedrill:\n%.2000s", d)
	}
	// Damage, and the way back.
	c.Must("DELETE", sandboxtest.KVValue(copied, "text"), nil)
	c.Must("PUT", "storage/kv/namespaces/"+copied+"/bulk", []map[string]any{{"key": "bytes", "value": "changed"}, {"key": "stranger", "value": "x"}})
	if _, errs := run(6, "restore", dir, "--into", "copy", "--env", "sandbox"); !strings.Contains(errs, "exact") {
		t.Errorf("without a mode: %s", errs)
	}
	run(0, "restore", dir, "--into", "copy", "--env", "sandbox", "--mode", "exact")
	if d := cmp.Diff(want, contents(c, copied)); d != "" {
		t.Errorf("restored exactly:\n%.2000s", d)
	}
	// A staging namespace needs its name typed, and another environment's is
	// guarded.
	if _, errs := run(5, "restore", dir, "--into", "other", "--env", "staging", "--mode", "merge", "--yes"); !strings.Contains(errs, "nobody typed its name") {
		t.Errorf("staging: %s", errs)
	}

	second := sandboxtest.Start(t)
	there := second.KV("there")
	parts, err := filepath.Glob(filepath.Join(dir, "kv-*.json"))
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	w := *b
	w.env = append([]string{}, b.env...)
	for i, kv := range w.env {
		for k, v := range map[string]string{"CLOUDFLARE_API_BASE_URL": second.API, "CLOUDFLARE_API_TOKEN": second.Token()} {
			if strings.HasPrefix(kv, k+"=") {
				w.env[i] = k + "=" + v
			}
		}
	}
	w.must("", []string{"kv", "bulk", "put", parts[0], "--remote", "--namespace-id", there}, "Success")
	if d := cmp.Diff(want, contents(second, there)); d != "" {
		t.Errorf("restored by wrangler:\n%.2000s", d)
	}

	data, err := os.ReadFile(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(parts[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	before := contents(c, copied)
	if _, errs := run(6, "restore", dir, "--into", "copy", "--env", "sandbox", "--mode", "exact"); !strings.Contains(errs, "kv-00001.json") {
		t.Errorf("a damaged backup: %s", errs)
	}
	if !maps.Equal(before, contents(c, copied)) {
		t.Error("a damaged backup changed the namespace")
	}
}
