//go:build !linux

package s3test

import "syscall"

// diesWithUs can do nothing here: a test process that is killed leaves its
// server behind.
func diesWithUs() *syscall.SysProcAttr { return nil }
