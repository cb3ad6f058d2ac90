package workerd

import "syscall"

// sysProcAttr exists so that clients build here: there is no workerd for
// Windows in the table of pins, and Locate says so.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
