//go:build unix

package main

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The generator takes a right answer however it is framed, and nothing else.
func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	handlers := map[string]http.HandlerFunc{
		"/plain": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") },
		"/chunked": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "o")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "k")
		},
		"/wrong":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "okay") },
		"/status": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ok", http.StatusAccepted) },
		"/cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "ok")
		},
	}
	mux := http.NewServeMux()
	for path, h := range handlers {
		mux.HandleFunc(path, h)
	}
	srv := httptest.NewServer(mux)
	defer srv.Close()
	tgt := target{addr: strings.TrimPrefix(srv.URL, "http://"), host: "localhost"}
	for path := range handlers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		c, err := tgt.dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second finds what the first left unread
			err = c.exchange([]byte("GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"), []byte("ok"))
			if right := path == "/plain" || path == "/chunked"; (err == nil) != right {
				t.Errorf("%s: %v", path, err)
			}
		}
		c.hangUp()
		cancel()
	}
}

// Wrong answers are failures, are counted, and make the report fail.
func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	var n int
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n%50 == 0 { // one connection: one request at a time
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	defer srv.Close()
	s, err := target{addr: strings.TrimPrefix(srv.URL, "http://"), host: "localhost"}.attack(context.Background(), rows()[0], 1, 100*time.Millisecond)
	if err != nil || s.failed == 0 || len(s.latency) == 0 || s.answered < len(s.latency) {
		t.Fatalf("%d failed, %d in time, %d answered, %v", s.failed, len(s.latency), s.answered, err)
	}
	var l line
	l.add(1, s)
	r := report{Lines: []line{l.finish()}}
	if r.failures() != s.failed || !strings.Contains(r.firstFailure(), "502") {
		t.Errorf("%d failures, first %q", r.failures(), r.firstFailure())
	}
}

func TestSyncsAreCountedByKindOfFile(t *testing.T) {
	t.Parallel()
	got := countSyncs(`10 fsync(7</state/a.db-wal>) = 0
11 fdatasync(8</state/b.db-wal> <unfinished ...>
11 <... fdatasync resumed>) = 0
10 fsync(9</state/folder>) = 0
10 +++ exited with 0 +++
`)
	if !maps.Equal(got, map[string]int{".db-wal": 2, "folder": 1}) {
		t.Errorf("%v", got)
	}
	l := syncLine{Writes: 3}
	if !l.durable(got) || l.durable(map[string]int{".db-wal": 2}) || l.durable(nil) {
		t.Error("what is durable")
	}
}

func TestQuantilesAndMedians(t *testing.T) {
	t.Parallel()
	s := sample{took: time.Second}
	for i := range 100 {
		s.latency = append(s.latency, time.Duration(100-i)*time.Millisecond)
	}
	if n := s.numbers(); n.PerSecond != 100 || n.P50 != 51 || n.P99 != 100 {
		t.Errorf("%+v", n)
	}
	if median([]float64{3, 1, 2}) != 2 || median([]float64{4, 1, 3, 2}) != 2.5 {
		t.Error("median")
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	if opt, err := parse([]string{"--only", "kv,startup", "--seconds", "2"}); err != nil || len(opt.only) != 2 || opt.length() != time.Second {
		t.Errorf("%+v, %v", opt, err)
	}
	for _, args := range [][]string{{"--only", "nope"}, {"extra"}, {"--seconds", "0"}, {"--starts", "0"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
