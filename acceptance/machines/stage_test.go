package machines

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/cli"
	"firedrill/internal/testkit/s3test"
	"firedrill/internal/testkit/sandboxtest"
	"firedrill/internal/testkit/seeproxy"
)

// childArgs makes the test binary a firedrill.
const childArgs = "FIREDRILL_TEST_ARGS"

func TestMain(m *testing.M) {
	os.Setenv("STATE_ID", s3test.AccessKey)
	os.Setenv("STATE_SECRET", s3test.SecretKey)
	if text := os.Getenv(childArgs); text != "" {
		var args []string
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			panic(err)
		}
		os.Args = append([]string{"firedrill"}, args...)
		os.Exit(cli.Main())
	}
	goleak.VerifyTestMain(m)
}

// source is an application that shows what is in the database.
const source = `
export default { async fetch(request, env) {
	const { results } = await env.DB.prepare("SELECT id, name FROM catalogue ORDER BY id").all();
	return Response.json({ ok: true, catalogue: results }, { headers: { "cache-control": "no-store" } });
} }`

// stage is a sandbox with a database and an application, a bucket, and a plan that names both.
type stage struct {
	t     *testing.T
	cloud *sandboxtest.Cloud
	db    string
	dir   string
	plan  string

	// between sees every request of firedrill to the sandbox.
	between seeproxy.Eye
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, cloud: sandboxtest.Start(t), dir: t.TempDir()}
	store := s3test.Start(t)
	store.Bucket("dr-state")
	s.db = s.cloud.Database("shop")
	s.cloud.Query(s.db, "CREATE TABLE catalogue (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
	s.cloud.Query(s.db, "INSERT INTO catalogue (name) VALUES ('a'), ('b'), ('c'), ('d')")
	s.cloud.Deploy("app", source, []map[string]any{{"type": "d1", "name": "DB", "id": s.db}}, nil)
	s.cloud.Must(http.MethodPost, "workers/scripts/app/subdomain", map[string]bool{"enabled": true})
	s.plan = s.file("firedrill.yaml", fmt.Sprintf(`version: 1
name: machines
state: {bucket: s3://dr-state/shop, endpoint: %q, credentials: {access_key: {env: STATE_ID}, secret_key: {env: STATE_SECRET}}}
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: "%s/client/v4", account: %s, token: {file: %q}}
    resources:
      shop: {kind: d1, name: shop}
      app: {kind: worker, name: app, url: %q, probes: [{path: /, json: {ok: true}}]}
drills:
  d1: {use: d1-pitr, with: {database: shop}, rto: 5m, rpo: 5m}
`, store.Endpoint, s.between.Start(s.t, strings.TrimSuffix(s.cloud.API, "/client/v4"), ""), s.cloud.Account, s.file("token", s.cloud.Token()), s.between.Start(s.t, s.cloud.Front, "app.localhost")))
	return s
}

func (s *stage) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// see has a test see the requests, until it sets another.
func (s *stage) see(f func(*http.Request)) { s.between.See(f) }

// firedrill runs the command line on a machine, in this process, and gives what
// it printed.
func (s *stage) firedrill(machine string, args ...string) (status int, out, told string) {
	s.t.Helper()
	var o, e bytes.Buffer
	status = cli.Run(cli.Process{Args: s.args(machine, args...), Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e,
		Getenv: os.Getenv, Now: time.Now, Version: "test"})
	return status, o.String(), e.String()
}

func (s *stage) args(machine string, args ...string) []string {
	return append(args, "--plan", s.plan, "--home", filepath.Join(s.dir, machine))
}

// start runs the command line on a machine in a process of its own.
func (s *stage) start(machine string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	s.t.Helper()
	text, err := json.Marshal(s.args(machine, args...))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	s.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childArgs+"="+string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// result reads the only result that was printed.
func (s *stage) result(out string) firedrill.Result {
	s.t.Helper()
	var doc firedrill.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Runs) != 1 {
		s.t.Fatalf("%v: %s", err, out)
	}
	return doc.Runs[0]
}

// held gives the run that a machine sees as under way.
func (s *stage) held(machine string) string {
	s.t.Helper()
	status, out, told := s.firedrill(machine, "status", "--json")
	var doc struct {
		Running []string
		Holders []struct {
			Run  string
			Host string
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || status != 0 || len(doc.Running) != 1 || len(doc.Holders) != 1 || doc.Holders[0].Run != doc.Running[0] || doc.Holders[0].Host == "" {
		s.t.Fatalf("%v, status %d: %s%s", err, status, out, told)
	}
	return doc.Running[0]
}

// whole tells whether the database is as it was.
func (s *stage) whole() {
	s.t.Helper()
	rows := s.cloud.Query(s.db, "SELECT group_concat(name, '') AS names, (SELECT count(*) FROM sqlite_master WHERE name LIKE '%firedrill%') AS ours FROM (SELECT name FROM catalogue ORDER BY id)")
	if rows[0]["names"] != "abcd" || rows[0]["ours"] != 0.0 {
		s.t.Errorf("the database holds %v", rows)
	}
}
