package wrangler

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"firedrill/internal/isolation"
)

var update = flag.Bool("update", false, "write what wrangler makes of the configurations of the corpus")

// TestWhatWranglerInherits holds the record that the tests of package isolation
// compare environments with against what the real wrangler makes of each
// configuration of their corpus.
func TestWhatWranglerInherits(t *testing.T) {
	t.Parallel()
	bin := install(t)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("npm is there, node is not on PATH")
	}
	corpus := filepath.Join("..", "..", "internal", "isolation", "testdata")
	dir := t.TempDir()
	args := []string{"resolve.cjs", filepath.Dir(filepath.Dir(filepath.Dir(bin))), dir}
	for _, folder := range []string{"leaks", "clean"} {
		archives, err := filepath.Glob(filepath.Join(corpus, folder, "*.txtar"))
		if err != nil || len(archives) == 0 {
			t.Fatalf("no corpus: %v", err)
		}
		for _, archive := range archives {
			a, err := txtar.ParseFile(archive)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range a.Files {
				if !isolation.IsConfig(filepath.Base(f.Name)) {
					continue
				}
				name := folder + "/" + filepath.Base(archive) + "/" + f.Name
				path := filepath.Join(dir, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, name)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), node, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "WRANGLER_LOG_PATH=" + dir, "CI=1", "NO_COLOR=1", "WRANGLER_SEND_METRICS=false"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	out := stdout.String()
	got := map[string]map[string][]string{}
	if err := json.Unmarshal([]byte(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]), &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	record := filepath.Join(corpus, "resolved.json")
	if *update {
		data, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(record, append(data, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string][]string{}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-) and resolved (+), -update writes it:\n%s", diff)
	}
}
