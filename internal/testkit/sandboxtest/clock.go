package sandboxtest

import (
	"context"
	"sync"
	"time"

	"firedrill/internal/sandbox"
)

// Clock is a time that only a test moves. A client that waits by it waits for
// nothing, and a sandbox that runs by it counts its quotas along:
//
//	clock := sandboxtest.NewClock()
//	c := sandboxtest.Start(t, clock.Drive, func(cfg *sandbox.Config) { cfg.Quotas.Window = api.PlatformWindow })
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock makes a clock that stands at the time at which it is made.
func NewClock() *Clock { return &Clock{now: time.Now()} }

// Now is the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Sleep moves the clock and returns at once.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(max(d, 0))
	return ctx.Err()
}

// Pass moves the clock.
func (c *Clock) Pass(d time.Duration) { _ = c.Sleep(context.Background(), d) } // which never ends

// Drive makes a sandbox run by the clock; it is a change for [Start].
func (c *Clock) Drive(cfg *sandbox.Config) { cfg.Now = c.Now }
