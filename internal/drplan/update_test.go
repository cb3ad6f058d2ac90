package drplan

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"firedrill"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err) // a test that cannot be read
	}
	return t
}

func ptr[T any](v T) *T { return &v }

// past is a finished run.
func past(run, drill, use string, started time.Time, verdict firedrill.Verdict, took, loss float64) firedrill.Past {
	p := firedrill.Past{Run: run, Drill: drill, Use: use, Environment: "staging", Class: firedrill.ClassStaging, Verdict: verdict, ReasonCode: firedrill.ReasonOK,
		State: firedrill.Restored, Started: started, Finished: started.Add(time.Minute), Executor: "ada@build", RTO: firedrill.Figure{Actual: &took, Target: ptr(900.0)}}
	if loss > 0 {
		p.RPO = firedrill.Figure{Actual: &loss, Target: ptr(1800.0)}
	}
	return p
}

// known are the facts of the tests: a drill that passed, one that passed on another
// day, one whose last run failed, one that never ran, and one that is overdue.
func known() Facts {
	pitr := past("01JD1", "d1-pitr", "d1-pitr", at("2026-11-20 09:30"), firedrill.Passed, 0.42, 0.1)
	roll := past("01JW2", "worker-rollback", "worker-rollback", at("2026-11-20 10:00"), firedrill.Passed, 12.3, 0)
	old := past("01JK1", "kv-restore", "kv-backup-restore", at("2026-08-20 09:00"), firedrill.Passed, 61, 0)
	kv := past("01JK2", "kv-restore", "kv-backup-restore", at("2026-11-21 23:30"), firedrill.Failed, 2100, 0)
	kv.ReasonCode = firedrill.ReasonRTOMissed
	kv.Remarks = []firedrill.Remark{{Kind: firedrill.RemarkNote, By: "ada@build", Text: "the namespace had grown | see <ticket>"}}
	return Facts{Drills: []Drill{
		{Name: "d1-pitr", Title: "restore a database to a point in time", Use: "d1-pitr", Names: []string{"primary", "foundation-primary-staging"}, Last: &pitr, Passed: &pitr, Due: ptr(at("2027-02-20 00:00")),
			Entries: []Entry{{Past: pitr, Details: []Detail{{"Bookmark", "0000001f-00000002-0000501f-f17b1d0e220c06ef"}}}}},
		{Name: "worker-rollback", Title: "put the last good version back", Use: "worker-rollback", Names: []string{"gateway"}, Last: &roll, Passed: &roll, Due: ptr(at("2026-12-20 00:00")), Entries: []Entry{{Past: roll}}},
		{Name: "kv-restore", Title: "restore a namespace", Use: "kv-backup-restore", Names: []string{"cache"}, Last: &kv, Passed: &old, Due: ptr(at("2026-11-20 00:00")), Overdue: true, Entries: []Entry{{Past: kv}}},
		{Name: "do-recovery", Title: "recover the state of objects", Use: "do-state-recovery", Due: ptr(at("2026-12-01 00:00"))},
		{Name: "failover", Title: "rebuild everything", Use: "full-failover"},
	}, Certification: &Certification{Score: 8.2, Of: 10, Level: "Data-safe", Items: []Item{
		{ID: "baseline", Title: "Hardening prerequisites", Baseline: true, Points: 8, Shown: true},
		{ID: "d1-pitr", Title: "D1 PITR drill", Drill: "d1-pitr", Points: 0.1, Shown: true, At: ptr(at("2026-11-20 09:30"))},
		{ID: "worker-rollback", Title: "Worker rollback drill", Drill: "worker-rollback", Points: 0.1, Shown: true, At: ptr(at("2026-11-20 10:00"))},
		{ID: "kv-backup-restore", Title: "KV drill", Drill: "kv-backup-restore", Points: 0.1, Why: "the last run failed"},
		{ID: "do-state-recovery", Title: "DO drill", Drill: "do-state-recovery", Points: 0.1, Why: "it never ran"},
		{ID: "full-failover", Title: "Failover drill", Drill: "full-failover", Points: 0.1, Why: "it never ran"},
		{ID: "automated-dr-pipeline", Title: "Automated DR pipeline", Points: 0.15, Why: "there is no evidence"},
		{ID: "multi-region-strategy", Title: "Multi-region strategy", Points: 0.15, Why: "there is no evidence"},
		{ID: "chaos-engineering", Title: "Chaos engineering", Points: 0.15, Why: "there is no evidence"},
		{ID: "zero-trust-secrets", Title: "Zero-trust secrets", Points: 0.15, Why: "there is no evidence"},
	}}}
}

// asTold writes changes and what was left, a line each.
func asTold(u Updated) string {
	var b strings.Builder
	for _, c := range u.Changes {
		fmt.Fprintf(&b, "%d %s %s: %q -> %q\n", c.Line, c.Part, c.What, c.Old, c.New)
	}
	for _, l := range u.Left {
		fmt.Fprintf(&b, "left %d %s %s: %s\n", l.Line, l.Part, l.What, l.Why)
	}
	return b.String()
}

// document gives the document of an archive. The first line of the archive's comment may
// say how its bytes differ from what can be kept in one: "bytes: crlf bom escapes cut".
func mutilated(a *txtar.Archive, name string) []byte {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	data := string(a.Files[i].Data)
	first, _, _ := strings.Cut(string(a.Comment), "\n")
	how, is := strings.CutPrefix(first, "bytes: ")
	if !is {
		return []byte(data)
	}
	for _, h := range strings.Fields(how) {
		switch h {
		case "crlf":
			data = strings.ReplaceAll(data, "\n", "\r\n")
		case "cr":
			data = strings.ReplaceAll(data, "\n", "\r")
		case "bom":
			data = bom + data
		case "cut":
			data = strings.TrimRight(data, "\r\n")
		case "huge":
			data += strings.Repeat("x\n", MaxSize/2)
		case "escapes":
			text, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(data) + `"`)
			if err != nil {
				panic(err) // an archive that cannot be read
			}
			data = text
		default:
			panic("no way to write bytes: " + h)
		}
	}
	return []byte(data)
}

// TestUpdate brings documents up to date: healthy ones, and ones that are mutilated in
// every way that documents are. Each archive has the document, and beside it what becomes
// of it: want.md and told, or refused. UPDATE=1 writes them anew, to be read.
func TestUpdate(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/update/*.txtar")
	if err != nil || len(names) < 25 {
		t.Fatalf("%d archives, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			data := mutilated(a, "plan.md")
			facts := known()
			if strings.Contains(string(a.Comment), "score not known") {
				facts.Certification = nil
			}
			u, err := Update("plan.md", data, facts)
			got := []txtar.File{a.Files[0]}
			if err != nil {
				got = append(got, txtar.File{Name: "refused", Data: []byte(err.Error() + "\n" + firedrill.RemedyOf(err) + "\n")})
			} else {
				text := strings.TrimPrefix(strings.ReplaceAll(string(u.Text), "\r\n", "\n"), bom)
				if !strings.HasSuffix(text, "\n") {
					text += "\n"
				}
				got = append(got, txtar.File{Name: "want.md", Data: []byte(text)}, txtar.File{Name: "told", Data: []byte(asTold(u))})
				checkBytes(t, data, u.Text)
				if again, err := Update("plan.md", u.Text, facts); err != nil || !bytes.Equal(again.Text, u.Text) || len(again.Changes) > 0 {
					t.Errorf("twice is not the same as once: %v\n%s", err, asTold(again))
				}
			}
			if os.Getenv("UPDATE") != "" {
				a.Files = got
				if err := os.WriteFile(name, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, have := txtar.Format(&txtar.Archive{Files: a.Files}), txtar.Format(&txtar.Archive{Files: got})
			if diff := cmp.Diff(string(want), string(have)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// checkBytes fails where line ends or the byte order mark changed.
func checkBytes(t *testing.T, before, after []byte) {
	t.Helper()
	crlf := bytes.Count(before, []byte("\r\n")) > 0
	if bytes.HasPrefix(before, []byte(bom)) != bytes.HasPrefix(after, []byte(bom)) {
		t.Error("the byte order mark came or went")
	}
	if crlf && bytes.Count(after, []byte("\r\n")) != bytes.Count(after, []byte("\n")) || !crlf && bytes.Contains(after, []byte("\r\n")) {
		t.Error("line ends are mixed")
	}
	if bytes.HasSuffix(before, []byte("\n")) != bytes.HasSuffix(after, []byte("\n")) {
		t.Error("the end of the document changed")
	}
}

// TestUpdateOfTheSeedPlan compares the plan that all began with.
func TestUpdateOfTheSeedPlan(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/seed.md")
	if err != nil {
		t.Fatal(err)
	}
	u, err := Update("seed.md", data, known())
	if err != nil {
		t.Fatal(err)
	}
	got := asTold(u) + "----\n" + string(u.Text)
	const file = "testdata/seed-updated.txt"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}
