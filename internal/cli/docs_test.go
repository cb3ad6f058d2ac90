package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/journal"
)

// drilledPlan is a plan whose drills have the titles of the seed document.
const drilledPlan = `version: 1
name: foundation
environments:
  staging:
    class: staging
    cloudflare: {account: "0123456789abcdef0123456789abcdef", token: {env: CLOUDFLARE_API_TOKEN}}
    resources:
      primary: {kind: d1, name: foundation-primary-staging}
      cache: {kind: kv, id: 6240f158d5744ad99cabf5db2d8e4cbf}
      gateway: {kind: worker, name: foundation-gateway-staging, url: "https://gateway.example.com", probes: [{path: /health, status: 200}]}
drills:
  d1-pitr: {use: d1-pitr, with: {database: primary}, every: quarterly, rto: 15m, rpo: 30m}
  worker-rollback: {use: worker-rollback, with: {worker: gateway}, every: monthly, rto: 5m}
  kv-restore: {use: kv-backup-restore, with: {namespace: cache}, every: quarterly, rto: 30m}
`

// ran is a run that a journal is given.
type ran struct {
	run, drill, use string
	at              time.Time
	verdict         firedrill.Verdict
	incident        bool
	inputs          firedrill.Values // of its recovery
}

// journalOf writes finished runs into a state folder.
func journalOf(t *testing.T, home string, runs ...ran) {
	t.Helper()
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), filepath.Join(home, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		prog := firedrill.Program{Drill: r.drill, Use: r.use, Title: r.drill, Environment: firedrill.Environment{Name: "staging", Class: firedrill.ClassStaging}, Steps: []firedrill.Step{{ID: "back", Phase: firedrill.Recover, Uses: "x"}}}
		if r.incident {
			prog.Incident = &firedrill.Incident{}
		}
		bodies := []firedrill.Body{
			firedrill.RunStarted{Format: firedrill.RecordFormat, Run: r.run, Executor: "ada@build", Program: prog},
			firedrill.Intended{Step: "back", Role: firedrill.RoleDo, Attempt: 1, Uses: "x", Resolved: firedrill.Resolved{Inputs: r.inputs}},
			firedrill.Ended{Step: "back", Role: firedrill.RoleDo, Attempt: 1, Status: firedrill.StatusOK},
			firedrill.Finished{Verdict: r.verdict, ReasonCode: firedrill.ReasonOK, Environment: firedrill.Restored},
		}
		var records []firedrill.Record
		for i, b := range bodies {
			records = append(records, firedrill.Record{Seq: int64(i + 1), At: firedrill.Stamp{Wall: r.at.Add(time.Duration(i) * time.Second), Mono: int64(i), Boot: "b"}, Body: b})
		}
		if err := j.Append(t.Context(), r.run, records); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// documented is a folder with a plan, runs, and the seed document.
func documented(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	day := time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC)
	journalOf(t, filepath.Join(dir, ".home"),
		ran{run: "R1", drill: "d1-pitr", use: "d1-pitr", at: day.AddDate(0, 0, -30), verdict: firedrill.Passed},
		ran{run: "R2", drill: "d1-pitr", use: "d1-pitr", at: day, verdict: firedrill.Passed, inputs: firedrill.Values{"bookmark": "0000001f-00000002"}},
		ran{run: "R3", drill: "d1-pitr", use: "d1-pitr", at: day.AddDate(0, 0, 1), verdict: firedrill.Recovered, incident: true},
		ran{run: "R4", drill: "worker-rollback", use: "worker-rollback", at: day.AddDate(0, 0, -60), verdict: firedrill.Passed},
		ran{run: "R5", drill: "worker-rollback", use: "worker-rollback", at: day, verdict: firedrill.Failed},
	)
	seed, err := os.ReadFile("../drplan/testdata/seed.md")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "PLAN.md")
	for name, data := range map[string][]byte{planName: []byte(drilledPlan), "PLAN.md": seed} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir, file
}

func TestDocsUpdateBringsTheSeedDocumentUpToDate(t *testing.T) {
	t.Parallel()
	dir, file := documented(t)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	status, out, stderr := inFolder(t, dir, "docs", "update", file, "--check")
	if after, err := os.ReadFile(file); status != 1 || err != nil || string(after) != string(before) || !strings.Contains(out, "PLAN.md:19") || !strings.Contains(out, "stale") {
		t.Errorf("check: status %d, %v: %s%s", status, err, out, stderr)
	}
	status, out, stderr = inFolder(t, dir, "docs", "update", file)
	if status != 0 || !strings.Contains(out, "written") || !strings.Contains(out, "score: 0.0, was 9.0") {
		t.Errorf("update: status %d: %s%s", status, out, stderr)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| D1 Point-in-Time Recovery | Quarterly | **2026-11-20** ✅ | 2027-02-20 |",
		"| Worker Rollback | Monthly | **2026-11-20** failed; passed 2026-09-21 | 2026-10-21",
		"| KV Backup/Restore | Quarterly | **2026-02-27** ✅ | 2026-05-27 |",
		"- **Run**: `R2` on staging\n- **Bookmark**: `0000001f-00000002`\n",
	} {
		if !strings.Contains(string(after), want) {
			t.Errorf("there is no %q in\n%s", want, after)
		}
	}
	if strings.Contains(string(after), "R3") {
		t.Error("an incident is in the log of drills")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".PLAN*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	var doc docsDocument
	status, out, stderr = inFolder(t, dir, "docs", "update", file, "--check", "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || status != 0 || !doc.Current || doc.Written || len(doc.Changes) > 0 || len(doc.Left) == 0 {
		t.Errorf("after it: status %d, %v: %s%s", status, err, out, stderr)
	}
	// A day is another one elsewhere, so the zone is the same on every machine.
	if status, out, _ := inFolder(t, dir, "docs", "update", file, "--check", "--zone", "Europe/Berlin"); status != 1 || !strings.Contains(out, "2026-11-21") {
		t.Errorf("in another zone: status %d: %s", status, out)
	}
}

func TestDocsUpdateRefuses(t *testing.T) {
	t.Parallel()
	dir, file := documented(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("latin.md", "## Drill Schedule\nR\xfcckbau\n")
	write("other.md", "# Holidays\n")
	write("readonly.md", "| Drill | Next Due |\n|---|---|\n| D1 PITR | TBD |\n")
	if err := os.Chmod(path("readonly.md"), 0o400); err != nil {
		t.Fatal(err)
	}
	write("huge.md", strings.Repeat("x\n", 1<<20))
	if err := os.Symlink(file, path("link.md")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"latin.md": "latin.md:2: byte 19 is not UTF-8", "other.md": "no schedule", "readonly.md": "read-only", "huge.md": "longest plan",
		"link.md": "symbolic link", "": "it is no file", "nowhere.md": "no such file",
	} {
		if status, _, stderr := inFolder(t, dir, "docs", "update", path(name)); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: status %d: %s", name, status, stderr)
		}
	}
	if status, _, _ := inFolder(t, dir, "docs", "update", path("readonly.md"), "--check"); status != 1 {
		t.Errorf("a check of what is read-only: status %d", status)
	}
	if status, _, stderr := inFolder(t, dir, "docs", "update", file, "--zone", "Mars"); status != 2 || !strings.Contains(stderr, "Europe/Berlin") {
		t.Errorf("no zone: status %d: %s", status, stderr)
	}
}
