package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// watchdog ends a request that stands still. A time for all of it would either
// cut off large values on slow lines or wait for hours for what hangs, so only
// the time in which nothing moves is bounded: while the request goes out, while
// its answer is awaited, and in the middle of the answer.
type watchdog struct {
	most   time.Duration
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer // nil once it has ended
}

// errStill is why a request was given up that stood still.
var errStill = errors.New("nothing moved")

// newWatchdog gives the context that ends with the request's patience.
func newWatchdog(ctx context.Context, most time.Duration) (*watchdog, context.Context) {
	w := &watchdog{most: most}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(most, func() { w.cancel(errStill) })
	return w, w.ctx
}

// moved begins the waiting anew.
func (w *watchdog) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil { // a transport may go on with a body for a moment
		w.timer.Reset(w.most)
	}
}

func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	w.timer.Stop()
	w.timer = nil
	w.cancel(nil)
}

// why gives the reason of an error that the watchdog brought about.
func (w *watchdog) why(err error) error {
	if errors.Is(context.Cause(w.ctx), errStill) {
		return fmt.Errorf("%w for %s", errStill, w.most)
	}
	return err
}

// moving tells of every piece of a body that came.
type moving struct {
	io.ReadCloser
	moved func()
}

func (m moving) Read(to []byte) (int, error) {
	n, err := m.ReadCloser.Read(to)
	if n > 0 {
		m.moved()
	}
	return n, err
}
