package isolation_test

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/isolation"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// audit audits the files of an archive.
func audit(t testing.TB, a *txtar.Archive) isolation.Report {
	t.Helper()
	var files []isolation.File
	var plans []isolation.Plan
	var accounts []isolation.Account
	for _, f := range a.Files {
		switch {
		case slices.ContainsFunc(strings.Split(path.Dir(f.Name), "/"), isolation.Skips):
			continue
		case strings.HasPrefix(f.Name, "account"): // what the API would tell
			var acc isolation.Account
			if err := json.Unmarshal(f.Data, &acc); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			accounts = append(accounts, acc)
			continue
		case isolation.IsConfig(path.Base(f.Name)), isolation.IsEnvFile(path.Base(f.Name)):
			files = append(files, isolation.File{Path: f.Name, Data: f.Data})
			continue
		case path.Base(f.Name) != "firedrill.yaml":
			t.Fatalf("%s is nothing that an audit reads", f.Name)
		}
		catalog, err := action.NewRegistry(cloudflare.Pack(cloudflare.Deps{}), http.Pack(http.Deps{}))
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.Parse(f.Name, f.Data, catalog, playbook.Library{})
		plans = append(plans, isolation.Plan{Path: f.Name, Plan: p, Err: err})
	}
	for i := range accounts {
		for _, p := range plans {
			for _, e := range p.Plan.Environments {
				if e.Settings["account"] == accounts[i].ID && e.Class != firedrill.ClassProduction {
					accounts[i].Environments, accounts[i].At = append(accounts[i].Environments, e.Name), e.Source
				}
			}
		}
	}
	return isolation.Audit(files, plans, accounts...)
}

// marked gives what the comments of an archive ask for: findings that count
// (`want: RULE RULE`) and notes (`note: RULE`), as file:line: level: rule.
func marked(a *txtar.Archive) []string {
	marker := regexp.MustCompile(`(?://|#|/\*) (want|note): ([a-z -]+[a-z])`)
	var out []string
	for _, f := range a.Files {
		for i, line := range strings.Split(string(f.Data), "\n") {
			for _, m := range marker.FindAllStringSubmatch(line, -1) {
				for _, rule := range strings.Fields(m[2]) {
					out = append(out, fmt.Sprintf("%s:%d: %s: %s", f.Name, i+1, m[1], rule))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// told gives the findings of a report in the same form.
func told(r isolation.Report) []string {
	var out []string
	for _, f := range r.Findings {
		kind := "want"
		if f.Level == isolation.LevelNote {
			kind = "note"
		}
		out = append(out, fmt.Sprintf("%s:%d: %s: %s", f.At.File, f.At.Line, kind, f.Rule))
	}
	slices.Sort(out)
	return out
}

func archives(t testing.TB, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestTheCorpus holds what is found against what was planted, line by line: all
// of it, nothing else, and no two with one fingerprint.
func TestTheCorpus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		folder  string
		atLeast int
	}{{"leaks", 60}, {"clean", 26}} {
		all := archives(t, "testdata/"+c.folder+"/*.txtar")
		if len(all) < c.atLeast {
			t.Errorf("%s has %d archives, want %d", c.folder, len(all), c.atLeast)
		}
		for _, file := range all {
			t.Run(c.folder+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				t.Parallel()
				a, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				want := marked(a)
				if (len(want) == 0) != (c.folder == "clean") {
					t.Fatalf("%d markers in %s", len(want), c.folder)
				}
				r := audit(t, a)
				seen := map[string]bool{}
				for _, f := range r.Findings {
					if seen[f.Fingerprint] {
						t.Errorf("%s: another finding has the fingerprint %s", f.At, f.Fingerprint)
					}
					seen[f.Fingerprint] = true
				}
				if diff := cmp.Diff(want, told(r)); diff != "" {
					t.Errorf("marked (-) and found (+):\n%s", diff)
					for _, f := range r.Findings {
						t.Logf("%s: %s: %s: %s", f.At, f.Level, f.Rule, f.Message)
					}
				}
			})
		}
	}
}
