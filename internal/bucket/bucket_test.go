package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/backup/placetest"
	"firedrill/internal/testkit/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bucket has the methods of a place, although it does not import it.
var _ backup.Place = (*Bucket)(nil)

// open opens a prefix of a server with the least parts, so that little data is
// many of them, and without repetitions, so that what fails fails at once.
func open(t *testing.T, s *s3test.Server, address string, changes ...func(*Config)) *Bucket {
	t.Helper()
	cfg := Config{Address: address, Getenv: s.Getenv, PartSize: minPartSize, Attempts: 1}
	for _, change := range changes {
		change(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func put(t *testing.T, b *Bucket, name string, content []byte) error {
	t.Helper()
	f, err := b.Create(t.Context(), name)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func get(t *testing.T, b *Bucket, name string) ([]byte, error) {
	t.Helper()
	r, err := b.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

func TestBucketIsAPlace(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("places")
	var n atomic.Int32
	placetest.Run(t, func(t *testing.T) backup.Place {
		return open(t, s, fmt.Sprintf("s3://places/test/%d", n.Add(1)))
	})
}

func TestBucketWithoutPrefixIsAPlace(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	var n atomic.Int32
	placetest.Run(t, func(t *testing.T) backup.Place {
		return open(t, s, "s3://"+s.Bucket(fmt.Sprintf("bucket-%d", n.Add(1))))
	})
}

func TestNamesOfManyPagesAndOfThisPrefixAlone(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	bucket := s.Bucket("names")
	b := open(t, s, "s3://names/mine")
	b.pageSize = 3
	var want []string
	for n := range 10 {
		want = append(want, fmt.Sprintf("file-%02d", n))
	}
	others := []string{"mine", "mine2/file", "mine/deeper/file", "mine/deeper/deepest/file", "mine/left.tmp", "other/file", "file"}
	for _, key := range append(slices.Clone(others), want...) {
		if slices.Contains(want, key) {
			key = "mine/" + key
		}
		if key == "mine" {
			continue // a file and a folder of one name cannot be in this server
		}
		if _, err := s.Admin.Client.PutObject(t.Context(), bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(key, err)
		}
	}
	if got, err := b.Names(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("names: %q, %v; want %q", got, err, want)
	}
}

func TestFoldersThatHoldAFileAreFound(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("shelf")
	for _, address := range []string{"s3://shelf/a/2026-01", "s3://shelf/a/2026-02", "s3://shelf/a/deep/er", "s3://shelf/ab"} {
		b := open(t, s, address)
		for _, name := range []string{"manifest.json", "kv-00001.json"} {
			if err := put(t, b, name, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := put(t, open(t, s, "s3://shelf/a/begun"), "progress.json", []byte("x")); err != nil {
		t.Fatal(err)
	}
	got, err := open(t, s, "s3://shelf/a").Below(context.Background(), "manifest.json")
	if want := []string{"s3://shelf/a/2026-01", "s3://shelf/a/2026-02", "s3://shelf/a/deep/er"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	got, err = open(t, s, "s3://shelf/a/2026-02").Below(context.Background(), "manifest.json")
	if want := []string{"s3://shelf/a/2026-02"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	bucket := s.Bucket("given-up")
	b := open(t, s, "s3://given-up/prefix")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	aborted, err := b.Create(t.Context(), "aborted")
	if err != nil {
		t.Fatal(err)
	}
	canceled, err := b.Create(ctx, "canceled")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []File{aborted, canceled} {
		if _, err := f.Write(make([]byte, 2*minPartSize+1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Uploads(bucket); len(got) != 2 {
		t.Fatalf("uploads: %q; the test would show nothing", got)
	}
	if err := aborted.Abort(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := canceled.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	if got := s.Uploads(bucket); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	if got, err := b.Names(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("names: %q, %v", got, err)
	}
}

// TestMemoryDoesNotGrowWithTheFile writes twenty parts, and looks at what is
// held on the way.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	s := s3test.Start(t)
	s.Bucket("large")
	b := open(t, s, "s3://large")
	f, err := b.Create(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	piece := make([]byte, 1<<20)
	before, most := held(), uint64(0)
	for n := range 20 * minPartSize / len(piece) {
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
		if n%7 == 0 {
			most = max(most, held())
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if grown := int64(most) - int64(before); grown > 3*minPartSize {
		t.Errorf("%d MiB are held for a part of %d MiB", grown>>20, minPartSize>>20)
	}
	if held := f.(*upload).part; held != nil {
		t.Errorf("%d bytes are held after the end", cap(held))
	}
}

func TestOneOfManyCreates(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("leases")
	b := open(t, s, "s3://leases/staging")
	var won atomic.Int32
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			switch err := b.PutIfAbsent(t.Context(), "lease", []byte{byte('a' + n)}); {
			case err == nil:
				won.Add(int32(n) + 1) // who, and that nobody else
			case !errors.Is(err, fs.ErrExist) || firedrill.KindOf(err) != firedrill.KindConflict:
				t.Errorf("%v is of kind %s", err, firedrill.KindOf(err))
			}
		})
	}
	wg.Wait()
	data, err := get(t, b, "lease")
	if err != nil || len(data) != 1 || int32(data[0]-'a')+1 != won.Load() {
		t.Errorf("%q, %v; the sum of who won is %d", data, err, won.Load())
	}
	if err := b.Remove(t.Context(), "lease"); err != nil {
		t.Fatal(err)
	}
	if err := b.PutIfAbsent(t.Context(), "lease", nil); err != nil {
		t.Errorf("after it was removed: %v", err)
	}
}

func TestNewerContentIsNotTakenForOnesOwn(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	bucket := s.Bucket("meanwhile")
	b := open(t, s, "s3://meanwhile")
	for _, test := range []struct {
		content string
		kind    firedrill.Kind
	}{{"other", firedrill.KindConflict}, {"shorter", firedrill.KindCorrupt}} {
		f, err := b.Create(t.Context(), "file")
		if err != nil {
			t.Fatal(err)
		}
		u := f.(*upload)
		if _, err := f.Write([]byte("mine!")); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Admin.Client.PutObject(t.Context(), bucket, "file", strings.NewReader(test.content), -1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := u.check(fmt.Sprintf("%x", digest([]byte("mine!")).md5)); firedrill.KindOf(err) != test.kind {
			t.Errorf("%q is stored: %v, want kind %s", test.content, err, test.kind)
		}
	}
}

func TestTooManyParts(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	bucket := s.Bucket("parts")
	b := open(t, s, "s3://parts")
	f, err := b.Create(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, minPartSize+1)); err != nil {
		t.Fatal(err)
	}
	u := f.(*upload)
	u.parts = make([]minio.CompletePart, maxParts) // as if so many had been sent
	_, writeErr := f.Write(bytes.Repeat([]byte("x"), minPartSize))
	for _, err := range []error{writeErr, f.Close(), f.Close()} {
		if firedrill.KindOf(err) != firedrill.KindUsage || firedrill.RemedyOf(err) != "use larger parts" {
			t.Errorf("%v", err)
		}
	}
	if got := s.Uploads(bucket); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}
