package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/observe"
	kvsandbox "firedrill/internal/sandbox/kv"
)

// watchman is a namespace with a sentinel that writes into it.
type watchman struct {
	t     *testing.T
	p     *platform
	b     *bench
	hands *crew
	id    string
}

func newWatchman(t *testing.T) *watchman {
	t.Helper()
	w := &watchman{t: t, p: newPlatform(t)}
	w.id = w.p.cache(5)
	w.b = newBench(t, w.p.url)
	w.start()
	return w
}

// start starts the sentinel in a process of its own.
func (w *watchman) start() firedrill.Outcome {
	w.t.Helper()
	hands := &crew{all: map[string]firedrill.Observer{}}
	w.hands, w.b.call.Observers = hands, hands
	w.t.Cleanup(func() {
		for _, o := range hands.all {
			o.Stop()
		}
		hands.group.Wait()
	})
	return w.b.do("sentinel", "kv.sentinel", w.in("every_ms", int64(1)))
}

func (w *watchman) in(more ...any) firedrill.Values {
	v := firedrill.Values{"namespace": w.id}
	for i := 0; i+1 < len(more); i += 2 {
		v[more[i].(string)] = more[i+1]
	}
	return v
}

// more waits for some further acknowledged writes.
func (w *watchman) more(n int) {
	w.t.Helper()
	o, _ := w.hands.Get("sentinel")
	for range n {
		if err := o.(*observe.Sentinel).Resume(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *watchman) stop(settle int64) (firedrill.Outcome, error) {
	w.t.Helper()
	return w.b.try("loss", "kv.sentinel-stop", w.in("sentinel", "sentinel", "settle", settle))
}

func lost(o firedrill.Outcome) (n int, first int64) {
	for _, a := range o.Observation.Acks {
		if a.Lost {
			if n++; n == 1 {
				first = a.N
			}
		}
	}
	return n, first
}

func TestTheKVSentinelCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	w := newWatchman(t)
	// What another run left behind is no survivor of this one.
	if err := w.p.kv.Put(context.Background(), w.id, kvsandbox.API, kvsandbox.Entry{Key: sentinelPrefix + "run-0/000000000001", Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	w.more(3)
	saved := w.b.do("backup", "kv.backup", w.in())
	prefix := sentinelPrefix + "run-1/"
	w.more(3)
	compare := w.in("backup", "backup", "settle", int64(0))
	if o := w.b.do("differs", "kv.compare", compare); ok(o) || !strings.Contains(o.Summary, "stranger") {
		t.Errorf("the sentinel does not show where it is not left out: %s", o.Summary)
	}
	compare["ignore"] = prefix
	if o := w.b.do("equal", "kv.compare", compare); !ok(o) || o.Outputs["keys"] != int64(6) {
		t.Errorf("the sentinel shows where it is left out: %s", o.Summary)
	}
	w.b.do("restore", "kv.restore", w.in("backup", "backup"))
	w.more(3)
	o, err := w.stop(0)
	if err != nil {
		t.Fatal(err)
	}
	kept := saved.Outputs["keys"].(int64) - 6
	n, first := lost(o)
	if n < 3 || first != kept+1 || o.Outputs["lost"].(int64) != int64(n) || o.Outputs["ghosts"] != int64(0) || n == len(o.Observation.Acks) {
		t.Errorf("%d lost from %d on, after %d were kept; %v", n, first, kept, o.Outputs)
	}
	if again, err := w.stop(0); err != nil || again.Summary != o.Summary {
		t.Errorf("stopped twice: %s, then %s, %v", o.Summary, again.Summary, err)
	}
	// A process that takes the run up goes on with numbers that were never given.
	w.start()
	w.more(2)
	o2, err := w.stop(0)
	if n2, _ := lost(o2); err != nil || n2 != n || len(o2.Observation.Acks) < len(o.Observation.Acks)+2 {
		t.Errorf("taken up: %v after %v, %v", o2.Outputs, o.Outputs, err)
	}
	w.b.do("remove", "kv.sentinel-remove", w.in())
	if o := w.b.do("remove", "kv.sentinel-remove", w.in()); !ok(o) {
		t.Errorf("removed twice: %s", o.Summary)
	}
	if left := w.p.entries(w.id); len(left) != 6 {
		t.Errorf("%d keys are left", len(left))
	}
}

// hiding leaves one key out of the lists below the sentinel's prefix, as long
// as it is told to.
func (w *watchman) hiding(key string, more func() bool) {
	w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
		prefix := r.URL.Query().Get("prefix")
		if !strings.HasSuffix(r.URL.Path, "/keys") || !strings.HasPrefix(prefix, sentinelPrefix) || !more() {
			return false
		}
		page, err := w.p.kv.List(r.Context(), w.id, kvsandbox.Query{Prefix: prefix})
		if err != nil {
			w.t.Error(err)
		}
		names := []map[string]string{}
		for _, e := range page.Keys {
			if e.Key != key {
				names = append(names, map[string]string{"name": e.Key})
			}
		}
		answer(rw, names)
		return true
	})
}

func TestAKVSentinelIsNotLiedTo(t *testing.T) {
	t.Parallel()
	second := sentinelPrefix + "run-1/000000000002"
	forget := func(w *watchman, key string) {
		if err := w.p.kv.DeleteKeys(context.Background(), w.id, kvsandbox.API, []string{key}); err != nil {
			w.t.Error(err)
		}
	}
	put := func(w *watchman, key, value string) {
		if err := w.p.kv.Put(context.Background(), w.id, kvsandbox.API, kvsandbox.Entry{Key: key, Value: []byte(value)}); err != nil {
			w.t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		lie  func(*watchman)
		kind firedrill.Kind // "" where the truth comes out all the same
		lost int
	}{
		"no lie":                           {func(*watchman) {}, "", 0},
		"a write that was not stored":      {func(w *watchman) { forget(w, second) }, "", 1},
		"another value under a number":     {func(w *watchman) { put(w, second, "3") }, firedrill.KindCorrupt, 0},
		"a key that is no number":          {func(w *watchman) { put(w, sentinelPrefix+"run-1/2", "2") }, firedrill.KindCorrupt, 0},
		"a list that hides it for a while": {func(w *watchman) { n := 0; w.hiding(second, func() bool { n++; return n < 3 }) }, "", 0},
		"a list that hides it for good":    {func(w *watchman) { w.hiding(second, func() bool { return true }) }, firedrill.KindUnknown, 0},
		"values that hide it for good": {func(w *watchman) {
			w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/bulk/get") {
					return false
				}
				answer(rw, map[string]any{"values": nothing(w)})
				return true
			})
		}, firedrill.KindUnknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatchman(t)
			w.more(3)
			o, _ := w.hands.Get("sentinel")
			o.Stop() // the lie is told about writes that are over
			c.lie(w)
			out, err := w.stop(2)
			if firedrill.KindOf(err) != c.kind {
				t.Fatalf("%+v, %v", out, err)
			}
			if n := 0; err == nil {
				if n, _ = lost(out); n != c.lost {
					t.Errorf("%d lost, want %d", n, c.lost)
				}
			}
		})
	}
}

// nothing answers a bulk read of every number so that none is there.
func nothing(w *watchman) map[string]any {
	out := map[string]any{}
	for n := range 5000 {
		out[fmt.Sprintf("%srun-1/%012d", sentinelPrefix, n)] = nil
	}
	return out
}

// TestWhatWasWrittenIsLookedForOnlyOnceItMustBeVisible: elsewhere than on this
// machine nothing is read before the settle window is over.
func TestWhatWasWrittenIsLookedForOnlyOnceItMustBeVisible(t *testing.T) {
	t.Parallel()
	w := newWatchman(t)
	w.more(1)
	o, _ := w.hands.Get("sentinel")
	o.Stop()
	s := o.(*observe.Sentinel)
	keys := s.Place().(sentinelKeys)
	keys.settle, keys.ns.c.local = 90*time.Second, false
	w.b.mu.Lock()
	w.b.slept = nil
	w.b.mu.Unlock()
	if _, err := keys.Survivors(context.Background(), first(s.Sent()), nil); err != nil {
		t.Fatal(err)
	}
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	if len(w.b.slept) == 0 || w.b.slept[0] != 90*time.Second {
		t.Errorf("slept %v", w.b.slept)
	}
}

// TestOnlyASentinelIsLeftOut: no comparison can be made blind to anything else.
func TestOnlyASentinelIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"user/", ownKeys, sentinelPrefix, sentinelPrefix + "/", sentinelPrefix + "run", sentinelPrefix + "a/b/", "x" + sentinelPrefix + "run/"} {
		if _, err := ignoreSentinel("kv.compare", prefix); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%q: %v", prefix, err)
		}
	}
	ignore, err := ignoreSentinel("kv.compare", sentinelPrefix+"run/")
	if err != nil || !ignore(sentinelPrefix+"run/000000000001") || ignore(sentinelPrefix+"other/000000000001") || ignore("user/001") {
		t.Errorf("another choice of keys, %v", err)
	}
}

// TestWhatExpiresIsNotDamaged: a key that expires during a drill can neither be
// found different nor be put back; it is exempt, and named.
func TestWhatExpiresIsNotDamaged(t *testing.T) {
	t.Parallel()
	w := newWatchman(t)
	w.b.mu.Lock()
	w.b.now = time.Now()
	w.b.mu.Unlock()
	soon := time.Now().Add(62 * time.Second).Unix()
	for i := range 20 {
		if err := w.p.kv.Put(context.Background(), w.id, kvsandbox.API, kvsandbox.Entry{Key: fmt.Sprintf("session/%02d", i), Value: []byte("s"), Expiration: soon}); err != nil {
			t.Fatal(err)
		}
	}
	w.b.do("backup", "kv.backup", w.in())
	d := w.b.do("damage", "kv.damage", w.in("backup", "backup", "keys", int64(60)))
	if d.Outputs["deleted"].(int64)+d.Outputs["overwritten"].(int64) != 5 {
		t.Errorf("damaged %v, and 5 keys live long", d.Outputs)
	}
	if o := w.b.do("seen", "kv.compare", w.in("backup", "backup", "damage", "damage.json", "settle", int64(0), "ignore", sentinelPrefix+"run-1/")); !ok(o) {
		t.Errorf("seen: %s", o.Summary)
	}
	r := w.b.do("restore", "kv.restore", w.in("backup", "backup"))
	if len(r.Outputs["expired"].([]any)) != 20 || len(r.Collateral) != 20 {
		t.Errorf("expired: %v, collateral %v", r.Outputs["expired"], r.Collateral)
	}
	if o := w.b.do("equal", "kv.compare", w.in("backup", "backup", "settle", int64(0), "ignore", sentinelPrefix+"run-1/")); !ok(o) || len(o.Collateral) != 20 {
		t.Errorf("equal: %s, collateral %v", o.Summary, o.Collateral)
	}
}

// TestWhatIsRemovedIsLookedForAgain: a delete that does nothing is told, and
// one that shows late is waited for.
func TestWhatIsRemovedIsLookedForAgain(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"kv.sentinel-remove", "kv.remove-canaries"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			w := newWatchman(t)
			o, _ := w.hands.Get("sentinel")
			o.Stop()
			w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/bulk/delete") {
					return false
				}
				var keys []string
				if err := json.NewDecoder(r.Body).Decode(&keys); err != nil {
					t.Error(err)
				}
				answer(rw, map[string]any{"successful_key_count": len(keys), "unsuccessful_keys": []string{}})
				return true
			})
			if o := w.b.do("remove", action, w.in("settle", int64(1))); ok(o) || !strings.Contains(o.Summary, "still listed") {
				t.Errorf("nothing was deleted: %s", o.Summary)
			}
			w.p.bending(nil)
			first := true
			stale := func() bool { defer func() { first = false }(); return first }
			w.p.bending(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/keys") || len(w.p.entries(w.id)) > 5 || !stale() {
					return false
				}
				answer(rw, []map[string]string{{"name": ownKeys + "late"}})
				return true
			})
			if o := w.b.do("remove", action, w.in("settle", int64(1))); !ok(o) {
				t.Errorf("it shows late: %s", o.Summary)
			}
			if first {
				t.Error("nothing showed late")
			}
		})
	}
}

func first(acknowledged, _ []int64) []int64 { return acknowledged }
