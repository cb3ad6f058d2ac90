//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pinned is the wrangler that is compared with.
const pinned = "4.86.0"

// installWrangler gives the path of the pinned wrangler. It is installed once
// a machine, into the user's cache, from the lock file that the acceptance
// test has; processes that come at once wait.
func installWrangler(ctx context.Context) (_ string, err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("wrangler is installed with npm: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "firedrill", "wrangler-"+pinned)
	bin := filepath.Join(dir, "node_modules", ".bin", "wrangler")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // frees it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	done := filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err == nil {
		return bin, nil
	}
	progress("installing wrangler %s", pinned)
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(root, "acceptance", "wrangler", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return bin, os.WriteFile(done, nil, 0o600)
}

// moduleRoot is the folder of go.mod, here or above.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			err = errors.New("no go.mod here or above: run it inside the module")
		}
		dir = up
	}
	return "", err
}

// bundledWorkerd is the version of the workerd that came with a wrangler.
func bundledWorkerd(bin string) (string, error) {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(bin), "..", "workerd", "package.json"))
	if err != nil {
		return "", err
	}
	var p struct{ Version string }
	err = json.Unmarshal(data, &p)
	return p.Version, err
}

// writeProject writes what wrangler dev needs, each Worker in a folder.
func writeProject(dir string, project []script) error {
	for _, sc := range project {
		config := map[string]any{"name": sc.Name, "main": "index.js", "compatibility_date": compatibilityDate}
		if sc.D1 {
			config["d1_databases"] = []map[string]string{{"binding": "DB", "database_name": "bench", "database_id": "bench"}}
		}
		if sc.KV {
			config["kv_namespaces"] = []map[string]string{{"binding": "KV", "id": "bench"}}
		}
		services := []map[string]string{}
		for _, name := range sc.Services {
			services = append(services, map[string]string{"binding": strings.ToUpper(name), "service": name})
		}
		config["services"] = services
		data, err := json.Marshal(config)
		if err != nil {
			return err
		}
		folder := filepath.Join(dir, sc.Name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "wrangler.json"), data, 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "index.js"), []byte(sc.Source), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// newWrangler starts one wrangler dev for a project. The last Worker is the
// one that answers; the others are reached through it. State is kept in the
// folder, as it is by default.
func newWrangler(ctx context.Context, bin, dir string, project []script) (*side, error) {
	if err := writeProject(dir, project); err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	inspector, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	// Only errors are logged: the line that it logs for each request by
	// default would cost it time.
	args := []string{"dev", "--local", "--ip", "127.0.0.1", "--port", port, "--inspector-port", inspector,
		"--persist-to", filepath.Join(dir, "state"), "--show-interactive-dev-session=false", "--log-level", "error"}
	for i := len(project) - 1; i >= 0; i-- {
		args = append(args, "-c", filepath.Join(dir, project[i].Name, "wrangler.json"))
	}
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = filepath.Join(dir, project[len(project)-1].Name)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "WRANGLER_LOG_PATH=" + home, "CI=1", "NO_COLOR=1",
		"WRANGLER_SEND_METRICS=false", "WRANGLER_SEND_ERROR_REPORTS=false", "WRANGLER_HIDE_BANNER=true"}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	s, err := start(cmd, "wrangler dev", filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	s.addr = net.JoinHostPort("127.0.0.1", port)
	s.host = s.addr
	return s, nil
}

// freePort is a port that was free a moment ago. Wrangler cannot be asked
// which one it chose without reading its log.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}
