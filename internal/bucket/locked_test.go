package bucket

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"firedrill"
	"firedrill/internal/testkit/s3test"
)

// TestLockedFilesStay writes under lock, and tries to remove, to replace and to hide.
func TestLockedFilesStay(t *testing.T) {
	t.Parallel()
	s := s3test.StartVersioned(t)
	b := open(t, s, "s3://"+s.LockingBucket("locking")+"/a")
	until := time.Now().Add(24 * time.Hour)
	if err := b.WriteLocked(t.Context(), "one.txt", []byte("one"), until); err != nil {
		t.Fatal(err)
	}
	for object := range s.Admin.Client.ListObjects(t.Context(), "locking", minio.ListObjectsOptions{Prefix: "a/one.txt", WithVersions: true}) {
		if err := s.Admin.RemoveObject(t.Context(), "locking", object.Key, minio.RemoveObjectOptions{VersionID: object.VersionID, GovernanceBypass: true}); err == nil {
			t.Error("the version was removed by who has every right")
		}
	}
	found := func() []string {
		t.Helper()
		files, err := b.Versions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, f := range files {
			texts = append(texts, string(f))
		}
		slices.Sort(texts)
		return texts
	}
	if got := found(); !slices.Equal(got, []string{"one"}) {
		t.Errorf("%q", got)
	}
	if err := b.Write(t.Context(), "one.txt", []byte("another")); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context(), "one.txt"); err != nil {
		t.Fatal(err)
	}
	if got := found(); !slices.Equal(got, []string{"another", "one"}) {
		t.Errorf("after it was replaced and hidden: %q", got)
	}
}

// TestABucketWithoutLocksSaysSo writes under lock where nothing can be locked.
func TestABucketWithoutLocksSaysSo(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	b := open(t, s, "s3://"+s.Bucket("plain"))
	err := b.WriteLocked(t.Context(), "one.txt", []byte("one"), time.Now().Add(time.Hour))
	if firedrill.KindOf(err) != firedrill.KindUnsupported || !strings.Contains(firedrill.RemedyOf(err), "object lock") {
		t.Errorf("%v", err)
	}
	if _, err := b.Versions(t.Context()); err != nil {
		t.Errorf("versions where none are kept: %v", err)
	}
}
