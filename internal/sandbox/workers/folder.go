package workers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// acquireLock takes the lock that keeps two owners of one folder apart. Every
// workerd process inherits it, so it is free only when the last one is gone;
// after a kill of the owner that takes a moment, which is waited for.
func acquireLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open Workers: %w", err)
	}
	const tries, pause = 30, 100 * time.Millisecond
	for i := 0; ; i++ {
		if err = tryLock(f); err == nil {
			return f, nil
		}
		if !errors.Is(err, errLocked) || i == tries {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("open Workers: %w", ctx.Err()), f.Close())
		}
	}
	if errors.Is(err, errLocked) {
		err = fmt.Errorf("open Workers: %s is in use by another sandbox: stop it, or choose another folder", filepath.Dir(path))
	}
	return nil, errors.Join(err, f.Close())
}

// errLocked says that another process holds the lock.
var errLocked = errors.New("the lock is held")

// Sockets need short paths. Where the state folder's own path is too long for
// them, a folder under the system's temporary folder is used, and noted in
// runNote so that the next owner removes what a killed one left.
const (
	runName      = "run"
	runNote      = "run.path"
	longestRun   = 85 // bytes; leaves room for the names below
	runPrefix    = "firedrill-"
	fallbackRoot = "/tmp"
)

// runFolder makes the empty private folder for sockets.
func runFolder(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("folder for sockets: %w", err)
	}
	note := filepath.Join(abs, runNote)
	if left, err := os.ReadFile(note); err == nil {
		// Only a name that this function makes is ever removed.
		if old := string(left); strings.HasPrefix(filepath.Base(old), runPrefix) {
			if err := os.RemoveAll(old); err != nil {
				return "", fmt.Errorf("folder for sockets: remove the last one: %w", err)
			}
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("folder for sockets: %w", err)
	}
	run := filepath.Join(abs, runName)
	if len(run) <= longestRun {
		if err := os.RemoveAll(run); err != nil {
			return "", fmt.Errorf("folder for sockets: %w", err)
		}
		if err := os.Mkdir(run, 0o700); err != nil {
			return "", fmt.Errorf("folder for sockets: %w", err)
		}
		return run, nil
	}
	root := os.TempDir()
	if len(root)+len(runPrefix)+12 > longestRun {
		root = fallbackRoot
	}
	run, err = os.MkdirTemp(root, runPrefix)
	if err != nil {
		return "", fmt.Errorf("folder for sockets: %w", err)
	}
	if err := os.WriteFile(note, []byte(run), 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("folder for sockets: %w", err), os.RemoveAll(run))
	}
	return run, nil
}
