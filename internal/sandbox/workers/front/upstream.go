package front

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// errRetired says that the process takes no new requests: read the table anew.
var errRetired = errors.New("retired")

// errDown says that the process crashed and did not come back in time.
var errDown = errors.New("its process ended and has not come back yet")

// Upstream is one process as the proxy sees it: where its sockets are, and how
// many requests are in flight. A crashed process may come back under other
// sockets; the Upstream stays.
type Upstream struct {
	mu       sync.Mutex
	at       *endpoints    // nil while down
	changed  chan struct{} // closed and replaced whenever something that a waiting request looks at changes
	refs     int           // requests in flight
	upgraded int           // those of them that became connections of another protocol, which may last for hours
	parked   bool
	quiet    chan struct{} // while parked: closed when only upgraded ones are in flight
	retired  bool
	idle     chan struct{} // closed when retired and refs is 0
	cut      context.Context
	cutNow   context.CancelFunc
}

// endpoints are the connections to one life of a process.
type endpoints struct {
	transports map[string]transport
}

// NewUpstream returns an Upstream that is down.
func NewUpstream() *Upstream {
	cut, cutNow := context.WithCancel(context.Background())
	return &Upstream{changed: make(chan struct{}), idle: make(chan struct{}), cut: cut, cutNow: cutNow}
}

// Up says that the process listens; sockets maps script names to unix socket
// paths.
func (u *Upstream) Up(sockets map[string]string) {
	at := &endpoints{transports: make(map[string]transport, len(sockets))}
	for script, path := range sockets {
		at.transports[script] = newTransport(path)
	}
	u.set(at)
}

// Down says that the process is gone. Requests that come now wait for Up.
func (u *Upstream) Down() { u.set(nil) }

func (u *Upstream) set(at *endpoints) {
	u.mu.Lock()
	old := u.at
	u.at = at
	u.wake()
	u.mu.Unlock()
	old.close()
}

// wake lets waiting requests look again. The caller holds u.mu.
func (u *Upstream) wake() {
	close(u.changed)
	u.changed = make(chan struct{})
}

// Park lets new requests wait. The returned channel is closed when the requests
// in flight have ended, not counting upgraded connections: those have no end of
// their own, see Cut. Unpark or Retire ends it.
func (u *Upstream) Park() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	quiet := make(chan struct{})
	u.parked, u.quiet = true, quiet
	u.settle()
	return quiet
}

// Unpark lets the waiting requests go on.
func (u *Upstream) Unpark() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parked, u.quiet = false, nil
	u.wake()
}

// Cut breaks off the upgraded connections.
func (u *Upstream) Cut() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cutNow()
	u.cut, u.cutNow = context.WithCancel(context.Background())
}

// settle tells whoever waits for the end of requests. The caller holds u.mu.
func (u *Upstream) settle() {
	if u.quiet != nil && u.refs == u.upgraded {
		close(u.quiet)
		u.quiet = nil
	}
	if u.retired && u.refs == 0 {
		close(u.idle)
	}
}

// Retire ends the intake. The returned channel is closed when the last request
// in flight has ended. Retire may be called once.
func (u *Upstream) Retire() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	// Nobody unparks it any more, so whoever still waits for this process to come
	// back must not wait beyond its limit.
	u.retired, u.parked = true, false
	u.wake()
	u.settle()
	return u.idle
}

// Close drops the idle connections of a retired Upstream, and what is left of
// upgraded ones.
func (u *Upstream) Close() {
	u.set(nil)
	u.cutNow()
}

// InFlight is the number of requests that hold a reference.
func (u *Upstream) InFlight() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.refs
}

// acquire takes a reference, waiting up to limit while the process is down.
func (u *Upstream) acquire(ctx context.Context, limit time.Duration) (*endpoints, error) {
	return u.await(ctx, limit, func() (bool, error) {
		if u.retired {
			return false, errRetired
		}
		if u.at == nil || u.parked {
			return false, nil
		}
		u.refs++
		return true, nil
	})
}

// renewed waits up to limit until the process that was at old has come back
// somewhere else. The caller holds a reference.
func (u *Upstream) renewed(ctx context.Context, limit time.Duration, old *endpoints) (*endpoints, error) {
	return u.await(ctx, limit, func() (bool, error) { return u.at != nil && u.at != old, nil })
}

// await waits until ready, which is called with the lock held, says yes. The
// limit is for a process that is down; how long one is parked is up to whoever
// parked it.
func (u *Upstream) await(ctx context.Context, patience time.Duration, ready func() (bool, error)) (*endpoints, error) {
	var timeout <-chan time.Time
	for {
		u.mu.Lock()
		ok, err := ready()
		at, changed, parked := u.at, u.changed, u.parked
		u.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if ok {
			return at, nil
		}
		if timeout == nil && !parked {
			t := time.NewTimer(patience)
			defer t.Stop()
			timeout = t.C
		}
		limit := timeout
		if parked {
			limit = nil
		}
		select {
		case <-changed:
		case <-limit:
			return nil, errDown
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// upgrade notes that a request in flight became a connection of another
// protocol.
func (u *Upstream) upgrade() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.upgraded++
	u.settle()
}

// cutting is done when the connections that are upgraded now are broken off.
func (u *Upstream) cutting() context.Context {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cut
}

func (u *Upstream) release(upgraded bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refs--
	if upgraded {
		u.upgraded--
	}
	u.settle()
}

func (e *endpoints) close() {
	if e == nil {
		return
	}
	for _, t := range e.transports {
		t.pooled.CloseIdleConnections()
	}
}

// transport connects to one unix socket and changes nothing on the way: once
// with a connection for each request, pooled with connections that are kept.
type transport struct{ pooled, once *http.Transport }

func newTransport(path string) transport {
	var d net.Dialer
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) }
	return transport{
		once: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := dial(ctx, network, addr)
				return answerFirst{c}, err
			},
			DisableCompression:  true,
			MaxIdleConnsPerHost: -1, // kept for one request
		},
		pooled: &http.Transport{
			DialContext:         dial,
			DisableCompression:  true,
			MaxIdleConnsPerHost: 512,
			// workerd closes a connection after five idle seconds. Letting go
			// first leaves no moment in which a request meets a closing one.
			IdleConnTimeout: 3 * time.Second,
		},
	}
}

// roundTrip sends a request with a body over a connection of its own: workerd
// closes a connection on which it answered without reading the whole body, so
// such a connection must not be one that is used again.
func (t transport) roundTrip(r *http.Request) (*http.Response, error) {
	if r.ContentLength != 0 {
		return t.once.RoundTrip(r)
	}
	return t.pooled.RoundTrip(r)
}

// answerFirst is a connection on which an answer counts more than a failure to
// send. workerd closes the connection when a Worker answers without reading the
// request's body; the answer is there to be read, but http.Transport would
// report the broken pipe instead. When there is no answer, reading tells.
type answerFirst struct{ net.Conn }

func (c answerFirst) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil
	}
	return n, err
}
