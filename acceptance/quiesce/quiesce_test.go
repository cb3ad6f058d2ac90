package quiesce

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/cli"
)

// childArgs makes the test binary a firedrill.
const childArgs = "FIREDRILL_TEST_ARGS"

func TestMain(m *testing.M) {
	os.Setenv("KEY", "open sesame")
	if text := os.Getenv(childArgs); text != "" {
		var args []string
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			panic(err)
		}
		os.Args = append([]string{"firedrill"}, args...)
		os.Exit(cli.Main())
	}
	goleak.VerifyTestMain(m)
}

// TestADrillAmongWriters: with writers that are stopped each drill passes, not
// one acknowledged write is lost, and they go on.
func TestADrillAmongWriters(t *testing.T) {
	t.Parallel()
	for _, drill := range []string{"d1", "kv", "worker"} {
		t.Run(drill, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, drill == "kv", "/maintenance/on")
			s.write(4, 5*time.Millisecond)
			s.goesOn()
			status, r, told := s.firedrill("run", drill)
			if status != firedrill.ExitOK || r.Verdict != firedrill.Passed || r.State != firedrill.Restored {
				t.Errorf("exit status %d: %+v\n%s", status, r, told)
			}
			if s.refused.Load() == 0 {
				t.Error("no writer was ever stopped")
			}
			s.goesOn()
			s.noneLost()
			t.Logf("%d orders taken, %d refused; %q", s.count(), s.refused.Load(), r.Collateral)
		})
	}
}

// TestADrillAmongWritersThatNobodyStops knows nothing, and says why. It is never
// wrong, however seldom they write.
func TestADrillAmongWritersThatNobodyStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		drill string
		pause string
		every time.Duration
		says  string
	}{
		"all the time":           {"d1", "", 5 * time.Millisecond, "somebody w"},
		"now and then":           {"d1", "", 300 * time.Millisecond, "somebody w"},
		"keys, all the time":     {"kv", "", 5 * time.Millisecond, ""},
		"keys, now and then":     {"kv", "", 300 * time.Millisecond, ""},
		"a pause that does not":  {"d1", "/maintenance/nothing", 5 * time.Millisecond, "somebody still writes to database shop"},
		"keys, a pause that not": {"kv", "/maintenance/nothing", 5 * time.Millisecond, "somebody still writes to KV namespace store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, c.drill == "kv", c.pause)
			s.edit("patience: 30", "patience: 2")
			s.write(1, c.every)
			s.goesOn()
			status, r, told := s.firedrill("run", c.drill)
			// 6: it ended before anything was damaged.
			if r.Verdict != firedrill.Inconclusive || !slices.Contains([]int{firedrill.ExitInconclusive, firedrill.ExitDirty, firedrill.ExitOperational}, status) {
				t.Errorf("exit status %d: %+v\n%s", status, r, told)
			}
			if !strings.Contains(strings.Join(r.Reasons, " "), c.says) {
				t.Errorf("does not say %q: %q", c.says, r.Reasons)
			}
			t.Logf("%s, %s: %q", r.ReasonCode, r.State, r.Reasons)
			s.goesOn()
		})
	}
}

// TestNobodyWasSeenWriting says that it could not be shown that they go on.
func TestNobodyWasSeenWriting(t *testing.T) {
	t.Parallel()
	s := newStage(t, false, "/maintenance/on")
	status, r, told := s.firedrill("run", "d1")
	if status != firedrill.ExitOK || !strings.Contains(strings.Join(r.Collateral, " "), "it is not shown that writers go on") {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
}

// TestWritersThatDoNotGoOn leave the environment other than it was.
func TestWritersThatDoNotGoOn(t *testing.T) {
	t.Parallel()
	s := newStage(t, false, "/maintenance/on")
	s.edit("/maintenance/off", "/maintenance/nothing", "json: {maintenance: false}", "json: {maintenance: true}", "patience: 30", "patience: 1")
	s.write(2, 5*time.Millisecond)
	s.goesOn()
	status, r, told := s.firedrill("run", "d1")
	if status != firedrill.ExitDirty || r.Verdict != firedrill.Inconclusive || !strings.Contains(strings.Join(r.Reasons, " "), "nobody wrote to database shop") {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.noneLost()
}

// moments are requests of a drill at which it is struck: two of them where
// not all are tried, which FIREDRILL_SOAK=1 does.
func moments() map[string]func(*http.Request) bool {
	path := func(method, end string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Method == method && strings.HasSuffix(r.URL.Path, end) }
	}
	nth := func(n int, is func(*http.Request) bool) func(*http.Request) bool {
		return func(r *http.Request) bool {
			if is(r) {
				n--
			}
			return n == 0
		}
	}
	all := map[string]func(*http.Request) bool{
		"at the restore": path(http.MethodPost, "/time_travel/restore"),
		"in a baseline":  nth(25, path(http.MethodPost, "/raw")),
	}
	if os.Getenv("FIREDRILL_SOAK") != "" {
		all["before the pause"] = path(http.MethodPost, "/maintenance/on")
		all["while it watches"] = nth(9, path(http.MethodGet, "/time_travel/bookmark"))
		all["before the resume"] = path(http.MethodPost, "/maintenance/off")
	}
	return all
}

// TestAKillAmongWriters kills the real process and takes the run up: the writers go on, and no acknowledged write is lost.
func TestAKillAmongWriters(t *testing.T) {
	t.Parallel()
	for name, at := range moments() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, false, "/maintenance/on")
			s.write(2, 5*time.Millisecond)
			s.goesOn()
			s.kill(at, "run", "d1")
			status, r, told := s.firedrill("resume")
			// While the process was gone nobody observed the outage.
			want := firedrill.Passed
			if name == "at the restore" {
				want = firedrill.Inconclusive
			}
			if r.Verdict != want || r.State != firedrill.Restored {
				t.Errorf("exit status %d: %+v\n%s", status, r, told)
			}
			s.goesOn()
			s.noneLost()
		})
	}
}

// TestAnInterruptAmongWriters turns the run back: all is undone and looked at
// before the writers go on, so that what they write is not taken for damage.
func TestAnInterruptAmongWriters(t *testing.T) {
	t.Parallel()
	for name, at := range moments() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, false, "/maintenance/on")
			s.write(2, 5*time.Millisecond)
			s.goesOn()
			out, err := s.strike(os.Interrupt, at, "run", "d1")
			var exit *exec.ExitError
			var doc firedrill.Document
			if jerr := json.Unmarshal(out, &doc); jerr != nil || !errors.As(err, &exit) || exit.ExitCode() != firedrill.ExitInterrupted || len(doc.Runs) != 1 {
				t.Fatalf("%v, %v: %s", err, jerr, out)
			}
			if r := doc.Runs[0]; r.Verdict != firedrill.Aborted || r.State != firedrill.Restored {
				t.Errorf("%+v", r)
			}
			s.goesOn()
			s.noneLost()
		})
	}
}

// kill runs a command in a process of its own, which dies at a request.
func (s *stage) kill(at func(*http.Request) bool, command ...string) {
	s.t.Helper()
	out, err := s.strike(syscall.SIGKILL, at, command...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		s.t.Fatalf("it was not killed: %v\n%s", err, out)
	}
}

// strike runs a command in a process of its own, sends it a signal at a request,
// and gives what it printed.
func (s *stage) strike(signal os.Signal, at func(*http.Request) bool, command ...string) ([]byte, error) {
	s.t.Helper()
	args, err := json.Marshal(s.args(command...))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childArgs+"="+string(args))
	cmd.Stderr = s.t.Output()
	var mu sync.Mutex
	struck := false
	see := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !struck && at(r) {
			struck = true
			_ = cmd.Process.Signal(signal)
		}
	}
	s.between.See(see)
	defer s.between.See(nil)
	return cmd.Output()
}
