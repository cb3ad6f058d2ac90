package isolation_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"firedrill/internal/isolation"
)

// leaky has one finding of a shared resource in each file.
func leaky() *txtar.Archive {
	return txtar.Parse([]byte(`
-- a/wrangler.jsonc --
{
  "name": "a",
  "kv_namespaces": [{ "binding": "KV", "id": "8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3" }],
  "env": { "staging": { "kv_namespaces": [{ "binding": "KV", "id": "8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3" }] } }
}
-- b/wrangler.toml --
name = "b"
kv_namespaces = [{ binding = "KV", id = "c0d1e2f3a4b5968778695a4b3c2d1e0f" }]
env.qa.kv_namespaces = [{ binding = "KV", id = "c0d1e2f3a4b5968778695a4b3c2d1e0f" }]
`))
}

func fingerprints(r isolation.Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Fingerprint)
	}
	return out
}

// TestFingerprintsStay holds fingerprints still while the file around them
// changes: a baseline would forget what it accepts otherwise.
func TestFingerprintsStay(t *testing.T) {
	t.Parallel()
	before := fingerprints(audit(t, leaky()))
	if len(before) != 2 || before[0] == before[1] {
		t.Fatalf("fingerprints %v", before)
	}
	for name, change := range map[string]func(text string) string{
		"lines above":     func(s string) string { return "\n\n" + s },
		"lines between":   func(s string) string { return strings.ReplaceAll(s, "[{", "[\n{") },
		"other line ends": func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"a binding besides": func(s string) string {
			return strings.Replace(s, "[{ \"binding\"", "[{ \"binding\": \"X\", \"id\": \"00aa11bb22cc33dd44ee55ff66007788\" }, { \"binding\"", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := leaky()
			for i := range a.Files {
				a.Files[i].Data = []byte(change(string(a.Files[i].Data)))
			}
			r := audit(t, a)
			r.Findings = slices.DeleteFunc(r.Findings, func(f isolation.Finding) bool { return f.Level == isolation.LevelNote })
			if after := fingerprints(r); !slices.Equal(before, after) {
				t.Errorf("before %v, after %v", before, after)
			}
		})
	}
}

// TestFingerprintsChange: what is another finding is accepted for itself.
func TestFingerprintsChange(t *testing.T) {
	t.Parallel()
	before := fingerprints(audit(t, leaky()))
	for name, change := range map[string]func(text string) string{
		"environment": func(s string) string {
			return strings.NewReplacer(`"staging"`, `"abnahme"`, "env.qa", "env.abnahme").Replace(s)
		},
		"resource": func(s string) string {
			return strings.NewReplacer("8a1f4b", "9b2f4b", "c0d1e2", "d1e2f3").Replace(s)
		},
		"binding": func(s string) string { return strings.ReplaceAll(s, "KV", "CACHE") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := leaky()
			for i := range a.Files {
				a.Files[i].Data = []byte(change(string(a.Files[i].Data)))
			}
			after := fingerprints(audit(t, a))
			if len(after) != 2 || slices.Contains(before, after[0]) || slices.Contains(before, after[1]) {
				t.Errorf("before %v, after %v", before, after)
			}
		})
	}
}

// TestTheOrderOfFilesIsNoMatter: what is found where, and what counts as
// production, follows from the files, not from the order in which they are read.
// Only which of two twins is told does.
func TestTheOrderOfFilesIsNoMatter(t *testing.T) {
	t.Parallel()
	for _, file := range archives(t, "testdata/*/*.txtar") {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		untwinned := func() []string {
			return slices.DeleteFunc(told(audit(t, a)), func(f string) bool { return strings.HasSuffix(f, string(isolation.Twins)) })
		}
		want := untwinned()
		slices.Reverse(a.Files)
		if got := untwinned(); !slices.Equal(want, got) {
			t.Errorf("%s: %v, and with the files in reverse %v", file, want, got)
		}
	}
}

// TestEveryRuleIsPlanted: no rule goes untested, and the guide tells of each.
func TestEveryRuleIsPlanted(t *testing.T) {
	t.Parallel()
	planted := map[string]int{}
	for _, file := range archives(t, "testdata/leaks/*.txtar") {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range marked(a) {
			planted[m[strings.LastIndex(m, " ")+1:]]++
		}
	}
	guide, err := os.ReadFile("../../docs/guide/isolation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, about := range isolation.Rules() {
		if planted[string(about.Rule)] < 2 {
			t.Errorf("%s is planted %d times", about.Rule, planted[string(about.Rule)])
		}
		if !regexp.MustCompile("(?m)^\\| `" + string(about.Rule) + "` \\|").Match(guide) {
			t.Errorf("the guide does not tell of %s", about.Rule)
		}
		delete(planted, string(about.Rule))
	}
	if len(planted) > 0 {
		t.Errorf("planted without being rules: %v", planted)
	}
}

// TestLevels: what concerns production is an error, what concerns two others a
// warning, and so is a guess.
func TestLevels(t *testing.T) {
	t.Parallel()
	for archive, want := range map[string][]isolation.Level{
		"d1-same-id":                       {isolation.LevelError},
		"two-that-are-not-production":      {isolation.LevelWarning},
		"production-calls-staging":         {isolation.LevelError},
		"vars-url":                         {isolation.LevelError},
		"vars-production-by-name":          {isolation.LevelWarning},
		"placeholders-in-environments":     {isolation.LevelWarning, isolation.LevelWarning},
		"dropped-toml":                     {isolation.LevelWarning, isolation.LevelWarning},
		"dropped-name":                     {isolation.LevelNote},
		"dropped-half-of-the-queues":       {isolation.LevelNote},
		"twins":                            {isolation.LevelNote},
		"top-level-replaces-production":    {isolation.LevelError},
		"broken-toml":                      {isolation.LevelError},
		"preview-of-staging-on-production": {isolation.LevelError},
	} {
		a, err := txtar.ParseFile("testdata/leaks/" + archive + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		var got []isolation.Level
		for _, f := range audit(t, a).Findings {
			got = append(got, f.Level)
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s: %v, want %v", archive, got, want)
		}
	}
}
