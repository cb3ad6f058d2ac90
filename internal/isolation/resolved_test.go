package isolation

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestEnvironmentsAreWhatWranglerMakesOfThem compares every environment of the
// corpus with what wrangler 4.86.0 made of it. The record is written, and held
// against the real wrangler, by TestWhatWranglerInherits in acceptance/wrangler.
func TestEnvironmentsAreWhatWranglerMakesOfThem(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/resolved.json")
	if err != nil {
		t.Fatal(err)
	}
	var resolved map[string]map[string][]string
	if err := json.Unmarshal(data, &resolved); err != nil {
		t.Fatal(err)
	}
	if len(resolved) < 140 {
		t.Errorf("%d configurations, want 140", len(resolved))
	}
	refused := 0
	for name, environments := range resolved {
		archive, file, _ := strings.Cut(name, ".txtar/")
		a, err := txtar.ParseFile("testdata/" + archive + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == file })
		if i < 0 {
			t.Fatalf("%s is not in the corpus: the record is of another one", name)
		}
		root, wrong := parse(path.Base(file), a.Files[i].Data)
		if environments == nil {
			refused++
			continue
		}
		if wrong != nil {
			t.Errorf("wrangler reads %s, we do not: %v", name, wrong)
			continue
		}
		if root.get("pages_build_output_dir") != nil {
			continue // wrangler resolves Pages projects otherwise
		}
		got := map[string][]string{}
		for _, u := range units(file, root) {
			got[u.key] = held(u)
		}
		if diff := cmp.Diff(environments, got); diff != "" {
			t.Errorf("%s: wrangler (-) and we (+):\n%s", name, diff)
		}
	}
	if refused > 3 { // two that are no JSON and no TOML, and one with an empty id
		t.Errorf("wrangler refuses %d configurations: the corpus is not what people have", refused)
	}
}

// held gives what a unit holds in the form of the record.
func held(u unit) []string {
	out := map[string]bool{}
	add := func(field, value string) {
		if value != "" {
			field, _, _ = strings.Cut(field, ".")
			out[field+": "+value] = true
		}
	}
	add("name", u.worker)
	add("account_id", u.account)
	for _, r := range u.routes {
		add("routes", r.pattern)
	}
	for _, x := range u.texts {
		add(x.name, x.value)
	}
	for _, r := range u.refs {
		add(r.binding, r.id)
		add(r.binding, r.name)
	}
	return slices.Sorted(maps.Keys(out))
}
