package backup

import (
	"context"
	"sync"
)

// gate bounds how many bytes of values are on their way between a namespace and
// whoever takes them. What a batch will weigh is not known before it was read, so
// it is taken to be as heavy as those before it. One batch may always pass.
type gate struct {
	most int64

	mu     sync.Mutex
	inside int   // batches
	bytes  int64 // that they weigh, or are taken to weigh
	guess  int64
	left   chan struct{} // closed and made anew when something changed
}

// firstGuess is what a batch is taken to weigh before one was read.
const firstGuess = 4 << 20

func newGate(most int64) *gate {
	return &gate{most: most, guess: firstGuess, left: make(chan struct{})}
}

// enter returns when a batch may be read.
func (g *gate) enter(ctx context.Context, b *batch) error {
	for {
		g.mu.Lock()
		if g.inside == 0 || g.bytes+g.guess <= g.most {
			b.weight = g.guess
			g.inside++
			g.bytes += b.weight
			g.mu.Unlock()
			return nil
		}
		left := g.left
		g.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// weigh puts what a batch really weighs in the place of the guess.
func (g *gate) weigh(b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bytes += b.bytes - b.weight
	b.weight = b.bytes
	// Heavy batches count at once, light ones by and by.
	g.guess = max(b.bytes, g.guess*3/4)
	g.tell()
}

func (g *gate) leave(b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.bytes -= b.weight
	g.tell()
}

// tell wakes who waits; the lock is held.
func (g *gate) tell() {
	close(g.left)
	g.left = make(chan struct{})
}
