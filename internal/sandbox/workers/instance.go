package workers

import (
	"context"
	"time"

	"firedrill/internal/sandbox/workers/front"
	"firedrill/internal/sandbox/workers/workerd"
)

// instance keeps one process running: a process that ends by itself is started
// again, at once the first time, then with growing pauses.
type instance struct {
	key   string
	label string
	up    *front.Upstream
	start func(context.Context) (*workerd.Process, error)
	stop  context.CancelFunc
	done  chan struct{} // closed when the last process has ended
}

// The pauses between attempts to bring a process back; a process that lived for
// steadyTime starts over with the first one.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	steadyTime = 10 * time.Second
)

// newInstance takes over a started process, or nil to begin with an attempt.
func (m *Manager) newInstance(key, label string, p *workerd.Process, start func(context.Context) (*workerd.Process, error)) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	in := &instance{key: key, label: label, up: front.NewUpstream(), start: start, stop: cancel, done: make(chan struct{})}
	if p != nil {
		in.up.Up(p.Sockets())
	}
	go func() {
		defer close(in.done)
		m.keepRunning(ctx, in, p)
	}()
	return in
}

func (m *Manager) keepRunning(ctx context.Context, in *instance, p *workerd.Process) {
	var pause time.Duration
	began := time.Now()
	for {
		if p != nil {
			select {
			case <-ctx.Done():
				p.Stop()
				return
			case <-p.Done():
			}
			in.up.Down()
			m.log.Warn("a workerd process ended by itself, starting it again", "workers", in.label, "err", p.Err())
			if time.Since(began) > steadyTime {
				pause = 0
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		pause = min(max(2*pause, firstPause), lastPause)
		began = time.Now()
		var err error
		if p, err = in.start(ctx); err != nil {
			p = nil
			if ctx.Err() == nil {
				m.log.Error("workerd did not start", "workers", in.label, "again_in", pause, "err", err)
			}
			continue
		}
		in.up.Up(p.Sockets())
	}
}

// retire takes an instance out of use: no new request, the end of those in
// flight (or the drain deadline, or the end of the Manager), then the end of
// the process. It returns at once.
func (m *Manager) retire(in *instance) {
	idle := in.up.Retire()
	m.retiring.Go(func() {
		t := time.NewTimer(m.opt.Drain)
		defer t.Stop()
		select {
		case <-idle:
		case <-t.C:
			m.log.Warn("requests were still open at the drain deadline and are broken off", "workers", in.label, "requests", in.up.InFlight())
		case <-m.closing:
		}
		in.stop()
		<-in.done
		in.up.Close()
	})
}
