// Package front is the reverse proxy before the Workers: it finds the Worker
// by the request's host, chooses a version where a deployment is split, and
// passes the request to the process that runs it.
//
// Deploying swaps one immutable Table for another. A process that no table
// names any more is retired: it gets no new request, and whoever retired it is
// told when the last one in flight has ended. Nothing waits for a fixed time,
// and no request is refused in between.
//
// Bytes stream both ways and upgrades (WebSocket) pass through. The response
// is the Worker's own; only the Date that every HTTP server sends is added.
package front

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"
)

// Options configure a Proxy.
type Options struct {
	// Domain is the suffix of the Workers' host names, for instance
	// "sandbox.workers.dev".
	Domain string
	// Random fills p with random bytes; it decides splits and request ids.
	Random func(p []byte)
	// Wait is how long a request waits for a crashed process to come back
	// before it is answered 503.
	Wait time.Duration
	// Hosts leads further host names, in lower case and without port, to
	// Workers.
	Hosts map[string]string
	// Seen is told about every request when it has ended; nil: nobody. Status
	// is 0 when the client went away before there was one.
	Seen func(worker string, status int, took time.Duration)
	// Log receives what goes wrong between proxy and process.
	Log *slog.Logger
}

// Proxy is an http.Handler. The zero value is not usable; see New.
type Proxy struct {
	opt   Options
	table atomic.Pointer[Table]
	rp    *httputil.ReverseProxy
}

// New returns a proxy that knows no Worker yet.
func New(opt Options) *Proxy {
	p := &Proxy{opt: opt}
	p.table.Store(&Table{})
	p.rp = &httputil.ReverseProxy{
		Rewrite:      p.rewrite,
		Transport:    p,
		BufferPool:   newBuffers(),
		ErrorHandler: p.failed,
		ErrorLog:     slog.NewLogLogger(opt.Log.Handler(), slog.LevelDebug),
	}
	return p
}

// Swap makes t the table for every request that arrives from now on.
func (p *Proxy) Swap(t *Table) { p.table.Store(t) }

// Table is the table in force. It must not be changed.
func (p *Proxy) Table() *Table { return p.table.Load() }

// passage is what ServeHTTP found out and RoundTrip needs.
type passage struct {
	script   string
	up       *Upstream
	at       *endpoints
	flush    func() error // sends on what was written to the client
	upgraded bool
	status   int // of the Worker's answer; 0 until there is one
}

type passageKey struct{}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	script, workersDev := p.scriptOf(r.Host)
	if script == "" {
		fail(w, http.StatusNotFound, fmt.Sprintf("No Worker is reached under the host %q: use NAME.%s, NAME.localhost or a host given with --host.", r.Host, p.opt.Domain))
		return
	}
	pass, err := p.acquire(r, script, workersDev)
	if err != nil {
		var missing *notFound
		if errors.As(err, &missing) {
			fail(w, http.StatusNotFound, missing.text)
			return
		}
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	defer func() {
		pass.up.release(pass.upgraded)
		if p.opt.Seen != nil {
			p.opt.Seen(script, pass.status, time.Since(began))
		}
	}()

	pass.flush = http.NewResponseController(w).Flush
	ctx := context.WithValue(r.Context(), passageKey{}, pass)
	if r.Header.Get("Upgrade") != "" {
		// An upgraded connection ends when the process that serves it is
		// replaced by force; nothing else would end it.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(pass.up.cutting(), cancel)()
	}

	// A nil entry keeps net/http from guessing a type that the Worker did not
	// state; the proxy appends to it when there is one.
	w.Header()["Content-Type"] = nil
	if r.ContentLength != 0 && r.ProtoMajor == 1 {
		// A Worker may answer while it still reads. The error says only that
		// the writer cannot do it (a recorder in a test).
		_ = http.NewResponseController(w).EnableFullDuplex()
		body := newRequestBody(r.Body)
		defer body.finish(w)
		r.Body = body
	}
	p.rp.ServeHTTP(w, r.WithContext(ctx))
}

type notFound struct{ text string }

func (e *notFound) Error() string { return e.text }

// acquire chooses a version and takes a reference on its process, so that it
// lives until the request is done.
func (p *Proxy) acquire(r *http.Request, script string, workersDev bool) (*passage, error) {
	for {
		route := p.table.Load().Routes[script]
		if route == nil {
			return nil, &notFound{fmt.Sprintf("There is no Worker named %q in this sandbox.", script)}
		}
		if workersDev && !route.WorkersDev {
			return nil, &notFound{fmt.Sprintf("The workers.dev address of the Worker %q is switched off.", script)}
		}
		up, err := route.choose(r.Header, p.opt.Random)
		if err != nil {
			return nil, err
		}
		at, err := up.acquire(r.Context(), p.opt.Wait)
		if errors.Is(err, errRetired) {
			continue // the table has been swapped since it was read
		}
		if err != nil {
			return nil, fmt.Errorf("the Worker %q is not running: %w", script, err)
		}
		return &passage{script: script, up: up, at: at}, nil
	}
}

// RoundTrip implements http.RoundTripper for the reverse proxy.
func (p *Proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	pass, ok := r.Context().Value(passageKey{}).(*passage)
	if !ok {
		return nil, errors.New("front: request without a destination")
	}
	if r.Body != nil {
		// A transport closes the body also when it sent nothing of it.
		r = r.WithContext(r.Context())
		r.Body = io.NopCloser(r.Body)
	}
	for {
		resp, err := pass.at.transports[pass.script].roundTrip(r)
		var op *net.OpError
		if err == nil {
			pass.status = resp.StatusCode
			if resp.ContentLength > 0 {
				// Without a length every piece goes out at once already.
				resp.Body = &sized{ReadCloser: resp.Body, left: resp.ContentLength, flush: pass.flush}
			}
		}
		if err == nil && resp.StatusCode == http.StatusSwitchingProtocols {
			pass.upgraded = true
			pass.up.upgrade()
		}
		if err == nil || !errors.As(err, &op) || op.Op != "dial" {
			return resp, err
		}
		// The process has just died: nothing of the request was sent, so it can
		// wait for the next life.
		at, gone := pass.up.renewed(r.Context(), p.opt.Wait, pass.at)
		if gone != nil {
			return nil, errors.Join(err, gone)
		}
		pass.at = at
	}
}

// rewrite prepares the request as the platform's edge does.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	pr.Out.URL.Scheme = "http"
	pr.Out.URL.Host = "worker" // unused: the transport dials a socket
	pr.Out.Host = pr.In.Host
	ip := pr.In.RemoteAddr
	if host, _, err := net.SplitHostPort(ip); err == nil {
		ip = host
	}
	var ray [8]byte
	p.opt.Random(ray[:])
	h := pr.Out.Header
	h.Set("Cf-Connecting-Ip", ip)
	h.Set("X-Real-Ip", ip)
	h.Set("X-Forwarded-For", ip)
	h.Set("X-Forwarded-Proto", "http")
	h.Set("Cf-Ray", hex.EncodeToString(ray[:])+"-SBX")
}

// failed answers when the process broke off before it answered.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client went away: there is nobody to answer
	}
	script := ""
	if pass, ok := r.Context().Value(passageKey{}).(*passage); ok {
		script, pass.status = pass.script, http.StatusBadGateway
	}
	p.opt.Log.Warn("request to a Worker broke off", "worker", script, "method", r.Method, "path", r.URL.Path, "err", err)
	fail(w, http.StatusBadGateway, fmt.Sprintf("The Worker %q ended before it answered.", script))
}

// fail answers a request that no Worker could take.
func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("firedrill sandbox: " + text + "\n")) // the client may be gone
}

// scriptOf finds the Worker's name in a host, and whether it is the workers.dev
// name that a Worker can switch off.
func (p *Proxy) scriptOf(host string) (name string, workersDev bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if name, ok := p.opt.Hosts[host]; ok {
		return name, false
	}
	if name, ok := strings.CutSuffix(host, "."+p.opt.Domain); ok && !strings.Contains(name, ".") {
		return name, true
	}
	if name, ok := strings.CutSuffix(host, ".localhost"); ok && !strings.Contains(name, ".") {
		return name, false
	}
	return "", false
}
