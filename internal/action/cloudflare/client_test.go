package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
)

type fakeTime struct {
	now   time.Time
	slept []time.Duration
}

func (f *fakeTime) Now() time.Time { return f.now }
func (f *fakeTime) Sleep(ctx context.Context, d time.Duration) error {
	f.slept = append(f.slept, d)
	f.now = f.now.Add(d)
	return ctx.Err()
}

// against makes a client of a server that answers with a function, and a
// clock that only moves when somebody sleeps.
func against(t *testing.T, handler http.HandlerFunc, change ...func(*Config)) (*Client, *fakeTime) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	clock := &fakeTime{now: time.Unix(1_800_000_000, 0)}
	cfg := Config{API: server.URL, Account: testAccount, Now: clock.Now, Sleep: clock.Sleep, Token: func(context.Context) (string, error) { return canaryToken, nil }}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c, clock
}

var (
	readRequest  = Request{Op: "d1.read", Target: "database shop", Method: http.MethodGet, Path: "/x"}
	writeRequest = Request{Op: "d1.write", Target: "database shop", Method: http.MethodPost, Path: "/x", Body: []byte(`{}`)}
	safeRequest  = Request{Op: "d1.repeat", Target: "database shop", Method: http.MethodPost, Path: "/x", Body: []byte(`{}`), Safe: true}
)

// TestAnswersThatAreNoSuccess shows each kind of bad answer to a request that
// reads, one that changes and one that may be repeated: which kind of error
// it becomes, and how often it was sent.
func TestAnswersThatAreNoSuccess(t *testing.T) {
	t.Parallel()
	const failure = `{"success":false,"errors":[{"code":%d,"message":"no\nsuch thing"}],"result":null}`
	cases := map[string]struct {
		status                  int
		contentType, body       string
		read, write             firedrill.Kind
		readSent, writeSent     int32
		repeatSent              int32
		code                    int
		cutOff, hangUp, restful bool
	}{
		"error under 200":                  {status: 200, body: fmt.Sprintf(failure, 7500), read: firedrill.KindInvalid, write: firedrill.KindInvalid, code: 7500, readSent: 1, writeSent: 1, repeatSent: 1},
		"error of no known code":           {status: 200, body: fmt.Sprintf(failure, 424242), read: firedrill.KindInvalid, write: firedrill.KindInvalid, code: 424242, readSent: 1, writeSent: 1, repeatSent: 1},
		"success under 500":                {status: 500, body: `{"success":true,"errors":[],"result":{}}`, read: firedrill.KindCorrupt, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"success with errors":              {status: 200, body: `{"success":true,"errors":[{"code":1,"message":"x"}],"result":{}}`, read: firedrill.KindCorrupt, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"no success":                       {status: 200, body: `{"result":{}}`, read: firedrill.KindCorrupt, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"a web page":                       {status: 200, contentType: "text/html", body: "<html>maintenance</html>", read: firedrill.KindCorrupt, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"a web page, 502":                  {status: 502, contentType: "text/html", body: "<html>bad gateway</html>", read: firedrill.KindUnavailable, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"empty":                            {status: 200, body: "", read: firedrill.KindCorrupt, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"half an envelope":                 {status: 200, body: `{"success":true,"res`, read: firedrill.KindCorrupt, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"broken off":                       {status: 200, body: `{"success":true,"errors":[],"result":{}}`, cutOff: true, read: firedrill.KindUnavailable, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"hung up":                          {hangUp: true, read: firedrill.KindUnavailable, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"refused":                          {status: 403, body: fmt.Sprintf(failure, 10000), read: firedrill.KindDenied, write: firedrill.KindDenied, code: 10000, readSent: 1, writeSent: 1, repeatSent: 1},
		"not found":                        {status: 404, body: fmt.Sprintf(failure, 7404), read: firedrill.KindNotFound, write: firedrill.KindNotFound, code: 7404, readSent: 1, writeSent: 1, repeatSent: 1},
		"limited":                          {status: 429, body: fmt.Sprintf(failure, 0), read: firedrill.KindLimited, write: firedrill.KindLimited, readSent: 7, writeSent: 7, repeatSent: 7},
		"limited, a web page":              {status: 429, contentType: "text/html", body: "<html>", read: firedrill.KindLimited, write: firedrill.KindLimited, readSent: 7, writeSent: 7, repeatSent: 7},
		"an SQL error under 500":           {status: 500, body: fmt.Sprintf(failure, 7500), read: firedrill.KindUnavailable, write: firedrill.KindUnknown, code: 7500, readSent: 4, writeSent: 1, repeatSent: 4},
		"lost behind the API":              {status: 400, body: `{"success":false,"errors":[{"code":7500,"message":"D1_ERROR: Network connection lost."}]}`, read: firedrill.KindInvalid, write: firedrill.KindUnknown, code: 7500, readSent: 1, writeSent: 1, repeatSent: 4},
		"internal":                         {status: 500, body: fmt.Sprintf(failure, 0), read: firedrill.KindUnavailable, write: firedrill.KindUnknown, readSent: 4, writeSent: 1, repeatSent: 4},
		"a redirect":                       {status: 302, body: "", read: firedrill.KindGuard, write: firedrill.KindUnknown, readSent: 1, writeSent: 1, repeatSent: 4},
		"a redirect that keeps the method": {status: 307, body: "", read: firedrill.KindGuard, write: firedrill.KindGuard, readSent: 1, writeSent: 1, repeatSent: 1},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int32
			c, _ := against(t, func(w http.ResponseWriter, r *http.Request) {
				sent.Add(1)
				if want.hangUp {
					conn, _, _ := w.(http.Hijacker).Hijack()
					conn.Close()
					return
				}
				if want.contentType != "" {
					w.Header().Set("Content-Type", want.contentType)
				}
				if want.status/100 == 3 {
					w.Header().Set("Location", "http://127.0.0.1:1/stolen")
				}
				if want.cutOff {
					w.Header().Set("Content-Length", "4000")
				}
				w.WriteHeader(want.status)
				w.Write([]byte(want.body))
			})
			for _, try := range []struct {
				req  Request
				kind firedrill.Kind
				sent int32
			}{{readRequest, want.read, want.readSent}, {writeRequest, want.write, want.writeSent}, {safeRequest, want.write, want.repeatSent}} {
				sent.Store(0)
				_, err := c.Do(context.Background(), try.req)
				var e *firedrill.Error
				if !errors.As(err, &e) || e.Kind != try.kind || e.Op != try.req.Op || e.Target == "" || firedrill.RemedyOf(err) == "" {
					t.Errorf("%s: error %+v of kind %q, want kind %q", try.req.Op, err, firedrill.KindOf(err), try.kind)
					continue
				}
				if e.Code != want.code {
					t.Errorf("%s: code %d, want %d", try.req.Op, e.Code, want.code)
				}
				if strings.ContainsAny(err.Error(), "\n\r") {
					t.Errorf("%s: more than one line: %q", try.req.Op, err)
				}
				if sent.Load() != try.sent {
					t.Errorf("%s: sent %d times, want %d", try.req.Op, sent.Load(), try.sent)
				}
			}
		})
	}
}

func TestNotSentIsToldFromUnknown(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	l.Close()
	c, clock := against(t, nil, func(cfg *Config) { cfg.API = address })
	_, err = c.Do(context.Background(), writeRequest)
	if firedrill.KindOf(err) != firedrill.KindNotSent {
		t.Errorf("nobody listens: %v of kind %q", err, firedrill.KindOf(err))
	}
	if len(clock.slept) != attempts-1 {
		t.Errorf("what was not sent was tried %d times more, want %d", len(clock.slept), attempts-1)
	}
	if _, err := c.Do(context.Background(), readRequest); firedrill.KindOf(err) != firedrill.KindNotSent {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestRetryAfterIsHonouredByEveryRequest(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	c, clock := against(t, func(w http.ResponseWriter, r *http.Request) {
		if sent.Add(1) == 1 {
			w.Header().Set("Retry-After", "17")
			refuse(w, 429, 971, "slow down")
			return
		}
		answer(w, "fine")
	})
	var told []string
	req := writeRequest
	req.Notify = func(s string) { told = append(told, s) }
	began := clock.now
	if _, err := c.Do(context.Background(), req); err != nil {
		t.Fatal(err)
	}
	if waited := clock.now.Sub(began); waited < 17*time.Second || waited > 18*time.Second {
		t.Errorf("waited %s, asked were 17 s", waited)
	}
	if len(told) == 0 {
		t.Error("nobody was told why it takes so long")
	}
	sent.Store(0)
	c.pace.lock(9 * time.Second)
	began = clock.now
	sent.Store(1)
	if _, err := c.Do(context.Background(), readRequest); err != nil {
		t.Fatal(err)
	}
	if waited := clock.now.Sub(began); waited < 9*time.Second {
		t.Errorf("another request waited only %s", waited)
	}
}

func TestRetryAfterOfHoursIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c, clock := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7200")
		refuse(w, 429, 971, "slow down")
	})
	if _, err := c.Do(context.Background(), readRequest); firedrill.KindOf(err) != firedrill.KindLimited {
		t.Errorf("got %v", err)
	}
	if len(clock.slept) > 0 {
		t.Errorf("slept %v", clock.slept)
	}
}

// TestPaceKeepsEveryWindowBelowTheShare sends as fast as the pacer lets and
// looks at every window of five minutes.
func TestPaceKeepsEveryWindowBelowTheShare(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{1, 0.5, 0.1, 0.001} {
		clock := &fakeTime{now: time.Unix(1_800_000_000, 0)}
		p := newPacer(share, clock.Now, clock.Sleep)
		var sent []time.Time
		for range 1500 {
			if err := p.wait(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, clock.now)
		}
		allowed := max(2, int(share*1200)) + 1
		first := 0
		for i, at := range sent {
			for at.Sub(sent[first]) > 5*time.Minute {
				first++
			}
			if n := i - first + 1; n > allowed {
				t.Fatalf("share %v: %d requests in five minutes, allowed are %d", share, n, allowed)
			}
		}
		if took := sent[len(sent)-1].Sub(sent[0]); share == 1 && took > 10*time.Minute {
			t.Errorf("1,500 requests at full pace took %s", took)
		}
	}
}

func TestPaceAppliesWhereThereIsAQuota(t *testing.T) {
	t.Parallel()
	for _, try := range []struct {
		api   string
		pace  float64
		burst float64
	}{{"", 0, 300}, {"https://proxy.example.com/client/v4", 1, 600}, {"http://127.0.0.1:8787/client/v4", 0, 0}, {"http://localhost:1/x/", 0, 0}, {"http://[::1]:1", 0, 0}, {"http://127.0.0.1:8787", 0.5, 300}} {
		c, err := New(Config{API: try.api, Account: testAccount, Pace: try.pace})
		if err != nil {
			t.Fatal(err)
		}
		if c.pace.burst != try.burst {
			t.Errorf("%q at pace %v: burst %v, want %v", try.api, try.pace, c.pace.burst, try.burst)
		}
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{API: "ftp://x"}, {API: "127.0.0.1:8787"}, {API: "http://api.example.com"}, {API: "https://user:pw@api.example.com"}, {API: "https://x/?q=1"}, {Pace: 1.5}, {Pace: -1}} {
		cfg.Account = testAccount
		if _, err := New(cfg); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	c, _ := against(t, func(w http.ResponseWriter, r *http.Request) { answer(w, 1) }, func(cfg *Config) { cfg.Account = "shop" })
	if _, err := c.Do(context.Background(), Request{Op: "x", Method: "GET", Path: c.AccountPath("d1")}); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("an account that is no id: %v", err)
	}
}

func TestTheGuardSeesEveryIdAndStopsBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	c, _ := against(t, func(w http.ResponseWriter, r *http.Request) { sent.Add(1); answer(w, 1) }, func(cfg *Config) {
		cfg.Guard = GuardPlan(nil, Protected{Kind: "d1", Name: "prod"})(firedrill.Environment{Name: "staging"})
	})
	req := writeRequest
	req.Ids = []ID{{"d1", "prod"}}
	if _, err := c.Do(context.Background(), req); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("got %v", err)
	}
	const stranger = "34bce593-9df9-4acf-ac40-c8d93a7c7244"
	for _, hidden := range []Request{
		{Op: "x", Method: "GET", Path: "/accounts/" + testAccount + "/d1/database/" + stranger},
		{Op: "x", Method: "GET", Path: "/accounts/" + testAccount + "/d1/database/" + url.PathEscape(strings.ToUpper(stranger)) + "/query"},
		{Op: "x", Method: "GET", Path: "/x", Query: url.Values{"id": {stranger}}},
		{Op: "x", Method: "GET", Path: "/accounts/fedcba9876543210fedcba9876543210/d1"},
	} {
		if _, err := c.Do(context.Background(), hidden); firedrill.KindOf(err) != firedrill.KindInternal {
			t.Errorf("%s %v: %v", hidden.Path, hidden.Query, err)
		}
	}
	if sent.Load() != 0 {
		t.Errorf("%d requests were sent", sent.Load())
	}
}

func TestGuardPlanProtectsOtherEnvironments(t *testing.T) {
	t.Parallel()
	env := func(name string, class firedrill.Class, account string, resources ...firedrill.Resource) firedrill.Environment {
		e := firedrill.Environment{Name: name, Class: class, Settings: firedrill.Values{"account": account}, Resources: map[string]firedrill.Resource{}}
		for _, r := range resources {
			e.Resources[r.Key] = r
		}
		return e
	}
	all := map[string]firedrill.Environment{
		"staging":    env("staging", firedrill.ClassStaging, "a", firedrill.Resource{Key: "db", Kind: "d1", Attrs: firedrill.Values{"name": "shop-staging"}}),
		"production": env("production", firedrill.ClassProduction, "a", firedrill.Resource{Key: "db", Kind: "d1", Attrs: firedrill.Values{"id": "34BCE593-9df9-4acf-ac40-c8d93a7c7244"}}, firedrill.Resource{Key: "w", Kind: "worker", Attrs: firedrill.Values{"name": "gateway"}}),
		"other":      env("other", firedrill.ClassStaging, "b", firedrill.Resource{Key: "w", Kind: "worker", Attrs: firedrill.Values{"name": "agents"}}),
	}
	guard := GuardPlan(all)
	write := func(ids ...ID) Request { return Request{Op: "x", Method: "POST", Ids: ids} }
	staging := guard(all["staging"])
	for name, req := range map[string]Request{
		"the id of production":          write(ID{"d1", "34bce593-9df9-4acf-ac40-c8d93a7c7244"}),
		"a second id, in the body":      write(ID{"d1", "mine"}, ID{"worker", "gateway"}),
		"its name, in other letters":    write(ID{"worker", "Gateway"}),
		"a change that may be repeated": {Op: "x", Method: "POST", Safe: true, Ids: []ID{{"worker", "gateway"}}},
	} {
		if err := staging.Check(req); firedrill.KindOf(err) != firedrill.KindGuard || firedrill.RemedyOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, req := range map[string]Request{
		"its own":                         write(ID{"d1", "shop-staging"}),
		"a name of another account":       write(ID{"worker", "agents"}),
		"reading production":              {Op: "x", Method: "GET", Ids: []ID{{"worker", "gateway"}}},
		"a question to production's data": {Op: "x", Method: "POST", Reads: true, Ids: []ID{{"worker", "gateway"}}},
	} {
		if err := staging.Check(req); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := guard(all["production"]).Check(write(ID{"d1", "anything"})); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("a change in production: %v", err)
	}
}

func TestTheTokenIsNowhereButInTheHeader(t *testing.T) {
	t.Parallel()
	var got []string
	var exchanges []Exchange
	c, _ := against(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusInternalServerError)
		w.Write([]byte("boom"))
	}, func(cfg *Config) { cfg.Trace = func(e Exchange) { exchanges = append(exchanges, e) } })
	_, err := c.Do(context.Background(), readRequest)
	if len(got) == 0 || got[0] != "Bearer "+canaryToken {
		t.Errorf("headers %v", got)
	}
	if s := fmt.Sprintf("%v %+v %#v %+v %+v", err, err, err, exchanges, c); len(exchanges) != attempts || strings.Contains(s, canaryToken) {
		t.Errorf("%d exchanges; the token shows in %s", len(exchanges), s)
	}
}

func TestStoppingEndsARequest(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	arrived := make(chan struct{}, 8)
	c, _ := against(t, func(w http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; <-release })
	t.Cleanup(func() { close(release) })
	for _, try := range []struct {
		req  Request
		kind firedrill.Kind
	}{{readRequest, firedrill.KindInterrupted}, {writeRequest, firedrill.KindUnknown}} {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { _, err := c.Do(ctx, try.req); done <- err }()
		<-arrived
		stop()
		if err := <-done; firedrill.KindOf(err) != try.kind {
			t.Errorf("%s: %v of kind %q, want %q", try.req.Op, err, firedrill.KindOf(err), try.kind)
		}
		if len(arrived) > 0 {
			t.Error("sent again after it was stopped")
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := c.Do(ctx, writeRequest); firedrill.KindOf(err) != firedrill.KindInterrupted {
		t.Errorf("stopped before it was sent: %v", err)
	}
}

func TestAnswersHaveASize(t *testing.T) {
	t.Parallel()
	c, _ := against(t, func(w http.ResponseWriter, r *http.Request) { answer(w, strings.Repeat("x", 2000)) })
	req := readRequest
	req.MaxBytes = 1000
	if _, err := c.Do(context.Background(), req); firedrill.KindOf(err) != firedrill.KindCorrupt {
		t.Errorf("got %v", err)
	}
}

func TestIntegersStayExact(t *testing.T) {
	t.Parallel()
	c, _ := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"success":true,"errors":[],"result":[9007199254740993]}`))
	})
	resp, err := c.Do(context.Background(), readRequest)
	if err != nil {
		t.Fatal(err)
	}
	var out []any
	if err := resp.Decode(readRequest, &out); err != nil || fmt.Sprint(out[0]) != "9007199254740993" {
		t.Errorf("got %v, %v", out, err)
	}
	if err := (Response{Result: []byte("null")}).Decode(readRequest, &out); firedrill.KindOf(err) != firedrill.KindCorrupt {
		t.Errorf("an absent result: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"success":true}`, `{"success":"yes"}`, `{"success":false,"errors":[{}]}`, `[]`, `{"success":true,"errors":null,"result":{"bookmark":1}}`, "<html>"} {
		f.Add(200, []byte(s))
		f.Add(503, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 599 {
			return
		}
		_, err := read(writeRequest, &http.Response{StatusCode: status, Header: http.Header{}}, body)
		if err == nil && (status < 200 || status > 299 || (status != 204 && !strings.Contains(strings.ToLower(string(body)), "success"))) {
			t.Errorf("status %d with %q is called a success", status, body)
		}
		if err != nil && (firedrill.KindOf(err) == firedrill.KindUnclassified || strings.Contains(err.Error(), "\n")) {
			t.Errorf("status %d with %q: %q", status, body, err)
		}
	})
}
