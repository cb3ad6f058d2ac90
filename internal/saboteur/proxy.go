package saboteur

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"

	"firedrill"
)

// Exchange is a request on its way. A hook may change it before it forwards it.
type Exchange struct {
	Method string
	URL    *url.URL // path and query
	Header http.Header
	Body   []byte

	host string
	to   *relay
}

// Answer is an answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON makes an answer.
func JSON(status int, body any) (*Answer, error) {
	data, err := json.Marshal(body)
	return &Answer{status, http.Header{"Content-Type": {"application/json"}}, data}, err
}

// Forward sends the request on as it is now and gives the true answer. It is not
// given up when the client gives up: what was sent takes effect.
func (x *Exchange) Forward(ctx context.Context) (*Answer, error) {
	u := *x.URL
	u.Scheme, u.Host = "http", x.to.target
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), x.Method, u.String(), bytes.NewReader(x.Body))
	if err != nil {
		return nil, err
	}
	req.Host, req.Header = x.host, x.Header.Clone()
	dropHopByHop(req.Header)
	resp, err := x.to.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read whole or failed
	data, err := io.ReadAll(resp.Body)
	dropHopByHop(resp.Header)
	return &Answer{resp.StatusCode, resp.Header, data}, err
}

// dropHopByHop drops what is said to the next hop alone.
func dropHopByHop(h http.Header) {
	for _, name := range []string{"Connection", "Content-Length", "Expect", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
}

// relay is one server in front of one target.
type relay struct {
	target    string // host:port
	hook      func() Hook
	failed    func(error)
	transport *http.Transport
	server    *http.Server
	addr      string
	done      chan struct{}
}

// newRelay starts a relay on a port of its own. hook gives what answers now.
func newRelay(ctx context.Context, target string, hook func() Hook, failed func(error)) (*relay, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, &firedrill.Error{Op: "saboteur", Kind: firedrill.KindStorage, Target: "this machine", Detail: "no port can be opened", Err: err}
	}
	r := &relay{target: target, hook: hook, failed: failed, addr: l.Addr().String(), done: make(chan struct{}),
		transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32}}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		defer close(r.done)
		if err := r.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed(err)
		}
	}()
	return r, nil
}

// close ends the relay at once; whoever still asks has nobody to wait for.
func (r *relay) close() error {
	err := r.server.Close()
	<-r.done
	r.transport.CloseIdleConnections()
	return err
}

// ServeHTTP implements [http.Handler].
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client did not send it all
	}
	x := &Exchange{Method: req.Method, URL: req.URL, Header: req.Header, Body: body, host: req.Host, to: r}
	answer := x.Forward
	if hook := r.hook(); hook != nil {
		answer = func(ctx context.Context) (*Answer, error) { return hook(ctx, x) }
	}
	a, err := answer(req.Context())
	if err != nil {
		if req.Context().Err() == nil {
			r.failed(fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, err))
		}
		panic(http.ErrAbortHandler) // the connection breaks, as it does when a proxy breaks
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the client may be gone
}
