package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
)

func TestAnEnvironmentHasOneHolder(t *testing.T) {
	t.Parallel()
	h, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l, err := h.Acquire(t.Context(), "staging/https://x", Holder{Run: "r1", PID: 7, Host: "h", Since: now.Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Acquire(t.Context(), "staging/https://x", Holder{Run: "r2", Since: now})
	if firedrill.KindOf(err) != firedrill.KindBusy || !strings.Contains(err.Error(), "run r1") || !strings.Contains(err.Error(), "1m0s") {
		t.Errorf("a second holder: %v", err)
	}
	if other, err := h.Acquire(t.Context(), "other", Holder{Run: "r3", Since: now}); err != nil {
		t.Errorf("another environment: %v", err)
	} else if err := other.Release(); err != nil {
		t.Error(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if l, err = h.Acquire(t.Context(), "staging/https://x", Holder{Run: "r2", Since: now}); err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// TestALeaseThatIsHeldForAMomentIsTaken: the lock is let go of while somebody is
// about to give up.
func TestALeaseThatIsHeldForAMomentIsTaken(t *testing.T) {
	t.Parallel()
	h, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(h.leaseFile("staging"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock(f); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = f.Close() })
	l, err := h.Acquire(t.Context(), "staging", Holder{Run: "r1", Since: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

func TestAHomeIsPrivateAndOfAKnownLayout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "home")
	h, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	run, err := h.RunDir("r")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, run} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", d, info.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "layout"), []byte("firedrill home 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); firedrill.KindOf(err) != firedrill.KindStorage {
		t.Errorf("a newer layout: %v", err)
	}
}
