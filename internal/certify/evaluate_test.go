package certify

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"firedrill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScenarios plays the files of testdata/score: what is known, a line each, then
// after "---" the score and why. Lines that begin with # tell the story.
//
//	now 2026-11-27
//	rubric classes=staging,ci
//	check isolation ok
//	run d1-pitr passed 2026-11-01 expires=2027-02-08 …
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/score/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for n, scene := range strings.Split(string(data), "\n===\n") {
				given, want, ok := strings.Cut(scene, "---\n")
				if !ok {
					t.Fatalf("scene %d has no ---", n+1)
				}
				r, items, now := stage(t, given)
				got := describe(Evaluate(r, items, now))
				if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
					t.Errorf("scene %d:\n%s\n(-want +got)\n%s", n+1, strings.TrimSpace(given), diff)
				}
			}
		})
	}
}

// stage reads what a scene gives.
func stage(t *testing.T, text string) (Rubric, []Item, time.Time) {
	t.Helper()
	r := Default()
	var now time.Time
	var items []Item
	find := func(id, drill string) *Item {
		for i := range items {
			if items[i].ID == id && items[i].Drill == drill {
				return &items[i]
			}
		}
		items = append(items, Item{ID: id, Drill: drill})
		return &items[len(items)-1]
	}
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		args := map[string]string{}
		for _, w := range words[1:] {
			k, v, _ := strings.Cut(w, "=")
			args[k] = v
		}
		switch words[0] {
		case "now":
			now = moment(t, words[1])
		case "rubric":
			r = variant(t, r, args)
		case "hardened":
			for _, id := range []string{NeedIsolation, NeedDocuments} {
				find(id, "").Check = &Check{OK: true, At: now}
			}
			find(NeedSecrets, "").Absent = "there is no such check"
		case "check":
			find(words[1], "").Check = &Check{OK: words[2] == "ok", At: now, Detail: words[2], Remedy: "look"}
		case "absent":
			find(words[1], "").Absent = "there is none"
		case "planned":
			find(words[1], name(words[1], args))
		case "run":
			it := find(words[1], name(words[1], args))
			it.Runs = append(it.Runs, run(t, words, args, len(it.Runs)))
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	return r, items, now
}

func name(id string, args map[string]string) string {
	if d := args["drill"]; d != "" {
		return d
	}
	return id
}

func variant(t *testing.T, r Rubric, args map[string]string) Rubric {
	t.Helper()
	if c := args["classes"]; c != "" {
		r.Classes = nil
		for _, x := range strings.Split(c, ",") {
			r.Classes = append(r.Classes, firedrill.Class(x))
		}
	}
	if n := args["needs"]; n != "" {
		var err error
		if r, err = RubricOf(&firedrill.Certification{Baseline: firedrill.RubricBaseline{Needs: strings.Split(n, ",")}}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// run reads: run ID VERDICT DAY [expires=DAY] [class=] [state=] [verified=no|unknown] [incident]
func run(t *testing.T, words []string, args map[string]string, n int) Run {
	t.Helper()
	yes, no := true, false
	out := Run{Verified: &yes, Past: firedrill.Past{Run: words[1] + "-" + strconv.Itoa(n+1), Drill: words[1], Environment: "staging", Class: firedrill.ClassStaging,
		Verdict: firedrill.Verdict(words[2]), State: firedrill.Restored, ReasonCode: "data-differs", Finished: moment(t, words[3])}}
	if e, ok := args["expires"]; ok {
		out.Expires = moment(t, e)
	}
	if c, ok := args["class"]; ok {
		out.Class = firedrill.Class(c)
	}
	if s, ok := args["state"]; ok {
		out.State = firedrill.EnvironmentState(s)
	}
	_, out.Incident = args["incident"]
	switch args["verified"] {
	case "no":
		out.Verified, out.Problem = &no, "record 7 was changed"
	case "unknown":
		out.Verified = nil
	}
	return out
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	t.Fatalf("%q is no moment", text)
	return time.Time{}
}

// describe writes a result as scenarios expect it. What stands at its default is
// left out: items that no drill shows.
func describe(r Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Score, r.Level)
	if !r.Baseline.Counts {
		for _, l := range r.Baseline.Needs {
			if !l.Counts {
				fmt.Fprintf(&b, "%s %s\n", l.ID, l.Status)
			}
		}
	}
	for _, l := range r.Items {
		if l.Status == NoDrill {
			continue
		}
		for _, e := range l.Evidence {
			fmt.Fprintf(&b, "%s %s", l.ID, e.Status)
			if e.Drill != "" && e.Drill != l.ID {
				fmt.Fprintf(&b, " drill=%s", e.Drill)
			}
			if e.Run != "" {
				fmt.Fprintf(&b, " %s", e.Run)
			}
			if e.Remark != "" {
				fmt.Fprintf(&b, " (%s)", e.Remark)
			}
			fmt.Fprintln(&b)
		}
	}
	for _, x := range r.Losses {
		fmt.Fprintf(&b, "then %s without %s %s %s\n", x.At.Format(time.DateOnly), x.ID, x.Score, x.Level)
	}
	return b.String()
}
