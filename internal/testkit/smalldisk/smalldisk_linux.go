package smalldisk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

func mount(dir string, bytes int64) error {
	return unix.Mount("firedrill-smalldisk", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=0700", bytes))
}

// unmount takes a file system away even if it is in use, and says that it was.
func unmount(dir string) error {
	err := unix.Unmount(dir, 0)
	if err != nil {
		return errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH))
	}
	return nil
}

// skips tells whether a mount that failed is a reason to skip: the process may
// not. Anything else is a failure.
func skips(err error, ci, capable bool) bool {
	denied := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
	return denied && (!ci || !capable)
}

// capable tells whether this process has the capability to mount.
func capable() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
