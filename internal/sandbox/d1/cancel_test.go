package d1

import (
	"context"
	"testing"
	"time"
)

// TestACancelledQueryLeavesNoTransaction cancels queries at every moment of their
// beginning, as clients do that go away. The next one must find the database free.
func TestACancelledQueryLeavesNoTransaction(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "free")
	for i := range 2000 {
		ctx, cancel := context.WithCancel(context.Background())
		stop := time.AfterFunc(time.Duration(i%100)*time.Microsecond, cancel)
		_, _, _ = s.Query(ctx, id, []Statement{{SQL: "SELECT 1"}}) // whether it was in time does not matter
		stop.Stop()
		cancel()
		if _, _, err := s.Query(context.Background(), id, []Statement{{SQL: "SELECT 1"}}); err != nil {
			t.Fatalf("after cancelled query %d: %v", i, err)
		}
	}
}
