package s3test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestBinary is what the CI runs first, so that the build is not part of
// another test's time.
func TestBinary(t *testing.T) {
	t.Parallel()
	path, err := Binary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode()&0o100 == 0 {
		t.Errorf("%s is not a program: %v, %v", path, st, err)
	}
}

func TestServersRunSideBySide(t *testing.T) {
	t.Parallel()
	servers := []*Server{Start(t), Start(t)}
	for _, s := range servers {
		s.Bucket("only-here")
	}
	for _, s := range servers {
		buckets, err := s.Admin.ListBuckets(t.Context())
		if err != nil || len(buckets) != 1 {
			t.Errorf("%v, %v: want one's own bucket alone", buckets, err)
		}
	}
}

func TestServerHoldsUploads(t *testing.T) {
	t.Parallel()
	s := Start(t)
	bucket := s.Bucket("uploads")
	if _, err := s.Admin.NewMultipartUpload(t.Context(), bucket, "begun", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := s.Uploads(bucket); len(got) != 1 || got[0] != "begun" {
		t.Errorf("uploads: %q", got)
	}
}

func TestKilledServerIsGone(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Kill()
	s.Kill()
	if _, err := s.Admin.ListBuckets(t.Context()); err == nil {
		t.Error("it still answers")
	}
}

func TestBuildsOnceForAll(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	var builds atomic.Int32
	build := func(to string) error {
		builds.Add(1)
		return os.WriteFile(to, []byte("program"), 0o700)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := cached(dir, build)
			if data, readErr := os.ReadFile(path); err != nil || readErr != nil || string(data) != "program" {
				t.Errorf("%q, %v, %v", data, err, readErr)
			}
		})
	}
	wg.Wait()
	if builds.Load() != 1 {
		t.Errorf("%d builds", builds.Load())
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := errors.New("broken")
	_, err := cached(dir, func(to string) error {
		return errors.Join(os.WriteFile(to, []byte("half"), 0o700), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	path, err := cached(dir, func(to string) error { return os.WriteFile(to, []byte("whole"), 0o700) })
	if data, _ := os.ReadFile(path); err != nil || string(data) != "whole" {
		t.Errorf("after a failed build: %q, %v", data, err)
	}
}
