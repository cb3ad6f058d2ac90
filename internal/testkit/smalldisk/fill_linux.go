package smalldisk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Fill writes a file into the folder of a disk until so many bytes are free there,
// and gives its path: removing it makes room again.
func Fill(t testing.TB, dir string, free int64) (filler string) {
	t.Helper()
	filler = filepath.Join(dir, "filler")
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	size := int64(stat.Bavail)*stat.Bsize - free //nolint:gosec // a disk that fits into memory
	f, err := os.Create(filler)
	if err == nil {
		_, err = f.Write(make([]byte, max(0, size)))
	}
	if errors.Is(err, unix.ENOSPC) {
		err = nil // somebody else wrote meanwhile, and it is full
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return filler
}
