package isolation_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestEnvironments: which there are, which count as production, and how an audit
// says why.
func TestEnvironments(t *testing.T) {
	t.Parallel()
	const (
		plan  = "by its class in firedrill.yaml"
		name  = "by its name"
		unset = "it is what `wrangler deploy` deploys when no environment is named"
		other = "another environment of the file is production"
	)
	for archive, want := range map[string][]string{
		"leaks/d1-same-id":             {"staging false " + name, "top level true " + unset},
		"leaks/two-top-levels":         {"production true " + name, "top level beside production false " + other, "top level true " + unset},
		"leaks/plan-of-a-sandbox":      {"production true by the name of the folder", "sandbox false " + plan},
		"leaks/production-by-the-plan": {"kunden true " + plan, "test false " + plan, "top level beside production false " + other},
		"leaks/synonyms":               {"production true " + name, "staging false " + name, "top level beside production false " + other},
		"clean/plan-with-synonyms":     {"production true " + plan, "staging false " + plan, "top level beside production false " + other},
		"clean/files-per-environment":  {"dev false by the name of the Worker", "staging false by the name of the file", "top level true " + unset},
		"clean/pages":                  {"preview false " + name, "production true " + name},
	} {
		t.Run(archive, func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile("testdata/" + archive + ".txtar")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range audit(t, a).Environments {
				got = append(got, fmt.Sprintf("%s %t %s", e.Name, e.Production, e.Why))
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
