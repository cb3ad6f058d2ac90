package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/journal"
	"firedrill/internal/state"
)

// TestStatusOfManyRuns: dates come from the whole history, and no result is read for
// them: there is none here.
func TestStatusOfManyRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plan := "version: 1\nname: x\nenvironments:\n  ci:\n    class: ci\n    cloudflare: {account: 0123456789abcdef0123456789abcdef, token: {env: TOKEN}}\n    resources: {primary: {kind: d1, name: a}}\ndrills:\n  d1-pitr: {use: d1-pitr, every: monthly}\n"
	if err := os.WriteFile(filepath.Join(dir, planName), []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	home, err := state.Open(filepath.Join(dir, ".home"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), home.Journal())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().AddDate(0, 0, -100)
	for i := range 20 {
		run := fmt.Sprintf("R%05d", i)
		stamp := firedrill.Stamp{Wall: at.Add(time.Duration(i) * time.Minute)}
		program := firedrill.Program{Drill: "d1-pitr", Environment: firedrill.Environment{Name: "ci"}}
		err := j.Append(t.Context(), run, []firedrill.Record{{Seq: 1, At: stamp, Body: firedrill.RunStarted{Program: program}},
			{Seq: 2, At: stamp, Body: firedrill.Finished{Verdict: firedrill.Passed, ReasonCode: firedrill.ReasonOK, Environment: firedrill.Restored}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := inFolder(t, dir, "status", "--json", "--check")
	var doc struct {
		Drills []struct {
			Overdue    bool                 `json:"overdue"`
			Missed     int                  `json:"missed"`
			NextDue    time.Time            `json:"next_due"`
			LastPassed struct{ Run string } `json:"last_passed"`
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	d := doc.Drills[0]
	if status != firedrill.ExitFailed || !d.Overdue || d.Missed < 2 || d.LastPassed.Run != "R00019" || !d.NextDue.After(at) {
		t.Errorf("status %d, %+v", status, d)
	}
}
