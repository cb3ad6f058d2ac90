package wrangler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"firedrill/examples/foundation"
	"firedrill/internal/testkit/npmtest"
	"firedrill/internal/testkit/sandboxtest"
)

// pinned is the version that package-lock.json holds.
const pinned = "4.86.0"

// install gives the path of the pinned wrangler.
func install(t *testing.T) string {
	t.Helper()
	return filepath.Join(npmtest.Install(t, "wrangler-"+pinned), "node_modules", ".bin", "wrangler")
}

// bench is a sandbox with a wrangler beside it.
type bench struct {
	t     *testing.T
	bin   string
	dir   string // a copy of the example
	cloud *sandboxtest.Cloud
	env   []string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	bin := install(t)
	c := sandboxtest.Start(t)
	w := &bench{t: t, bin: bin, dir: t.TempDir(), cloud: c}
	if err := os.CopyFS(w.dir, foundation.Files); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	w.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "WRANGLER_LOG_PATH=" + home, "CI=1", "NO_COLOR=1",
		"npm_config_registry=http://127.0.0.1:9/", "CLOUDFLARE_API_BASE_URL=" + c.API, "CLOUDFLARE_API_TOKEN=" + c.Token(),
		"CLOUDFLARE_ACCOUNT_ID=" + c.Account, "WRANGLER_SEND_METRICS=false", "WRANGLER_SEND_ERROR_REPORTS=false", "WRANGLER_HIDE_BANNER=true"}
	return w
}

// run runs wrangler in a folder of the example and gives what it printed.
func (b *bench) run(dir, stdin string, args ...string) (string, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.bin, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = filepath.Join(b.dir, dir), b.env, strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("wrangler %s: %w\n%s\n%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), err
}

// must runs wrangler and checks that its output matches every pattern.
func (b *bench) must(dir string, args []string, patterns ...string) string {
	b.t.Helper()
	out, err := b.run(dir, "", args...)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out) {
			b.t.Fatalf("wrangler %s: no %q in\n%s", strings.Join(args, " "), p, out)
		}
	}
	return out
}

// json decodes the JSON in an output; what stands before it is progress.
func (b *bench) json(out string, into any) {
	b.t.Helper()
	i := strings.IndexAny(out, "[{")
	if i < 0 {
		b.t.Fatalf("no JSON in\n%s", out)
	}
	if err := json.Unmarshal([]byte(out[i:]), into); err != nil {
		b.t.Fatalf("%v in\n%s", err, out)
	}
}

func words(s string) []string { return strings.Fields(s) }

func TestDatabases(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("", words("whoami"), "firedrill sandbox")
	b.must("", words("d1 create shop"), "shop", `"?database_id"?`)
	var list []struct{ Name, UUID string }
	b.json(b.must("", words("d1 list --json")), &list)
	if len(list) != 1 || list[0].Name != "shop" {
		t.Fatalf("list %+v", list)
	}
	b.must("", words("d1 info shop --json"), list[0].UUID)
	b.must("", []string{"d1", "execute", "shop", "--remote", "--yes", "--command", "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO items VALUES (1, 'one')"})
	if err := os.WriteFile(filepath.Join(b.dir, "more.sql"), []byte("INSERT INTO items VALUES (2, 'two; and more');\nINSERT INTO items VALUES (3, 'three');\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.must("", words("d1 execute shop --remote --yes --file more.sql"))
	rows := func() int {
		var res []struct{ Results []struct{ N int } }
		b.json(b.must("", []string{"d1", "execute", "shop", "--remote", "--json", "--command", "SELECT count(*) AS N FROM items"}), &res)
		return res[0].Results[0].N
	}
	if n := rows(); n != 3 {
		t.Fatalf("%d rows, want 3", n)
	}
	var info struct{ Bookmark string }
	b.json(b.must("", words("d1 time-travel info shop --json")), &info)
	if len(info.Bookmark) != 8+1+8+1+8+1+32 {
		t.Fatalf("bookmark %q", info.Bookmark)
	}
	b.must("", []string{"d1", "execute", "shop", "--remote", "--yes", "--command", "DELETE FROM items"})
	if n := rows(); n != 0 {
		t.Fatalf("%d rows, want 0", n)
	}
	b.must("", words("d1 time-travel restore shop --json --bookmark="+info.Bookmark), "previous_bookmark")
	if n := rows(); n != 3 {
		t.Fatalf("after the restore %d rows, want 3", n)
	}
	b.must("", words("d1 export shop --remote --output dump.sql"))
	dump, err := os.ReadFile(filepath.Join(b.dir, "dump.sql"))
	if err != nil || !strings.Contains(string(dump), `INSERT INTO "items" VALUES(2,'two; and more');`) {
		t.Fatalf("dump %s, %v", dump, err)
	}
	if out, err := b.run("", "", "d1", "execute", "shop", "--remote", "--command", "SELECT * FROM nope"); err == nil {
		t.Fatalf("a wrong statement succeeded: %s", out)
	} else if !strings.Contains(err.Error(), "no such table: nope") {
		t.Fatalf("error %v", err)
	}
	if out, err := b.run("", "", "d1", "info", "nope"); err == nil {
		t.Fatalf("an unknown database has info: %s", out)
	}
}

func TestTheExampleIsDeployedUnchanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must("", words("d1 create foundation-primary"))
	b.must("gateway", words("d1 migrations apply foundation-primary --remote"), "0001_schema.sql", "0002_seed.sql")
	b.must("", words("kv namespace create foundation-settings"), "42b3c9227eef59c3b03c152c2439f420")
	b.must("gateway", words("kv bulk put ../namespaces/foundation-settings.json --binding SETTINGS --remote"))
	b.must("directory", words("deploy"), "foundation-directory")
	b.must("gateway", words("deploy"), "foundation-gateway")
	for path, want := range map[string]string{"/health": `"status":"healthy"`, "/api/tenants": `"name":"Tenant 001"`, "/api/directory": `"name":"Europe"`,
		"/api/settings": `"tenants":100,"keys":324,"described":224,"expiring":20,`, "/api/settings/025": `"logo":{"value":"89504e470d0a1a0a`,
		"/api/ledger": `"largest":"900720`, "/api/users?tenant=5": "@tenant5.example", "/api/audit": "create tenant", "/api/documents": "00FF", "/api/tenants/7": `"id":7`} {
		if status, body := b.cloud.Get("foundation-gateway", path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.300s, want %s", path, status, body, want)
		}
	}
	first := b.versions()
	if len(first) != 1 {
		t.Fatalf("%d versions after one deploy", len(first))
	}
	b.must("gateway", words("deploy --var PLATFORM:second"))
	if _, body := b.cloud.Get("foundation-gateway", "/health"); !strings.Contains(body, `"platform":"second"`) {
		t.Fatalf("the second deploy does not serve: %s", body)
	}
	var deployments []struct {
		Versions []struct {
			ID string `json:"version_id"`
		}
	}
	b.json(b.must("gateway", words("deployments list --json")), &deployments)
	if len(deployments) != 2 || len(b.versions()) != 2 {
		t.Fatalf("deployments %+v", deployments)
	}
	b.must("gateway", []string{"rollback", first[0], "--name", "foundation-gateway", "-m", "back", "-y"})
	if _, body := b.cloud.Get("foundation-gateway", "/health"); !strings.Contains(body, `"platform":"foundation"`) {
		t.Fatalf("the rollback does not serve: %s", body)
	}
	// The newest version must be what serves before a secret can be put.
	b.must("gateway", words("deploy"))
	if _, err := b.run("gateway", "s3cret-canary\n", "secret", "put", "API_KEY"); err != nil {
		t.Fatal(err)
	}
	if out := b.must("gateway", words("secret list"), "API_KEY"); strings.Contains(out, "s3cret-canary") {
		t.Error("the list of secrets tells one")
	}
	b.must("gateway", words("secret delete API_KEY"))
	if out := b.must("gateway", words("secret list")); strings.Contains(out, "API_KEY") {
		t.Errorf("the secret is still there: %s", out)
	}
	b.must("gateway", words("delete --name foundation-gateway --force"))
	if status, _ := b.cloud.Get("foundation-gateway", "/health"); status != http.StatusNotFound {
		t.Errorf("a deleted Worker answers %d", status)
	}
}

// versions gives the ids of the gateway's versions, the oldest first.
func (b *bench) versions() []string {
	b.t.Helper()
	var list []struct {
		ID     string
		Number int
	}
	b.json(b.must("gateway", words("versions list --json")), &list)
	ids := make([]string, 0, len(list))
	for _, v := range list {
		ids = append(ids, v.ID)
	}
	if len(list) > 1 && list[0].Number > list[1].Number {
		for i, j := 0, len(ids)-1; i < j; i, j = i+1, j-1 {
			ids[i], ids[j] = ids[j], ids[i]
		}
	}
	return ids
}

// TestTheLockNamesNoRegistry keeps addresses of registries out of the tree.
func TestTheLockNamesNoRegistry(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("package-lock.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatal("package-lock.json is missing")
	}
	if bytes.Contains(data, []byte(`"resolved"`)) || !bytes.Contains(data, []byte(pinned)) {
		t.Error("package-lock.json holds addresses, or another wrangler")
	}
}
