//go:build unix

package workers

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes an exclusive lock that belongs to the open file: a child that
// inherits the file holds it too.
func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
