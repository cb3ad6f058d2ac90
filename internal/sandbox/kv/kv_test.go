package kv_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"firedrill/internal/sandbox/kv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB, dir string, c *clock, lag time.Duration) *kv.Store {
	t.Helper()
	s, err := kv.Open(kv.Options{Dir: dir, Now: c.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler), Lag: lag})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func create(t testing.TB, s *kv.Store, title string) string {
	t.Helper()
	n, err := s.Create(title)
	if err != nil {
		t.Fatal(err)
	}
	return n.ID
}

func put(t testing.TB, s *kv.Store, id string, e kv.Entry) {
	t.Helper()
	if err := s.Put(context.Background(), id, kv.API, e); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s *kv.Store, id, key string, from kv.Place) (string, bool) {
	t.Helper()
	e, ok, err := s.Get(context.Background(), id, key, kv.Read{Place: from})
	if err != nil {
		t.Fatal(err)
	}
	return string(e.Value), ok
}

func code(err error) kv.Code {
	var e *kv.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func TestNamespacesHaveUniqueTitlesAndSurvive(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), newClock()
	s := open(t, dir, c, 0)
	a, b := create(t, s, "cache"), create(t, s, "config")
	if _, err := s.Create("cache"); code(err) != kv.CodeTitleTaken {
		t.Errorf("a title twice: %v", err)
	}
	if _, err := s.Rename(b, "cache"); code(err) != kv.CodeTitleTaken {
		t.Errorf("renamed to a taken title: %v", err)
	}
	if _, err := s.Rename(b, "settings"); err != nil {
		t.Fatal(err)
	}
	put(t, s, a, kv.Entry{Key: "k", Value: []byte("v")})
	if err := s.Delete(b); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(context.Background(), b, "k", kv.Read{}); code(err) != kv.CodeNoNamespace {
		t.Errorf("a deleted namespace answers: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, c, 0)
	if list := again.Namespaces(); len(list) != 1 || list[0].Title != "cache" || list[0].ID != a {
		t.Fatalf("after a restart %+v", list)
	}
	if v, ok := get(t, again, a, "k", kv.API); !ok || v != "v" {
		t.Errorf("after a restart %q, %v", v, ok)
	}
}

// TestIdsFollowFromTitles: a configuration may name the id of a namespace that
// is made later, on any sandbox.
func TestIdsFollowFromTitles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, newClock(), 0)
	a := create(t, s, "foundation-settings")
	if a != create(t, open(t, t.TempDir(), newClock(), 0), "foundation-settings") || a == create(t, s, "other") {
		t.Errorf("the id %s does not follow from the title", a)
	}
	if _, err := s.Rename(a, "renamed"); err != nil {
		t.Fatal(err)
	}
	b := create(t, s, "foundation-settings")
	if b == a {
		t.Error("two namespaces have one id")
	}
	// One that is made again is empty, whatever could not be deleted.
	put(t, s, a, kv.Entry{Key: "k", Value: []byte("v")})
	for _, id := range []string{a, b} {
		if err := s.Delete(id); err != nil {
			t.Fatal(err)
		}
	}
	if c := create(t, s, "foundation-settings"); c != a {
		t.Errorf("made again with another id: %s, not %s", c, a)
	}
	if _, ok := get(t, s, a, "k", kv.API); ok {
		t.Error("what was deleted is back")
	}
	if err := s.Delete(a); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, a+".db"), []byte("left behind"), 0o600); err != nil {
		t.Fatal(err)
	}
	if create(t, s, "foundation-settings") == a {
		t.Error("a new namespace got the files of another")
	}
}

func TestEveryKeyAndValueComesBackAsItWas(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), newClock(), 0)
	id := create(t, s, "n")
	keys := []string{"/", "//", "%", "%2F", "..x", " ", "a b", "#", "?", "?a=b#c", "🔥", "ü", strings.Repeat("k", 512), strings.Repeat("é", 256), "bulk/get", "\x00", "nul\x00l", "\n"}
	big := make([]byte, kv.MaxValue)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	values := [][]byte{nil, {}, {0, 255, 254}, []byte("text"), big}
	for i, k := range keys {
		put(t, s, id, kv.Entry{Key: k, Value: values[i%len(values)], Metadata: json.RawMessage(fmt.Sprintf(`{"i":%d}`, i))})
	}
	for i, k := range keys {
		e, ok, err := s.Get(context.Background(), id, k, kv.Read{})
		if err != nil || !ok || !bytes.Equal(e.Value, values[i%len(values)]) || string(e.Metadata) != fmt.Sprintf(`{"i":%d}`, i) {
			t.Errorf("key %q: ok=%v err=%v metadata=%s, %d bytes", k, ok, err, e.Metadata, len(e.Value))
		}
	}
	page, err := s.List(context.Background(), id, kv.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Keys {
		got = append(got, e.Key)
	}
	slices.Sort(keys)
	if d := cmp.Diff(keys, got); d != "" {
		t.Errorf("listed keys, want in the order of bytes:\n%s", d)
	}
}

func TestWhatIsOverTheLimitsChangesNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := open(t, t.TempDir(), c, 0)
	id := create(t, s, "n")
	for name, e := range map[string]kv.Entry{
		"empty key": {}, "dot": {Key: "."}, "dots": {Key: ".."}, "long key": {Key: strings.Repeat("k", 513)}, "not UTF-8": {Key: "\xff"},
		"long value": {Key: "k", Value: make([]byte, kv.MaxValue+1)}, "long metadata": {Key: "k", Metadata: json.RawMessage(`"` + strings.Repeat("m", 1023) + `"`)},
		"metadata": {Key: "k", Metadata: json.RawMessage(`{`)},
	} {
		good := kv.Entry{Key: "good"}
		list := []kv.Entry{good, e}
		_, err := s.PutAll(context.Background(), id, kv.API, from(list))
		if code(err) == 0 {
			t.Errorf("%s: bulk put says %v", name, err)
		}
		if err := s.Put(context.Background(), id, kv.API, e); code(err) == 0 {
			t.Errorf("%s: put says %v", name, err)
		}
	}
	many := make([]kv.Entry, kv.MaxPairs+1)
	for i := range many {
		many[i].Key = fmt.Sprint(i)
	}
	if _, err := s.PutAll(context.Background(), id, kv.API, from(many)); code(err) == 0 {
		t.Errorf("too many pairs: %v", err)
	}
	if n, _, err := s.Size(context.Background(), id); n != 0 || err != nil {
		t.Errorf("%d keys were stored by refused writes, %v", n, err)
	}
	ttl, soon := int64(59), c.Now().Unix()+59
	if _, err := kv.Expires(c.Now(), nil, &ttl); err == nil {
		t.Error("a ttl of 59 s is taken")
	}
	if _, err := kv.Expires(c.Now(), &soon, nil); err == nil {
		t.Error("an expiration in 59 s is taken")
	}
	ttl = 60
	if at, err := kv.Expires(c.Now(), &soon, &ttl); err != nil || at != c.Now().Unix()+60 {
		t.Errorf("both given: %d, %v; the ttl counts", at, err)
	}
}

// from gives entries one after the other.
func from(list []kv.Entry) func() (kv.Entry, bool, error) {
	return func() (kv.Entry, bool, error) {
		if len(list) == 0 {
			return kv.Entry{}, false, nil
		}
		e := list[0]
		list = list[1:]
		return e, true, nil
	}
}

func TestExpiredKeysAreGone(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := open(t, t.TempDir(), c, 0)
	id := create(t, s, "n")
	put(t, s, id, kv.Entry{Key: "a", Value: []byte("1"), Expiration: c.Now().Unix() + 60})
	put(t, s, id, kv.Entry{Key: "b", Value: []byte("2")})
	c.pass(59 * time.Second)
	if _, ok := get(t, s, id, "a", kv.API); !ok {
		t.Fatal("gone before its time")
	}
	c.pass(time.Second)
	if _, ok := get(t, s, id, "a", kv.API); ok {
		t.Error("read after its time")
	}
	page, err := s.List(context.Background(), id, kv.Query{})
	if err != nil || len(page.Keys) != 1 || page.Keys[0].Key != "b" {
		t.Errorf("listed %+v, %v", page, err)
	}
}

// TestListsAgreeWithAModel compares pages of any size with a sorted list.
func TestListsAgreeWithAModel(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), newClock(), 0)
	rapid.Check(t, func(r *rapid.T) {
		n, err := s.Create(fmt.Sprint("n", rapid.Uint64().Draw(r, "title")))
		if err != nil {
			r.Skip("the title is taken")
		}
		keys := rapid.SliceOfDistinct(rapid.StringOfN(rapid.RuneFrom([]rune("ab/é🔥\U0010ffff")), 1, 6, -1), func(s string) string { return s }).Draw(r, "keys")
		var list []kv.Entry
		for _, k := range keys {
			list = append(list, kv.Entry{Key: k})
		}
		if _, err := s.PutAll(context.Background(), n.ID, kv.API, from(list)); err != nil {
			r.Fatal(err)
		}
		prefix := rapid.StringOfN(rapid.RuneFrom([]rune("ab/é🔥\U0010ffff")), 0, 2, -1).Draw(r, "prefix")
		var want, got []string
		for _, k := range keys {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		slices.Sort(want)
		q := kv.Query{Prefix: prefix, Limit: rapid.IntRange(1, 4).Draw(r, "limit")}
		for {
			page, err := s.List(context.Background(), n.ID, q)
			if err != nil {
				r.Fatal(err)
			}
			for _, e := range page.Keys {
				got = append(got, e.Key)
			}
			if q.Cursor = page.Cursor; q.Cursor == "" {
				break
			}
			if len(page.Keys) != q.Limit {
				r.Fatalf("a page of %d before the last, want %d", len(page.Keys), q.Limit)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			r.Fatalf("prefix %q:\n%s", prefix, d)
		}
	})
}

func TestAPlaceLearnsLateOfAWriteElsewhere(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := open(t, t.TempDir(), c, time.Minute)
	id := create(t, s, "n")
	if _, ok := get(t, s, id, "k", kv.Workers); ok {
		t.Fatal("found what nobody wrote")
	}
	put(t, s, id, kv.Entry{Key: "k", Value: []byte("1")})
	put(t, s, id, kv.Entry{Key: "never read before", Value: []byte("x")})
	if v, _ := get(t, s, id, "k", kv.API); v != "1" {
		t.Errorf("where it was written: %q", v)
	}
	if v, ok := get(t, s, id, "k", kv.Workers); ok {
		t.Errorf("elsewhere at once: %q", v)
	}
	if _, ok := get(t, s, id, "never read before", kv.Workers); !ok {
		t.Error("a key that was never read there is late")
	}
	c.pass(time.Minute)
	if v, _ := get(t, s, id, "k", kv.Workers); v != "1" {
		t.Errorf("elsewhere after the lag: %q", v)
	}
	get(t, s, id, "k", kv.API)
	if err := s.DeleteKeys(context.Background(), id, kv.Workers, []string{"k"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := get(t, s, id, "k", kv.Workers); ok {
		t.Error("deleted here and still read here")
	}
	if _, ok := get(t, s, id, "k", kv.API); !ok {
		t.Error("deleted elsewhere and gone here at once")
	}
}

// TestWritesAtTheSameTimeAreAllStored covers the shared syncs.
func TestWritesAtTheSameTimeAreAllStored(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), newClock(), 0)
	id := create(t, s, "n")
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 25 {
				key := fmt.Sprintf("%d/%d", w, i)
				if i%10 == 9 {
					if _, err := s.PutAll(context.Background(), id, kv.Workers, from([]kv.Entry{{Key: key}})); err != nil {
						t.Error(err)
					}
					continue
				}
				if err := s.Put(context.Background(), id, kv.Workers, kv.Entry{Key: key}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, _, err := s.Size(context.Background(), id); n != 16*25 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

// TestWritesThatMeetADeletionAreTold deletes a namespace under writes.
func TestWritesThatMeetADeletionAreTold(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), newClock(), 0)
	id := create(t, s, "n")
	put(t, s, id, kv.Entry{Key: "first"})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				err := s.Put(context.Background(), id, kv.Workers, kv.Entry{Key: fmt.Sprintf("%d/%d", w, i)})
				if err != nil {
					if code(err) != kv.CodeNoNamespace {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	if err := s.Delete(id); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// TestReadsThatMeetTheEndAreTold ends a namespace in the middle of a read: where
// the read asks for the time.
func TestReadsThatMeetTheEndAreTold(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var now func() time.Time
	for what, read := range map[string]func(s *kv.Store, id string) error{
		"get": func(s *kv.Store, id string) error {
			_, _, err := s.Get(ctx, id, "k", kv.Read{Place: kv.API})
			return err
		},
		"list": func(s *kv.Store, id string) error { _, err := s.List(ctx, id, kv.Query{}); return err },
		"size": func(s *kv.Store, id string) error { _, _, err := s.Size(ctx, id); return err },
	} {
		for end, want := range map[string]kv.Code{"deletion": kv.CodeNoNamespace, "closing": 0} {
			c := newClock()
			now = c.Now
			s, err := kv.Open(kv.Options{Dir: t.TempDir(), Now: func() time.Time { return now() }, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			id := create(t, s, "n")
			put(t, s, id, kv.Entry{Key: "k"})
			now = func() time.Time {
				now = c.Now
				do := s.Close // says nothing about what is stored
				if end == "deletion" {
					do = func() error { return s.Delete(id) }
				}
				if err := do(); err != nil {
					t.Error(err)
				}
				return c.Now()
			}
			if err := read(s, id); err == nil || code(err) != want {
				t.Errorf("%s meets %s: %v", what, end, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
