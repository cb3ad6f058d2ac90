package cloudflare

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"firedrill"
	kvsandbox "firedrill/internal/sandbox/kv"
)

// stranger writes into a place just before it is looked at, as long as it has
// writes left.
type stranger struct {
	p      *platform
	writes atomic.Int64
	n      atomic.Int64
}

func (s *stranger) among(end string, write func(n int64)) {
	s.p.bending(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, end) && s.writes.Add(-1) >= 0 {
			write(s.n.Add(1))
		}
		return false
	})
}

// TestWritersAreWatched: one write is enough to be seen; stillness is a whole
// window without one; and that nobody was seen is never taken for going on.
func TestWritersAreWatched(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"d1", "kv", "kv value"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			b := newBench(t, p.url)
			s := &stranger{p: p}
			name, in := "d1", firedrill.Values{}
			if kind == "d1" {
				id := p.create("shop", "CREATE TABLE t (n)")
				in["database"] = id
				s.among("/time_travel/bookmark", func(n int64) { p.exec(id, fmt.Sprintf("INSERT INTO t VALUES (%d)", n)) })
			} else {
				id := p.cache(20)
				name, in["namespace"] = "kv", id
				s.among("/keys", func(n int64) {
					key := "user/018" // its value changes, and nothing else
					if kind == "kv" {
						key = fmt.Sprint("more/", n)
					}
					if err := p.kv.Put(context.Background(), id, kvsandbox.API, kvsandbox.Entry{Key: key, Value: fmt.Append(nil, "text ", n)}); err != nil {
						t.Error(err)
					}
				})
			}
			with := func(more ...any) firedrill.Values {
				v := db("", more...)
				delete(v, "database")
				maps.Copy(v, in)
				return v
			}
			if o := b.do("busy", name+".watch-writes", in); o.Outputs["seen"] != false {
				t.Errorf("nobody writes: %+v", o)
			}
			s.writes.Store(2)
			if o := b.do("busy", name+".watch-writes", in); o.Outputs["seen"] != true {
				t.Errorf("somebody writes: %+v", o)
			}
			s.writes.Store(3) // they learn late that they are to stop
			if o := b.do("still", name+".await-still", with("patience", int64(2))); !ok(o) || o.Outputs["stood_ms"].(int64) < 500 || s.writes.Load() > 0 {
				t.Errorf("writers that stop: %+v", o)
			}
			s.writes.Store(1 << 40)
			if o := b.do("still", name+".await-still", with("patience", int64(2))); ok(o) || !strings.Contains(o.Summary, "somebody still writes") {
				t.Errorf("writers that do not stop: %+v", o)
			}
			if o := b.do("again", name+".await-writes", with("seen", true, "patience", int64(2))); !ok(o) || o.Outputs["shown"] != true {
				t.Errorf("writers that go on: %+v", o)
			}
			s.writes.Store(0)
			if o := b.do("again", name+".await-writes", with("seen", true, "patience", int64(2))); ok(o) || !strings.Contains(o.Summary, "nobody wrote") {
				t.Errorf("writers that do not go on: %+v", o)
			}
			if o := b.do("again", name+".await-writes", with("seen", false)); o.Outputs["shown"] != false || len(o.Collateral) != 1 || len(o.Checks) != 0 {
				t.Errorf("nobody was seen: %+v", o)
			}
			b.fails(firedrill.KindUsage, name+".watch-writes", with("window_ms", int64(-1)))
		})
	}
}

// TestWhatCannotBeWatchedIsSaid: a large namespace is watched in part.
func TestWhatCannotBeWatchedIsSaid(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.cache(1001)
	b := newBench(t, p.url)
	o := b.do("busy", "kv.watch-writes", firedrill.Values{"namespace": id})
	if len(o.Collateral) != 1 || !strings.Contains(o.Collateral[0], "the values of 1,000 of 1,001 keys") {
		t.Errorf("%q", o.Collateral)
	}
}

// TestOwnKeysMoveNothingThatIsWatched: of a namespace with more keys than are
// watched the same ones are, however many of firedrill's own come before them.
func TestOwnKeysMoveNothingThatIsWatched(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.cache(0)
	put := func(format string, from, n int) {
		t.Helper()
		i := from
		if _, err := p.kv.PutAll(t.Context(), id, kvsandbox.API, func() (kvsandbox.Entry, bool, error) {
			i++
			return kvsandbox.Entry{Key: fmt.Sprintf(format, i), Value: []byte("x")}, i <= from+n, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	put("user/%05d", 0, 9_000)
	put("user/%05d", 9_000, watchedKeys-9_000+5)
	ns, err := p.client(t, nil).KV(t.Context(), "test", id, nil)
	if err != nil {
		t.Fatal(err)
	}
	look := func() string {
		t.Helper()
		state, partial, err := keysAndValues{ns}.state(t.Context())
		if err != nil || !strings.Contains(partial, "the first 10,000 keys") {
			t.Fatalf("%q %v", partial, err)
		}
		return state
	}
	before := look()
	put(ownKeys+"sentinel/%d", 0, 30)
	if look() != before {
		t.Error("firedrill's own keys are taken for writes of others")
	}
	put("a/%d", 0, 1)
	if look() == before {
		t.Error("a write of others is not seen")
	}
}
