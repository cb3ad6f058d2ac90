package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/journal"
	"firedrill/internal/testkit/reporttest"
)

// withRuns makes a state folder that holds n copies of a run that passed, a day apart,
// and a failed one before them. Those but the last took a fifth of its time.
func withRuns(t *testing.T, n int) (dir string, runs []string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, planName), []byte("version: 1\nname: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, ".home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), filepath.Join(home, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	add := func(id string, back time.Duration, faster bool, records []firedrill.Record) {
		var own []firedrill.Record
		for _, r := range records {
			r.At.Wall = r.At.Wall.Add(-back)
			switch b := r.Body.(type) {
			case firedrill.RunStarted:
				b.Run = id
				r.Body = b
			case firedrill.Measured:
				if a := b.Measurement.RTO.Actual; faster && a != nil {
					fifth := *a / 5
					b.Measurement.RTO.Actual = &fifth
					r.Body = b
				}
			}
			own = append(own, r)
		}
		if err := j.Append(t.Context(), id, own); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, id)
	}
	const day = 24 * time.Hour
	add("01KFAILED", time.Duration(n+30)*day, false, reporttest.Failed(t).Records)
	for i := range n {
		add(fmt.Sprintf("01KPASSED%03d", i), time.Duration(n-1-i)*day, i < n-1, reporttest.Passed(t).Records)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, runs
}

func TestReportFormats(t *testing.T) {
	t.Parallel()
	dir, runs := withRuns(t, 7)
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		args []string
		want string // of standard output, or of the file that -o names
	}{
		{[]string{"latest"}, "# Drill: d1-pitr"},
		{[]string{"latest", "--format", "html"}, "<!doctype html>"},
		{[]string{runs[0]}, "**FAILED** (data-differs)"},
		{[]string{"latest", "-o", file("a.html")}, "slower than usual: RTO 0.93 s, usual is 0.19 s (median of 6 passed runs"},
		{[]string{"latest", "-o", file("a.md")}, "# Drill: d1-pitr"},
		{[]string{"latest", "-o", file("a.xml")}, "<testsuites "},
		{[]string{"latest", "-o", file("a.json")}, `"schema_version": 1`},
		{[]string{"latest", "--format", "md", "-o", file("b.html")}, "# Drill: d1-pitr"},
		{append([]string{"--format", "junit"}, runs...), `tests="`},
		{[]string{runs[0], runs[1], "--json"}, `"run": "01KFAILED"`},
	} {
		status, out, stderr := inFolder(t, dir, append([]string{"report"}, c.args...)...)
		if status != 0 {
			t.Errorf("%q: status %d: %s", c.args, status, stderr)
			continue
		}
		for i, a := range c.args {
			if a == "-o" {
				if out != "" {
					t.Errorf("%q: also printed %q", c.args, out)
				}
				data, err := os.ReadFile(c.args[i+1])
				if err != nil {
					t.Fatal(err)
				}
				out = string(data)
			}
		}
		if !strings.Contains(out, c.want) {
			t.Errorf("%q: no %q in %.300s", c.args, c.want, out)
		}
	}
}

func TestReportSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dir, runs := withRuns(t, 1)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"latest", "--format", "htm"}, `did you mean html`},
		{[]string{"latest", "--format", "pdf"}, "md, html, json or junit"},
		{append([]string{"--format", "html"}, runs...), "about one run"},
		{[]string{"latest", "--json", "--format", "html"}, "give one of them"},
		{nil, "takes one run"},
		{[]string{"01NOSUCHRUN"}, "01NOSUCHRUN"},
	} {
		if status, out, stderr := inFolder(t, dir, append([]string{"report"}, c.args...)...); status != firedrill.ExitUsage || !strings.Contains(stderr, c.want) || out != "" {
			t.Errorf("%q: status %d, %q, want %q\n%s", c.args, status, stderr, c.want, out)
		}
	}
	if status, _, stderr := inFolder(t, dir, "report", "latest", "-o", filepath.Join(dir, "no", "such", "folder")); status == 0 || !strings.Contains(stderr, "name a file that can be written") {
		t.Errorf("status %d: %s", status, stderr)
	}
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, planName), []byte("version: 1\nname: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := inFolder(t, empty, "report", "latest"); status != firedrill.ExitUsage || !strings.Contains(stderr, "firedrill demo") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestTrend: a table for people, all figures for scripts, each environment by itself.
func TestTrend(t *testing.T) {
	t.Parallel()
	dir, _ := withRuns(t, 7)
	_, out, _ := inFolder(t, dir, "history", "d1-pitr", "--trend")
	for _, want := range []string{
		"d1-pitr                  on sandbox\n", "  RTO                    ▂▂▂▂▂▂█ · usual 0.19 s, up to 0.44 s, target 15 min\n",
		"01KPASSED006  slower than usual\n", "d1-pitr                  on staging\n", "  RTO                    · · too few runs passed to tell what is usual, target 15 min\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	status, out, stderr := inFolder(t, dir, "history", "d1-pitr", "--trend", "--limit", "1", "--json")
	var doc struct {
		Runs []struct {
			Run string
			RTO struct {
				Usual   *float64 `json:"usual_s"`
				Of      int
				Unusual bool
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatalf("status %d: %v: %s", status, err, stderr)
	}
	// What is usual does not depend on how many runs are shown.
	if len(doc.Runs) != 2 || !doc.Runs[0].RTO.Unusual || doc.Runs[0].RTO.Of != 6 || doc.Runs[0].RTO.Usual == nil || doc.Runs[1].RTO.Usual != nil {
		t.Errorf("%+v", doc.Runs)
	}
	if status, _, stderr := inFolder(t, dir, "history", "--trend"); status != firedrill.ExitUsage || !strings.Contains(stderr, "history DRILL --trend") {
		t.Errorf("status %d: %s", status, stderr)
	}
}
