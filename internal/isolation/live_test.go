package isolation_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"firedrill/internal/isolation"
)

func planted(t *testing.T, name string) *txtar.Archive {
	t.Helper()
	a, err := txtar.ParseFile("testdata/leaks/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestLevelsOfWhatIsDeployed: what concerns production is an error; drift is none.
func TestLevelsOfWhatIsDeployed(t *testing.T) {
	t.Parallel()
	const e, w, n = isolation.LevelError, isolation.LevelWarning, isolation.LevelNote
	for archive, want := range map[string][]isolation.Level{
		"live-worker-on-production":  {e},
		"live-production-on-staging": {e},
		"live-twins":                 {w, e},
		"live-not-there":             {w, w, w},
		"live-routes":                {e, e},
		"live-named-by-name":         {e},
		"live-not-looked-at":         {n, w, n},
	} {
		var got []isolation.Level
		for _, f := range audit(t, planted(t, archive)).Findings {
			got = append(got, f.Level)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", archive, got, want)
		}
	}
}

// TestAskingAccountsKeepsFingerprints: a baseline that was made from the files alone
// holds when accounts are asked, too.
func TestAskingAccountsKeepsFingerprints(t *testing.T) {
	t.Parallel()
	for _, file := range archives(t, "testdata/leaks/live-*.txtar") {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		live := fingerprints(audit(t, a))
		a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "account") })
		for _, f := range fingerprints(audit(t, a)) {
			if !slices.Contains(live, f) {
				t.Errorf("%s: %s is gone when the account is asked", file, f)
			}
		}
	}
}

// TestNothingIsShownOfHiddenValues plants values that are secrets at the same time.
func TestNothingIsShownOfHiddenValues(t *testing.T) {
	t.Parallel()
	a := planted(t, "env-files")
	for i, f := range a.Files {
		if f.Name == ".dev.vars" {
			a.Files[i].Data = append(f.Data, "BY_NAME=https://hunter2.production.orders.example.com/hunter2\n"...)
		}
	}
	r := audit(t, a)
	var sarif bytes.Buffer
	if err := isolation.WriteSARIF(&sarif, r, "1"); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		sarif.WriteString(f.Message)
	}
	if !strings.Contains(sarif.String(), "BY_NAME of wrangler dev leads to an address that is production's by its name") || strings.Contains(sarif.String(), "hunter2") {
		t.Errorf("%s", &sarif)
	}
}

// TestWhatWasLookedAt: the sum of a report tells how much was seen, and what was not.
func TestWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	seen := audit(t, planted(t, "live-not-looked-at")).Accounts
	if len(seen) != 1 || seen[0].Held["worker"] != 2 || seen[0].Held["d1"] != 2 || seen[0].Held["r2"] != 0 || len(seen[0].NotLookedAt) != 2 || seen[0].Environments[0] != "staging" {
		t.Errorf("%+v", seen)
	}
	if _, listed := seen[0].Held["r2"]; !listed {
		t.Error("that there are no buckets is not told")
	}
}

// FuzzEnvFiles reads any file of variables beside a configuration: nothing breaks,
// and every finding stands in the file.
func FuzzEnvFiles(f *testing.F) {
	f.Add("A=https://orders.example.com\n")
	f.Add("export A = 'x\ny' # z\nB: \"c\"\r\nC=")
	f.Add("A=\"\\\"https://orders.example.com")
	f.Fuzz(func(t *testing.T, text string) {
		config := isolation.File{Path: "wrangler.json", Data: []byte(`{"name":"orders","routes":["orders.example.com/*"]}`)}
		lines := 1 + strings.Count(text, "\n")
		for _, x := range isolation.Audit([]isolation.File{config, {Path: ".dev.vars", Data: []byte(text)}}, nil).Findings {
			if x.At.File == ".dev.vars" && (x.At.Line < 1 || x.At.Line > lines) {
				t.Errorf("line %d of %d", x.At.Line, lines)
			}
		}
	})
}
