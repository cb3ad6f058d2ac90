package shared

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/s3test"
)

// TestChainsAreSeenFromEveryMachine pushes a chain with a run's folder, pulls it on
// another machine, and lets both have the same key.
func TestChainsAreSeenFromEveryMachine(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	server.Bucket("state")
	one, two := machine(t, server, t.TempDir()), machine(t, server, t.TempDir())
	write := func(s *Store, name, text string) {
		t.Helper()
		path := filepath.Join(s.Dir(), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(s *Store, name, want string) {
		t.Helper()
		if data, err := os.ReadFile(filepath.Join(s.Dir(), name)); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	write(one, "evidence/abc/key.pub", "public")
	write(one, "evidence/abc/00000001-run-R1.json", "first")
	write(one, "runs/R1/rows/a.fp", "rows")
	write(one, "evidence/abc/00000002-note-R1.json", "second")
	for range 2 { // the second time there is nothing to do
		if err := one.PushChain(t.Context(), "abc"); err != nil {
			t.Fatal(err)
		}
		if err := two.PullChains(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	read(two, "evidence/abc/00000001-run-R1.json", "first")
	read(two, "evidence/abc/00000002-note-R1.json", "second")
	if _, err := os.Stat(two.RunPath("R1")); err == nil {
		t.Error("the folder of the run came unasked")
	}
	if err := two.PullRun(t.Context(), "R1"); err != nil {
		t.Fatal(err)
	}
	read(two, "runs/R1/rows/a.fp", "rows")

	write(two, "evidence/abc/00000003-note-R1.json", "third")
	if err := two.PushChain(t.Context(), "abc"); err != nil {
		t.Fatal(err)
	}
	write(one, "evidence/abc/00000003-note-R1.json", "another third")
	if err := one.PushChain(t.Context(), "abc"); err != nil {
		t.Errorf("an entry that is there is left alone: %v", err)
	}
	b, err := one.in(evidenceFolder, "abc")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.pushEntry(t.Context(), b, filepath.Join(one.Dir(), "evidence/abc"), "00000003-note-R1.json"); firedrill.KindOf(err) != firedrill.KindConflict {
		t.Errorf("two machines with one key: %v", err)
	}
}
