package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/journal"
	"firedrill/internal/state"
	"firedrill/internal/testkit/s3test"
)

// finishedIn puts runs into a home that have finished and were not sealed, as a
// process leaves them that is killed between the two.
func finishedIn(t *testing.T, dir string, runs ...string) {
	t.Helper()
	home, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), home.Journal())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, run := range runs {
		if _, err := home.RunDir(run); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Hour)
		err := j.Append(t.Context(), run, []firedrill.Record{
			{Seq: 1, At: firedrill.Stamp{Wall: at}, Body: firedrill.RunStarted{Format: firedrill.RecordFormat, Run: run, Version: "test", Executor: "me@host", Program: firedrill.Program{
				Drill: "d1", Title: "a drill", PlanHash: "abcd", Environment: firedrill.Environment{Name: "sandbox", Class: firedrill.ClassSandbox},
				Steps:    []firedrill.Step{{ID: "look", Phase: firedrill.Verify, Uses: "http.get"}},
				Occasion: &firedrill.Occasion{Note: "quarterly", Ticket: "OPS-1", Approver: "A. Example"}}}},
			{Seq: 2, At: firedrill.Stamp{Wall: at.Add(time.Minute)}, Body: firedrill.Finished{Verdict: firedrill.Failed, ReasonCode: firedrill.ReasonDataDiffers, Environment: firedrill.Restored}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// command runs a command on a home and gives its status and what it printed.
func command(t *testing.T, home string, getenv func(string) string, arguments ...string) (status int, out, told string) {
	t.Helper()
	var o, e bytes.Buffer
	status = Run(Process{Args: append(arguments, "--home", home), Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e, Getenv: getenv, Now: time.Now, Version: "test"})
	return status, o.String(), e.String()
}

func noEnvironment(string) string { return "" }

// must runs a command that has to succeed.
func must(t *testing.T, home string, getenv func(string) string, arguments ...string) string {
	t.Helper()
	status, out, told := command(t, home, getenv, arguments...)
	if status != 0 {
		t.Fatalf("%v: status %d\n%s%s", arguments, status, out, told)
	}
	return out
}

// TestTheNextCommandSealsWhatWasCutOff seals runs that a killed process left, once.
func TestTheNextCommandSealsWhatWasCutOff(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	finishedIn(t, home, "01RUNA", "01RUNB")
	if out := must(t, home, noEnvironment, "show", "01RUNA"); !strings.Contains(out, "not sealed yet") || !strings.Contains(out, "quarterly") || !strings.Contains(out, "OPS-1") {
		t.Errorf("before: %s", out)
	}
	for range 2 {
		if out := must(t, home, noEnvironment, "evidence", "verify"); !strings.Contains(out, "2 runs, 0 remarks") {
			t.Errorf("%s", out)
		}
	}
	must(t, home, noEnvironment, "ack", "01RUNB", "--note", "looked into it")
	var doc struct {
		OK     bool
		Chains []struct{ Bundles, Remarks int }
	}
	if err := json.Unmarshal([]byte(must(t, home, noEnvironment, "evidence", "verify", "--json")), &doc); err != nil || !doc.OK || doc.Chains[0].Bundles != 2 || doc.Chains[0].Remarks != 1 {
		t.Errorf("%+v, %v", doc, err)
	}

	a, _, _ := newTestApp()
	a.global.home = home
	s, err := a.openLocal(t.Context(), nil, action.SystemSecrets(), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := a.pasts(t.Context(), s, journal.Query{})
	if err = s.close(err); err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	newest, older := all[0], all[1]
	if !newest.Acked() || older.Acked() || len(newest.Remarks) != 2 || newest.Remarks[0].Text != "quarterly" || newest.Remarks[1].Text != "looked into it" {
		t.Errorf("%+v\n%+v", newest, older)
	}
}

// TestWhatWasChangedIsSaid changes a file, and cuts the end off, in a copy.
func TestWhatWasChangedIsSaid(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	finishedIn(t, home, "01RUNA", "01RUNB")
	anchor := strings.TrimSpace(must(t, home, noEnvironment, "evidence", "anchor", "--print"))
	result := filepath.Join(home, "runs", "01RUNB", "result.json")
	data, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(result, bytes.Replace(data, []byte(`"failed"`), []byte(`"passed"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, told := command(t, home, noEnvironment, "evidence", "verify", home)
	if status != 6 || !strings.Contains(out, "runs/01RUNB/result.json: was changed") || !strings.Contains(told, "1 thing not as it was signed") {
		t.Errorf("status %d: %s%s", status, out, told)
	}
	if status, _, _ := command(t, home, noEnvironment, "evidence", "export", "-o", filepath.Join(t.TempDir(), "x.zip")); status != 6 {
		t.Errorf("an export of what was changed: status %d", status)
	}
	entries, err := filepath.Glob(filepath.Join(home, "evidence", "*", "00000002-*"))
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if err := os.Remove(entries[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Dir(result)); err != nil {
		t.Fatal(err)
	}
	must(t, home, noEnvironment, "evidence", "verify", home)
	if status, out, _ := command(t, home, noEnvironment, "evidence", "verify", home, "--anchor", anchor); status != 6 || !strings.Contains(out, "the end was cut off: entry 2") {
		t.Errorf("status %d: %s", status, out)
	}
	if status, _, told := command(t, home, noEnvironment, "evidence", "verify", home, "--anchor", anchor[:len(anchor)-3]); status != 6 || !strings.Contains(told, "is no anchor") {
		t.Errorf("a damaged anchor: status %d: %s", status, told)
	}
}

// TestAnchorsAreKeptElsewhere anchors in git and in a bucket under lock, and finds
// them again.
func TestAnchorsAreKeptElsewhere(t *testing.T) {
	t.Parallel()
	home, repo := t.TempDir(), t.TempDir()
	finishedIn(t, home, "01RUNA")
	for _, arguments := range [][]string{{"init", "--quiet"}, {"config", "user.name", "A"}, {"config", "user.email", "a@example.com"}, {"commit", "--quiet", "--allow-empty", "--message", "first"}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo}, arguments...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.WriteFile(filepath.Join(repo, "other.txt"), []byte("not for this commit"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := s3test.StartVersioned(t)
	address := "s3://" + store.LockingBucket("anchors") + "/foundation"
	must(t, home, store.Getenv, "evidence", "anchor", "--git", repo)
	must(t, home, store.Getenv, "evidence", "anchor", "--git", repo, "--tag")
	if out := must(t, home, store.Getenv, "evidence", "anchor", "--git", repo, "--tag"); !strings.Contains(out, "as before") {
		t.Errorf("a tag again: %s", out)
	}
	if out := must(t, home, store.Getenv, "evidence", "anchor", "--bucket", address, "--keep", "30d"); !strings.Contains(out, "locked until") {
		t.Errorf("%s", out)
	}
	out := must(t, home, store.Getenv, "evidence", "verify", "--anchor", repo, "--anchor", address)
	if !strings.Contains(out, "3 hold") {
		t.Errorf("%s", out)
	}
	// What lies in the folder and was not committed does not count.
	if err := os.WriteFile(filepath.Join(repo, anchorsFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := must(t, home, store.Getenv, "evidence", "verify", "--anchor", repo); !strings.Contains(out, "2 hold") {
		t.Errorf("%s", out)
	}
	if status, _, told := command(t, home, store.Getenv, "evidence", "anchor", "--git", t.TempDir()); status != 6 || !strings.Contains(told, "name a git repository") {
		t.Errorf("no repository: status %d: %s", status, told)
	}
	if status, _, told := command(t, home, store.Getenv, "evidence", "anchor", "--bucket", "s3://"+store.Bucket("plain")); status != 6 || !strings.Contains(told, "object lock") {
		t.Errorf("a bucket without locks: status %d: %s", status, told)
	}
}

func TestNoKeyRingIsNoHang(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	getenv := func(name string) string {
		return map[string]string{"DBUS_SESSION_BUS_ADDRESS": ""}[name]
	}
	if _, err := os.Stat("/run/user"); err == nil {
		t.Skip("this machine may have a session bus")
	}
	if status, _, told := command(t, home, getenv, "evidence", "key", "--keyring"); status != 6 || !strings.Contains(told, "no D-Bus") {
		t.Errorf("status %d: %s", status, told)
	}
	must(t, home, getenv, "evidence", "key")
}
