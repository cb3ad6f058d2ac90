package s3test

import "syscall"

// diesWithUs makes the kernel kill the server when the test process is gone.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
