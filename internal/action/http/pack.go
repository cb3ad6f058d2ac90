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
	// Guard gives the guard of an environment, see [GuardPlan]; nil: nothing is refused.
	Guard func(firedrill.Environment) func(method, address string) error
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
		p.client = NewClient()
	}
	actions := []firedrill.Action{p.get(), p.expect(), p.baseline(), p.watch(), p.await(), p.compare(), p.prove(), p.unwatch(),
		p.alert(), p.awaitAlert(), p.sentinel(), p.sentinelPause(), p.sentinelResume(), p.sentinelStop(), p.sentinelRemove(),
		p.fingerprint(), p.fingerprintCompare()}
	if d.Guard != nil {
		for i, a := range actions {
			actions[i] = guarded{a, d.Guard}
		}
	}
	return action.Pack{Actions: actions}
}

// NewClient makes a client that shows what is there: no redirects, no proxy,
// no cookies. Names below localhost are this machine, on every system.
func NewClient() *http.Client {
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
