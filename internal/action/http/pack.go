// Package http brings the actions that look at a service as its users do:
// requests, answers compared with those of a healthy moment, watches that probe
// all through a drill, sentinels that write through the application's own routes,
// and the user's own alert.
//
// A probe counts as green only while everything that is known of a healthy
// answer holds: the declared status, JSON and text, and, where the answer was
// the same every time before the drill, its every byte. Redirects are answers,
// not followed; there are no cookies and no proxy.
package http

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// Deps is what the actions need from whoever wires the program.
type Deps struct {
	Secrets action.Secrets
	// HTTP sends the requests; nil: a client that shows what is there.
	HTTP *http.Client
}

// pack holds what the actions share.
type pack struct {
	secrets action.Secrets
	client  *http.Client
}

// Pack gives the actions http.*.
func Pack(d Deps) action.Pack {
	p := &pack{secrets: d.Secrets, client: d.HTTP}
	if p.client == nil {
		p.client = newClient()
	}
	return action.Pack{Actions: []firedrill.Action{p.get(), p.expect(), p.baseline(), p.watch(), p.await(), p.compare(), p.prove(), p.unwatch(),
		p.alert(), p.awaitAlert(), p.sentinel(), p.sentinelPause(), p.sentinelResume(), p.sentinelStop(), p.sentinelRemove(),
		p.fingerprint(), p.fingerprintCompare()}}
}

// newClient makes a client that shows what is there: no redirects, no proxy,
// no cookies. Names below localhost are this machine, on every system.
func newClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if host, port, err := net.SplitHostPort(addr); err == nil && (host == "localhost" || strings.HasSuffix(host, ".localhost")) {
					addr = net.JoinHostPort("127.0.0.1", port)
				}
				return dialer.DialContext(ctx, network, addr)
			},
			TLSHandshakeTimeout: 5 * time.Second, IdleConnTimeout: 5 * time.Second, MaxIdleConnsPerHost: 8, DisableCompression: true,
		},
	}
}
