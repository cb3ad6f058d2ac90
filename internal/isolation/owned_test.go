package isolation_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"firedrill"
	"firedrill/internal/isolation"
)

func TestResourcesOfEachEnvironment(t *testing.T) {
	t.Parallel()
	files := []isolation.File{{Path: "api/wrangler.jsonc", Data: []byte(`{
  "name": "shop", "account_id": "0123456789abcdef0123456789abcdef",
  "d1_databases": [{"binding": "DB", "database_name": "shop", "database_id": "34bce593-9df9-4acf-ac40-c8d93a7c7244"}],
  "kv_namespaces": [{"binding": "KV", "id": "<your id>"}],
  "env": {"stage": {
    "d1_databases": [{"binding": "DB", "database_name": "shop-staging", "database_id": "11111111-9df9-4acf-ac40-c8d93a7c7244"}],
    "services": [{"binding": "AUTH", "service": "shop"}, {"binding": "X", "service": "elsewhere"}]
  }}
}`)}}
	p := firedrill.Plan{File: "firedrill.yaml", Environments: map[string]firedrill.Environment{
		"staging": {Name: "staging", Class: firedrill.ClassStaging, Resources: map[string]firedrill.Resource{"db": {Kind: "d1", Attrs: firedrill.Values{"name": "shop-staging"}}}}}}
	owned, err := isolation.Resources(files, p)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range owned {
		got = append(got, fmt.Sprintf("%s: %s %s %s of %q at line %d", o.Environment, o.Kind, o.ID, o.Name, o.Plan, o.At.Line))
	}
	slices.Sort(got)
	want := []string{ // a synonym is the same environment; what production deploys is production's
		`production (the top level): d1 34bce593-9df9-4acf-ac40-c8d93a7c7244 shop of "" at line 3`,
		`production (the top level): worker  shop of "" at line 2`,
		`staging: d1 11111111-9df9-4acf-ac40-c8d93a7c7244 shop-staging of "staging" at line 6`,
		`staging: worker  elsewhere of "staging" at line 7`,
		`staging: worker  shop-stage of "staging" at line 5`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, o := range owned {
		if o.Kind != "worker" && o.Account != "0123456789abcdef0123456789abcdef" {
			t.Errorf("%s %s is of account %q", o.Kind, o.Name, o.Account)
		}
	}
}

func TestWhatCannotBeReadRefuses(t *testing.T) {
	t.Parallel()
	_, err := isolation.Resources([]isolation.File{{Path: "wrangler.json", Data: []byte(`{"name": `)}}, firedrill.Plan{})
	if firedrill.KindOf(err) != firedrill.KindGuard || firedrill.RemedyOf(err) == "" {
		t.Errorf("%v", err)
	}
}
