package workers

import (
	"errors"
	"os"
)

// tryLock refuses: Workers run on Linux and macOS.
func tryLock(*os.File) error {
	return errors.New("open Workers: the sandbox runs on Linux and macOS; use firedrill here as a client")
}
