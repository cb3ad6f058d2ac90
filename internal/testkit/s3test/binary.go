package s3test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// EnvBinary is the environment variable that names a versitygw to use instead
// of one that is built here.
const EnvBinary = "FIREDRILL_VERSITYGW"

// command is the program, pinned by the module in tools/s3.
const command = "github.com/versity/versitygw/cmd/versitygw"

// Binary gives the path of versitygw. The first call on a machine builds it,
// which takes minutes; it is kept in the user's cache folder under a name that
// follows from what it was built from. Test packages that run at the same time
// wait for one build.
func Binary(ctx context.Context) (string, error) {
	if path := os.Getenv(EnvBinary); path != "" {
		return path, nil
	}
	module, err := findModule()
	if err != nil {
		return "", err
	}
	key, err := buildKey(module)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for versitygw: %w: set %s to a binary", err, EnvBinary)
	}
	return cached(filepath.Join(cache, "firedrill", "versitygw", key), func(to string) error { return build(ctx, module, to) })
}

// cached gives the path of the binary in a folder, and has it built if it is
// not there. Whoever comes meanwhile, from any process, waits.
func cached(dir string, build func(to string) error) (_ string, err error) {
	path := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(dir, "lock")).Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil // built while we waited
	}
	unfinished := path + ".tmp" // a build that was cut off does not count
	if err := build(unfinished); err != nil {
		return "", err
	}
	return path, os.Rename(unfinished, path)
}

// findModule looks upward from the working directory for the module that pins
// versitygw.
func findModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		module := filepath.Join(dir, "tools", "s3")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("tools/s3/go.mod, which pins versitygw, is in no folder above the working directory")
		}
		dir = up
	}
}

// buildKey follows from all that decides what a build gives.
func buildKey(module string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	fmt.Fprintf(h, "%s %s %s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func build(ctx context.Context, module, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", to, command)
	cmd.Dir = module
	// What the caller's build was told (a race detector, a workspace, another
	// platform) is not meant for this one.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build versitygw in %s: %w: %s", module, err, strings.TrimSpace(out.String()))
	}
	return nil
}
