package http

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"firedrill"
)

// trusted gives the probes that can fail: each is asked once of an address
// where nobody is, and of a listener of our own that answers with wrong bodies.
// One that would have passed proves nothing, so it is left out and a note names
// it. Without any probe that can fail the error is of
// [firedrill.KindUnsupported]: whatever the service does, nothing would show it.
func (p *pack) trusted(ctx context.Context, op string, all []expectation) (can []expectation, notes []string, err error) {
	dead, let, err := deadAddress(ctx, op)
	if err != nil {
		return nil, nil, err
	}
	defer let()
	wrong, stop, err := impostor(ctx, op)
	if err != nil {
		return nil, nil, err
	}
	defer stop()
	for _, e := range all {
		if _, err := p.ask(ctx, e.elsewhere(dead)); err == nil {
			return nil, nil, &firedrill.Error{Op: op, Kind: firedrill.KindUnsupported, Target: dead, Detail: "nothing listens there, and it answers: no probe could ever fail here",
				Remedy: "look what intercepts connections on this machine"}
		}
		blind, err := p.blind(ctx, e, wrong)
		if err != nil {
			return nil, nil, err
		}
		if blind {
			notes = append(notes, "probe "+e.name()+" passes with a wrong body, so it is no proof of the service; declare json or contains")
			continue
		}
		can = append(can, e)
	}
	if len(can) == 0 {
		return nil, notes, &firedrill.Error{Op: op, Kind: firedrill.KindUnsupported, Target: "the probes", Detail: "not one of them can fail: " + strings.Join(notes, "; "),
			Remedy: "declare json or contains at the probes in the plan"}
	}
	return can, notes, nil
}

// elsewhere gives the probe for another address. What it sends along stays at
// home, because it may be secret.
func (e expectation) elsewhere(address string) Probe {
	out := e.Probe
	out.URL, out.Headers, out.Timeout = address, nil, ""
	return out
}

// blind asks the impostor and tells whether a wrong body passes. All but the
// body is as the probe wants it.
func (p *pack) blind(ctx context.Context, e expectation, address string) (bool, error) {
	for n := range wrongBodies() {
		status := e.Status
		if status == 0 {
			status = http.StatusOK
		}
		asked := e
		asked.Probe, asked.ResponseHeaders = e.elsewhere(fmt.Sprintf("%s/%d/%d", address, status, n)), nil
		a, err := p.ask(ctx, asked.Probe)
		if err != nil {
			return false, err
		}
		if asked.judge(a) == nil {
			return true, nil
		}
	}
	return false, nil
}

// wrongBodies are what no healthy service answers with.
func wrongBodies() []string {
	return []string{"", "{}", "a body that no service answers"}
}

// impostor listens on this machine and answers /STATUS/N with that status and
// the N-th wrong body. stop ends it.
func impostor(ctx context.Context, op string) (address string, stop func(), err error) {
	l, err := listen(ctx, op)
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.Split(r.URL.Path, "/")
		status, _ := strconv.Atoi(path[1])
		n, _ := strconv.Atoi(path[2])
		w.WriteHeader(status)
		_, _ = w.Write([]byte(wrongBodies()[n])) // a status without a body refuses it, and that is an answer, too
	})}
	srv.SetKeepAlivesEnabled(false)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // it ends with stop
	}()
	return "http://" + l.Addr().String(), func() {
		_ = srv.Close() // nothing is left to be answered
		<-ended
	}, nil
}

// deadAddress gives an address where nobody listens, and nobody can until let is
// called: it is our own end of a connection to ourselves, so its port is taken.
func deadAddress(ctx context.Context, op string) (address string, let func(), err error) {
	l, err := listen(ctx, op)
	if err != nil {
		return "", nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		_ = l.Close() // nobody is connected
		return "", nil, &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: "this machine", Detail: "it does not reach itself at " + l.Addr().String(), Err: err, Remedy: "look at its firewall"}
	}
	return "http://" + c.LocalAddr().String() + "/", func() { _, _ = c.Close(), l.Close() }, nil // nothing was sent
}

func listen(ctx context.Context, op string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: "this machine", Detail: "no port can be opened", Err: err, Remedy: "close what holds the ports"}
	}
	return l, nil
}
