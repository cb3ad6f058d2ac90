package machines

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"firedrill"
)

// restores tells whether a request is the recovery, by which time the damage is
// done.
func restores(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/time_travel/restore")
}

// once makes a function that sees the first of some requests.
func once(is func(*http.Request) bool, do func()) func(*http.Request) {
	var first sync.Once
	return func(r *http.Request) {
		if is(r) {
			first.Do(do)
		}
	}
}

// run runs a process, and tells when there is one that can be sent signals.
func run(cmd *exec.Cmd, started chan<- struct{}) error {
	err := cmd.Start()
	close(started)
	if err != nil {
		return err
	}
	return cmd.Wait()
}

// TestARunOfALostMachineIsFinishedElsewhere kills the real process while the
// database is damaged. The other machine sees the run, may not touch the
// environment, and finishes the run once a person says that the holder is gone.
func TestARunOfALostMachineIsFinishedElsewhere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cmd, out := s.start("a", "run", "d1")
	started := make(chan struct{})
	s.see(once(restores, func() { <-started; _ = cmd.Process.Kill() }))
	if err := run(cmd, started); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v\n%s", err, out)
	}
	run := s.held("b")
	for _, args := range [][]string{{"run", "d1"}, {"resume", run}} {
		if status, _, told := s.firedrill("b", args...); status == 0 || !strings.Contains(told, run+" holds it") || !strings.Contains(told, "resume "+run+" --take-over") {
			t.Errorf("%v: exit status %d: %s", args, status, told)
		}
	}
	if status, _, told := s.firedrill("b", "resume", run, "--take-over"); status != firedrill.ExitGuard || !strings.Contains(told, "process is gone") {
		t.Errorf("nobody was asked: exit status %d: %s", status, told)
	}
	status, done, told := s.firedrill("b", "resume", run, "--take-over", "--yes", "--json")
	if r := s.result(done); r.Run != run || r.State != firedrill.Restored || r.Verdict == firedrill.Passed {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.whole()
	if _, history, _ := s.firedrill("a", "history"); !strings.Contains(history, run) || strings.Contains(history, "not finished") {
		t.Errorf("the first machine sees: %s", history)
	}
	status, done, told = s.firedrill("a", "run", "d1", "--json")
	if r := s.result(done); status != 0 || r.Verdict != firedrill.Passed {
		t.Errorf("the next drill: exit status %d: %+v\n%s", status, r, told)
	}
	s.whole()
}

// TestALostRunIsFinishedOnItsMachine needs nobody's word: the lock of the process
// ended with it.
func TestALostRunIsFinishedOnItsMachine(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cmd, out := s.start("a", "run", "d1")
	started := make(chan struct{})
	s.see(once(restores, func() { <-started; _ = cmd.Process.Kill() }))
	if err := run(cmd, started); err == nil {
		t.Fatalf("it was not killed: %s", out)
	}
	status, done, told := s.firedrill("a", "resume", "--json")
	if r := s.result(done); r.State != firedrill.Restored || r.Verdict == firedrill.Passed {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.whole()
}

// TestARunLivesWhereItBegan: one that began before the plan named a bucket is
// finished first, in the local folder.
func TestARunLivesWhereItBegan(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	text, err := os.ReadFile(s.plan)
	if err != nil {
		t.Fatal(err)
	}
	s.file("firedrill.yaml", strings.Replace(string(text), "\nstate: ", "\n# state: ", 1))
	cmd, out := s.start("a", "run", "d1")
	started := make(chan struct{})
	s.see(once(restores, func() { <-started; _ = cmd.Process.Kill() }))
	if err := run(cmd, started); err == nil {
		t.Fatalf("it was not killed: %s", out)
	}
	s.file("firedrill.yaml", string(text))
	status, _, told := s.firedrill("a", "run", "d1")
	_, run, found := strings.Cut(told, "finish it first: firedrill resume ")
	if status == 0 || !found {
		t.Fatalf("exit status %d: %s", status, told)
	}
	status, done, told := s.firedrill("a", "resume", strings.TrimSpace(run), "--json")
	if r := s.result(done); r.State != firedrill.Restored {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.whole()
	if status, _, told := s.firedrill("a", "run", "d1"); status != 0 {
		t.Errorf("the next drill: exit status %d: %s", status, told)
	}
}

// TestAHolderThatWakesUpCannotAct stops the real process while the database is
// damaged, has another machine finish the run, and wakes it up.
func TestAHolderThatWakesUpCannotAct(t *testing.T) {
	t.Parallel()
	for name, nap := range map[string]time.Duration{"at once": 0, "after a while": 25 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Getenv("FIREDRILL_SOAK") != "" && nap > 0 {
				nap = time.Minute
			}
			s := newStage(t)
			cmd, out := s.start("a", "run", "d1")
			started, stopped := make(chan struct{}), make(chan struct{})
			s.see(once(restores, func() {
				<-started
				_ = cmd.Process.Signal(syscall.SIGSTOP)
				close(stopped)
			}))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			close(started)
			select {
			case <-stopped:
			case <-time.After(2 * time.Minute):
				t.Fatalf("it never restored: %s", out)
			}
			run := s.held("b")
			status, done, told := s.firedrill("b", "resume", run, "--take-over", "--yes", "--json")
			if r := s.result(done); r.State != firedrill.Restored {
				t.Errorf("exit status %d: %+v\n%s", status, r, told)
			}
			s.whole()
			time.Sleep(nap)
			var changes atomic.Int32
			s.see(func(r *http.Request) {
				// Half a request is none.
				if body, err := io.ReadAll(r.Body); r.Method != http.MethodGet && err == nil {
					changes.Add(1)
					t.Logf("it sent %s %s: %s", r.Method, r.URL, body)
				}
			})
			if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Errorf("it ended well: %s", out)
			}
			if n := changes.Load(); n > 0 {
				t.Errorf("who was stopped sent %d requests more", n)
			}
			if text := out.String(); !strings.Contains(text, "took it over") && !strings.Contains(text, "stood still") {
				t.Errorf("it does not say why it ended: %s", text)
			}
			s.whole()
		})
	}
}

// TestAHaltReachesTheOtherMachine: halt waits until the other machine's run has
// put everything back.
func TestAHaltReachesTheOtherMachine(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cmd, out := s.start("a", "run", "d1", "--json")
	var status int
	var told string
	var halting sync.WaitGroup
	s.see(once(restores, func() {
		halting.Go(func() { status, _, told = s.firedrill("b", "halt", "--reason", "incident 4711") })
	}))
	err := cmd.Run()
	halting.Wait()
	if status != 0 {
		t.Errorf("halt: exit status %d: %s", status, told)
	}
	if err == nil && !strings.Contains(out.String(), `"verdict": "passed"`) {
		t.Errorf("%v: %s", err, out)
	}
	s.whole()
	if status, _, told := s.firedrill("a", "run", "d1"); status != firedrill.ExitGuard || !strings.Contains(told, "incident 4711") {
		t.Errorf("a new run: exit status %d: %s", status, told)
	}
	if status, _, told := s.firedrill("a", "halt", "--off"); status != 0 {
		t.Errorf("lift: exit status %d: %s", status, told)
	}
}
