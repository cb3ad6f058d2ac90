package shared

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"firedrill"
	"firedrill/internal/bucket"
	"firedrill/internal/state"
	"firedrill/internal/state/statetest"
	"firedrill/internal/testkit/s3test"
)

// unreliable passes requests on to a server. Of every three that write, one is not
// passed on, and of one the answer is lost.
func unreliable(t *testing.T, to string) string {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	p := &httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // it is signed
	}}
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			p.ServeHTTP(w, r)
			return
		}
		switch n.Add(1) % 3 {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			p.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler) // cuts the connection
		default:
			p.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		server.Close()
		tr.CloseIdleConnections()
	})
	return server.URL
}

// TestRequestsThatFailAndAnswersThatAreLost leave neither a gap nor a repetition,
// nor an environment that nobody can have.
func TestRequestsThatFailAndAnswersThatAreLost(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("state")
	dir := t.TempDir()
	b, err := bucket.New(bucket.Config{Address: "s3://state/dr", Endpoint: unreliable(t, s.Endpoint), Getenv: s.Getenv, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	base, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	st, err := Open(t.Context(), Config{Bucket: b, Base: base, Mirror: filepath.Join(dir, "mirror"), Now: time.Now, NewID: func() string { return ulid.Make().String() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 4 {
		l, err := st.Acquire(t.Context(), "e", state.Holder{Run: "r", Host: hostname(t), Since: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	const last = 12
	for seq := int64(1); seq <= last; seq++ {
		r := statetest.Note(seq, "x")
		switch seq {
		case 1:
			r = statetest.Started("r")
		case last:
			r = statetest.Ended(seq)
		}
		if err := st.Append(t.Context(), "r", []firedrill.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	other := machine(t, s, t.TempDir())
	records, err := other.Records(t.Context(), "r")
	if err != nil || len(records) != last {
		t.Errorf("%d records, %v", len(records), err)
	}
	if h, err := other.Holder(t.Context(), "e"); h != nil || err != nil {
		t.Errorf("held by %+v, %v", h, err)
	}
}
