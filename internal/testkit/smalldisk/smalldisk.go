// Package smalldisk gives tests a disk that is soon full: a file system in
// memory of a given size. Mounting needs Linux and the right to; where a test
// may not, it is skipped with the reason. A test process that is killed leaves
// its mount behind, empty or not, until somebody unmounts it.
package smalldisk

import (
	"os"
	"testing"
)

// New mounts an empty file system of that many bytes, rounded up to pages, and
// gives its folder. It is gone when the test ends; files that are still open
// then are an error.
//
// In CI (CI=true) a process that has the capability to mount and still may not
// fails, so that a change of the runner does not skip these tests for good.
func New(t testing.TB, bytes int64) string {
	t.Helper()
	if bytes <= 0 {
		t.Fatalf("smalldisk: %d bytes would be a disk without bounds", bytes)
	}
	dir := t.TempDir()
	err := mount(dir, bytes)
	switch {
	case err == nil:
	case skips(err, os.Getenv("CI") == "true", capable()):
		t.Skipf("smalldisk: this process may not mount: %v", err)
	default:
		t.Fatalf("smalldisk: mount %d bytes on %s: %v", bytes, dir, err)
	}
	t.Cleanup(func() {
		if err := unmount(dir); err != nil {
			t.Errorf("smalldisk: unmount %s: %v", dir, err)
		}
	})
	return dir
}
