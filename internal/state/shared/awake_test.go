package shared

import (
	"context"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/state"
	"firedrill/internal/testkit/s3test"
)

// TestAProcessThatSleptBeginsNothing: what it was about to do is over before it
// looks at anything.
func TestAProcessThatSleptBeginsNothing(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("state")
	st := machine(t, s, t.TempDir())
	holder := state.Holder{Run: "r", Host: hostname(t), Since: time.Now()}
	held, err := st.Acquire(t.Context(), "e", holder)
	if err != nil {
		t.Fatal(err)
	}
	l := held.(*lease)
	ctx := l.Guard(t.Context())
	if ctx.Err() != nil || l.Check(t.Context()) != nil {
		t.Fatal("over at once")
	}
	l.awake.mu.Lock()
	l.awake.last = l.awake.last.Add(-time.Minute)
	l.awake.mu.Unlock()
	child, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if child.Err() == nil || ctx.Err() == nil {
		t.Error("a call may go on")
	}
	<-l.Lost()
	if err := l.Check(t.Context()); firedrill.KindOf(err) != firedrill.KindInterrupted {
		t.Errorf("the next step: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	again, err := st.Acquire(t.Context(), "e", holder)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}
