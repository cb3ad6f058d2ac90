package http

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
)

// TestProbesThatCannotFailProveNothing asks each probe of an address where
// nobody is and of one that answers wrongly.
func TestProbesThatCannotFailProveNothing(t *testing.T) {
	t.Parallel()
	p := &pack{client: NewClient()}
	steady, varies := &Answer{Status: 200, Digest: "of another body"}, &Answer{Status: 200, Varies: true}
	empty := &Answer{Status: 200, Digest: answer{}.digest()}
	for _, c := range []struct {
		name  string
		e     expectation
		blind bool
	}{
		{"only a status", expectation{Probe: Probe{Status: 200}}, true},
		{"nothing at all", expectation{}, true},
		{"a status of its own", expectation{Probe: Probe{Status: 418}}, true},
		{"a status without a body", expectation{Probe: Probe{Status: 204}}, true},
		{"an answer that varies", expectation{Probe: Probe{}, before: varies}, true},
		{"an answer that is empty", expectation{before: empty}, true},
		{"a head", expectation{Probe: Probe{Method: "HEAD"}, before: empty}, true},
		{"JSON that asks for nothing", expectation{Probe: Probe{JSON: firedrill.Values{}}}, true},
		{"a text that is everywhere", expectation{Probe: Probe{Contains: "body"}}, true},
		{"a header", expectation{Probe: Probe{ResponseHeaders: firedrill.Values{"X-App": "mine"}}}, true},
		{"the answer as before", expectation{before: steady}, false},
		{"JSON", expectation{Probe: Probe{JSON: firedrill.Values{"ok": true}}}, false},
		{"a text", expectation{Probe: Probe{Contains: "tenants"}}, false},
		{"JSON in an answer that varies", expectation{Probe: Probe{JSON: firedrill.Values{"ok": true}}, before: varies}, false},
		{"JSON beside an error", expectation{Probe: Probe{Status: 503, JSON: firedrill.Values{"ok": false}}}, false},
	} {
		c.e.Name, c.e.URL = c.name, "http://nobody.invalid/"
		can, notes, err := p.trusted(context.Background(), "test", []expectation{c.e})
		if c.blind != (firedrill.KindOf(err) == firedrill.KindUnsupported) || c.blind == (len(can) == 1) || c.blind != (len(notes) == 1 && strings.Contains(notes[0], "probe "+c.name)) {
			t.Errorf("%s: %d can fail, %q, %v", c.name, len(can), notes, err)
		}
	}
}

// TestOnlyProbesThatCanFailAreCounted: beside one that can, the others are
// named and give no check; without one nothing is proven.
func TestOnlyProbesThatCanFailAreCounted(t *testing.T) {
	t.Parallel()
	s := newService(t)
	blind, sees := map[string]any{"name": "blind", "url": s.URL + "/data"}, probe(s, "/data", nil)
	for _, name := range []string{"http.compare", "http.prove"} {
		out, err := do(t, newCrew(), name, firedrill.Values{"probes": []any{blind, sees}})
		if err != nil || len(out.Checks) != 1 || !out.Checks[0].OK || len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "probe blind") {
			t.Errorf("%s: %+v %v", name, out, err)
		}
		out, err = do(t, newCrew(), name, firedrill.Values{"probes": []any{blind}})
		if firedrill.KindOf(err) != firedrill.KindUnsupported || len(out.Checks) != 0 {
			t.Errorf("%s of a blind probe alone: %+v %v", name, out, err)
		}
	}
	varies := map[string]any{"name": "varies", "url": s.URL + "/varies"}
	for _, name := range []string{"http.baseline", "http.watch"} {
		if _, err := do(t, newCrew(), name, firedrill.Values{"probes": []any{varies}}); firedrill.KindOf(err) != firedrill.KindUnsupported {
			t.Errorf("%s of a blind probe alone: %v", name, err)
		}
	}
}

// TestWhatACacheKeptProvesNothing: from before the injection it says neither
// that the service is good nor that it is bad; what is younger counts.
func TestWhatACacheKeptProvesNothing(t *testing.T) {
	t.Parallel()
	at := firedrill.Stamp{Mono: int64(time.Hour), Boot: "b"}
	injected := at
	injected.Mono -= int64(10 * time.Second)
	call := firedrill.Call{Now: func() firedrill.Stamp { return at }, Injected: func() (firedrill.Stamp, bool) { return injected, true }}
	for age, cached := range map[string]bool{"": false, "0": false, "9": false, "10": true, "11": true, "3600": true, "-3": false, "soon": false} {
		a := answer{header: http.Header{"Age": {age}}}
		if err := kept(a, call); (err != nil) != cached {
			t.Errorf("age %q: %v", age, err)
		}
		before := call
		before.Injected = func() (firedrill.Stamp, bool) { return firedrill.Stamp{}, false }
		if err := kept(a, before); err != nil {
			t.Errorf("age %q before the injection: %v", age, err)
		}
	}
	var old atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if old.Load() {
			w.Header().Set("Age", "3600")
		}
		fmt.Fprint(w, `{"ok":true}`)
	}))
	t.Cleanup(s.Close)
	in := firedrill.Values{"probes": []any{map[string]any{"url": s.URL, "json": map[string]any{"ok": true}}}}
	c := newCrew()
	c.inject()
	for _, name := range []string{"http.compare", "http.prove"} {
		old.Store(false)
		if out, err := do(t, c, name, in); err != nil || !out.Checks[0].OK {
			t.Errorf("%s of a fresh answer: %+v %v", name, out, err)
		}
		old.Store(true)
		if _, err := do(t, c, name, in); firedrill.KindOf(err) != firedrill.KindUnknown {
			t.Errorf("%s of a kept answer: %v", name, err)
		}
	}
}

// TestProbesSayHowLongToWait: a probe's own time-out makes it red, and what is
// slow only counts as slow.
func TestProbesSayHowLongToWait(t *testing.T) {
	t.Parallel()
	var delay atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Duration(delay.Load())):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, `{"ok":true}`)
	}))
	t.Cleanup(s.Close)
	c := newCrew()
	in := firedrill.Values{"every_ms": int64(5), "probes": []any{map[string]any{"name": "app", "url": s.URL, "service": "gateway", "timeout": "300ms", "slow": "1ms", "json": map[string]any{"ok": true}}}}
	delay.Store(int64(5 * time.Millisecond))
	if _, err := do(t, c, "http.watch", in); err != nil {
		t.Fatal(err)
	}
	delay.Store(int64(time.Minute))
	out, err := do(t, c, "http.await", firedrill.Values{"watch": "http.watch", "state": "red"})
	if err != nil || !strings.Contains(out.Summary, "no answer in 300ms") {
		t.Errorf("%+v %v", out, err)
	}
	out, err = do(t, c, "http.unwatch", firedrill.Values{"watch": "http.watch"})
	c.done.Wait()
	if err != nil || len(out.Observation.Targets) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	if seen := out.Observation.Targets[0]; seen.Service != "gateway" || seen.Slow < 1 || seen.SlowOverMS != 1 || seen.Failed < 1 || seen.Latency == nil {
		t.Errorf("%+v", seen)
	}
	for _, bad := range []string{"timeout", "slow"} {
		in := firedrill.Values{"probes": []any{map[string]any{"url": s.URL, "contains": "ok\":true", bad: "soon"}}}
		if _, err := do(t, c, "http.watch", in); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%s that is none: %v", bad, err)
		}
	}
}

// TestADeadAddressIsNobodysElse: as long as it is held nobody answers there, and
// nobody else can begin to.
func TestADeadAddressIsNobodysElse(t *testing.T) {
	t.Parallel()
	address, let, err := deadAddress(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer let()
	host := strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	var d net.Dialer
	if c, err := d.DialContext(t.Context(), "tcp", host); err == nil {
		t.Errorf("somebody listens there: %v", c.Close())
	}
	var lc net.ListenConfig
	if l, err := lc.Listen(t.Context(), "tcp", host); err == nil {
		t.Errorf("anybody can: %v", l.Close())
	}
}
