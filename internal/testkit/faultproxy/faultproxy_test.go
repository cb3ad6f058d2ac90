package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// target is an API that remembers what took effect.
type target struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

const content = "the real answer"

func newTarget(t *testing.T) *target {
	a := &target{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen = append(a.seen, fmt.Sprintf("%s %s%s %s %s", r.Method, r.Host, r.RequestURI, r.Header.Get("Authorization"), body))
		w.Header().Set("X-Real", "yes")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, content)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *target) effects() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen)
}

// call sends a request of some size on a connection of its own, and gives what
// came back.
func call(ctx context.Context, t *testing.T, url string) (status int, header http.Header, body string, err error) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(strings.Repeat("x", 1<<18)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, "", err
	}
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(data), errors.Join(err, resp.Body.Close())
}

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := map[Kind]struct {
		fault  Fault
		status int    // 0: no answer
		body   string // what it contains
		whole  bool
		effect bool
	}{
		Pass:     {Fault{}, 201, content, true, true},
		Refuse:   {Fault{Kind: Refuse}, 0, "", false, false},
		Stall:    {Fault{Kind: Stall, Wait: time.Millisecond}, 0, "", false, false},
		Fail:     {Fault{Kind: Fail, Status: 503}, 503, "Service Unavailable", true, false},
		Limit:    {Fault{Kind: Limit, Wait: 7 * time.Second}, 429, "slower", true, false},
		Deny:     {Fault{Kind: Deny}, 200, `"success":false`, true, false},
		Page:     {Fault{Kind: Page}, 200, "<html>", true, false},
		Garbage:  {Fault{Kind: Garbage}, 200, "\xff", true, false},
		Lose:     {Fault{Kind: Lose}, 0, "", false, true},
		Cut:      {Fault{Kind: Cut}, 201, content[:len(content)/2], false, true},
		Drip:     {Fault{Kind: Drip}, 201, content, true, true},
		FailLate: {Fault{Kind: FailLate}, 500, "Internal Server Error", true, true},
		DenyLate: {Fault{Kind: DenyLate}, 200, `"code":10000`, true, true},
		PageLate: {Fault{Kind: PageLate}, 200, "<html>", true, true},
	}
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			test, ok := tests[kind]
			if !ok {
				t.Fatal("no test for it")
			}
			a := newTarget(t)
			p := Start(t, a.URL)
			p.Use(Nth(2, test.fault))
			for range 3 { // the first and the last pass
				status, header, body, err := call(t.Context(), t, p.URL+"/path")
				if p.Counts()[kind] == 0 || kind != Pass && p.n != 2 {
					if status != 201 || body != content || err != nil {
						t.Errorf("before or after it: %d %q, %v", status, body, err)
					}
					continue
				}
				if status != test.status || !strings.Contains(body, test.body) || (err == nil) != test.whole {
					t.Errorf("%d %q, %v", status, body, err)
				}
				if kind == Cut && body != test.body {
					t.Errorf("%q came of what was cut", body)
				}
				if real := header.Get("X-Real") != ""; real != (test.status == 201) {
					t.Errorf("headers: %v", header)
				}
				if kind == Limit && header.Get("Retry-After") != "7" {
					t.Errorf("retry after %q", header.Get("Retry-After"))
				}
			}
			want := map[Kind]int{Pass: 2, kind: 1}
			if kind == Pass {
				want = map[Kind]int{Pass: 3}
			}
			if got := p.Counts(); !maps.Equal(got, want) {
				t.Errorf("counts %v, want %v", got, want)
			}
			effects := 2
			if test.effect {
				effects = 3
			}
			if a.effects() != effects {
				t.Errorf("%d took effect, want %d", a.effects(), effects)
			}
		})
	}
}

func TestRequestsGoOnAsTheyCame(t *testing.T) {
	t.Parallel()
	a := newTarget(t)
	p := Start(t, a.URL+"/client/v4/")
	if _, _, _, err := call(t.Context(), t, p.URL+"/a%2Fb?c=d&e"); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimSuffix(strings.TrimPrefix(p.URL, "http://"), "/client/v4")
	want := "POST " + host + "/client/v4/a%2Fb?c=d&e Bearer secret " + strings.Repeat("x", 1<<18)
	if len(a.seen) != 1 || a.seen[0] != want {
		t.Errorf("got %.120q, want %.120q", a.seen, want)
	}
}

func TestHeadAndAnswersWithoutBody(t *testing.T) {
	t.Parallel()
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", "12345")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(bare.Close)
	p := Start(t, bare.URL)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Head(p.URL)
	if err != nil || resp.ContentLength != 12345 {
		t.Errorf("%v, %v", resp, err)
	}
	for _, kind := range []Kind{Pass, Drip} {
		p.Use(Always(Fault{Kind: kind}))
		if status, _, _, err := call(t.Context(), t, p.URL); status != http.StatusNoContent || err != nil {
			t.Errorf("%s: %d, %v", kind, status, err)
		}
	}
	p.Use(Always(Fault{Kind: Cut}))
	if status, _, _, err := call(t.Context(), t, p.URL); err == nil {
		t.Errorf("cut: %d", status)
	}
}

// TestStallEndsWithTheClient gives up while the proxy stalls. That the test ends
// shows that the proxy noticed: it waits for its requests.
func TestStallEndsWithTheClient(t *testing.T) {
	t.Parallel()
	a := newTarget(t)
	p := Start(t, a.URL)
	arrived := make(chan struct{})
	p.Use(func(int, *http.Request) Fault { close(arrived); return Fault{Kind: Stall} })
	ctx, giveUp := context.WithCancel(t.Context())
	go func() { <-arrived; giveUp() }()
	if _, _, _, err := call(ctx, t, p.URL); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if a.effects() != 0 {
		t.Error("it took effect")
	}
}

func TestSeedsAreRepeatable(t *testing.T) {
	t.Parallel()
	plan := func(seed uint64, share float64) (faults []Fault) {
		s := Random(seed, share)
		for n := range 1000 {
			faults = append(faults, s(n+1, nil))
		}
		return faults
	}
	if !reflect.DeepEqual(plan(7, 0.3), plan(7, 0.3)) {
		t.Error("a seed gives two plans")
	}
	if reflect.DeepEqual(plan(7, 0.3), plan(8, 0.3)) {
		t.Error("two seeds give one plan")
	}
	counts := map[Kind]int{}
	for _, f := range plan(7, 0.3) {
		counts[f.kind()]++
	}
	if counts[Pass] < 600 || counts[Pass] > 800 || counts[Stall] != 0 || len(counts) != len(Kinds())-1 {
		t.Errorf("of 1000 requests: %v", counts)
	}
	for _, f := range plan(7, 0) {
		if f.kind() != Pass {
			t.Fatalf("%v although nothing should go wrong", f)
		}
	}
}

// TestRandomCounts runs a plan against a real server: what took effect is what
// the counts say.
func TestRandomCounts(t *testing.T) {
	t.Parallel()
	a := newTarget(t)
	p := Start(t, a.URL)
	p.UseRandom(42, 0.5)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				_, _, _, _ = call(t.Context(), t, p.URL)
			}
		})
	}
	wg.Wait()
	requests, effects := 0, 0
	for kind, n := range p.Counts() {
		requests += n
		if kind.TakesEffect() {
			effects += n
		}
	}
	if requests != 100 || effects != a.effects() || effects == 100 {
		t.Errorf("%d requests, %d should have taken effect, %d did; %v", requests, effects, a.effects(), p.Counts())
	}
}

func TestTargetThatIsGone(t *testing.T) {
	t.Parallel()
	a := newTarget(t)
	p := Start(t, a.URL)
	a.Close()
	if status, _, _, err := call(t.Context(), t, p.URL); err == nil {
		t.Errorf("answered %d", status)
	}
}
