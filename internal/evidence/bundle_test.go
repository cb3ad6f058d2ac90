package evidence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestABundleIsCheckedByItself changes one thing after another of one run of a chain.
func TestABundleIsCheckedByItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, a Archive, folder string)
		want   string // "" for nothing wrong
	}{
		"nothing": {func(*testing.T, Archive, string) {}, ""},
		"a file that was changed": {func(t *testing.T, _ Archive, folder string) {
			write(t, filepath.Join(folder, LogFile), "other")
		}, LogFile + " was changed"},
		"a file that was added": {func(t *testing.T, _ Archive, folder string) {
			write(t, filepath.Join(folder, "more.txt"), "more")
		}, "more.txt"},
		"a file that is gone": {func(t *testing.T, _ Archive, folder string) {
			remove(t, filepath.Join(folder, PlanFile))
		}, PlanFile},
		"the statement is gone": {func(t *testing.T, _ Archive, folder string) {
			remove(t, filepath.Join(folder, StatementFile))
		}, StatementFile + " is missing"},
		"the statement of another run": {func(t *testing.T, a Archive, folder string) {
			data, err := os.ReadFile(filepath.Join(a.Dir, RunsFolder, runName(1), StatementFile))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(folder, StatementFile), string(data))
		}, "is not the one in the chain"},
		"another key": {func(t *testing.T, a Archive, _ string) {
			write(t, filepath.Join(a.Chain(), publicFile), string(signerOf(t, 9).Key().PEM()))
		}, "public key"},
		"the entry is gone": {func(t *testing.T, a Archive, _ string) {
			sealed, err := Sealed(a.Dir)
			if err != nil {
				t.Fatal(err)
			}
			b := sealed[runName(2)]
			remove(t, filepath.Join(b.Chain, b.String()))
		}, "not sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := archiveIn(t, t.TempDir(), 1)
			sealOne(t, a, 1)
			sealOne(t, a, 2)
			folder := filepath.Join(a.Dir, RunsFolder, runName(2))
			c.change(t, a, folder)
			sealed, err := Sealed(a.Dir)
			if err != nil {
				t.Fatal(err)
			}
			facts, problem, err := sealed.Check(runName(2), folder)
			if err != nil || (problem == "") != (c.want == "") || !strings.Contains(problem, c.want) {
				t.Errorf("%q, %v", problem, err)
			}
			if problem == "" && facts.Run != runName(2) {
				t.Errorf("%+v", facts)
			}
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
