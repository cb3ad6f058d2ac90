package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The files at the top of a state folder.
const (
	lockFile     = "lock"
	identityFile = "sandbox.json"
	endpointFile = "endpoint.json"
	workersLog   = "workers.log"
)

// The folders in a state folder.
const (
	d1Folder      = "d1"
	kvFolder      = "kv"
	r2Folder      = "r2"
	workersFolder = "workers"
	spoolFolder   = "spool"
)

// Account is the id of every sandbox's only account. It is the same everywhere,
// so that a plan for a sandbox can name it; the token is what differs.
const Account = "f17ed411f17ed411f17ed411f17ed411"

// layout is the version of the state folder.
const layout = 1

// identity is what stays the same over restarts: account and token.
type identity struct {
	Layout  int    `json:"layout"`
	Account string `json:"account"`
	Token   string `json:"token"`
}

// Endpoint is where a running sandbox is reached. It stands in the state
// folder while it runs, for commands of other processes.
type Endpoint struct {
	PID     int       `json:"pid"`
	API     string    `json:"api"`
	Front   string    `json:"front"`
	Account string    `json:"account"`
	Token   string    `json:"token"`
	Started time.Time `json:"started"`
}

// takeFolder makes the folder and locks it. The lock ends with the process,
// however it ends.
func takeFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &Error{"start the sandbox", KindStorage, dir, "name a folder that can be written: --state DIR", err}
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &Error{"start the sandbox", KindStorage, dir, "name a folder that can be written: --state DIR", err}
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		return nil, errors.Join(&Error{"start the sandbox", KindBusy, dir, "use it (firedrill sandbox status), stop it (firedrill sandbox down), or name another folder with --state",
			fmt.Errorf("a sandbox of process %s runs there", strings.TrimSpace(string(holder)))}, f.Close())
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(&Error{"start the sandbox", KindStorage, dir, "free some space", err}, f.Close())
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// loadIdentity reads account and token, or makes them.
func loadIdentity(dir string) (identity, error) {
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newIdentity(path)
	}
	var id identity
	if err == nil {
		err = json.Unmarshal(data, &id)
	}
	switch {
	case err != nil:
		return id, &Error{"start the sandbox", KindStorage, path, "restore the file, or begin anew: firedrill sandbox reset", err}
	case id.Layout != layout:
		return id, &Error{"start the sandbox", KindFormat, dir, "use a newer firedrill, or another folder with --state",
			fmt.Errorf("the folder has layout %d, this version knows %d", id.Layout, layout)}
	case len(id.Account) != 32 || id.Token == "":
		return id, &Error{"start the sandbox", KindStorage, path, "restore the file, or begin anew: firedrill sandbox reset", errors.New("account or token is missing")}
	}
	return id, nil
}

func newIdentity(path string) (identity, error) {
	random := make([]byte, 30)
	if _, err := rand.Read(random); err != nil {
		return identity{}, &Error{"start the sandbox", KindStorage, path, "", err}
	}
	id := identity{layout, Account, "sandbox_" + hex.EncodeToString(random)}
	return id, writeJSON(path, id)
}

// writeJSON replaces a file so that a crash leaves the old or the new one.
func writeJSON(path string, x any) error {
	data, err := json.MarshalIndent(x, "", "  ")
	if err == nil {
		err = os.WriteFile(path+".tmp", append(data, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return &Error{"write", KindStorage, path, "free some space, or name another folder with --state", err}
	}
	return nil
}

func writeEndpoint(dir string, e Endpoint) error {
	return writeJSON(filepath.Join(dir, endpointFile), e)
}

func removeEndpoint(dir string) error {
	err := os.Remove(filepath.Join(dir, endpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Running gives the endpoint of the sandbox that runs on a state folder; an
// error of [KindAbsent] if none does. A file that a kill left behind does not
// count: the lock decides.
func Running(dir string) (Endpoint, error) {
	absent := &Error{"find the sandbox", KindAbsent, dir, "start one: firedrill sandbox up", errors.New("no sandbox runs there")}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return Endpoint{}, absent
	}
	defer f.Close() //nolint:errcheck // closing gives the lock back, whatever it says
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return Endpoint{}, absent
	}
	data, err := os.ReadFile(filepath.Join(dir, endpointFile))
	if err != nil {
		absent.Err, absent.Remedy = errors.New("a sandbox is starting or stopping there"), "try again in a moment"
		return Endpoint{}, absent
	}
	var e Endpoint
	if err := json.Unmarshal(data, &e); err != nil {
		return Endpoint{}, &Error{"find the sandbox", KindStorage, dir, "stop it and start it again", err}
	}
	return e, nil
}

// Reset removes the state of a sandbox that does not run.
func Reset(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, identityFile)); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing there that is ours
	}
	f, err := takeFolder(dir)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // closing gives the lock back, whatever it says
	for _, name := range []string{d1Folder, kvFolder, r2Folder, workersFolder, spoolFolder, workersLog, workersLog + ".1", identityFile, endpointFile, lockFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return &Error{"reset the sandbox", KindStorage, dir, "remove the folder by hand", err}
		}
	}
	return nil
}

// Env gives `export` lines after which the real wrangler works on the sandbox.
// HOME stays the user's: wrangler prefers the token over any login there.
func (e Endpoint) Env() string {
	var b strings.Builder
	for _, kv := range [][2]string{
		{"CLOUDFLARE_API_BASE_URL", e.API},
		{"CLOUDFLARE_API_TOKEN", e.Token},
		{"CLOUDFLARE_ACCOUNT_ID", e.Account},
		{"WRANGLER_SEND_METRICS", "false"},
		{"WRANGLER_SEND_ERROR_REPORTS", "false"},
		{"WRANGLER_HIDE_BANNER", "true"},
	} {
		fmt.Fprintf(&b, "export %s='%s'\n", kv[0], strings.ReplaceAll(kv[1], "'", `'\''`))
	}
	return b.String()
}
