package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"firedrill/examples/foundation"
)

// inFolder runs one command for the files below a folder.
func inFolder(t *testing.T, dir string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = Run(Process{Args: append(args, "--plan", filepath.Join(dir, planName), "--home", filepath.Join(dir, ".home")), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"})
	return status, out.String(), errs.String()
}

// TestInitDraftsWhatTheConfigurationsSay compares the plan of each set of files
// with the one that stands beside them. UPDATE=1 writes it anew, to be read.
func TestInitDraftsWhatTheConfigurationsSay(t *testing.T) {
	t.Parallel()
	sets, err := filepath.Glob("testdata/init/*.txtar")
	if err != nil || len(sets) == 0 {
		t.Fatalf("%d sets, %v", len(sets), err)
	}
	for _, set := range sets {
		t.Run(filepath.Base(set), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(set)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == planName })
			want := ""
			if i >= 0 {
				want = string(a.Files[i].Data)
				a.Files = slices.Delete(a.Files, i, i+1)
			}
			f := newAuditedFiles(t, a)
			if status, _, stderr := inFolder(t, f.dir, "init", f.dir, "--name", "shop"); status != 0 {
				t.Fatalf("status %d: %s", status, stderr)
			}
			got, err := os.ReadFile(f.path(planName))
			if err != nil {
				t.Fatal(err)
			}
			if os.Getenv("UPDATE") != "" {
				a.Files = append(a.Files, txtar.File{Name: planName, Data: got})
				if err := os.WriteFile(set, txtar.Format(a), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("the plan differs:\n%s", diff)
			}
			if status, out, stderr := inFolder(t, f.dir, "validate"); status != 0 || !strings.Contains(out, "is sound") {
				t.Errorf("validate: status %d: %s%s", status, out, stderr)
			}
		})
	}
}

// newAuditedFiles is a folder with the files of an archive.
func newAuditedFiles(t *testing.T, a *txtar.Archive) *audited {
	t.Helper()
	f := &audited{t: t, dir: t.TempDir()}
	for _, file := range a.Files {
		f.write(file.Name, string(file.Data))
	}
	return f
}

// TestInitOfTheExampleCanBePlanned drafts a plan for the example, as it is and for
// a sandbox, and asks what its drills would do.
func TestInitOfTheExampleCanBePlanned(t *testing.T) {
	t.Parallel()
	for as, env := range map[string]string{"": "staging", "sandbox": "sandbox"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, foundation.Files); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, planName)); err != nil {
			t.Fatal(err)
		}
		if status, _, stderr := inFolder(t, dir, "init", dir, "--as", as); status != 0 {
			t.Fatalf("status %d: %s", status, stderr)
		}
		status, out, stderr := inFolder(t, dir, "plan", "d1-pitr", "worker-rollback", "kv-restore", "--json")
		var doc struct {
			Drills []struct{ Environment string }
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil || status != 0 || len(doc.Drills) != 3 || doc.Drills[0].Environment != env {
			t.Errorf("as %q: status %d: %s%s, %v", as, status, out, stderr, err)
		}
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	f := newAudited(t)
	status, _, stderr := inFolder(t, f.dir, "init", f.dir, "--strict")
	if _, err := os.Stat(f.path(planName)); status != 5 || err == nil || !strings.Contains(stderr, "shared-resource") {
		t.Errorf("strict: status %d, %v: %s", status, err, stderr)
	}
	f.repaired()
	if status, _, stderr := inFolder(t, f.dir, "init", f.dir, "--strict"); status != 0 {
		t.Errorf("strict, repaired: status %d: %s", status, stderr)
	}
	f.write(planName, "mine")
	status, _, stderr = inFolder(t, f.dir, "init", f.dir)
	if data, err := os.ReadFile(f.path(planName)); status != 2 || err != nil || string(data) != "mine" || !strings.Contains(stderr, "--force") {
		t.Errorf("there already: status %d, %q, %v: %s", status, data, err, stderr)
	}
	if status, out, stderr := inFolder(t, f.dir, "init", f.dir, "--force", "--json"); status != 0 || !strings.Contains(out, `"staging"`) {
		t.Errorf("force: status %d: %s%s", status, out, stderr)
	}
	empty := t.TempDir()
	if status, _, stderr := inFolder(t, empty, "init", empty); status != 2 || !strings.Contains(stderr, "wrangler.jsonc") {
		t.Errorf("an empty folder: status %d: %s", status, stderr)
	}
	if status, _, stderr := inFolder(t, empty, "init", f.dir, "--as", "prod"); status != 2 || !strings.Contains(stderr, "there is no class") {
		t.Errorf("no class: status %d: %s", status, stderr)
	}
}
