package runner

import (
	"context"
	"testing"

	"firedrill"
	"firedrill/internal/state"
)

// losing is a home whose lease is taken over before some step.
type losing struct {
	Home
	left int // checks that find it still ours
	lost chan struct{}
}

func (h *losing) Acquire(ctx context.Context, key string, holder state.Holder) (state.Lease, error) {
	l, err := h.Home.Acquire(ctx, key, holder)
	return &losingLease{l, h}, err
}

type losingLease struct {
	state.Lease
	h *losing
}

func (l *losingLease) Lost() <-chan struct{} { return l.h.lost }

func (l *losingLease) Check(context.Context) error {
	if l.h.left--; l.h.left < 0 {
		return state.TakenOver("e", &state.Holder{Run: "r", PID: 7, Host: "other"})
	}
	return nil
}

// TestTheLoserStopsAtItsNextStep loses the lease before each step in turn: nothing
// is done after it, not even an undo, which is the other's now.
func TestTheLoserStopsAtItsNextStep(t *testing.T) {
	t.Parallel()
	for left := range 5 {
		s := newStation(t, t.TempDir(), nil, nil)
		s.runner.cfg.Home = &losing{Home: s.runner.cfg.Home, left: left}
		done := 0
		s.runner.cfg.Listener = func(r firedrill.Record) {
			if _, ok := r.Body.(firedrill.Ended); ok {
				done++
			}
		}
		_, err := s.runner.Run(context.Background(), program())
		if firedrill.KindOf(err) != firedrill.KindInterrupted || done != left {
			t.Errorf("lost before step %d: %d steps were done, %v", left+1, done, err)
		}
		if s.world.has("damage") != (left == 2 || left == 3) {
			t.Errorf("lost before step %d: damaged %v", left+1, s.world.has("damage"))
		}
	}
}

// TestALossEndsWhatIsUnderWay: a call is not waited for.
func TestALossEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := newStation(t, t.TempDir(), nil, nil)
	h := &losing{Home: s.runner.cfg.Home, left: 3, lost: make(chan struct{})}
	s.runner.cfg.Home = h
	s.runner.cfg.Listener = func(r firedrill.Record) {
		if b, ok := r.Body.(firedrill.Intended); ok && b.Step == "waits" {
			h.left = 0
			close(h.lost)
		}
	}
	_, err := s.runner.Run(context.Background(), program(firedrill.Step{ID: "waits", Phase: firedrill.Detect, Uses: "world.wait"}))
	if firedrill.KindOf(err) != firedrill.KindInterrupted || !s.world.has("damage") {
		t.Errorf("%v, damaged %v", err, s.world.has("damage"))
	}
}
