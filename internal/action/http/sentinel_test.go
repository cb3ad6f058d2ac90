package http

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
)

// app is an application that keeps numbers for runs.
type app struct {
	*httptest.Server
	mu      sync.Mutex
	there   map[int64]bool
	acked   []int64 // of all that ever were, in their order
	lies    map[string]bool
	flying  atomic.Int64
	most    atomic.Int64
	reads   int
	written chan struct{} // one for each write
}

func newApp(t *testing.T) *app {
	t.Helper()
	a := &app{there: map[int64]bool{}, lies: map[string]bool{}, written: make(chan struct{}, 10000)}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

const pageOfApp = 7

func (a *app) serve(w http.ResponseWriter, r *http.Request) {
	if n := a.flying.Add(1); n > a.most.Load() {
		a.most.Store(n)
	}
	defer a.flying.Add(-1)
	time.Sleep(time.Millisecond) // long enough for another to come, if there is one
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lies["down"] || r.Header.Get("X-Key") != secretHeader {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	switch r.Method {
	case http.MethodPost:
		defer func() { a.written <- struct{}{} }()
		var in struct {
			N   int64
			Run string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Run != "run-1" {
			http.Error(w, "what", http.StatusBadRequest)
			return
		}
		a.there[in.N] = true
		if a.lies["silent"] {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		a.acked = append(a.acked, in.N)
		w.WriteHeader(http.StatusCreated)
	case http.MethodGet:
		a.list(w, r)
	case http.MethodDelete:
		if !a.lies["keeps"] {
			clear(a.there)
		}
	}
}

// list answers a page.
func (a *app) list(w http.ResponseWriter, r *http.Request) {
	a.reads++
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	var page []map[string]any
	for n := after + 1; len(page) < pageOfApp && n <= 20000; n++ {
		if a.there[n] && (!a.lies["forgets"] || a.reads%3 != 0) {
			page = append(page, map[string]any{"n": strconv.FormatInt(n, 10)})
		}
	}
	if a.lies["repeats"] {
		page = append(page, map[string]any{"n": "1"})
	}
	if a.lies["cached"] {
		w.Header().Set("Age", "3")
	}
	if a.lies["renamed"] {
		fmt.Fprint(w, `{"items":[]}`)
		return
	}
	if page == nil {
		page = []map[string]any{}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"canaries": page})
}

func (a *app) lie(what string, on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lies[what] = on
}

// wait waits for some writes, acknowledged or not.
func (a *app) wait(n int) {
	for range n {
		<-a.written
	}
}

// routes is what a plan says of it.
func (a *app) routes(change firedrill.Values) firedrill.Values {
	key := map[string]any{"X-Key": map[string]any{"env": "KEY"}}
	s := map[string]any{
		"write":   map[string]any{"path": "/canaries", "body": `{"run":"{run}","n":{n}}`, "status": int64(201), "headers": key},
		"read":    map[string]any{"path": "/canaries?run={run}&after={after}", "headers": key},
		"remove":  map[string]any{"path": "/canaries?run={run}", "headers": key},
		"numbers": "canaries.n", "every": "1ms",
	}
	for k, v := range change {
		s[k] = v
	}
	return firedrill.Values{"url": a.URL, "routes": s}
}

func (a *app) crew(t *testing.T) *crew {
	c := newCrew()
	c.dir, c.env.Resources = t.TempDir(), map[string]firedrill.Resource{"gateway": {Attrs: firedrill.Values{"url": a.URL + "/"}}}
	return c
}

func with(in firedrill.Values, key string, v any) firedrill.Values {
	out := firedrill.Values{key: v}
	for k, x := range in {
		out[k] = x
	}
	return out
}

// TestLossesThroughTheApplication writes through the application's routes,
// takes known numbers away, and finds exactly those.
func TestLossesThroughTheApplication(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	c := a.crew(t)
	started, err := do(t, c, "http.sentinel", a.routes(nil))
	if err != nil {
		t.Fatal(err)
	}
	name, _ := started.Outputs["observer"].(string)
	a.wait(25)
	a.lie("silent", true)
	a.wait(3)
	a.lie("silent", false)
	a.wait(10)
	held := firedrill.Values{"sentinel": name}
	if _, err := do(t, c, "http.sentinel-pause", held); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	before := len(a.acked)
	lost := []int64{a.acked[3], a.acked[4], a.acked[before-1]}
	for _, n := range lost {
		delete(a.there, n)
	}
	ghosts := len(a.there) - (before - len(lost))
	a.mu.Unlock()
	if _, err := do(t, c, "http.sentinel-resume", held); err != nil {
		t.Fatal(err)
	}
	stopped, err := do(t, c, "http.sentinel-stop", with(a.routes(nil), "sentinel", name))
	c.done.Wait()
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, ack := range stopped.Observation.Acks {
		if ack.Lost {
			got = append(got, ack.N)
		}
	}
	if !slices.Equal(got, lost) || len(stopped.Observation.Acks) != len(a.acked) || len(a.acked) <= before || len(stopped.Observation.Ghosts) != ghosts || ghosts < 3 {
		t.Errorf("lost %v, want %v; %d acknowledged of %d, %d ghosts of %d", got, lost, len(stopped.Observation.Acks), len(a.acked), len(stopped.Observation.Ghosts), ghosts)
	}
	if a.most.Load() != 1 {
		t.Errorf("%d requests at once", a.most.Load())
	}
	if stopped.Observation.Store != "service "+a.URL+"/canaries" {
		t.Errorf("store %q", stopped.Observation.Store)
	}
	removed, err := do(t, c, "http.sentinel-remove", a.routes(nil))
	if err != nil || !removed.Checks[0].OK || len(a.there) != 0 {
		t.Errorf("%+v %v", removed, err)
	}
}

// TestReadsThatSayNothing: whatever cannot be read, or is read twice and
// differs, is never a loss and never none.
func TestReadsThatSayNothing(t *testing.T) {
	t.Parallel()
	for lie, want := range map[string]firedrill.Kind{
		"down": firedrill.KindUnavailable, "cached": firedrill.KindUnknown, "renamed": firedrill.KindCorrupt, "repeats": firedrill.KindCorrupt, "forgets": firedrill.KindUnknown,
	} {
		a := newApp(t)
		c := a.crew(t)
		if _, err := do(t, c, "http.sentinel", a.routes(nil)); err != nil {
			t.Fatal(err)
		}
		a.wait(10)
		a.lie(lie, true)
		if out, err := do(t, c, "http.sentinel-stop", with(a.routes(nil), "sentinel", "http-sentinel")); firedrill.KindOf(err) != want || out.Observation != nil {
			t.Errorf("%s: %+v %v", lie, out, err)
		}
		c.done.Wait()
		if _, err := do(t, c, "http.sentinel", with(a.routes(nil), "name", "second")); err == nil {
			t.Errorf("%s: another one began beside what is there", lie)
		}
	}
}

// TestNumbersOfAnotherRunAreRefused, and those that stay are told.
func TestNumbersOfAnotherRunAreRefused(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.there[5] = true
	c := a.crew(t)
	if _, err := do(t, c, "http.sentinel", a.routes(nil)); firedrill.KindOf(err) != firedrill.KindConflict {
		t.Errorf("numbers were there: %v", err)
	}
	a.lie("keeps", true)
	out, err := do(t, c, "http.sentinel-remove", a.routes(firedrill.Values{"settle": "300ms"}))
	if err != nil || out.Checks[0].OK || !strings.Contains(out.Checks[0].Detail, "1 numbers of the sentinel are still there") {
		t.Errorf("%+v %v", out, err)
	}
}

// TestASentinelIsTakenUpWhileTheServiceIsDown: a resumed run goes on with
// numbers that were never given, and does not wait for what was damaged.
func TestASentinelIsTakenUpWhileTheServiceIsDown(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.crew(t)
	if _, err := do(t, first, "http.sentinel", a.routes(nil)); err != nil {
		t.Fatal(err)
	}
	a.wait(5)
	first.all["http-sentinel"].Stop()
	first.done.Wait()
	a.lie("down", true)
	second := a.crew(t)
	second.dir = first.dir
	if _, err := do(t, second, "http.sentinel", a.routes(nil)); err != nil {
		t.Fatal(err)
	}
	a.lie("down", false)
	for len(a.written) > 0 {
		<-a.written
	}
	a.wait(2)
	out, err := do(t, second, "http.sentinel-stop", with(a.routes(nil), "sentinel", "http-sentinel"))
	second.done.Wait()
	if err != nil || out.Outputs["lost"] != int64(0) || out.Outputs["acknowledged"] != int64(len(a.acked)) {
		t.Errorf("%+v %v, %d acknowledged", out.Outputs, err, len(a.acked))
	}
}

func TestASentinelThatIsWrittenWrongly(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for want, change := range map[firedrill.Kind][]firedrill.Values{
		firedrill.KindUsage: {
			{"write": map[string]any{"path": "/canaries"}}, {"read": map[string]any{"path": "canaries"}}, {"every": "soon"}, {"settle": "-1s"},
			{"read": map[string]any{"path": "/", "timeout": "soon"}},
		},
	} {
		for _, v := range change {
			if _, err := do(t, a.crew(t), "http.sentinel", a.routes(v)); firedrill.KindOf(err) != want {
				t.Errorf("%v: %v", v, err)
			}
		}
	}
	foreign := a.routes(nil)
	foreign["url"] = "https://production.example.com"
	for _, name := range []string{"http.sentinel", "http.sentinel-remove"} {
		if _, err := do(t, a.crew(t), name, foreign); firedrill.KindOf(err) != firedrill.KindGuard {
			t.Errorf("%s at an address that is not the environment's: %v", name, err)
		}
	}
}

func TestWhereNumbersStand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, keys, want string }{
		{`[1,2,"3"]`, "", "[1 2 3]"},
		{`{"rows":[[1],[2]]}`, "rows", "[1 2]"},
		{`{"data":{"rows":[{"n":9007199254740993}]}}`, "data.rows.n", "[9007199254740993]"},
		{`{"rows":[]}`, "rows.n", "[]"},
		{`{"rows":null}`, "rows", "there is no list"},
		{`{"rows":7}`, "rows", "there is no list"},
		{`{"n":7}`, "rows", `there is no "rows"`},
		{`{"rows":[{"m":1}]}`, "rows.n", `there is no "n"`},
		{`{"rows":[{"n":1}]}`, "rows", "an object stands"},
		{`{"rows":[1.5]}`, "rows", "invalid syntax"},
		{`{"rows":[true]}`, "rows", "invalid syntax"},
		{`{"rows":["x"]}`, "rows", "invalid syntax"},
		{`{"rows":[1]}`, "rows.n", `has no "n"`},
		{`<html>`, "", "invalid character"},
		{``, "", "EOF"},
	} {
		var keys []string
		if c.keys != "" {
			keys = strings.Split(c.keys, ".")
		}
		got, err := numbersIn([]byte(c.body), keys)
		said := fmt.Sprint(got)
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%s at %q: %s, want %s", c.body, c.keys, said, c.want)
		}
	}
}

// TestSettleIsWaitedFor: what comes late is not lost.
func TestSettleIsWaitedFor(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	c := a.crew(t)
	if _, err := do(t, c, "http.sentinel", a.routes(nil)); err != nil {
		t.Fatal(err)
	}
	a.wait(5)
	c.all["http-sentinel"].Stop()
	c.done.Wait()
	a.mu.Lock()
	late := a.acked[2]
	delete(a.there, late)
	a.mu.Unlock()
	comes := time.AfterFunc(100*time.Millisecond, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.there[late] = true
	})
	defer comes.Stop()
	out, err := do(t, c, "http.sentinel-stop", with(a.routes(firedrill.Values{"settle": "1s"}), "sentinel", "http-sentinel"))
	if err != nil || out.Outputs["lost"] != int64(0) {
		t.Errorf("%+v %v", out, err)
	}
}

// FuzzNumbers: whatever a service answers, there are numbers only where a list
// is, and reading twice gives the same.
func FuzzNumbers(f *testing.F) {
	for _, body := range []string{`[1,2,"3"]`, `{"rows":[{"n":1}]}`, `{"rows":7}`, `[[[]]]`, `{"rows":[9223372036854775808]}`, `<html>`} {
		f.Add([]byte(body), "rows.n")
		f.Add([]byte(body), "")
	}
	f.Fuzz(func(t *testing.T, body []byte, where string) {
		var keys []string
		if where != "" {
			keys = strings.Split(where, ".")
		}
		first, err := numbersIn(body, keys)
		second, again := numbersIn(body, keys)
		if !slices.Equal(first, second) || (err == nil) != (again == nil) {
			t.Errorf("%v %v, then %v %v", first, err, second, again)
		}
		if err == nil && !strings.Contains(string(body), "[") {
			t.Errorf("%v without a list", first)
		}
	})
}
