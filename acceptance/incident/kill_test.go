package incident

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill/internal/cli"
)

// childArgs makes the test binary the command line itself.
const childArgs = "FIREDRILL_TEST_ARGS"

func TestMain(m *testing.M) {
	if text := os.Getenv(childArgs); text != "" {
		var args []string
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			panic(err)
		}
		os.Exit(cli.Run(cli.Process{Args: args, Stdin: strings.NewReader(""), Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now, Version: "test"}))
	}
	goleak.VerifyTestMain(m)
}

// TestAKilledRecoveryIsResumed kills the real program while it recovers, at a random
// moment, and lets another process finish it.
func TestAKilledRecoveryIsResumed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	resumed := 0
	for i := 0; resumed < rounds(3, 50) && i < 200; i++ {
		p.cloud.Query(p.db, "DROP TABLE IF EXISTS rows") // a fresh start, whatever the disaster was
		p.fill()
		good, to := p.rows(), p.bookmark()
		p.disaster(r)
		bad := p.rows()
		interrupted := p.killed(time.Duration(r.IntN(900))*time.Millisecond, "recover", "d1-pitr", "--to", to)
		if interrupted == "" { // killed before it began, or after its end
			if now := p.rows(); now != good && now != bad {
				t.Fatalf("round %d: neither before nor after:\n%.2000s", i, now)
			}
			continue
		}
		resumed++
		run := p.recover("resume", interrupted)
		if got := p.rows(); got != good {
			t.Fatalf("round %d: resumed, and the rows are\n%.2000s\nthey were\n%.2000s", i, got, good)
		}
		if run.Incident == nil {
			t.Errorf("%+v", run)
		}
		p.recover("recover", "--undo", run.Run)
		if got := p.rows(); got != bad {
			t.Fatalf("round %d: undone, and the rows are\n%.2000s\nthe disaster was\n%.2000s", i, got, bad)
		}
	}
	if resumed == 0 {
		t.Error("no run was ever interrupted")
	}
}

// killed starts the real program, kills it after a while, and gives the run that was
// interrupted; "" if it was killed before its run began, or after its end.
func (p *place) killed(after time.Duration, args ...string) string {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := json.Marshal(append(args, p.args...))
	if err != nil {
		p.t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childArgs+"="+string(text))
	if err := child.Start(); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(after)
	if err := child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	var status struct{ Interrupted []string }
	_, out, told := p.run("status", "--json")
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		p.t.Fatalf("%v\n%s%s", err, out, told)
	}
	if len(status.Interrupted) == 0 {
		return ""
	}
	return status.Interrupted[0]
}
