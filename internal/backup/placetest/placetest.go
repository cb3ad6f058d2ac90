// Package placetest is the conformance suite of places for backups: what holds
// for a folder has to hold for a bucket.
package placetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"firedrill"
	"firedrill/internal/backup"
)

// Run tests a kind of place. The function gives an empty place of its own to
// each test; the tests run in parallel.
func Run(t *testing.T, empty func(t *testing.T) backup.Place) {
	for name, test := range map[string]func(*suite){
		"Empty":            (*suite).empty,
		"Kept":             (*suite).kept,
		"EmptyFile":        (*suite).emptyFile,
		"Big":              (*suite).big,
		"Replaced":         (*suite).replaced,
		"UnseenUntilClose": (*suite).unseenUntilClose,
		"Aborted":          (*suite).aborted,
		"ClosedForGood":    (*suite).closedForGood,
		"ReadersSeeWhole":  (*suite).readersSeeWhole,
		"Removed":          (*suite).removed,
		"OddNames":         (*suite).oddNames,
		"RefusedNames":     (*suite).refusedNames,
		"GivenUp":          (*suite).givenUp,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&suite{T: t, place: empty(t)})
		})
	}
}

type suite struct {
	*testing.T
	place backup.Place
}

// big is more than one part of a multipart upload.
const big = 20 << 20

// data is random and the same for the same seed.
func data(seed uint64, size int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

func (s *suite) create(name string) backup.File {
	s.Helper()
	f, err := s.place.Create(s.Context(), name)
	if err != nil {
		s.Fatalf("create %q: %v", name, err)
	}
	return f
}

func (s *suite) write(f backup.File, content []byte) {
	s.Helper()
	// Pieces that are no divisor of anything.
	for piece := range slices.Chunk(content, 1_000_003) {
		if n, err := f.Write(piece); err != nil || n != len(piece) {
			s.Fatalf("write: %d of %d bytes, %v", n, len(piece), err)
		}
	}
}

func (s *suite) put(name string, content []byte) {
	s.Helper()
	f := s.create(name)
	s.write(f, content)
	if err := f.Close(); err != nil {
		s.Fatalf("close %q: %v", name, err)
	}
}

func (s *suite) get(name string) ([]byte, error) {
	r, err := s.place.Open(s.Context(), name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

func (s *suite) wantContent(name string, want []byte) {
	s.Helper()
	got, err := s.get(name)
	if err != nil || !bytes.Equal(got, want) {
		s.Errorf("%q has %d bytes with digest %x, want %d with %x; %v", name, len(got), sha256.Sum256(got), len(want), sha256.Sum256(want), err)
	}
}

func (s *suite) wantMissing(name string) {
	s.Helper()
	if _, err := s.get(name); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("open %q: %v, want fs.ErrNotExist", name, err)
	}
}

func (s *suite) wantNames(want ...string) {
	s.Helper()
	got, err := s.place.Names(s.Context())
	if err != nil || !slices.Equal(got, want) {
		s.Errorf("names: %q, %v; want %q", got, err, want)
	}
}

func (s *suite) empty() {
	if s.place.String() == "" {
		s.Error("it has no name for people")
	}
	s.wantNames()
	s.wantMissing("missing")
}

func (s *suite) kept() {
	s.put("b.json", []byte("second"))
	s.put("a.json", []byte("first"))
	s.put("B.json", []byte("capital"))
	s.put("a", []byte("shortest"))
	s.wantNames("B.json", "a", "a.json", "b.json")
	s.wantContent("a.json", []byte("first"))
	s.wantContent("a", []byte("shortest"))
	s.wantMissing("b")
}

func (s *suite) emptyFile() {
	s.put("empty", nil)
	s.wantNames("empty")
	s.wantContent("empty", nil)
}

func (s *suite) big() {
	s.put("big", data(1, big))
	s.wantContent("big", data(1, big))
}

func (s *suite) replaced() {
	for _, size := range []int{5000, 10, big, 0, 70} {
		s.put("file", data(uint64(size), size))
		s.wantContent("file", data(uint64(size), size))
	}
	s.wantNames("file")
}

func (s *suite) unseenUntilClose() {
	s.put("old", []byte("old"))
	replacing, fresh := s.create("old"), s.create("new")
	for _, f := range []backup.File{replacing, fresh} {
		s.write(f, data(2, big))
	}
	s.wantNames("old")
	s.wantContent("old", []byte("old"))
	s.wantMissing("new")
	for _, f := range []backup.File{replacing, fresh} {
		if err := f.Close(); err != nil {
			s.Fatal(err)
		}
	}
	s.wantNames("new", "old")
	s.wantContent("old", data(2, big))
	s.wantContent("new", data(2, big))
}

func (s *suite) aborted() {
	s.put("old", []byte("old"))
	for _, size := range []int{0, 100, big} {
		for _, name := range []string{"old", "new"} {
			f := s.create(name)
			s.write(f, data(3, size))
			if err := errors.Join(f.Abort(), f.Abort()); err != nil {
				s.Errorf("abort: %v", err)
			}
			if err := f.Close(); err == nil {
				s.Error("close after abort says that the file is there")
			}
		}
	}
	s.wantNames("old")
	s.wantContent("old", []byte("old"))
	s.wantMissing("new")
}

func (s *suite) closedForGood() {
	f := s.create("file")
	s.write(f, []byte("content"))
	if err := errors.Join(f.Close(), f.Abort(), f.Close()); err != nil {
		s.Errorf("close, abort, close: %v", err)
	}
	if _, err := f.Write([]byte("more")); err == nil {
		s.Error("a closed file takes more")
	}
	s.wantContent("file", []byte("content"))
}

// readersSeeWhole replaces a file under the eyes of readers: each of them has
// to see one version, whole, at every moment.
func (s *suite) readersSeeWhole() {
	const size, versions = 1 << 20, 12
	version := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n)}, size+n) }
	s.put("file", version(0))
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var wg sync.WaitGroup
	for range 3 {
		first := make(chan struct{}) // each reads once before anything changes
		wg.Go(func() {
			once := sync.OnceFunc(func() { close(first) })
			defer once()
			for ctx.Err() == nil {
				got, err := s.get("file")
				if err != nil {
					s.Errorf("read: %v", err)
					return
				}
				if n := len(got) - size; n < 0 || n >= versions || !bytes.Equal(got, version(n)) {
					s.Errorf("%d bytes that are no version", len(got))
					return
				}
				once()
			}
		})
		<-first
	}
	for n := 1; n < versions; n++ {
		s.put("file", version(n))
	}
	stop()
	wg.Wait()
	s.wantContent("file", version(versions-1))
}

func (s *suite) removed() {
	s.put("file", []byte("content"))
	s.put("file2", []byte("stays"))
	for range 2 {
		if err := s.place.Remove(s.Context(), "file"); err != nil {
			s.Errorf("remove: %v", err)
		}
		s.wantMissing("file")
	}
	s.wantNames("file2")
	s.put("file", []byte("again"))
	s.wantContent("file", []byte("again"))
}

func (s *suite) oddNames() {
	names := []string{
		" leading and trailing ", ".hidden", "...", "a+b", "a%20b", "a%2Fb", "a&b=c", "a?b#c", `"quoted'`, "<x>&amp;", "a:b;c,d",
		"*", "~", "[a]{b}|^`$@!()", "tmp", "x.tmp.json", "grüße", "日本語", "e\u0301", "\u00e9", "🔥", "a\u2028b", strings.Repeat("n", 250), strings.Repeat("火", 83),
	}
	for _, name := range names {
		s.put(name, []byte("content of "+name))
	}
	slices.Sort(names)
	s.wantNames(names...)
	for _, name := range names {
		s.wantContent(name, []byte("content of "+name))
		if err := s.place.Remove(s.Context(), name); err != nil {
			s.Errorf("remove %q: %v", name, err)
		}
	}
	s.wantNames()
}

func (s *suite) refusedNames() {
	names := []string{
		"", " ", ".", "..", "/", "a/b", "../a", "/a", "a/", `a\b`, "a\x00b", "a\nb", "\x7f", "\u0085", "broken \xff UTF-8", "a.tmp", ".tmp", strings.Repeat("n", 251),
	}
	for _, name := range names {
		if f, err := s.place.Create(s.Context(), name); err == nil {
			s.Errorf("create %q is not refused", name)
			_ = f.Abort() // it should not be there at all
		} else if firedrill.KindOf(err) != firedrill.KindUsage {
			s.Errorf("create %q: kind %s of %v", name, firedrill.KindOf(err), err)
		}
		if _, err := s.get(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			s.Errorf("open %q: %v, want it refused", name, err)
		}
		if err := s.place.Remove(s.Context(), name); err == nil {
			s.Errorf("remove %q is not refused", name)
		}
	}
	s.wantNames()
}

// givenUp calls with a context that has ended: nothing happens.
func (s *suite) givenUp() {
	s.put("file", []byte("content"))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, namesErr := s.place.Names(ctx)
	_, openErr := s.place.Open(ctx, "file")
	_, createErr := s.place.Create(ctx, "new")
	for call, err := range map[string]error{"names": namesErr, "open": openErr, "create": createErr, "remove": s.place.Remove(ctx, "file")} {
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v, want context.Canceled", call, err)
		}
	}
	s.wantNames("file")
}
