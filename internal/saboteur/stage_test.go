package saboteur

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// behind is an API and a service that say what reached them.
type behind struct {
	*httptest.Server
	asked atomic.Int64
}

func newBehind(t *testing.T) *behind {
	t.Helper()
	b := &behind{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Kept", "as it is")
		w.Header().Add("X-Several", "one")
		w.Header().Add("X-Several", "two")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s host %s token %s body %q", r.Method, r.URL.RequestURI(), strings.Split(r.Host, ":")[0], r.Header.Get("Authorization"), body)
	}))
	t.Cleanup(b.Close)
	return b
}

func open(t *testing.T, b *behind) *Stage {
	t.Helper()
	s, err := Open(t.Context(), Behind{API: b.URL + "/client/v4", Front: b.URL, Token: "token"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// perform makes a stage tell something.
func perform(t *testing.T, s *Stage, script Script) {
	t.Helper()
	if err := s.Perform(t.Context(), func(context.Context, *Stage) (Script, error) { return script, nil }); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, method, address, body string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer x")
	// Names below localhost are this machine, whatever its resolver says.
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(addr)
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp, string(data), nil
}

// TestAStageWithoutAScriptTellsTheTruth: what passes is what there is, byte by
// byte, by whatever way it comes.
func TestAStageWithoutAScriptTellsTheTruth(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	s := open(t, b)
	for _, address := range []string{s.APIAddress() + "/a%2Fb?q=1%202&q=3", s.FrontAddress("app") + "/a%2Fb?q=1%202&q=3"} {
		resp, body, err := send(t, http.MethodPut, address, "\x00\xff")
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Kept") != "as it is" || len(resp.Header["X-Several"]) != 2 {
			t.Errorf("%s: %d %v", address, resp.StatusCode, resp.Header)
		}
		for _, want := range []string{"PUT ", "/a%2Fb?q=1%202&q=3 ", "token Bearer x", `body "\x00\xff"`} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: %q is not in %s", address, want, body)
			}
		}
	}
	if _, body, _ := send(t, http.MethodGet, s.FrontAddress("app")+"/", ""); !strings.Contains(body, "host app.localhost") {
		t.Errorf("the service does not see its host: %s", body)
	}
	if n, err := s.Told(); n != 0 || err != nil {
		t.Errorf("told %d times, %v", n, err)
	}
}

func TestAScriptLiesOnItsSideAlone(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	s := open(t, b)
	perform(t, s, Script{API: func(ctx context.Context, x *Exchange) (*Answer, error) {
		s.Tell()
		if x.Method == http.MethodDelete {
			return JSON(http.StatusOK, map[string]bool{"success": true}) // nothing is deleted
		}
		x.Body = []byte("instead")
		a, err := x.Forward(ctx)
		if err == nil {
			a.Status = http.StatusOK
		}
		return a, err
	}})
	resp, body, err := send(t, http.MethodPost, s.APIAddress(), "what was sent")
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(body, `body "instead"`) {
		t.Errorf("%v %v %s", resp, err, body)
	}
	asked := b.asked.Load()
	if _, body, err := send(t, http.MethodDelete, s.APIAddress(), ""); err != nil || body != `{"success":true}` || b.asked.Load() != asked {
		t.Errorf("%v %s, and it reached the other side %d times", err, body, b.asked.Load()-asked)
	}
	if resp, _, err := send(t, http.MethodGet, s.FrontAddress("app"), ""); err != nil || resp.StatusCode != http.StatusTeapot {
		t.Errorf("the service: %v %v", resp, err)
	}
	if n, err := s.Told(); n != 2 || err != nil {
		t.Errorf("told %d times, %v", n, err)
	}
	// The stage's own calls go past the script.
	if a, err := s.Call(t.Context(), http.MethodGet, "/own", "", nil); err != nil || !strings.Contains(string(a.Body), "token Bearer token") || a.Status != http.StatusTeapot {
		t.Errorf("%+v %v", a, err)
	}
}

// TestWhatWentWrongInTheTellingIsKept: a lie that broke proves nothing about the
// drill that it was told to.
func TestWhatWentWrongInTheTellingIsKept(t *testing.T) {
	t.Parallel()
	s := open(t, newBehind(t))
	perform(t, s, Script{API: func(context.Context, *Exchange) (*Answer, error) { return nil, errors.New("the lie broke") }})
	if _, _, err := send(t, http.MethodGet, s.APIAddress()+"/x", ""); err == nil {
		t.Error("a lie that broke was answered")
	}
	if _, err := s.Told(); err == nil || !strings.Contains(err.Error(), "GET /client/v4/x: the lie broke") {
		t.Errorf("%v", err)
	}
	want := errors.New("cannot be prepared")
	if err := s.Perform(t.Context(), func(context.Context, *Stage) (Script, error) { return Script{}, want }); !errors.Is(err, want) {
		t.Errorf("%v", err)
	}
}

// TestWhatWasSentTakesEffect, also when whoever sent it does not wait.
func TestWhatWasSentTakesEffect(t *testing.T) {
	t.Parallel()
	b := newBehind(t)
	s := open(t, b)
	there, done := make(chan struct{}), make(chan error, 1)
	perform(t, s, Script{API: func(ctx context.Context, x *Exchange) (*Answer, error) {
		close(there)
		<-ctx.Done()
		a, err := x.Forward(ctx)
		done <- err
		return a, err
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-there; cancel() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.APIAddress(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	if resp, err := (&http.Client{Transport: tr}).Do(req); err == nil {
		t.Errorf("it was answered: %v", resp.Body.Close())
	}
	if err := <-done; err != nil || b.asked.Load() != 1 {
		t.Errorf("%v, and it reached the other side %d times", err, b.asked.Load())
	}
	if _, err := s.Told(); err != nil {
		t.Errorf("that somebody does not wait is no fault of the saboteur: %v", err)
	}
}

func TestTheClockOfAScript(t *testing.T) {
	t.Parallel()
	s := open(t, newBehind(t))
	at := firedrill.Stamp{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Mono: 7, Boot: "b"}
	now := s.Now(func() firedrill.Stamp { return at })
	if now() != at {
		t.Errorf("%+v", now())
	}
	perform(t, s, Script{Clock: func(at firedrill.Stamp) firedrill.Stamp { at.Wall = at.Wall.Add(time.Hour); return at }})
	if got := now(); got.Wall.Sub(at.Wall) != time.Hour || got.Mono != 7 || got.Boot != "b" {
		t.Errorf("%+v", got)
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	var into struct{ ID string }
	if err := (&Answer{Status: 200, Body: []byte(`{"success":true,"result":{"id":"x"}}`)}).Result("call", &into); err != nil || into.ID != "x" {
		t.Errorf("%v %+v", err, into)
	}
	for _, body := range []string{`{"success":false,"result":null}`, `<html>`, `{}`} {
		if err := (&Answer{Status: 200, Body: []byte(body)}).Result("call", nil); err == nil || !strings.Contains(err.Error(), "call: 200") {
			t.Errorf("%s: %v", body, err)
		}
	}
}
