package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"firedrill/internal/action/cloudflare"
	"firedrill/internal/testkit/s3test"
	"firedrill/internal/testkit/sandboxtest"
)

// keeper is a sandbox with a namespace and a database, and a plan that names them.
type keeper struct {
	t      *testing.T
	cloud  *sandboxtest.Cloud
	kv, d1 string
	dir    string
	env    map[string]string
	plan   string
	now    func() time.Time
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{t: t, cloud: sandboxtest.Start(t), dir: t.TempDir(), env: map[string]string{}, now: time.Now}
	c := k.cloud
	k.kv, k.d1 = c.KV("cache"), c.Database("primary")
	c.Must(http.MethodPut, "storage/kv/namespaces/"+k.kv+"/bulk", []map[string]any{{"key": "a", "value": "1", "metadata": map[string]any{"m": 1}}, {"key": "b", "value": "AP8=", "base64": true}})
	for _, sql := range []string{"CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, big INTEGER)", "INSERT INTO users(name,big) VALUES('ü',9007199254740993),('b',NULL)",
		"CREATE INDEX by_name ON users(name)", "CREATE VIRTUAL TABLE search USING fts5(body)", "INSERT INTO search VALUES('found')"} {
		c.Query(k.d1, sql)
	}
	token := filepath.Join(k.dir, "token")
	k.plan = filepath.Join(k.dir, planName)
	k.write(token, c.Token())
	k.write(k.plan, fmt.Sprintf(`version: 1
name: backups
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: %[1]q, account: %[2]s, token: {file: %[3]q}}
    resources:
      cache: {kind: kv, name: cache}
      spare: {kind: kv, name: spare}
      primary: {kind: d1, name: primary}
      fresh: {kind: d1, name: fresh}
  production:
    class: production
    cloudflare: {api: %[1]q, account: %[2]s, token: {file: %[3]q}}
    resources:
      cache: {kind: kv, name: cache}
`, c.API, c.Account, token))
	c.KV("spare")
	return k
}

func (k *keeper) write(path, text string) {
	k.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// run runs a command and expects an exit status.
func (k *keeper) run(want int, args ...string) (out, told string) {
	k.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append(args, "--plan", k.plan, "--home", filepath.Join(k.dir, "home"))
	if !slices.Contains(args, "--env") {
		args = append(args, "--env", "sandbox")
	}
	status := Run(Process{Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(n string) string { return k.env[n] }, Now: k.now, Version: "test"})
	if status != want {
		k.t.Fatalf("firedrill %s: status %d, want %d\n%s%s", strings.Join(args, " "), status, want, &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

// scratches are what restore tests have left in the sandbox.
func (k *keeper) scratches() []string {
	k.t.Helper()
	var left []string
	for path, member := range map[string]string{"storage/kv/namespaces?per_page=100": "title", "d1/database?per_page=100": "name"} {
		var list []map[string]any
		k.cloud.Must(http.MethodGet, path, nil).Into(k.t, &list)
		for _, x := range list {
			if name, _ := x[member].(string); strings.HasPrefix(name, cloudflare.ScratchPrefix) {
				left = append(left, name)
			}
		}
	}
	return left
}

// TestBackupsFromTheCommandLine makes backups of both kinds, in every way to store
// them, and restores them.
func TestBackupsFromTheCommandLine(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(k.dir, "key")
	k.write(identity, key.String()+"\n")
	shelf := filepath.Join(k.dir, "backups")
	cache, primary := filepath.Join(shelf, "cache"), filepath.Join(shelf, "deep", "primary")

	if out, _ := k.run(0, "backup", "kv", "cache", "-o", cache, "--compress", "--encrypt-to", key.Recipient().String()); !strings.Contains(out, "2 keys") || !strings.Contains(out, "zstd, age") {
		t.Errorf("backup kv says %s", out)
	}
	if out, _ := k.run(0, "backup", "verify", cache); !strings.Contains(out, "was not read") {
		t.Errorf("without the key: %s", out)
	}
	if out, _ := k.run(0, "backup", "verify", cache, "--identity", identity); !strings.Contains(out, "every byte is as the manifest says") {
		t.Errorf("with the key: %s", out)
	}
	k.run(5, "restore", cache, "--into", "cache", "--mode", "exact", "--identity", identity, "--env", "production")
	if _, told := k.run(2, "backup", "verify", cache, "--identity", k.plan); strings.Contains(told, "environments") {
		t.Errorf("a file that is no key is quoted: %s", told)
	}
	k.run(0, "restore", cache, "--into", "spare", "--identity", identity)

	out, _ := k.run(0, "backup", "d1", "primary", "-o", primary)
	if !strings.Contains(out, "read by") || !strings.Contains(out, "sql") {
		t.Errorf("backup d1 says %s", out)
	}
	k.run(0, "backup", "verify", primary)
	k.run(0, "backup", "show", primary)
	if out, _ := k.run(0, "restore", primary, "--into", "fresh", "--dry-run", "--json"); !strings.Contains(out, `"created": true`) {
		t.Errorf("dry run: %s", out)
	}
	if out, _ := k.run(0, "restore", primary, "--into", "fresh", "--json"); !strings.Contains(out, `"created": true`) || !strings.Contains(out, `"dry_run": false`) {
		t.Errorf("restore: %s", out)
	}
	var list []struct{ UUID, Name string }
	k.cloud.Must(http.MethodGet, "d1/database?per_page=100", nil).Into(t, &list)
	for _, db := range list {
		if db.Name == "fresh" {
			if got := k.cloud.Query(db.UUID, "SELECT CAST(big AS TEXT) AS big FROM users WHERE id=1"); len(got) != 1 || got[0]["big"] != "9007199254740993" {
				t.Errorf("restored: %v", got)
			}
		}
	}
	k.run(6, "restore", primary, "--into", "primary") // it is not empty
	k.run(2, "restore", primary, "--into", "cache")   // of another kind
	k.run(2, "backup", "d1", "cache", "-o", filepath.Join(shelf, "no"))
	k.run(2, "backup", "d1", "primary", "-o", filepath.Join(shelf, "no"), "--method", "zork")

	var listed struct {
		Backups []struct {
			Place, Kind string
			Tested      *time.Time `json:"restore_tested"`
		}
	}
	list2 := func() {
		t.Helper()
		out, _ := k.run(0, "backup", "list", shelf, "--json")
		if err := json.Unmarshal([]byte(out), &listed); err != nil || len(listed.Backups) != 2 {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if list2(); listed.Backups[0].Tested != nil || listed.Backups[1].Tested != nil {
		t.Errorf("%+v", listed.Backups)
	}
	k.run(0, "backup", "test", primary)
	if list2(); listed.Backups[0].Kind != "d1" || listed.Backups[0].Tested == nil || listed.Backups[1].Tested != nil {
		t.Errorf("after a restore test: %+v", listed.Backups)
	}
	if left := k.scratches(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestARestoreTestIsSafeInProduction chooses by chance, restores into something of
// its own, and leaves nothing.
func TestARestoreTestIsSafeInProduction(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	shelf := filepath.Join(k.dir, "backups")
	now := time.Now()
	for i, age := range []time.Duration{100 * 24 * time.Hour, 20 * 24 * time.Hour, 10 * 24 * time.Hour, time.Hour} {
		k.now = func() time.Time { return now.Add(-age) }
		k.run(0, "backup", "kv", "cache", "-o", filepath.Join(shelf, fmt.Sprint(i)))
	}
	k.now = func() time.Time { return now }
	chosen := map[string]int{}
	for range 24 {
		out, _ := k.run(0, "backup", "test", shelf, "--random-within", "30d", "--env", "production", "--json")
		var got tested
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Fatal(err)
		}
		if got.ChosenFrom != 3 || !got.Equal || !got.Removed || got.Compared != 2 || got.Environment != "production" {
			t.Fatalf("%+v", got)
		}
		chosen[filepath.Base(got.Place)]++
	}
	if len(chosen) != 3 || chosen["0"] > 0 {
		t.Errorf("chosen: %v", chosen) // one of three is missed in 24 by a chance of one in 5,000
	}
	if left := k.scratches(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, told := k.run(6, "backup", "test", shelf, "--random-within", "10m"); !strings.Contains(told, "in the last 10m") {
		t.Errorf("nothing so new: %s", told)
	}
	k.run(2, "backup", "test", shelf, "--random-within", "soon")
	k.run(6, "backup", "test", shelf)

	// One that is damaged is never passed over.
	part := filepath.Join(shelf, "3", "kv-00001.json")
	data, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 2
	k.write(part, string(data))
	if _, told := k.run(6, "backup", "test", filepath.Join(shelf, "3")); !strings.Contains(told, "kv-00001.json") {
		t.Errorf("damaged: %s", told)
	}
	// What a killed test left is cleared up by the next one.
	left := cloudflare.ScratchPrefix + "left"
	k.cloud.KV(left)
	a := &app{Process: Process{Getenv: func(string) string { return "" }, Now: k.now}, global: globalOptions{home: filepath.Join(k.dir, "home")}}
	if err := a.noteScratch(scratchNote{Kind: "kv", Name: left, API: k.cloud.API, Account: k.cloud.Account, At: now}); err != nil {
		t.Fatal(err)
	}
	if _, told := k.run(0, "backup", "test", filepath.Join(shelf, "2")); !strings.Contains(told, left) {
		t.Errorf("told: %s", told)
	}
	if left := k.scratches(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestBackupsInABucket keeps backups in a real S3 store.
func TestBackupsInABucket(t *testing.T) {
	t.Parallel()
	k := newKeeper(t)
	s := s3test.Start(t)
	s.Bucket("dr-keep")
	for _, n := range []string{"AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		k.env[n] = s.Getenv(n)
	}
	k.run(0, "backup", "kv", "cache", "-o", "s3://dr-keep/x/cache")
	k.run(0, "backup", "d1", "primary", "-o", "s3://dr-keep/x/primary", "--compress")
	k.run(0, "backup", "verify", "s3://dr-keep/x/cache")
	k.run(0, "backup", "verify", "s3://dr-keep/x/primary")
	if out, _ := k.run(0, "backup", "list", "s3://dr-keep/x"); strings.Count(out, "never tested") != 2 {
		t.Errorf("list: %s", out)
	}
	k.run(0, "backup", "test", "s3://dr-keep", "--random-within", "1d")
	k.run(0, "restore", "s3://dr-keep/x/cache", "--into", "spare")
	k.run(0, "restore", "s3://dr-keep/x/primary", "--into", "fresh")
	if _, told := k.run(6, "backup", "verify", "s3://dr-keep/nothing"); !strings.Contains(told, "there is no manifest.json") {
		t.Errorf("nothing there: %s", told)
	}
	k.env["AWS_SECRET_ACCESS_KEY"] = "wrong"
	if _, told := k.run(6, "backup", "verify", "s3://dr-keep/x/cache"); strings.Contains(told, "wrong-") || !strings.Contains(told, "s3://dr-keep/x/cache") {
		t.Errorf("wrong credentials: %s", told)
	}
}
