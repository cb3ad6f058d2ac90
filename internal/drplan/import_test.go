package drplan_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/drplan"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

func catalog(t testing.TB) *action.Registry {
	t.Helper()
	r, err := action.NewRegistry(cloudflare.Pack(cloudflare.Deps{}), http.Pack(http.Deps{}), quiesce.Pack())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// builtIn are the drills that the tests know, whatever is added later.
func builtIn() []string { return []string{"d1-pitr", "kv-backup-restore", "worker-rollback"} }

// TestImport compares the plans that are read out of documents with the ones beside
// them, and has the real parser read them.
func TestImport(t *testing.T) {
	t.Parallel()
	known := catalog(t)
	documents := map[string][]byte{}
	for _, name := range []string{"seed", "healthy"} {
		data, err := os.ReadFile("testdata/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		documents["testdata/"+name+"-plan.yaml"] = data
	}
	others, err := filepath.Glob("testdata/import/*.txtar")
	if err != nil || len(others) == 0 {
		t.Fatalf("%d archives, %v", len(others), err)
	}
	for _, name := range others {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		documents[name] = a.Files[0].Data
	}
	for name, data := range documents {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			got, err := drplan.Import("plan.md", data, builtIn())
			if err != nil {
				t.Fatal(err)
			}
			p, err := plan.Parse("firedrill.yaml", got.Plan, known, playbook.Library{})
			if err != nil {
				t.Fatalf("%v\n%s", err, got.Plan)
			}
			if len(p.Drills) != len(got.Drills) {
				t.Errorf("the plan has %d drills, and %d are told", len(p.Drills), len(got.Drills))
			}
			text := string(got.Plan) + "# open:\n# " + strings.Join(got.Open, "\n# ") + "\n"
			want, err := os.ReadFile(name)
			if strings.HasSuffix(name, ".txtar") {
				a, cause := txtar.ParseFile(name)
				if cause != nil {
					t.Fatal(cause)
				}
				if os.Getenv("UPDATE") != "" {
					a.Files = []txtar.File{a.Files[0], {Name: "firedrill.yaml", Data: []byte(text)}}
					err, want = os.WriteFile(name, txtar.Format(a), 0o600), []byte(text)
				} else {
					want = a.Files[1].Data
				}
			} else if os.Getenv("UPDATE") != "" {
				err, want = os.WriteFile(name, []byte(text), 0o600), []byte(text)
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"# Holidays\n": "no drill and no resource", "\xff": "UTF-8", "## Drill\n```\nnever closed\n": "plan.md:2"} {
		if _, err := drplan.Import("plan.md", []byte(text), builtIn()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzImport reads whatever comes: what is written is a plan.
func FuzzImport(f *testing.F) {
	known := catalog(f)
	names, err := filepath.Glob("testdata/import/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(a.Files[0].Data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := drplan.Import("plan.md", []byte(text), builtIn())
		if err != nil {
			return
		}
		if _, err := plan.Parse("firedrill.yaml", got.Plan, known, playbook.Library{}); err != nil {
			t.Errorf("%v\n%s", err, got.Plan)
		}
	})
}
