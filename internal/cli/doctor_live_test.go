package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// names gives what an account holds of a kind.
func (p *patient) names(path string) (names []string) {
	p.t.Helper()
	var all []struct{ Name, Title, ID string }
	p.cloud.Must("GET", path, nil).Into(p.t, &all)
	for _, x := range all {
		names = append(names, strings.TrimSpace(x.Name+" "+x.Title))
	}
	return names
}

// TestDoctorProvesActionsOnAnAccount lets doctor prove on a sandbox that stands for
// an account, after one that was killed: nothing is left, and a drill of staging that
// uses what was proven says so.
func TestDoctorProvesActionsOnAnAccount(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	// What a killed one left: notes, and a database.
	left := "firedrill-scratch-0123456789ab"
	p.cloud.Database(left)
	dir := filepath.Join(p.dir, ".home", "scratches")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"d1", "worker"} {
		data, err := json.Marshal(scratchNote{Kind: kind, Name: left, API: p.cloud.API, Account: p.cloud.Account, At: time.Now()})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, kind+"-"+left+".json"), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if status, _, stderr := inFolder(t, p.dir, "doctor", "--live", "--front", p.cloud.Front); status != firedrill.ExitGuard || !strings.Contains(stderr, "nobody typed its name") {
		t.Fatalf("it did not ask: status %d: %s", status, stderr)
	}
	p.cloud.Query(p.database, "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
	p.cloud.Query(p.database, "INSERT INTO t VALUES (1, 'one'), (2, 'two')")
	proven := func() bool {
		t.Helper()
		_, out, stderr := inFolder(t, p.dir, "run", "d1-pitr", "--yes", "--json")
		var d firedrill.Document
		if err := json.Unmarshal([]byte(out), &d); err != nil || len(d.Runs) != 1 || d.Runs[0].Verdict != firedrill.Passed {
			t.Fatalf("%v: %s%s", err, out, stderr)
		}
		return d.Runs[0].Platform.Proven
	}
	if proven() {
		t.Error("proven before anything was tried")
	}
	status, out, stderr := inFolder(t, p.dir, "doctor", "--live", "--front", p.cloud.Front, "--yes", "--json")
	var d doctorDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s\n%s", status, err, out, stderr)
	}
	passed := 0
	for _, c := range d.Checks {
		if c.Environment == liveEnvironment && strings.Contains(c.Detail, "passed") {
			passed++
		}
	}
	if passed != 5 || !strings.Contains(stderr, "cleared up") {
		t.Errorf("%d drills passed: %s\n%s", passed, out, stderr)
	}
	if dbs, kvs, workers := p.names("d1/database"), p.names("storage/kv/namespaces"), p.names("workers/scripts"); !slices.Equal(dbs, []string{"shop"}) || !slices.Equal(kvs, []string{"cache"}) || len(workers) != 1 {
		t.Errorf("left behind: %q %q %q", dbs, kvs, workers)
	}
	if notes, err := os.ReadDir(dir); err != nil || len(notes) > 0 {
		t.Errorf("notes are left: %v, %v", notes, err)
	}
	proofs, err := readProofs(filepath.Join(p.dir, ".home"))
	if err != nil || len(proofs) != 5 {
		t.Fatalf("%d proofs, %v", len(proofs), err)
	}
	var actions []string
	for _, q := range proofs {
		actions = append(actions, q.Actions...)
	}
	for _, want := range []string{"d1.restore", "d1.target", "d1.absent", "kv.restore", "kv.absent", "worker.rollback"} {
		if !slices.Contains(actions, want) {
			t.Errorf("%s is not proven by %q", want, actions)
		}
	}
	if !proven() {
		t.Error("a drill that uses what was proven says that it was not")
	}
}

func TestAPlatformIsProvenByAllThatWasUsed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	good := proof{API: "https://api.example.com", Account: "abc", Version: "1.2.0", Actions: []string{"d1.find", "d1.restore"}, At: now.AddDate(0, 0, -89)}
	records := []firedrill.Record{
		{Body: firedrill.Intended{Step: "w", Uses: "http.watch", Op: "0", Attempt: 1}},
		{Body: firedrill.Intended{Step: "a", Uses: "d1.find", Op: "1", Attempt: 1}}, {Body: firedrill.Ended{Step: "a", Op: "1", Attempt: 1, Status: firedrill.StatusOK}},
		{At: firedrill.Stamp{Wall: now}, Body: firedrill.Intended{Step: "b", Uses: "d1.restore", Op: "2", Attempt: 1}},
	}
	for name, c := range map[string]struct {
		change func(*proof)
		want   bool
	}{
		"all":                 {func(*proof) {}, true},
		"too old":             {func(p *proof) { p.At = now.AddDate(0, 0, -91) }, false},
		"after the run":       {func(p *proof) { p.At = now.Add(time.Second) }, false},
		"another account":     {func(p *proof) { p.Account = "def" }, false},
		"another API":         {func(p *proof) { p.API = "https://api.example.org" }, false},
		"another major":       {func(p *proof) { p.Version = "2.0.0" }, false},
		"not all was proven":  {func(p *proof) { p.Actions = []string{"d1.find"} }, false},
		"a minor of the same": {func(p *proof) { p.Version = "1.9.1" }, true},
	} {
		home := t.TempDir()
		q := good
		c.change(&q)
		if err := q.remember(home); err != nil {
			t.Fatal(err)
		}
		a := &app{Process: Process{Version: "1.3.0"}}
		got, err := a.platform(home, firedrill.Environment{Class: firedrill.ClassStaging, Settings: firedrill.Values{"api": "https://api.example.com/", "account": "ABC"}}, records)
		if err != nil || got.Proven != c.want || got.API != "api.example.com" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if used := usedActions(records, true); !slices.Equal(used, []string{"d1.find"}) {
		t.Errorf("a restore without an answer counts as proven: %q", used)
	}
}
