package measuring

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// lie is a way in which the application misleads.
type lie string

const (
	honest     lie = ""
	cached     lie = "cached"     // a cache goes on with the good page
	redirected lie = "redirected" // for good, it sends to a healthy copy of itself
	unrepaired lie = "unrepaired" // the repair answers success and does nothing
)

// app keeps numbers and answers a page.
type app struct {
	*httptest.Server
	lie lie

	mu      sync.Mutex
	down    bool
	broken  int // how often it was damaged
	there   map[int64]bool
	acked   []int64
	damaged int // how many were acknowledged before it was damaged
	lost    int // how many the repair took away
	alert   time.Time
}

func newApp(t *testing.T, l lie) *app {
	t.Helper()
	a := &app{lie: l, there: map[int64]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", a.page)
	mux.HandleFunc("GET /blind", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, time.Now()) })
	mux.HandleFunc("GET /copy", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ok":true}`) })
	mux.HandleFunc("GET /alert", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		fmt.Fprintf(w, `{"firing":%v}`, a.down && time.Now().After(a.alert))
	})
	mux.HandleFunc("POST /canaries/{n}", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil || a.down && n%2 == 0 {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		a.there[n] = true
		a.acked = append(a.acked, n)
	})
	mux.HandleFunc("GET /canaries", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		_ = json.NewEncoder(w).Encode(slices.AppendSeq([]int64{}, maps.Keys(a.there)))
	})
	mux.HandleFunc("DELETE /canaries", func(http.ResponseWriter, *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		clear(a.there)
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *app) page(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.broken > 0 && a.lie == redirected:
		http.Redirect(w, r, "/copy", http.StatusFound)
	case a.down && a.lie == cached:
		w.Header().Set("Age", "3600")
		fmt.Fprint(w, `{"ok":true}`)
	case a.down:
		http.Error(w, "the data is gone", http.StatusServiceUnavailable)
	default:
		fmt.Fprint(w, `{"ok":true}`)
	}
}

// breakIt damages the application.
func (a *app) breakIt() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.broken++
	a.down, a.damaged, a.alert = true, len(a.acked), time.Now().Add(200*time.Millisecond)
}

// repair brings back what was there two numbers before the damage.
func (a *app) repair() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.down || a.lie == unrepaired {
		return
	}
	a.down = false
	for _, n := range a.acked[a.damaged-2:] {
		delete(a.there, n)
		a.lost++
	}
}
