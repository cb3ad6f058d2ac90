package runner

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID names the boot of this machine; where the kernel does not tell, this
// process stands for it.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return processID()
	}
	return strings.TrimSpace(string(data))
}

func sinceBoot() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("runner: this kernel has no boot clock: " + err.Error())
	}
	return ts.Nano()
}
