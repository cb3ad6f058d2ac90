package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"firedrill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a namespace in memory that behaves like the platform's, counts its
// calls, and can be made to fail.
type memory struct {
	mu    sync.Mutex
	all   map[string]Entry
	calls map[string]int
	// fail may break a call; it is told the call's name and number.
	fail func(call string, n int) error
	// unstored keys are named as unsuccessful by writes, that many times.
	unstored map[string]int
	page     int // keys on a page; 0: 1000
	largest  int // bytes of values in a bulk answer; 0: 25 MiB
}

func newMemory(entries ...Entry) *memory {
	m := &memory{all: map[string]Entry{}, calls: map[string]int{}, unstored: map[string]int{}}
	for _, e := range entries {
		m.all[e.Key] = e
	}
	return m
}

func (m *memory) called(call string) error {
	m.calls[call]++
	if m.fail != nil {
		return m.fail(call, m.calls[call])
	}
	return nil
}

func (m *memory) List(_ context.Context, cursor string) ([]Key, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.called("list"); err != nil {
		return nil, "", err
	}
	page := m.page
	if page == 0 {
		page = 1000
	}
	var keys []Key
	for _, k := range slices.Sorted(maps.Keys(m.all)) {
		if k <= cursor && cursor != "" {
			continue
		}
		if len(keys) == page {
			return keys, keys[page-1].Name, nil
		}
		keys = append(keys, Key{k, m.all[k].Expiration, m.all[k].Metadata})
	}
	return keys, "", nil
}

func (m *memory) BulkGet(_ context.Context, keys []string) (map[string]Text, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.called("bulk get"); err != nil {
		return nil, err
	}
	out, size := map[string]Text{}, 0
	largest := m.largest
	if largest == 0 {
		largest = 25 << 20
	}
	for _, k := range keys {
		e, ok := m.all[k]
		if !ok {
			continue
		}
		if size += len(e.Value); size > largest {
			return nil, ErrTooLarge
		}
		out[k] = Text{strings.ToValidUTF8(string(e.Value), string(utf8.RuneError)), e.Expiration, e.Metadata}
	}
	return out, nil
}

func (m *memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.called("get")
	e, ok := m.all[key]
	return bytes.Clone(e.Value), ok, err
}

func (m *memory) BulkPut(_ context.Context, b Body, n int) ([]string, error) {
	r, err := b.Open()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if int64(len(body)) != b.Size {
		return nil, fmt.Errorf("a body of %d bytes was announced with %d", len(body), b.Size)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.called("bulk put"); err != nil {
		return nil, err
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil || len(raw) > MaxPairs || len(raw) != n {
		return nil, fmt.Errorf("%d pairs, %w", len(raw), err)
	}
	var left []string
	for _, r := range raw {
		e, err := decodePair(json.NewDecoder(bytes.NewReader(r)))
		if err != nil {
			return nil, err
		}
		if m.unstored[e.Key] > 0 {
			m.unstored[e.Key]--
			left = append(left, e.Key)
			continue
		}
		m.all[e.Key] = e
	}
	return left, nil
}

func (m *memory) BulkDelete(_ context.Context, keys []string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.called("bulk delete"); err != nil {
		return nil, err
	}
	for _, k := range keys {
		delete(m.all, k)
	}
	return nil, nil
}

func options() WriteOptions {
	return WriteOptions{Source: Source{API: "test", Account: "a", Namespace: "n"}, Tool: "test", Now: time.Now}
}

func restoring(mode Mode) RestoreOptions {
	return RestoreOptions{Mode: mode, Now: time.Now, Sleep: func(context.Context, time.Duration) error { return nil }}
}

func write(t testing.TB, src KVSource, o WriteOptions) *Backup {
	t.Helper()
	place := Folder(filepath.Join(t.TempDir(), "backup"))
	m, err := WriteKV(context.Background(), src, place, o)
	if err != nil {
		t.Fatal(err)
	}
	return &Backup{Place: place, Manifest: m}
}

// verify opens a backup and verifies it.
func verify(place Place) error {
	b, err := Open(context.Background(), place)
	if err != nil {
		return err
	}
	return b.Verify(context.Background())
}

// restore opens a backup and restores it.
func restore(place Place, sink KVSink, o RestoreOptions) (Restored, error) {
	b, err := Open(context.Background(), place)
	if err != nil {
		return Restored{}, err
	}
	return b.RestoreKV(context.Background(), sink, o)
}

func kind(err error) firedrill.Kind { return firedrill.KindOf(err) }

// TestARoundTripIsExact backs up random namespaces and restores them.
func TestARoundTripIsExact(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		metadata := rapid.SampledFrom([]string{"", "null", `"m"`, `{"b":1,"a":[12345678901234567890,"ü"]}`})
		src := newMemory()
		for range rapid.IntRange(0, 30).Draw(r, "keys") {
			e := Entry{Key: rapid.StringN(1, 20, 512).Draw(r, "key"), Value: rapid.SliceOf(rapid.Byte()).Draw(r, "value")}
			if text := metadata.Draw(r, "metadata"); text != "" {
				e.Metadata = json.RawMessage(text)
			}
			if rapid.Bool().Draw(r, "expires") {
				e.Expiration = time.Now().Unix() + rapid.Int64Range(1000, 1e9).Draw(r, "in")
			}
			src.all[e.Key] = e
		}
		src.page, src.largest = rapid.IntRange(1, 10).Draw(r, "page"), 200
		o := options()
		o.MaxPairs, o.MaxPartBytes = rapid.IntRange(1, 5).Draw(r, "pairs"), rapid.Int64Range(1, 2000).Draw(r, "bytes")
		place := Folder(filepath.Join(root, fmt.Sprint(n)))
		m, err := WriteKV(context.Background(), src, place, o)
		if err != nil || m.Keys != int64(len(src.all)) {
			r.Fatalf("%d keys of %d, %v", m.Keys, len(src.all), err)
		}
		target := newMemory(Entry{Key: "a stranger", Value: []byte("x")})
		out, err := restore(place, target, restoring(ModeExact))
		if err != nil || out.Put != m.Keys {
			r.Fatalf("%+v, %v", out, err)
		}
		for k, e := range src.all {
			got := target.all[k]
			if !bytes.Equal(got.Value, e.Value) || got.Expiration != e.Expiration || string(got.Metadata) != string(e.Metadata) && string(e.Metadata) != "null" {
				r.Fatalf("key %q: %+v, want %+v", k, got, e)
			}
		}
		if compared, err := (&Backup{Place: place, Manifest: m}).Check(context.Background(), target, restoring(ModeExact)); err != nil || compared != m.Keys || len(target.all) != len(src.all) {
			r.Fatalf("compared %d of %d, %v", compared, m.Keys, err)
		}
	})
}

// TestRequestsAreAtTheFloor counts what a backup and a restore send.
func TestRequestsAreAtTheFloor(t *testing.T) {
	t.Parallel()
	src := newMemory()
	const keys, binary = 25_000, 7
	for i := range keys {
		e := Entry{Key: fmt.Sprintf("key%06d", i), Value: []byte("text")}
		if i < binary {
			e.Value = []byte{0xff, byte(i)}
		}
		src.all[e.Key] = e
	}
	b := write(t, src, options())
	if d := cmp.Diff(map[string]int{"list": keys / 1000, "bulk get": keys / 100, "get": binary}, src.calls); d != "" {
		t.Errorf("calls of a backup:\n%s", d)
	}
	target := newMemory()
	if _, err := restore(b.Place, target, restoring(ModeNone)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int{"list": 1, "bulk put": 3}, target.calls); d != "" {
		t.Errorf("calls of a restore:\n%s", d)
	}
	if len(target.all) != keys {
		t.Errorf("%d keys", len(target.all))
	}
}

// TestABackupThatWasCutOffGoesOn breaks every call once.
func TestABackupThatWasCutOffGoesOn(t *testing.T) {
	t.Parallel()
	src := newMemory()
	for i := range 950 {
		k := fmt.Sprintf("key%04d", i)
		src.all[k] = Entry{Key: k, Value: []byte(strings.Repeat("v", i%50))}
	}
	src.page = 150
	o := options()
	o.MaxPairs = 130
	want := write(t, src, o).Manifest
	broken := errors.New("broken")
	for _, call := range []string{"list", "bulk get"} {
		for at := 1; at <= src.calls[call]; at++ {
			dir := Folder(filepath.Join(t.TempDir(), "backup"))
			once := newMemory()
			once.all, once.page = src.all, src.page
			once.fail = func(c string, n int) error {
				if c == call && n == at {
					return broken
				}
				return nil
			}
			if _, err := WriteKV(context.Background(), once, dir, o); !errors.Is(err, broken) {
				t.Fatalf("%s %d: %v", call, at, err)
			}
			if err := verify(dir); kind(err) != firedrill.KindCorrupt {
				t.Fatalf("%s %d: half a backup is verified: %v", call, at, err)
			}
			m, err := WriteKV(context.Background(), once, dir, o)
			if err != nil || m.Keys != want.Keys || m.Digest != want.Digest {
				t.Fatalf("%s %d: %d keys, %v", call, at, m.Keys, err)
			}
			if err := verify(dir); err != nil {
				t.Fatalf("%s %d: %v", call, at, err)
			}
		}
	}
}

// TestNoDamageIsVerified flips, cuts, removes and exchanges.
func TestNoDamageIsVerified(t *testing.T) {
	t.Parallel()
	src := newMemory()
	for i := range 60 {
		k := fmt.Sprintf("key%02d", i)
		src.all[k] = Entry{Key: k, Value: []byte{byte(i), 'x'}, Metadata: json.RawMessage(`{"i":1}`), Expiration: time.Now().Unix() + 1e6}
	}
	o := options()
	o.MaxPairs = 20
	b := write(t, src, o)
	dir, m := b.Place.String(), b.Manifest
	if err := verify(b.Place); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	damaged := func(what string, change func(dir string)) {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		change(copied)
		if err := verify(Folder(copied)); err == nil {
			t.Errorf("%s: the backup is verified", what)
		}
		target := newMemory()
		if _, err := restore(Folder(copied), target, restoring(ModeNone)); err == nil || len(target.all) > 0 {
			t.Errorf("%s: restored %d keys, %v", what, len(target.all), err)
		}
	}
	edit := func(name string, f func([]byte) []byte) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, f(data), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range m.Parts {
		for range 40 {
			at, bit := random.IntN(int(p.Bytes)), random.IntN(8)
			damaged(fmt.Sprintf("bit %d of byte %d of %s", bit, at, p.File), edit(p.File, func(b []byte) []byte { b[at] ^= 1 << bit; return b }))
		}
		damaged("cut "+p.File, edit(p.File, func(b []byte) []byte { return b[:len(b)/2] }))
		damaged("longer "+p.File, edit(p.File, func(b []byte) []byte { return append(b, ' ') }))
		damaged("without "+p.File, func(dir string) {
			if err := os.Remove(filepath.Join(dir, p.File)); err != nil {
				t.Fatal(err)
			}
		})
	}
	manifest := func(change func(*Manifest)) func(string) {
		return edit(ManifestName, func(b []byte) []byte {
			var m Manifest
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			change(&m)
			data, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return data
		})
	}
	damaged("exchanged parts", manifest(func(m *Manifest) { m.Parts[0], m.Parts[1] = m.Parts[1], m.Parts[0] }))
	damaged("a part less", manifest(func(m *Manifest) { m.Parts = m.Parts[:2] }))
	damaged("a part twice", manifest(func(m *Manifest) { m.Parts = append(m.Parts, m.Parts[2]) }))
	damaged("another count", manifest(func(m *Manifest) { m.Keys++ }))
	damaged("another digest", manifest(func(m *Manifest) { m.Digest[3]++ }))
	damaged("newer", manifest(func(m *Manifest) { m.Version++ }))
	damaged("a part elsewhere", manifest(func(m *Manifest) { m.Parts[0].File = "../" + m.Parts[0].File }))
	damaged("no manifest", func(dir string) {
		if err := os.Remove(filepath.Join(dir, ManifestName)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestModes(t *testing.T) {
	t.Parallel()
	now := time.Now().Unix()
	src := newMemory(Entry{Key: "b", Value: []byte("backup")}, Entry{Key: "d", Value: []byte("backup")}, Entry{Key: "f", Value: []byte("soon gone"), Expiration: now + 30})
	b := write(t, src, options())
	present := []Entry{{Key: "a", Value: []byte("stranger")}, {Key: "b", Value: []byte("changed")}, {Key: "f", Value: []byte("x")}, {Key: "z", Value: []byte("stranger")}}
	target := newMemory(present...)
	if _, err := restore(b.Place, target, restoring(ModeNone)); kind(err) != firedrill.KindConflict || len(target.all) != 4 {
		t.Errorf("no mode: %v, %d keys", err, len(target.all))
	}
	if _, err := restore(b.Place, target, restoring("zork")); kind(err) != firedrill.KindUsage {
		t.Errorf("another mode: %v", err)
	}
	for mode, want := range map[Mode]struct {
		out  Restored
		keys []string
	}{
		ModeMerge: {Restored{Put: 2, Overwritten: 1, Expired: 1, ExpiredKeys: []string{"f"}}, []string{"a", "b", "d", "f", "z"}},
		ModeExact: {Restored{Put: 2, Overwritten: 1, Deleted: 3, Expired: 1, ExpiredKeys: []string{"f"}}, []string{"b", "d"}},
	} {
		target := newMemory(present...)
		dry := restoring(mode)
		dry.DryRun = true
		out, err := restore(b.Place, target, dry)
		if d := cmp.Diff(want.out, out); d != "" || err != nil || len(target.all) != 4 || target.calls["bulk put"]+target.calls["bulk delete"] > 0 {
			t.Errorf("%s, dry: %v, %d keys\n%s", mode, err, len(target.all), d)
		}
		out, err = restore(b.Place, target, restoring(mode))
		if d := cmp.Diff(want.out, out); d != "" || err != nil || !slices.Equal(slices.Sorted(maps.Keys(target.all)), want.keys) || string(target.all["b"].Value) != "backup" {
			t.Errorf("%s: %v, %v\n%s", mode, err, slices.Sorted(maps.Keys(target.all)), d)
		}
		if n, err := b.Check(context.Background(), target, restoring(mode)); err != nil || n != 2 {
			t.Errorf("%s: compared %d, %v", mode, n, err)
		}
	}
}

func TestWhatThePlatformDidNotStoreIsSentAgainOrNamed(t *testing.T) {
	t.Parallel()
	src := newMemory(Entry{Key: "a", Value: []byte("1")}, Entry{Key: "b", Value: []byte("2")})
	b := write(t, src, options())
	target := newMemory()
	target.unstored["b"] = 3
	if _, err := restore(b.Place, target, restoring(ModeNone)); err != nil || len(target.all) != 2 {
		t.Errorf("%d keys, %v", len(target.all), err)
	}
	target = newMemory()
	target.unstored["b"] = 100
	if _, err := restore(b.Place, target, restoring(ModeNone)); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("a key that is never stored: %v", err)
	}
	if _, err := b.Check(context.Background(), target, restoring(ModeNone)); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("the check says %v", err)
	}
}

func TestTheCheckFindsEveryDifference(t *testing.T) {
	t.Parallel()
	in := time.Now().Unix() + 1e6
	src := newMemory(Entry{Key: "a", Value: []byte("1"), Metadata: json.RawMessage(`{"x":1,"y":2}`), Expiration: in}, Entry{Key: "b", Value: []byte("2")})
	b := write(t, src, options())
	for what, change := range map[string]func(map[string]Entry){
		"value":      func(m map[string]Entry) { e := m["a"]; e.Value = []byte("x"); m["a"] = e },
		"metadata":   func(m map[string]Entry) { e := m["a"]; e.Metadata = nil; m["a"] = e },
		"expiration": func(m map[string]Entry) { e := m["a"]; e.Expiration = 0; m["a"] = e },
		"missing":    func(m map[string]Entry) { delete(m, "a") },
		"last":       func(m map[string]Entry) { delete(m, "b") },
		"stranger":   func(m map[string]Entry) { m["c"] = Entry{Key: "c"} },
	} {
		target := newMemory()
		maps.Copy(target.all, src.all)
		if _, err := b.Check(context.Background(), target, restoring(ModeExact)); err != nil {
			t.Fatal(err)
		}
		change(target.all)
		if _, err := b.Check(context.Background(), target, restoring(ModeExact)); kind(err) != firedrill.KindExpectation {
			t.Errorf("%s: %v", what, err)
		}
	}
	target := newMemory()
	maps.Copy(target.all, src.all)
	e := target.all["a"]
	e.Metadata = json.RawMessage(`{"y":2, "x":1}`)
	target.all["a"] = e
	if n, err := b.Check(context.Background(), target, restoring(ModeExact)); err != nil || n != 2 {
		t.Errorf("metadata in another order: %d, %v", n, err)
	}
}

func TestFoldersThatAreNotOursAreLeftAlone(t *testing.T) {
	t.Parallel()
	src := newMemory(Entry{Key: "a"})
	b := write(t, src, options())
	if _, err := WriteKV(context.Background(), src, b.Place, options()); kind(err) != firedrill.KindConflict {
		t.Errorf("a complete backup: %v", err)
	}
	other := Folder(t.TempDir())
	if err := os.WriteFile(filepath.Join(other.String(), "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteKV(context.Background(), src, other, options()); kind(err) != firedrill.KindConflict {
		t.Errorf("a folder with files: %v", err)
	}
	begun := Folder(filepath.Join(t.TempDir(), "begun"))
	broken := newMemory()
	broken.fail = func(string, int) error { return errors.New("broken") }
	if _, err := WriteKV(context.Background(), broken, begun, options()); err == nil {
		t.Fatal("no error")
	}
	o := options()
	o.Source.Namespace = "another"
	if _, err := WriteKV(context.Background(), src, begun, o); kind(err) != firedrill.KindConflict {
		t.Errorf("another namespace: %v", err)
	}
}

func TestKeysThatVanishOrChangeAreNoted(t *testing.T) {
	t.Parallel()
	src := newMemory(Entry{Key: "a", Value: []byte("1")}, Entry{Key: "b", Value: []byte("2")}, Entry{Key: "c", Value: []byte("3")})
	src.fail = func(call string, n int) error {
		if call == "bulk get" { // after the list
			delete(src.all, "a")
			src.all["b"] = Entry{Key: "b", Value: []byte("new"), Metadata: json.RawMessage(`"m"`)}
		}
		return nil
	}
	m := write(t, src, options()).Manifest
	if m.Keys != 2 || !slices.Equal(m.Named(Vanished), []string{"a"}) || !slices.Equal(m.Named(Changed), []string{"b"}) || m.Noted[Changed] != 1 {
		t.Errorf("%+v", m)
	}
}

// FuzzParts reads any bytes as a part: an error or entries, never a panic, and
// what was read is written as it was.
func FuzzParts(f *testing.F) {
	for _, seed := range []string{`[]`, `[{"key":"a","value":"b"}]`, `[{"key":"a","value":"/w==","base64":true,"expiration":1,"metadata":{"a":1}}]`, `[{"key":"a"`, `[{"key":"a","value":"b","zork":1}]`, "["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = readPairs(bytes.NewReader(data), Part{}, func(e Entry) error {
			var text bytes.Buffer
			if err := e.encode(&text); err != nil {
				return err
			}
			again, err := decodePair(json.NewDecoder(&text))
			if err != nil || again.Key != e.Key || !bytes.Equal(again.Value, e.Value) || again.Expiration != e.Expiration {
				t.Fatalf("%+v became %+v, %v", e, again, err)
			}
			return nil
		})
	})
}
