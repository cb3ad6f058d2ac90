package workers_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"firedrill/internal/sandbox/workers"
)

// A secret must not be readable in any file of the state folder, in the
// environment or arguments of a process, or in the file that the process got
// its configuration from.
func TestSecretsAreNowhereInClearText(t *testing.T) {
	t.Parallel()
	const hush = "s3cret-that-must-not-leak-77f1"
	dir := t.TempDir()
	b := open(t, dir, func(o *workers.Options) { o.SecretKey = []byte("key") })
	up := js(`export default { fetch(_, env) { return new Response(env.S); } };`, secret("S", hush))
	b.put("holder", up)
	b.wants("holder", "/", hush)
	found := 0
	look := func(path string, data []byte) {
		if bytes.Contains(data, []byte(hush)) {
			found++
			t.Errorf("the secret is readable in %s", path)
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		look(path, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pids := children(t)
	if len(pids) == 0 {
		t.Fatal("no workerd process was found to look at")
	}
	for _, pid := range pids {
		for _, name := range []string{"environ", "cmdline"} {
			if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name)); err == nil {
				look(fmt.Sprint(pid, name), data)
			}
		}
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); strings.Contains(to, "memfd:") || strings.HasPrefix(to, dir) {
				data, err := os.ReadFile(fd)
				if err == nil {
					look(fd+" -> "+to, data)
				}
			}
		}
	}
	b.close()
	if strings.Contains(b.logs.String()+b.log.String(), hush) {
		t.Error("the secret is in a log")
	}
	// With the key it is found again, with another or none it is refused.
	for _, key := range []string{"another", ""} {
		store, _ := databases(t)
		_, err := workers.Open(t.Context(), workers.Options{Dir: dir, Workerd: binary(t), D1: store, SecretKey: []byte(key)})
		if err == nil || !strings.Contains(err.Error(), "secret S") || strings.Contains(err.Error(), hush) {
			t.Errorf("opened with the key %q: %v", key, err)
		}
	}
	open(t, dir, func(o *workers.Options) { o.SecretKey = []byte("key") }).wants("holder", "/", hush)
}
