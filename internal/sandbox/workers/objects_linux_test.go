package workers_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestACrashOfTheRuntimeLosesNoWrite kills the process under load.
func TestACrashOfTheRuntimeLosesNoWrite(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("c", counting("Counter", "1", firstMigration))
	b.wants("c", "/", "1")
	var acknowledged atomic.Int64
	acknowledged.Store(1)
	for round := range 5 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 40 {
				if status, body := b.get("c", "/"); status == http.StatusOK {
					if n, err := strconv.ParseInt(body, 10, 64); err == nil {
						acknowledged.Store(n)
					}
				}
			}
		}()
		time.Sleep(time.Duration(5+7*round) * time.Millisecond)
		for _, p := range b.Running() {
			if p.PID == 0 {
				continue // on its way back already
			}
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		<-done
		_, body := b.get("c", "/?peek")
		n, err := strconv.ParseInt(body, 10, 64)
		if err != nil || n < acknowledged.Load() {
			t.Fatalf("round %d: the sum is %q, %d were acknowledged", round, body, acknowledged.Load())
		}
	}
}

// TestASnapshotIsPutBackBesideTheLogOfACrash leaves the object's log behind.
func TestASnapshotIsPutBackBesideTheLogOfACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir)
	b.put("c", counting("Counter", "1", firstMigration))
	b.wants("c", "/a", "1")
	list, err := b.Namespaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.Objects(t.Context(), list[0].ID, "", 10)
	if err != nil || len(page.Objects) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	object := page.Objects[0].ID
	snap, err := b.TakeSnapshot(t.Context(), list[0].ID, object)
	if err != nil {
		t.Fatal(err)
	}
	b.wants("c", "/a", "2")
	for _, p := range b.Running() {
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "objects", list[0].ID, object+".sqlite-wal")
	if st, err := os.Stat(log); err != nil || st.Size() == 0 {
		t.Fatalf("there is no log, so nothing is tested: %v", err)
	}
	if err := b.PutBack(t.Context(), list[0].ID, object, snap.ID); err != nil {
		t.Fatal(err)
	}
	b.wants("c", "/a?peek", "1")
}
