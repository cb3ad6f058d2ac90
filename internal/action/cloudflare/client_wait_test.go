package cloudflare

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"firedrill"
)

// pipes is a network in memory, so that a test can run on virtual time.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p <- there
	return here, nil
}

// TestWhatStandsStillIsGivenUp lets requests stand still at each of their stages,
// and lets slow ones go on, all on virtual time.
func TestWhatStandsStillIsGivenUp(t *testing.T) {
	t.Parallel()
	const patience = time.Minute
	const answer = `{"success":true,"errors":[],"result":{"some":"thing"}}`
	pieces := func(w http.ResponseWriter, pause time.Duration, until int) {
		for i, b := range []byte(answer) {
			if i == until {
				return
			}
			_, _ = w.Write([]byte{b})
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
		}
	}
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request, end <-chan struct{})
		write bool
		kind  firedrill.Kind
		tries time.Duration // each of which waits for as long as the patience lasts
	}{
		"no answer to a reading": {func(_ http.ResponseWriter, _ *http.Request, end <-chan struct{}) { <-end }, false, firedrill.KindUnavailable, attempts},
		"no answer to a change": {func(_ http.ResponseWriter, r *http.Request, end <-chan struct{}) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-end
		}, true, firedrill.KindUnknown, 1},
		"a body that is not taken": {func(_ http.ResponseWriter, _ *http.Request, end <-chan struct{}) { <-end }, true, firedrill.KindUnknown, 1},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request, end <-chan struct{}) {
			pieces(w, 0, len(answer)/2)
			<-end
		}, false, firedrill.KindUnavailable, attempts},
		"a slow answer": {func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
			pieces(w, patience-time.Second, len(answer))
		}, false, "", 0},
		"a body that is taken slowly": {func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			for {
				n, err := r.Body.Read(make([]byte, 40<<10))
				if err != nil {
					break
				}
				if n > 0 {
					time.Sleep(patience - time.Second)
				}
			}
			pieces(w, 0, len(answer))
		}, true, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network, end := make(pipes), make(chan struct{})
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, end) })}
				served := make(chan struct{})
				go func() { _ = server.Serve(network); close(served) }()
				transport := &http.Transport{DialContext: network.dial}
				client, err := New(Config{API: "http://127.0.0.1", Account: testAccount, Patience: patience, HTTP: &http.Client{Transport: transport},
					Token: func(context.Context) (string, error) { return "t", nil }})
				if err != nil {
					t.Fatal(err)
				}
				req := Request{Op: "test", Method: http.MethodGet, Path: client.AccountPath("x")}
				if c.write {
					req.Method, req.Body = http.MethodPut, bytes.Repeat([]byte("x"), 1<<20)
				}
				began := time.Now()
				_, err = client.Do(t.Context(), req)
				took := time.Since(began)
				if firedrill.KindOf(err) != c.kind || err != nil && (!errors.Is(err, errStill) || !strings.Contains(err.Error(), "1m0s")) {
					t.Errorf("%v of kind %q", err, firedrill.KindOf(err))
				}
				// The pauses between the attempts are seconds.
				if err != nil && (took < c.tries*patience || took > c.tries*patience+10*time.Second) {
					t.Errorf("given up after %v", took)
				}
				if err == nil && took < 5*patience {
					t.Errorf("it was not slow: %v", took)
				}
				close(end)
				transport.CloseIdleConnections()
				_ = server.Close()
				<-served
				time.Sleep(time.Minute) // on virtual time: a server waits before it lets a connection go
			})
		})
	}
}
