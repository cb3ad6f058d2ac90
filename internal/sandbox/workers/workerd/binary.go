package workerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Source tells where a binary was found.
type Source string

// The places where Locate looks, in this order.
const (
	FromUser        Source = "named by the user"
	FromPath        Source = "PATH"
	FromNodeModules Source = "node_modules"
	FromCache       Source = "cache"
	FromNPM         Source = "npm"
)

// EnvBinary is the environment variable that names a binary.
const EnvBinary = "FIREDRILL_WORKERD"

// Binary is a workerd that can be run.
type Binary struct {
	Path string
	// Version is what it says of itself, for instance "2026-11-17".
	Version string
	Source  Source
}

// Locator says where to look for workerd. The zero value looks where a program
// of this user would.
type Locator struct {
	// Getenv reads the environment; nil means os.Getenv.
	Getenv func(string) string
	// Dir is where the search for node_modules begins, upward; empty means the
	// working directory.
	Dir string
	// CacheDir is the root of caches; empty means the user's cache folder.
	CacheDir string
	// LookPath finds programs; nil means exec.LookPath.
	LookPath func(string) (string, error)
	// NPM is the npm to fetch with; empty means the one on PATH.
	NPM string
	// Progress receives one line for each step of a fetch; nil drops it.
	Progress func(string)
	// Platform is "os/arch"; empty means this machine.
	Platform string
	// Pin is the package to fetch; nil means the one pinned for Platform.
	Pin *Pin
}

func (l Locator) getenv(key string) string {
	if l.Getenv != nil {
		return l.Getenv(key)
	}
	return os.Getenv(key)
}

func (l Locator) lookPath(name string) (string, error) {
	if l.LookPath != nil {
		return l.LookPath(name)
	}
	return exec.LookPath(name)
}

func (l Locator) platform() string {
	if l.Platform != "" {
		return l.Platform
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}

func (l Locator) say(format string, args ...any) {
	if l.Progress != nil {
		l.Progress(fmt.Sprintf(format, args...))
	}
}

// Find looks for a binary without fetching one. A binary that the user named
// must be usable; of the other places, those without a usable one are passed
// over. Nothing found is ErrNotFound.
func (l Locator) Find(ctx context.Context) (Binary, error) {
	if path := l.getenv(EnvBinary); path != "" {
		b, err := inspect(ctx, path, FromUser)
		if err != nil {
			return Binary{}, fmt.Errorf("%s names %s: %w", EnvBinary, path, err)
		}
		return b, nil
	}
	if path, err := l.lookPath("workerd"); err == nil {
		if b, err := inspect(ctx, path, FromPath); err == nil {
			return b, nil
		}
	}
	modules, err := l.nodeModules()
	if err != nil {
		return Binary{}, err
	}
	for _, path := range modules {
		if b, err := inspect(ctx, path, FromNodeModules); err == nil {
			return b, nil
		}
	}
	return l.cached(ctx)
}

// ErrNotFound says that this machine has no workerd yet.
var ErrNotFound = errors.New("no workerd on this machine")

// Locate finds a binary, or fetches the pinned one.
func Locate(ctx context.Context, l Locator) (Binary, error) {
	b, err := l.Find(ctx)
	if !errors.Is(err, ErrNotFound) {
		return b, err
	}
	return l.Fetch(ctx)
}

// nodeModules lists the places below each node_modules folder upward where the
// package for this platform keeps its binary.
func (l Locator) nodeModules() ([]string, error) {
	pin, ok := l.pin()
	if !ok {
		return nil, nil
	}
	dir := l.Dir
	if dir == "" {
		wd, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("find workerd: %w", err)
		}
		dir = wd
	}
	var list []string
	for {
		list = append(list, filepath.Join(dir, "node_modules", filepath.FromSlash(pin.Package), "bin", "workerd"))
		up := filepath.Dir(dir)
		if up == dir {
			return list, nil
		}
		dir = up
	}
}

// inspect runs the binary for its version.
func inspect(ctx context.Context, path string, source Source) (Binary, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Binary{}, err
	}
	if st, err := os.Stat(abs); err != nil {
		return Binary{}, err
	} else if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return Binary{}, errors.New("it is not an executable file")
	}
	if script, err := isScript(abs); err != nil {
		return Binary{}, err
	} else if script {
		// npm's wrapper would stand between us and the process to be stopped.
		return Binary{}, errors.New("it is a script, not the program itself")
	}
	out, err := askVersion(ctx, abs)
	if err != nil {
		return Binary{}, fmt.Errorf("ask for its version: %w", err)
	}
	version, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "workerd ")
	if !ok {
		return Binary{}, fmt.Errorf("it is not workerd: its version is %.80q", out)
	}
	return Binary{Path: abs, Version: version, Source: source}, nil
}

// askVersion runs the binary for its version. Right after a file was written it
// can be "busy": a process that is just being forked elsewhere in this program
// holds a copy of the descriptor for a moment.
func askVersion(ctx context.Context, path string) ([]byte, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if !errors.Is(err, syscall.ETXTBSY) || pause > time.Second {
			return out, err
		}
		time.Sleep(pause)
	}
}

// isScript tells whether a file begins with "#!".
func isScript(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // only read
	var head [2]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return false, fmt.Errorf("read its first bytes: %w", err)
	}
	return string(head[:]) == "#!", nil
}
