package workers_test

import (
	"net/http"
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
