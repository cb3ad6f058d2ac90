package drplan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// asListed writes findings, a line each.
func asListed(all []Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%d %s: %s\n", f.Line, f.Rule, f.Message)
	}
	return b.String()
}

// TestFindingsOfTheSeedPlan compares what is found in the plan that all began with.
func TestFindingsOfTheSeedPlan(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/seed.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Findings("seed.md", data)
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/seed-findings.txt"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(asListed(all)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), asListed(all)); diff != "" {
		t.Error(diff)
	}
	rules := map[Rule]bool{}
	for _, f := range all {
		rules[f.Rule] = true
	}
	if len(rules) < 20 {
		t.Errorf("%d rules find something", len(rules))
	}
}

// TestFindingsOfAHealthyPlan looks at a plan that does the same drills rightly.
func TestFindingsOfAHealthyPlan(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/healthy.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Findings("healthy.md", data)
	if err != nil || len(all) > 0 {
		t.Errorf("%v\n%s", err, asListed(all))
	}
}

// TestRules looks at a document that breaks a rule, and at one that does the same
// rightly. Each archive has the name of its rule. A line that is to be found ends with
// <!-- found --> or # found.
func TestRules(t *testing.T) {
	t.Parallel()
	tested := []Rule{}
	names, err := filepath.Glob("testdata/rules/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		rule := Rule(strings.TrimSuffix(filepath.Base(name), ".txtar"))
		tested = append(tested, rule)
		t.Run(string(rule), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Files) < 2 {
				t.Fatalf("%d documents", len(a.Files))
			}
			for _, f := range a.Files {
				var want, got []int
				for i, line := range strings.Split(string(f.Data), "\n") {
					if strings.HasSuffix(line, "# found") || strings.HasSuffix(line, "<!-- found -->") {
						want = append(want, i+1)
					}
				}
				if bad := strings.HasPrefix(f.Name, "bad"); bad != (len(want) > 0) {
					t.Fatalf("%s: %d lines are to be found", f.Name, len(want))
				}
				all, err := Findings(f.Name, f.Data)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range all {
					if x.Rule == rule {
						got = append(got, x.Line)
					}
					if x.Message == "" || x.Remedy == "" {
						t.Errorf("%s:%d: %s says %q, %q", f.Name, x.Line, x.Rule, x.Message, x.Remedy)
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: found in %v, not in %v:\n%s", f.Name, got, want, asListed(all))
				}
			}
		})
	}
	for _, about := range Rules() {
		if !slices.Contains(tested, about.Rule) {
			t.Errorf("rule %s has no documents", about.Rule)
		}
	}
}

// FuzzFindings looks at whatever comes.
func FuzzFindings(f *testing.F) {
	names, err := filepath.Glob("testdata/rules/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := Findings("plan.md", data)
		if err != nil {
			return
		}
		lines := 1 + strings.Count(string(data), "\n")
		for _, x := range all {
			if x.Line < 1 || x.Line > lines {
				t.Errorf("%s is in line %d of %d", x.Rule, x.Line, lines)
			}
		}
	})
}
