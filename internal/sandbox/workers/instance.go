package workers

import (
	"context"
	"sync"
	"time"

	"firedrill/internal/sandbox/workers/front"
	"firedrill/internal/sandbox/workers/workerd"
)

// instance keeps one process running: a process that ends by itself is started
// again, at once the first time, then with growing pauses.
type instance struct {
	key     string
	label   string
	storage []string // ids of the Durable Object namespaces that it owns
	up      *front.Upstream
	start   func(context.Context) (*workerd.Process, error)
	stop    context.CancelFunc
	holds   chan hold
	done    chan struct{} // closed when the last process has ended

	mu       sync.Mutex
	process  *workerd.Process // nil while none runs
	restarts int

	release chan struct{} // closing it ends the hold; used by parkAll and unpark alone
}

// hold asks for the process to be stopped, until release is closed.
type hold struct {
	stopped chan struct{} // closed when no process runs
	release chan struct{}
}

// The pauses between attempts to bring a process back; a process that lived for
// steadyTime starts over with the first one.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	steadyTime = 10 * time.Second
)

// newInstance takes over the process that a job started; if it did not start,
// the instance begins with another attempt.
func (m *Manager) newInstance(j *job) *instance {
	ctx, cancel := context.WithCancel(context.Background())
	in := &instance{key: j.key, label: j.label, storage: j.storage, up: front.NewUpstream(), stop: cancel,
		holds: make(chan hold), done: make(chan struct{})}
	in.start = func(ctx context.Context) (*workerd.Process, error) { return m.startProcess(ctx, j.label, j.members) }
	if j.p != nil {
		in.up.Up(j.p.Sockets())
		in.process = j.p
	}
	go func() {
		defer close(in.done)
		m.keepRunning(ctx, in, j.p)
	}()
	return in
}

func (in *instance) set(p *workerd.Process, restarted bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.process = p
	if restarted {
		in.restarts++
	}
}

func (m *Manager) keepRunning(ctx context.Context, in *instance, p *workerd.Process) {
	var pause time.Duration
	began := time.Now()
	for {
		if p != nil {
			select {
			case <-ctx.Done():
				in.set(nil, false)
				p.Stop()
				return
			case h := <-in.holds:
				in.up.Down()
				in.set(nil, false)
				p.Stop()
				if !h.wait(ctx) {
					return
				}
				pause = 0
			case <-p.Done():
				in.up.Down()
				in.set(nil, true)
				m.log.Warn("a workerd process ended by itself, starting it again", "workers", in.label, "err", p.Err())
				if time.Since(began) > steadyTime {
					pause = 0
				}
			}
		}
		select {
		case <-time.After(pause):
		case h := <-in.holds:
			if !h.wait(ctx) {
				return
			}
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
		in.set(p, false)
		in.up.Up(p.Sockets())
	}
}

// wait reports that no process runs and waits for the end of the hold; false
// means that the instance itself has ended.
func (h hold) wait(ctx context.Context) bool {
	close(h.stopped)
	select {
	case <-h.release:
		return true
	case <-ctx.Done():
		return false
	}
}

// parkAll stops instances so that their storage can be taken over or changed.
// New requests wait, those in flight end by themselves up to a deadline, and
// upgraded connections are broken off.
func (m *Manager) parkAll(list []*instance) {
	quiet := make([]<-chan struct{}, len(list))
	for i, in := range list {
		quiet[i] = in.up.Park()
	}
	deadline := time.NewTimer(min(parkTime, m.opt.Drain))
	defer deadline.Stop()
	over := false
	for i, in := range list {
		if !over {
			select {
			case <-quiet[i]:
				continue
			case <-deadline.C:
				over = true
			}
		}
		m.log.Warn("requests were still open when their process had to end, and are broken off", "workers", in.label, "requests", in.up.InFlight())
	}
	for _, in := range list {
		in.up.Cut()
		h := hold{stopped: make(chan struct{}), release: make(chan struct{})}
		in.release = h.release
		select {
		case in.holds <- h:
			<-h.stopped
		case <-in.done:
		}
	}
}

// unpark starts a parked instance again and lets the waiting requests go on.
func (in *instance) unpark() {
	close(in.release)
	in.up.Unpark()
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
		m.storage.give(in.storage)
		if err := m.sweepObjects(context.Background()); err != nil {
			m.log.Error("the storage of deleted Durable Objects was not removed", "err", err)
		}
	})
}
