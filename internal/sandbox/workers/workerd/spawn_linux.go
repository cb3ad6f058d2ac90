package workerd

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysProcAttr makes the kernel kill the child when the spawning thread, and so
// the owner, is gone; and keeps a terminal's Ctrl-C for the owner alone, which
// then stops its children in order.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// configSource holds a configuration in anonymous memory.
type configSource struct{ file *os.File }

func newConfigSource(text []byte, _ string) (*configSource, error) {
	fd, err := unix.MemfdCreate("workerd-config", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "workerd-config")
	if _, err := f.Write(text); err != nil {
		closeAll(f)
		return nil, err
	}
	return &configSource{file: f}, nil
}

// path is where the child, which has the file as descriptor fd, reads it.
func (c *configSource) path(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// erase empties the memory, also for the child, which still has the file open
// and would otherwise show it under /proc to the same user. workerd has parsed
// it by the time its sockets listen.
func (c *configSource) erase() {
	_ = c.file.Truncate(0) // an anonymous file of our own: cannot fail in a way that matters
	closeAll(c.file)
}
