package r2_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"firedrill/internal/sandbox/r2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string) *r2.Store {
	t.Helper()
	s, err := r2.Open(t.Context(), r2.Options{Dir: dir, Now: time.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler)})
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

func bucket(t testing.TB, s *r2.Store, name string) {
	t.Helper()
	if _, err := s.CreateBucket(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s *r2.Store, key, value string) *r2.Object {
	t.Helper()
	o, err := s.Store(t.Context(), "bucket", r2.Put{Key: key}, strings.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func get(t testing.TB, s *r2.Store, key string) string {
	t.Helper()
	_, c, err := s.Get(t.Context(), "bucket", key, r2.Range{}, r2.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(c)
	if err := errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func wantCode(t testing.TB, err error, code r2.Code) {
	t.Helper()
	var e *r2.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v, want code %d", err, code)
	}
}

func blobs(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	bucket(t, s, "bucket")
	_, err := s.CreateBucket(t.Context(), "bucket")
	wantCode(t, err, r2.CodeBucketExists)
	for _, name := range []string{"", "ab", "-abc", "abc-", "UPPER", "a_b", "a/b", "..", strings.Repeat("a", 64)} {
		_, err := s.CreateBucket(t.Context(), name)
		wantCode(t, err, r2.CodeBucketName)
	}
	put(t, s, "k", "v")
	wantCode(t, s.DeleteBucket(t.Context(), "bucket"), r2.CodeNotEmpty)
	if err := s.Delete(t.Context(), "bucket", []string{"k"}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Head(t.Context(), "bucket", "k")
	wantCode(t, err, r2.CodeNoBucket)
}

func TestWhatIsStoredSurvivesAndWhatIsNotLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	bucket(t, s, "bucket")
	put(t, s, "k", "one")
	put(t, s, "k", "two")
	if n := len(blobs(t, dir)); n != 1 {
		t.Errorf("%d files after a replacement", n)
	}
	_, err := s.Store(t.Context(), "bucket", r2.Put{Key: "k", Expect: r2.Checksums{MD5: strings.Repeat("0", 32)}}, strings.NewReader("three"))
	wantCode(t, err, r2.CodeDigest)
	_, err = s.Store(t.Context(), "bucket", r2.Put{Key: "k"}, io.MultiReader(strings.NewReader("half"), broken{}))
	wantCode(t, err, r2.CodeUpload)
	_, err = s.Store(t.Context(), "bucket", r2.Put{Key: strings.Repeat("k", r2.MaxKey+1)}, strings.NewReader("x"))
	wantCode(t, err, r2.CodeKey)
	_, err = s.Store(t.Context(), "bucket", r2.Put{Key: "k", Custom: map[string]string{"m": strings.Repeat("m", r2.MaxCustom)}}, strings.NewReader("x"))
	wantCode(t, err, r2.CodeMetadata)
	_, err = s.Store(t.Context(), "bucket", r2.Put{Key: "k", If: r2.Condition{Matches: []r2.ETag{{Value: "x"}}}}, strings.NewReader("three"))
	wantCode(t, err, r2.CodePrecondition)
	if n := len(blobs(t, dir)); n != 1 || get(t, s, "k") != "two" {
		t.Errorf("%d files after refused writes, %q", n, get(t, s, "k"))
	}
	// A kill between the file and the index leaves a file that nothing names.
	if err := os.WriteFile(filepath.Join(dir, "blobs", "left-by-a-crash"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if n := len(blobs(t, dir)); n != 1 || get(t, again, "k") != "two" {
		t.Errorf("%d files after a restart, %q", n, get(t, again, "k"))
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the line broke") }

func TestAReaderKeepsTheVersionThatItBegan(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	bucket(t, s, "bucket")
	old := strings.Repeat("old", 100_000)
	put(t, s, "k", old)
	_, c, err := s.Get(t.Context(), "bucket", "k", r2.Range{}, r2.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "new")
	data, err := io.ReadAll(c)
	if err := errors.Join(err, c.Close()); err != nil || string(data) != old {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestMultipartUploads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	bucket(t, s, "bucket")
	begin := func() string {
		t.Helper()
		id, err := s.Begin(t.Context(), "bucket", r2.Put{Key: "m"})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	part := func(id string, n int, data []byte) r2.Part {
		t.Helper()
		p, err := s.UploadPart(t.Context(), "bucket", "m", id, n, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	big, small := bytes.Repeat([]byte("a"), r2.MinPart), []byte("tail")
	id := begin()
	part(id, 1, small)
	p1, p3, p7 := part(id, 1, big), part(id, 3, big), part(id, 7, small)
	part(id, 9, small)
	for _, parts := range [][]r2.Part{{}, {p3, p1}, {p1, {Number: 2, ETag: p3.ETag}}, {{Number: 1, ETag: "x"}}} {
		_, err := s.Complete(t.Context(), "bucket", "m", id, parts)
		wantCode(t, err, r2.CodePart)
	}
	_, err := s.Complete(t.Context(), "bucket", "m", id, []r2.Part{p7, {Number: 9, ETag: p7.ETag}})
	wantCode(t, err, r2.CodeTooSmall)
	_, err = s.Complete(t.Context(), "bucket", "other", id, []r2.Part{p1})
	wantCode(t, err, r2.CodeNoUpload)
	o, err := s.Complete(t.Context(), "bucket", "m", id, []r2.Part{p1, p3, p7})
	if err != nil || o.Size != 2*r2.MinPart+4 || !strings.HasSuffix(o.ETag, "-3") {
		t.Fatalf("%+v, %v", o, err)
	}
	if want := string(big) + string(big) + "tail"; get(t, s, "m") != want {
		t.Error("the parts are not the object")
	}
	if n := len(blobs(t, dir)); n != 3 {
		t.Errorf("%d files, want one for each part of the object", n)
	}
	id = begin()
	part(id, 1, small)
	if err := s.Abort(t.Context(), "bucket", "m", id); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.Abort(t.Context(), "bucket", "m", id), r2.CodeNoUpload)
	if n := len(blobs(t, dir)); n != 3 {
		t.Errorf("%d files after an abort", n)
	}
}

// TestListsAgreeWithAModel compares pages of any size, prefix and delimiter.
func TestListsAgreeWithAModel(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	number := 0
	rapid.Check(t, func(r *rapid.T) {
		number++
		name := fmt.Sprintf("bucket-%d", number)
		if _, err := s.CreateBucket(t.Context(), name); err != nil {
			r.Fatal(err)
		}
		letters := rapid.RuneFrom([]rune("ab/🔥"))
		keys := rapid.SliceOfNDistinct(rapid.StringOfN(letters, 1, 5, -1), 0, 12, func(s string) string { return s }).Draw(r, "keys")
		for _, k := range keys {
			if _, err := s.Store(t.Context(), name, r2.Put{Key: k}, strings.NewReader("")); err != nil {
				r.Fatal(err)
			}
		}
		q := r2.Query{Prefix: rapid.StringOfN(letters, 0, 2, -1).Draw(r, "prefix"), Delimiter: rapid.SampledFrom([]string{"", "/", "b/"}).Draw(r, "delimiter"),
			StartAfter: rapid.StringOfN(letters, 0, 2, -1).Draw(r, "start"), Limit: rapid.IntRange(1, 4).Draw(r, "limit")}
		slices.Sort(keys)
		want := []string{}
		for _, k := range keys {
			rest, ok := strings.CutPrefix(k, q.Prefix)
			if !ok || k <= q.StartAfter {
				continue
			}
			if i := strings.Index(rest, q.Delimiter); q.Delimiter != "" && i >= 0 {
				k = q.Prefix + rest[:i+len(q.Delimiter)] + "*"
			}
			if !slices.Contains(want, k) {
				want = append(want, k)
			}
		}
		got := []string{}
		for {
			page, err := s.List(t.Context(), name, q)
			if err != nil {
				r.Fatal(err)
			}
			for _, o := range page.Objects {
				got = append(got, o.Key)
			}
			for _, p := range page.Prefixes {
				got = append(got, p+"*")
			}
			if n := len(page.Objects) + len(page.Prefixes); n > q.Limit || page.Cursor != "" && n < q.Limit {
				r.Fatalf("a page of %d, limit %d", n, q.Limit)
			}
			if q.Cursor = page.Cursor; q.Cursor == "" {
				break
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			r.Fatalf("%+v of %q:\n%s", q, keys, d)
		}
	})
}
