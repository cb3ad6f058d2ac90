package crash

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/canary"
)

// TestACrashShowsNoSecret makes the real program print all that it does when it
// breaks (the stacks of all its goroutines) while everything is damaged, and searches
// that, its command line, what it leaves on the disk, and what is said when it is
// taken up.
func TestACrashShowsNoSecret(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	canaries := map[string]string{"the token": s.Token(), "a hidden column": "cnry+column/6e01=8", "a probe's header": "cnry+header/24d7=3"}
	s.Query(s.db, `UPDATE accounts SET name = name || ' `+canaries["a hidden column"]+`'`)
	s.before = s.holds()
	header := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(header, []byte(canaries["a probe's header"]), 0o600); err != nil {
		t.Fatal(err)
	}
	s.replace("{kind: d1, name: shop}", "{kind: d1, name: shop, redact: [accounts.name]}")
	s.replace("{path: /rows, json: {ok: true}}", fmt.Sprintf("{path: /rows, json: {ok: true}, headers: {X-Key: {file: %q}}}", header))
	for _, signal := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT} {
		c := s.command("run", "d1-pitr", "--verbose")
		c.Env = append(c.Env, "GOTRACEBACK=all")
		var out, told bytes.Buffer
		c.Stdout, c.Stderr = &out, &told
		gone := make(chan struct{})
		_ = s.atTheRestore(c, func() {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.Process.Pid))
			if err == nil { // this system shows it
				canary.Search(t, "the command line", line, canaries)
			}
			_ = c.Process.Signal(signal)
			<-gone // the recovery is never sent
			panic(http.ErrAbortHandler)
		})
		close(gone)
		if bytes.Count(told.Bytes(), []byte("goroutine ")) < 5 {
			t.Fatalf("%s: no stacks: %s", signal, &told)
		}
		canary.Search(t, signal.String()+": standard error", told.Bytes(), canaries)
		canary.Search(t, signal.String()+": standard output", out.Bytes(), canaries)
		// Values that are needed until the run is over are in a folder of their own.
		canary.SearchFolder(t, s.home, canaries, func(path string) bool { return filepath.Base(filepath.Dir(path)) == firedrill.PrivateFolder })
		resumed, said := s.output("resume", "--verbose")
		canary.Search(t, "what resume says", []byte(resumed+said), canaries)
		s.restored()
		if canary.SearchFolder(t, s.home, canaries, func(string) bool { return false }) < 5 {
			t.Error("few files were searched")
		}
	}
}
