package http

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

const secretHeader = "hunter2-canary"

// service is a small application that can be broken.
type service struct {
	*httptest.Server
	bad   atomic.Value // string: what is wrong; "" nothing
	calls atomic.Int64
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.bad.Store("")
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.calls.Add(1)
		switch s.bad.Load() {
		case "status":
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		case "body":
			fmt.Fprint(w, `{"status":"healthy","rows":[1,2]}`)
			return
		case "cached ok": // says ok while the data is gone
			fmt.Fprint(w, `{"status":"healthy"}`)
			return
		case "redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		if r.URL.Path == "/varies" {
			fmt.Fprintf(w, `{"status":"healthy","n":%d}`, n)
			return
		}
		if r.URL.Path == "/secret" && r.Header.Get("X-Key") != secretHeader {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"status":"healthy","rows":[1,2,3],"big":9007199254740993}`)
	}))
	t.Cleanup(s.Close)
	return s
}

// crew holds observers as the runner does.
type crew struct {
	mu       sync.Mutex
	all      map[string]firedrill.Observer
	edges    []firedrill.Edge
	injected atomic.Pointer[firedrill.Stamp] // nil: nothing was injected
	dir      string                          // of the run; one for each call where it is ""
	env      firedrill.Environment
	full     atomic.Bool // the disk
	done     sync.WaitGroup
}

func newCrew() *crew { return &crew{all: map[string]firedrill.Observer{}} }

// now is the clock of all calls.
func now() firedrill.Stamp {
	t := time.Now()
	return firedrill.Stamp{Wall: t, Mono: t.UnixNano(), Boot: "b"}
}

// inject notes that the injection is sent now.
func (c *crew) inject() {
	at := now()
	c.injected.Store(&at)
}

func (c *crew) sent() (firedrill.Stamp, bool) {
	if at := c.injected.Load(); at != nil {
		return *at, true
	}
	return firedrill.Stamp{}, false
}

// saw gives the colours that an observer emitted.
func (c *crew) saw() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, e := range c.edges {
		all = append(all, string(e.State))
	}
	return strings.Join(all, " ")
}

func (c *crew) Start(name string, o firedrill.Observer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[name] = o
	c.done.Go(func() {
		o.Run(context.Background(), func(e firedrill.Edge) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.edges = append(c.edges, e)
		})
	})
	return nil
}

func (c *crew) Get(name string) (firedrill.Observer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.all[name]
	return o, ok
}

// do performs an action and searches everything it gives for the secret.
func do(t *testing.T, crew *crew, name string, in firedrill.Values) (firedrill.Outcome, error) {
	t.Helper()
	secrets := action.Secrets{LookupEnv: func(n string) (string, bool) { return secretHeader, n == "KEY" }}
	r, err := action.NewRegistry(Pack(Deps{Secrets: secrets}))
	if err != nil {
		t.Fatal(err)
	}
	a, ok := r.Lookup(name)
	if !ok {
		t.Fatalf("no action %s", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	dir := crew.dir
	if dir == "" {
		dir = t.TempDir()
	}
	out, err := a.Do(ctx, firedrill.Call{Run: "run-1", Step: name, Attempt: 1, Inputs: in, Dir: dir, Environment: crew.env, Observers: crew, Progress: func(firedrill.Progress) {},
		Now: now, Injected: crew.sent, Full: crew.full.Load})
	told, merr := json.Marshal(out)
	if merr != nil {
		t.Fatal(merr)
	}
	if strings.Contains(string(told)+fmt.Sprint(err), secretHeader) {
		t.Errorf("%s tells the secret: %s %v", name, told, err)
	}
	return out, err
}

func probe(s *service, path string, more firedrill.Values) map[string]any {
	p := map[string]any{"name": "app " + path, "url": s.URL + path, "json": map[string]any{"status": "healthy"}}
	for k, v := range more {
		p[k] = v
	}
	return p
}

// TestAnswersAreComparedByteByByte: a page that says ok while the data is gone
// is not the page from before.
func TestAnswersAreComparedByteByByte(t *testing.T) {
	t.Parallel()
	s := newService(t)
	probes := []any{probe(s, "/data", nil), probe(s, "/secret", firedrill.Values{"headers": map[string]any{"X-Key": map[string]any{"env": "KEY"}}})}
	base, err := do(t, newCrew(), "http.baseline", firedrill.Values{"probes": probes})
	if err != nil {
		t.Fatal(err)
	}
	in := firedrill.Values{"probes": probes, "answers": base.Outputs["answers"]}
	for bad, want := range map[string]string{"": "", "status": "status 500", "body": "not the one before", "cached ok": "not the one before", "redirect": "status 302"} {
		s.bad.Store(bad)
		for _, name := range []string{"http.compare", "http.prove"} {
			out, err := do(t, newCrew(), name, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out.Checks {
				if c.OK != (want == "") || c.Compared == 0 || !strings.Contains(c.Detail, want) {
					t.Errorf("%s with %q: %+v", name, bad, c)
				}
			}
		}
	}
}

func TestABaselineMustBeHealthyAndAbleToFail(t *testing.T) {
	t.Parallel()
	s := newService(t)
	if _, err := do(t, newCrew(), "http.baseline", firedrill.Values{"probes": []any{}}); firedrill.KindOf(err) != firedrill.KindExpectation {
		t.Errorf("no probes: %v", err)
	}
	blindProbe := map[string]any{"name": "blind", "url": s.URL + "/varies"}
	out, err := do(t, newCrew(), "http.baseline", firedrill.Values{"probes": []any{blindProbe, probe(s, "/data", nil)}})
	if err != nil || len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "probe blind passes with a wrong body") {
		t.Errorf("a probe that notices nothing: %q %v", out.Notes, err)
	}
	s.bad.Store("status")
	if _, err := do(t, newCrew(), "http.baseline", firedrill.Values{"probes": []any{probe(s, "/data", nil)}}); firedrill.KindOf(err) != firedrill.KindExpectation {
		t.Errorf("not healthy: %v", err)
	}
	if _, err := do(t, newCrew(), "http.baseline", firedrill.Values{"probes": []any{map[string]any{"url": "http://127.0.0.1:1/"}}}); firedrill.KindOf(err) != firedrill.KindUnavailable {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestAWatchSeesRedAndGreen(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := newCrew()
	probes := []any{probe(s, "/data", nil)}
	base, err := do(t, c, "http.baseline", firedrill.Values{"probes": probes})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := do(t, c, "http.watch", firedrill.Values{"probes": probes, "answers": base.Outputs["answers"], "every_ms": int64(5)}); err != nil {
		t.Fatal(err)
	}
	await := func(state string) (firedrill.Outcome, error) {
		return do(t, c, "http.await", firedrill.Values{"watch": "http.watch", "state": state})
	}
	s.bad.Store("cached ok")
	if out, err := await("red"); err != nil || !strings.Contains(out.Summary, "not the one before") {
		t.Errorf("%+v %v", out, err)
	}
	if _, err := await("green"); firedrill.KindOf(err) != firedrill.KindTimeout {
		t.Errorf("green while it is broken: %v", err)
	}
	s.bad.Store("")
	if _, err := await("green"); err != nil {
		t.Error(err)
	}
	if _, err := await("blue"); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("blue: %v", err)
	}
	out, err := do(t, c, "http.unwatch", firedrill.Values{"watch": "http.watch"})
	c.done.Wait()
	if err != nil || out.Observation == nil || out.Observation.Probes < 3 || out.Observation.Failed < 1 {
		t.Errorf("%+v %v", out.Observation, err)
	}
}

// TestAWatchIsTakenUpWhileTheServiceIsDown: after the injection a resumed run
// watches what is red, and does not wait for it to be green first.
func TestAWatchIsTakenUpWhileTheServiceIsDown(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := newCrew()
	s.bad.Store("status")
	c.inject()
	if _, err := do(t, c, "http.watch", firedrill.Values{"probes": []any{probe(s, "/data", nil)}, "every_ms": int64(5)}); err != nil {
		t.Fatal(err)
	}
	if out, err := do(t, c, "http.await", firedrill.Values{"watch": "http.watch", "state": "red"}); err != nil || !strings.Contains(out.Summary, "status 500") {
		t.Errorf("%+v %v", out, err)
	}
	c.all["http.watch"].Stop()
	c.done.Wait()
}

func TestDeclaredChecks(t *testing.T) {
	t.Parallel()
	a := answer{200, []byte(`{"status":"healthy","n":{"big":9007199254740993}}`), http.Header{"Content-Type": {"application/json"}}}
	for want, p := range map[string]Probe{
		"":                  {JSON: firedrill.Values{"n": map[string]any{"big": int64(9007199254740993)}}, Contains: "healthy"},
		"status 200":        {Status: 201},
		"does not contain":  {Contains: "nope"},
		"n.big is":          {JSON: firedrill.Values{"n": map[string]any{"big": int64(9007199254740992)}}},
		"header Server is":  {ResponseHeaders: firedrill.Values{"content-type": "application/json", "Server": "x"}},
		`has no "m"`:        {JSON: firedrill.Values{"m": true}},
		"status is healthy": {JSON: firedrill.Values{"status": true}},
	} {
		err := p.check(a)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	if err := (Probe{JSON: firedrill.Values{"a": true}}).check(answer{status: 200, body: []byte("<html>")}); err == nil {
		t.Error("HTML passed as JSON")
	}
}

func TestHowManyAnswersAreNeeded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		share, confidence float64
		want              int64
	}{{0.05, 0.99, 90}, {0.1, 0.99, 44}, {0.25, 0.999999, 49}, {0.5, 0.5, 1}} {
		if got := needed(c.share, c.confidence); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

// TestARequestIsToldAsACommand that a person can type, without any secret.
func TestARequestIsToldAsACommand(t *testing.T) {
	t.Parallel()
	const want = `curl -fsS -X 'POST' -H 'a: '"$KEY" -H 'b: '"$(cat '/k e/y')" -H 'c: '"$('pass' 'show' 'x')" -H 'd: it'\''s' 'https://app.example.com/off'`
	got := curl(firedrill.Values{"url": "https://app.example.com/off", "method": "POST", "headers": map[string]any{"d": "it's",
		"a": map[string]any{"env": "KEY"}, "b": map[string]any{"file": "/k e/y"}, "c": map[string]any{"command": []any{"pass", "show", "x"}}}})
	if got != want {
		t.Errorf("%s", got)
	}
}
