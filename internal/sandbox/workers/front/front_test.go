package front

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A request that finds the process just dead waits for the next one, with its
// body unspent.
func TestARequestMovesToTheNextLifeOfAProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := New(Options{Domain: "d.test", Random: func(b []byte) { clear(b) }, Wait: 30 * time.Second, Log: slog.New(slog.DiscardHandler)})
	up := NewUpstream()
	up.Up(map[string]string{"w": filepath.Join(dir, "gone")})
	p.Swap(&Table{Routes: map[string]*Route{"w": {WorkersDev: true, Group: &Group{
		Splits: []Split{{Script: "w", Shares: []Share{{"v", 100}}}}, Upstreams: map[string]*Upstream{"v": up},
	}}}})
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body) // the test sees what arrives
	})}
	go func() { _ = backend.Serve(l) }() // ends with Close
	defer backend.Close()
	front := httptest.NewServer(p)
	defer front.Close()

	type result struct {
		status int
		body   string
	}
	got := make(chan result)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		go func() {
			req, _ := http.NewRequest(method, front.URL, nil)
			if method == http.MethodPost {
				req, _ = http.NewRequest(method, front.URL, strings.NewReader("kept"))
			}
			req.Host = "w.d.test"
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				got <- result{body: err.Error()}
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			got <- result{resp.StatusCode, string(body)}
		}()
	}
	for up.InFlight() < 2 {
		time.Sleep(time.Millisecond)
	}
	up.Up(map[string]string{"w": filepath.Join(dir, "s")})
	bodies := map[string]bool{}
	for range 2 {
		r := <-got
		if r.status != http.StatusOK {
			t.Errorf("%+v", r)
		}
		bodies[r.body] = true
	}
	if !bodies[""] || !bodies["kept"] {
		t.Errorf("bodies %v", bodies)
	}
	up.Close()
	http.DefaultClient.CloseIdleConnections()
}
