package draft_test

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/draft"
	"firedrill/internal/isolation"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// corpus gives the configurations of the audit's own corpus: every kind of leak,
// and sets without one.
func corpus(t *testing.T) map[string][]isolation.File {
	t.Helper()
	names, err := filepath.Glob("../isolation/testdata/*/*.txtar")
	if err != nil || len(names) < 60 {
		t.Fatalf("%d archives, %v", len(names), err)
	}
	all := map[string][]isolation.File{}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if isolation.IsConfig(path.Base(f.Name)) && !slices.ContainsFunc(strings.Split(path.Dir(f.Name), "/"), isolation.Skips) {
				all[name] = append(all[name], isolation.File{Path: f.Name, Data: f.Data})
			}
		}
	}
	return all
}

func catalog(t *testing.T) *action.Registry {
	t.Helper()
	r, err := action.NewRegistry(cloudflare.Pack(cloudflare.Deps{}), http.Pack(http.Deps{}), quiesce.Pack())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryDraftIsSoundAndLeaksNothing drafts a plan from each set, and audits the
// set again with the plan: the plan is valid, what counted as production still does,
// no environment that is drilled has anything of another one, and no drill is on
// production.
func TestEveryDraftIsSoundAndLeaksNothing(t *testing.T) {
	t.Parallel()
	drafted, drills := 0, 0
	known := catalog(t)
	for name, files := range corpus(t) {
		for _, top := range []firedrill.Class{"", firedrill.ClassStaging, firedrill.ClassSandbox} {
			in := draft.Input{Name: "set", Deployments: isolation.Deployments(files), Report: isolation.Audit(files, nil), Top: top, Health: map[string]draft.Route{}}
			for _, d := range in.Deployments {
				in.Health[d.Main] = draft.Route{Path: "/health", At: "src/index.js:1"}
			}
			if len(in.Deployments) == 0 {
				continue
			}
			text := draft.Plan(in)
			p, err := plan.Parse("firedrill.yaml", text, known, playbook.Library{})
			if err != nil {
				t.Errorf("%s (top level %q): %v\n%s", name, top, err, text)
				continue
			}
			drafted++
			for _, d := range p.Drills {
				drills++
				if p.Environments[d.On].Class == firedrill.ClassProduction {
					t.Errorf("%s: drill %s is on production\n%s", name, d.Name, text)
				}
			}
			if top != "" {
				continue // then the plan says otherwise than the configurations, on purpose
			}
			for _, f := range isolation.Audit(files, []isolation.Plan{{Path: "firedrill.yaml", Plan: p}}).Findings {
				if f.At.File == "firedrill.yaml" && f.Counts() {
					t.Errorf("%s: %s %s: %s\n%s", name, f.At, f.Rule, f.Message, text)
				}
			}
			for _, d := range in.Deployments {
				if d.Environment.Production && !protects(p, d) {
					t.Errorf("%s: nothing protects Worker %s\n%s", name, d.Worker, text)
				}
			}
		}
	}
	if drafted < 150 || drills < 150 {
		t.Errorf("%d plans with %d drills, of a corpus that should give more", drafted, drills)
	}
}

// protects tells whether an environment of class production has a deployment's
// Worker and all that it is bound to.
func protects(p *firedrill.Plan, d isolation.Deployment) bool {
	has := func(kind, id, name string) bool {
		for _, e := range p.Environments {
			for _, r := range e.Resources {
				if e.Class == firedrill.ClassProduction && r.Kind == kind && (id != "" && r.Attrs["id"] == id || id == "" && r.Attrs["name"] == name) {
					return true
				}
			}
		}
		return false
	}
	for _, r := range d.Resources {
		if (r.ID != "" || r.Name != "") && !has(r.Kind, r.ID, r.Name) {
			return false
		}
	}
	return has("worker", "", d.Worker)
}
