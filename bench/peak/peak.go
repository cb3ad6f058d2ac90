// Package peak tells how much memory a process needed.
package peak

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// MiB is the most resident memory that a process has had, by its id; 0 is this one.
// getrusage would tell that of the parent, too, from which it was forked. Linux only.
func MiB(pid int) (float64, error) {
	file := "/proc/self/status"
	if pid != 0 {
		file = fmt.Sprintf("/proc/%d/status", pid)
	}
	status, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("memory is measured on Linux only: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, is := strings.CutPrefix(line, "VmHWM:"); is {
			var n float64
			_, err := fmt.Sscanf(kib, "%f kB", &n)
			return n / 1024, err
		}
	}
	return 0, errors.New("the kernel does not tell VmHWM")
}
