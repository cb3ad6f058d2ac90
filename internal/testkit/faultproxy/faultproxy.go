// Package faultproxy stands between a client and an API on this machine, and
// makes things go wrong on order: requests that never arrive, answers that are
// lost although the request took effect, successes that are none. It is for
// tests of clients, which have to tell what happened from what they were told.
package faultproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy is a running proxy. It speaks HTTP/1.1; requests and answers are read
// whole before they go on.
type Proxy struct {
	URL string // of the proxy, with the path of the target

	t         testing.TB
	target    *url.URL
	transport *http.Transport

	mu     sync.Mutex
	script Script
	n      int // requests since the script was given
	counts map[Kind]int
	calls  []string
}

// Start starts a proxy that lets everything pass. It ends with the test; if that
// failed, the log says what happened to each request.
func Start(t testing.TB, target string) *Proxy {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || !net.ParseIP(u.Hostname()).IsLoopback() && u.Hostname() != "localhost" {
		t.Fatalf("faultproxy: %q is no http address on this machine", target)
	}
	p := &Proxy{t: t, target: u, transport: &http.Transport{DisableCompression: true}, counts: map[Kind]int{}}
	p.Use(Always(Fault{}))
	ctx, stop := context.WithCancel(context.Background()) // outlives the test's own until the clean-up
	server := httptest.NewUnstartedServer(p)
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of what was broken on purpose
	server.Start()
	p.URL = server.URL + strings.TrimSuffix(u.Path, "/")
	t.Cleanup(func() {
		stop() // what stalls
		server.Close()
		p.transport.CloseIdleConnections()
		if t.Failed() {
			t.Logf("faultproxy before %s:\n%s", target, strings.Join(p.calls, "\n"))
		}
	})
	return p
}

// Use gives the script for the requests that follow; they are counted from 1.
func (p *Proxy) Use(s Script) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.n = s, 0
}

// UseRandom is Use for [Random], and logs the seed.
func (p *Proxy) UseRandom(seed uint64, share float64, faults ...Fault) {
	p.t.Helper()
	p.t.Logf("faultproxy: seed %d, share %g", seed, share)
	p.Use(Random(seed, share, faults...))
}

// Counts tells how often each kind of fault was done, passing included.
func (p *Proxy) Counts() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// next asks the script, and counts.
func (p *Proxy) next(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	f := p.script(p.n, r)
	p.counts[f.kind()]++
	p.calls = append(p.calls, fmt.Sprintf("%4d %-9s %s %s", p.n, f.kind(), r.Method, r.URL.Path)) // a query may hold a signature
	return f
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.next(r)
	if f.kind() == Refuse {
		reset(w)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		reset(w) // the client did not send it all
		return
	}
	var real answer
	if f.kind().TakesEffect() {
		if real, err = p.forward(r, body); err != nil {
			p.note("the target did not answer: %v", err)
			reset(w)
			return
		}
	}
	if invented, ok := invent(f); ok {
		invented.send(w, r)
		return
	}
	switch f.kind() {
	case Pass:
		real.send(w, r)
	case Stall:
		stall(r.Context(), f.Wait)
		reset(w)
	case Lose:
		reset(w)
	case Cut:
		real.cut(w)
	case Drip:
		real.drip(w, r, f.Wait)
	default:
		p.t.Errorf("faultproxy: there is no fault %q", f.Kind)
		reset(w)
	}
}

func (p *Proxy) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, "     "+fmt.Sprintf(format, args...))
}

// forward sends a request on as it came, the host included, since signatures
// cover it. It is not given up when the client gives up: it takes effect.
func (p *Proxy) forward(r *http.Request, body []byte) (answer, error) {
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, p.target.Scheme+"://"+p.target.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	out.Host, out.Header = r.Host, r.Header.Clone()
	dropHopByHop(out.Header)
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // read whole or failed
	data, err := io.ReadAll(resp.Body)
	dropHopByHop(resp.Header)
	return answer{resp.StatusCode, resp.Header, data}, err
}

// dropHopByHop drops what is said to the next hop alone.
func dropHopByHop(h http.Header) {
	for _, name := range []string{"Connection", "Expect", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
}

// reset closes the connection so that the client notices at once.
func reset(w http.ResponseWriter) {
	conn, _ := hijack(w)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// stall waits until the client gives up, or for as long as it is told.
func stall(ctx context.Context, most time.Duration) {
	if most > 0 {
		sleep(ctx, most)
		return
	}
	<-ctx.Done()
}

// sleep waits, and tells whether the client is still there.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
