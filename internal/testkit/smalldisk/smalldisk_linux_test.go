package smalldisk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	dir := New(t, size)
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	written, block := 0, make([]byte, 64<<10)
	for err == nil && written <= 2*size {
		var n int
		n, err = f.Write(block)
		written += n
	}
	if !errors.Is(err, unix.ENOSPC) || written > size {
		t.Errorf("after %d of %d bytes: %v", written, size, err)
	}
	if err := errors.Join(f.Truncate(0), os.WriteFile(filepath.Join(dir, "other"), block, 0o600)); err != nil {
		t.Errorf("once there is room again: %v", err)
	}
}

func TestDisksAreApartAndGoneAtTheEnd(t *testing.T) {
	t.Parallel()
	var dirs []string
	t.Run("in use", func(t *testing.T) {
		dirs = []string{New(t, 4096), New(t, 4096)}
		for _, dir := range dirs {
			if err := os.WriteFile(filepath.Join(dir, "only here"), nil, 0o600); err != nil {
				t.Error(err)
			}
			if n := mounts(t, dir); n != 1 {
				t.Errorf("%s is mounted %d times", dir, n)
			}
		}
	})
	for _, dir := range dirs {
		if n := mounts(t, dir); n != 0 {
			t.Errorf("%s is still mounted", dir)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

func mounts(t *testing.T, dir string) int {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(table), fmt.Sprintf("firedrill-smalldisk %s tmpfs", dir))
}

func TestFilesThatAreStillOpenAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := mount(dir, 4096); err != nil {
		t.Skip(err)
	}
	f, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unmount(dir); !errors.Is(err, unix.EBUSY) {
		t.Errorf("unmount: %v", err)
	}
	if n := mounts(t, dir); n != 0 {
		t.Error("it is still mounted")
	}
	_ = f.Close()
}

func TestWhatSkips(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err         error
		ci, capable bool
		want        bool
	}{
		{unix.EPERM, false, false, true},
		{unix.EPERM, false, true, true}, // a container that filters the call, on somebody's machine
		{unix.EACCES, true, false, true},
		{unix.EPERM, true, true, false},
		{unix.EINVAL, false, false, false},
		{unix.ENOMEM, true, true, false},
	} {
		if got := skips(test.err, test.ci, test.capable); got != test.want {
			t.Errorf("%+v: skips %v", test, got)
		}
	}
}
