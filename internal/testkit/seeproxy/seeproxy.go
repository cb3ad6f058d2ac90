// Package seeproxy stands between a client and a server, passes everything on as it
// is, and lets a test see each request before, to act at that moment. To make
// requests go wrong there is package faultproxy.
package seeproxy

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// Eye sees the requests of all proxies that are started with it. The zero Eye sees
// nothing.
type Eye struct {
	see atomic.Pointer[func(*http.Request)]
}

// See has a function called with each request before it is passed on, in place of
// the one before; nil: none. The request waits until it returns.
func (e *Eye) See(f func(*http.Request)) {
	if f == nil {
		e.see.Store(nil)
		return
	}
	e.see.Store(&f)
}

// Start starts a proxy before the server at an address; it ends with the test. host
// is the name under which that is asked, "" for its own.
func (e *Eye) Start(t testing.TB, to, host string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	p := &httputil.ReverseProxy{Transport: tr, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			if r.Out.Host = u.Host; host != "" {
				r.Out.Host = host
			}
		}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := e.see.Load(); f != nil {
			(*f)(r)
		}
		p.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.Close()
		tr.CloseIdleConnections()
	})
	return server.URL
}
