package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"firedrill/examples/foundation"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/sandbox"
	"firedrill/internal/testkit/canary"
)

// TestSecretsAreNowhere runs drills that pass and that fail, and the recovery of an
// incident, on an environment full of secrets, and searches all that is printed and kept, and what other processes
// are started with.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	canaries := map[string]string{"the Worker's secret": "cnry+worker/7f3a=9", "a hidden column": "cnry+column/51d2=4@x.example", "a hidden value": "cnry+value/90ab=2",
		"a probe's header": "cnry+header/33c8=1"}
	a, _, _ := newTestApp()
	live := a.live()
	defer live.Close()
	home, keys := t.TempDir(), t.TempDir()
	err := a.withThrowAway(t.Context(), t.TempDir(), live, func(_ string, e sandbox.Endpoint) {
		canaries["the token"] = e.Token
		fill(t, e, canaries)
		write := func(name, text string) string {
			path := filepath.Join(keys, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		host := strings.TrimPrefix(e.Front, "http://127.0.0.1")
		plan := write("firedrill.yaml", `version: 1
name: secrets
environments:
  sandbox:
    class: sandbox
    cloudflare: {api: "`+e.API+`", account: `+e.Account+`, token: {command: [cat, "`+write("token", e.Token)+`"]}}
    resources:
      primary: {kind: d1, name: foundation-primary, redact: [users.email]}
      settings: {kind: kv, name: foundation-settings, redact: ["session/*"]}
      gateway:
        kind: worker
        name: foundation-gateway
        url: http://foundation-gateway.localhost`+host+`
        probes:
          - {path: /health, json: {status: healthy}, headers: {X-Key: {file: "`+write("header", canaries["a probe's header"])+`"}}}
          - {path: /api/users, json: {ok: true}}
          - {path: /api/settings, json: {ok: true}}
drills:
  d1-pitr: {use: d1-pitr, with: {database: primary, rows: 60}, rto: 15m, rpo: 30m}
  worker-rollback: {use: worker-rollback, with: {worker: gateway}, rto: 15m}
  kv-backup-restore: {use: kv-backup-restore, with: {namespace: settings, keys: 8, settle: 1, large: 1000}}
  failing:
    steps:
      - {id: rows, phase: baseline, uses: d1.fingerprint, with: {database: foundation-primary}}
      - id: change
        phase: inject
        uses: d1.execute
        with: {database: foundation-primary, sql: ["UPDATE users SET email = email || '.bad' WHERE id < 9", "UPDATE tenants SET name = name || ' bad'"]}
        undo: {uses: d1.restore, with: {database: foundation-primary, bookmark: "${{ steps.rows.outputs.bookmark }}"}}
      - {id: seen, phase: detect, uses: d1.fingerprint, with: {database: foundation-primary}, proves: damage}
      - {id: same, phase: verify, uses: d1.compare, with: {database: foundation-primary, against: "${{ steps.rows.outputs.file }}"}, proves: data, look: true}
`)
		stop, watched := context.WithCancel(t.Context())
		looked := make(chan int)
		go func() { looked <- watchChildren(t, stop, canaries) }()
		runs := 0
		for _, args := range [][]string{{"validate"}, {"plan", "d1-pitr"}, {"run", "d1-pitr", "worker-rollback", "kv-backup-restore", "--verbose"}, {"run", "failing", "--json"},
			{"recover", "d1-pitr", "--to", "latest-good", "--verbose"}, {"history"}, {"status", "--json"}, {"report", "latest"},
			{"ack", "latest", "--json"}, {"note", "latest", "looked into it"}, {"evidence", "verify"}, {"evidence", "anchor", "--print"}, {"evidence", "export", "--artefacts", "-o", filepath.Join(home, "export")}, {"show", "latest"}} {
			var out, told bytes.Buffer
			status := Run(Process{Args: append(args, "--plan", plan, "--home", home), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &told,
				Getenv: func(name string) string { return map[string]string{"PATH": os.Getenv("PATH")}[name] }, Now: time.Now, Version: "test"})
			canary.Search(t, "standard output of "+strings.Join(args, " "), out.Bytes(), canaries)
			canary.Search(t, "standard error of "+strings.Join(args, " "), told.Bytes(), canaries)
			if args[0] == "run" {
				runs++
			}
			if want := args[1:]; len(want) > 0 && want[0] == "failing" && status == 0 || args[len(args)-1] == "--verbose" && status != 0 || slices.Contains([]string{"validate", "ack", "note", "evidence", "show"}, args[0]) && status != 0 {
				t.Errorf("%v ended with status %d:\n%s%s", args, status, &out, &told)
			}
		}
		watched()
		if n := <-looked; n == 0 {
			t.Error("no process was looked at")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err := filepath.Glob(filepath.Join(home, "export", "runs", "*", "evidence.json")); err != nil || len(sealed) != 5 {
		t.Errorf("%d bundles were searched, want 5: %v", len(sealed), err)
	}
	// A backup holds the data itself: that is what it is for.
	backups := func(path string) bool { return strings.HasPrefix(filepath.Base(path), "kv-0") }
	if files := canary.SearchFolder(t, home, canaries, backups); files < 5 {
		t.Errorf("%d files were searched", files)
	}
}

// fill deploys the example and puts canaries into it.
func fill(t *testing.T, e sandbox.Endpoint, canaries map[string]string) {
	t.Helper()
	c, err := cloudflare.New(cloudflare.Config{API: e.API, Account: e.Account, Now: time.Now, Token: func(context.Context) (string, error) { return e.Token, nil }})
	if err == nil {
		_, err = deploy(t.Context(), c, foundation.Files)
	}
	if err != nil {
		t.Fatal(err)
	}
	call := func(method, path, body string) {
		req, err := http.NewRequestWithContext(t.Context(), method, e.API+"/accounts/"+e.Account+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+e.Token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if cerr := resp.Body.Close(); err != nil || cerr != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
		}
	}
	call("PUT", "/workers/scripts/foundation-gateway/secrets", fmt.Sprintf(`{"name":"CANARY","type":"secret_text","text":%q}`, canaries["the Worker's secret"]))
	call("POST", "/d1/database/979e7fd3-f594-5370-8e77-ddb98b30f19e/query", fmt.Sprintf(`{"sql":"UPDATE users SET email = id || '%s'"}`, canaries["a hidden column"]))
	call("PUT", "/storage/kv/namespaces/42b3c9227eef59c3b03c152c2439f420/bulk", fmt.Sprintf(`[{"key":"session/1","value":%q}]`, canaries["a hidden value"]))
}

// watchChildren searches the command lines and environments of all processes that
// this one started, itself apart, until ctx ends. It gives how many it looked at.
func watchChildren(t *testing.T, ctx context.Context, canaries map[string]string) int {
	seen := map[int]bool{}
	for ctx.Err() == nil {
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			t.Error(err)
		}
		parents := map[int]int{}
		for _, path := range stats {
			data, _ := os.ReadFile(path) // gone meanwhile
			_, rest, _ := strings.Cut(string(data), ") ")
			fields := strings.Fields(rest)
			pid, err := strconv.Atoi(strings.Split(path, "/")[2])
			if err != nil || len(fields) < 2 {
				continue
			}
			parents[pid], _ = strconv.Atoi(fields[1])
		}
		for pid := range parents {
			ours := false
			for p := parents[pid]; p > 1 && !ours; p = parents[p] {
				ours = p == os.Getpid()
			}
			if !ours {
				continue
			}
			seen[pid] = true
			for _, file := range []string{"cmdline", "environ"} {
				data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file)) // gone meanwhile
				canary.Search(t, fmt.Sprintf("%s of process %d", file, pid), data, canaries)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return len(seen)
}
