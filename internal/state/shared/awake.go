package shared

import (
	"context"
	"fmt"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/hold"
)

const (
	// pulse is how often a holder notes that it runs.
	pulse = time.Second
	// asleep is how long it may not have run before it stops: meanwhile a person
	// may have declared it gone.
	asleep = 20 * time.Second
	// silence is how long a holder that is declared gone is listened for, so that
	// one that only sleeps has slept for longer than asleep, even if it gave its
	// last sign when the listening began.
	silence = asleep + 2*beat
)

// awake notes when this process stood still: it was stopped, or its machine slept.
type awake struct {
	now func() time.Time

	mu   sync.Mutex
	last time.Time
	gap  time.Duration // the first that was too long; 0: none
}

// look notes that the process runs, and tells for how long it once did not, 0 if
// it always did.
func (a *awake) look() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	// One clock goes on while the machine sleeps, and the other does not jump.
	gap := max(now.Sub(a.last), now.Round(0).Sub(a.last.Round(0)))
	if a.gap == 0 && !a.last.IsZero() && gap > asleep {
		a.gap = gap
	}
	a.last = now
	return a.gap
}

// guarded is a context that looks before it answers. Whoever wakes up with a
// request to send asks it first, and sends nothing.
type guarded struct {
	context.Context
	l *lease
}

// Done is the channel of the context, or one that is closed.
func (g guarded) Done() <-chan struct{} {
	if g.l.gone() {
		return g.l.lost
	}
	return g.Context.Done()
}

// Err tells whether the context is over.
func (g guarded) Err() error {
	if g.l.gone() {
		return context.Canceled
	}
	return g.Context.Err()
}

// Guard gives a context that is over once the lease is gone, or may be.
func (l *lease) Guard(ctx context.Context) context.Context {
	return guarded{hold.While(ctx, l.gone), l}
}

// gone tells whether the lease is lost, or this process slept.
func (l *lease) gone() bool {
	if l.awake.look() > 0 {
		l.lose()
	}
	return l.isLost()
}

func (l *lease) lose() { l.once.Do(func() { close(l.lost) }) }

func slept(key string, gap time.Duration) error {
	return &firedrill.Error{Op: "hold the lease", Kind: firedrill.KindInterrupted, Target: "environment " + key,
		Detail: fmt.Sprintf("this process stood still for %s, and somebody may have taken the environment over meanwhile", gap.Round(time.Second)), Remedy: "see: firedrill status, then: firedrill resume"}
}
