//go:build unix && !linux

package workerd

import "syscall"

// sysProcAttr gives the child a process group of its own. There is no way to
// tie its life to the parent's here: after kill -9 of the owner, children stay
// until the lock that they inherited makes the next owner report them.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
