package workers_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"firedrill/internal/sandbox/workers"
)

func TestAKilledWorkerdIsStartedAgain(t *testing.T) {
	t.Parallel()
	if os.Getenv(envOwner) != "" {
		t.Skip("this is the re-executed binary")
	}
	cmd, out := startOwner(t, t.TempDir())
	url := waitURL(t, out)
	pids := childrenOf(t, cmd.Process.Pid)
	if len(pids) != 1 {
		t.Fatalf("the owner has %d workerd processes", len(pids))
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for { // dying takes a moment, in which its threads end and it still accepts
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pids[0])); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	// Requests that come after the death wait until a process is back: none may
	// fail, from the first one on.
	for range 20 {
		if body := fetch(t, url); body != "owned" {
			t.Errorf("after the kill the Worker answers %q", body)
		}
	}
	if now := childrenOf(t, cmd.Process.Pid); len(now) != 1 || now[0] == pids[0] {
		t.Errorf("processes now %v, before %v", now, pids)
	}
}

func TestNoWorkerdOutlivesAKilledOwner(t *testing.T) {
	t.Parallel()
	if os.Getenv(envOwner) != "" {
		t.Skip("this is the re-executed binary")
	}
	dir := t.TempDir()
	cmd, out := startOwner(t, dir)
	waitURL(t, out)
	pids := childrenOf(t, cmd.Process.Pid)
	if len(pids) != 1 {
		t.Fatalf("the owner has %d workerd processes", len(pids))
	}
	store, _ := databases(t)
	_, err := workers.Open(t.Context(), workers.Options{Dir: dir, Workerd: binary(t), D1: store})
	if err == nil || !strings.Contains(err.Error(), "in use by another sandbox") {
		t.Errorf("a second owner of the folder: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	// The lock is inherited: opening the folder waits for the last process.
	b := open(t, dir)
	for _, pid := range pids {
		if alive(t, pid) {
			t.Errorf("workerd %d outlived its owner", pid)
		}
	}
	b.wants("owned", "/", "owned")
}

// envOwner makes the test binary run as an owner of the named folder.
const envOwner = "FIREDRILL_TEST_OWNER"

// envDeploys makes the owner deploy again and again, and say so each time.
const envDeploys = "FIREDRILL_TEST_DEPLOYS"

// However a deployment is cut off, what was acknowledged serves afterwards, or
// something newer; never something older, never nothing.
func TestAnAcknowledgedDeploymentSurvivesAKill(t *testing.T) {
	t.Parallel()
	if os.Getenv(envOwner) != "" {
		t.Skip("this is the re-executed binary")
	}
	for round := range 6 {
		dir := t.TempDir()
		cmd, out := startOwner(t, dir, envDeploys+"=1")
		waitURL(t, out)
		acked := 0
		kill := time.AfterFunc(time.Duration(150+47*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for {
			line, err := out.ReadString('\n')
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), "ACK "); ok {
				if acked, err = strconv.Atoi(n); err != nil {
					t.Fatal(err)
				}
			}
			if err != nil {
				break
			}
		}
		kill.Stop()
		b := open(t, dir)
		status, body := b.get("owned", "/")
		if got, err := strconv.Atoi(body); acked > 0 && (err != nil || status != 200 || got < acked || got > acked+1) {
			t.Errorf("after acknowledging %d the Worker answers %d %q", acked, status, body)
		}
		page, err := b.Versions(t.Context(), "owned", 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		ds, err := b.Deployments(t.Context(), "owned", 1)
		if err != nil || ds[0].Shares[0].VersionID != page.Versions[0].ID {
			t.Errorf("a version was left undeployed: %v", err)
		}
		b.close()
	}
}

// TestOwner is not a test: it is the main function of the processes that the
// tests above start and kill.
func TestOwner(t *testing.T) {
	dir := os.Getenv(envOwner)
	if dir == "" {
		t.Skip("only used by other tests")
	}
	b := open(t, dir)
	b.put("owned", says("owned"))
	b.wants("owned", "/", "owned")
	fmt.Println("URL", b.url)
	for i := 1; os.Getenv(envDeploys) != ""; i++ {
		b.put("owned", says(strconv.Itoa(i)))
		fmt.Println("ACK", i)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the starter is gone
}

func startOwner(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestOwner$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), envOwner+"="+dir, "FIREDRILL_WORKERD="+binary(t))
	cmd.Env = append(cmd.Env, env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // lets it end by itself
		_ = cmd.Wait()    // it may have been killed, and waited for
	})
	return cmd, bufio.NewReader(stdout)
}

func waitURL(t *testing.T, out *bufio.Reader) string {
	t.Helper()
	for {
		line, err := out.ReadString('\n')
		if url, ok := strings.CutPrefix(strings.TrimSpace(line), "URL "); ok {
			return url
		}
		if err != nil {
			t.Fatalf("the owner ended before it served: %v", err)
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "owned.localhost"
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
