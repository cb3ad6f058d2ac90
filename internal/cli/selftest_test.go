package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/saboteur"
	lies "firedrill/internal/saboteur/cloudflare"
	"firedrill/internal/sandbox"
)

// newTestApp is what a command sees, with nothing of this process in it.
func newTestApp() (a *app, out, told *bytes.Buffer) {
	out, told = &bytes.Buffer{}, &bytes.Buffer{}
	a = &app{Process: Process{Stdin: strings.NewReader(""), Stdout: out, Stderr: told, Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"}}
	a.out, a.err = term.NewPage(out, a.Getenv), term.NewPage(told, a.Getenv)
	return a, out, told
}

// runThem runs trials on a sandbox of their own.
func runThem(t *testing.T, a *app, all []*trial) {
	t.Helper()
	home := t.TempDir()
	live := a.live()
	err := a.withThrowAway(t.Context(), home, live, func(dir string, e sandbox.Endpoint) { a.runTrials(t.Context(), live, all, dir, e) })
	live.Close()
	left, rerr := os.ReadDir(home)
	if err := errors.Join(err, rerr); err != nil || len(left) > 0 {
		t.Fatalf("%v; left behind: %v", err, left)
	}
}

// TestNoDrillIsFooled runs the controls and a sample of the lies, chosen by a
// seed; where everything is to be tried, all of them.
func TestNoDrillIsFooled(t *testing.T) {
	t.Parallel()
	all, err := selftestOptions{}.trials()
	if err != nil {
		t.Fatal(err)
	}
	controls := slices.IndexFunc(all, func(tr *trial) bool { return tr.lie != nil })
	if controls != 3 || len(all) < 60 {
		t.Fatalf("%d trials, %d of them controls", len(all), controls)
	}
	if os.Getenv("FIREDRILL_SOAK") == "" {
		seed := rand.Uint64()
		told := all[controls:]
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(told), func(i, j int) { told[i], told[j] = told[j], told[i] }) // not for secrets
		t.Logf("5 of %d lies, seed %d", len(told), seed)
		// A recovery that is always answered with an error meets what is patient.
		refused := slices.IndexFunc(told, func(tr *trial) bool { return tr.lie.Name == "success-after-error" && tr.drill == lies.D1PITR })
		all = append(slices.Clone(all[:controls+5]), told[refused])
	}
	a, _, _ := newTestApp()
	runThem(t, a, all)
	for _, tr := range all {
		if !tr.ok() {
			t.Errorf("%s, %s: %s, %s", tr.label(), tr.drill, tr.verdict(), tr.finding())
		}
	}
}

// TestTheSelftestNoticesThatADrillWasFooled, by lies that are none: one that says
// that it lies and tells the truth, one that says nothing, one that breaks.
func TestTheSelftestNoticesThatADrillWasFooled(t *testing.T) {
	t.Parallel()
	lie := func(name string, script func(s *saboteur.Stage) (saboteur.Script, error)) *trial {
		return &trial{drill: lies.D1PITR, lie: &saboteur.Lie{Name: name, Tells: map[string]saboteur.Telling{
			lies.D1PITR: {Tell: func(_ context.Context, s *saboteur.Stage) (saboteur.Script, error) { return script(s) }}}}}
	}
	all := []*trial{
		lie("fools", func(s *saboteur.Stage) (saboteur.Script, error) {
			return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
				s.Tell()
				return x.Forward(ctx)
			}}, nil
		}),
		lie("silent", func(*saboteur.Stage) (saboteur.Script, error) { return saboteur.Script{}, nil }),
		lie("broken", func(*saboteur.Stage) (saboteur.Script, error) { return saboteur.Script{}, errors.New("no lie today") }),
	}
	a, out, told := newTestApp()
	runThem(t, a, all)
	for i, want := range []string{"FOOLED", "NEVER TOLD", "the trial broke: no lie today"} {
		if all[i].ok() || !strings.HasPrefix(all[i].finding(), want) {
			t.Errorf("%s: %q, ok %v", all[i].label(), all[i].finding(), all[i].ok())
		}
	}
	if err := a.concludeSelftest(all, time.Second); !errors.Is(err, exitStatus(firedrill.ExitFailed)) {
		t.Errorf("it ends with %v", err)
	}
	for _, want := range []string{"fools", "passed", "0 of 0 controls passed · 1 of 3 lies told · 0 of 3 caught"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if !strings.Contains(told.String(), "FOOLED") {
		t.Errorf("nothing was said while it ran:\n%s", told)
	}
	for _, r := range selftestRows(all) {
		if r.CaughtBy != "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestWhatATrialShows(t *testing.T) {
	t.Parallel()
	result := func(v firedrill.Verdict, s firedrill.EnvironmentState) *firedrill.Result {
		return &firedrill.Result{Verdict: v, State: s, Reasons: []string{"a reason"}}
	}
	lie := &saboteur.Lie{Name: "a-lie"}
	for _, c := range []struct {
		trial
		ok      bool
		finding string
	}{
		{trial{result: result(firedrill.Passed, firedrill.Restored)}, true, "0 checks held"},
		{trial{result: result(firedrill.Passed, firedrill.Dirty)}, false, "FALSE ALARM: a reason"},
		{trial{result: result(firedrill.Inconclusive, firedrill.Restored)}, false, "FALSE ALARM: a reason"},
		{trial{}, false, "nothing came of it"},
		{trial{lie: lie}, false, "nothing came of it"},
		{trial{lie: lie, told: 1, result: result(firedrill.Failed, firedrill.Restored), caught: "equal: a row differs"}, true, "equal: a row differs"},
		{trial{lie: lie, told: 1, result: result(firedrill.Inconclusive, firedrill.Dirty), caught: "x"}, true, "x"},
		{trial{lie: lie, told: 1, result: result(firedrill.Failed, firedrill.Restored)}, false, "caught without a reason"},
		{trial{lie: lie, told: 1, result: result(firedrill.Passed, firedrill.Restored)}, false, "FOOLED"},
		{trial{lie: lie, told: 0, result: result(firedrill.Failed, firedrill.Restored), caught: "x"}, false, "NEVER TOLD"},
		{trial{lie: lie, told: 1, result: result(firedrill.Failed, firedrill.Restored), caught: "x", err: errors.New("no")}, false, "the trial broke: no"},
	} {
		if c.trial.ok() != c.ok || !strings.HasPrefix(c.trial.finding(), c.finding) {
			t.Errorf("%+v: ok %v, %q", c.trial, c.trial.ok(), c.trial.finding())
		}
	}
}

// onWord calls a function when a word is written to it for the first time.
type onWord struct {
	once sync.Once
	word string
	do   func()
}

func (w *onWord) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.word)) {
		w.once.Do(w.do)
	}
	return len(p), nil
}

// TestAnInterruptLeavesNothing: what a selftest made is gone, and it says that it
// was interrupted.
func TestAnInterruptLeavesNothing(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	signals := make(chan os.Signal, 1)
	var out bytes.Buffer
	status := Run(Process{Args: []string{"selftest", "--verbose", "--home", home}, Stdin: strings.NewReader(""), Stdout: &out,
		Stderr: &onWord{word: "trials", do: func() { signals <- os.Interrupt }},
		Getenv: func(string) string { return "" }, Now: time.Now, Version: "test", Signals: signals})
	left, err := os.ReadDir(home)
	if status != firedrill.ExitInterrupted || err != nil || len(left) > 0 || out.Len() > 0 {
		t.Errorf("exit status %d, left %v %v, said %s", status, left, err, &out)
	}
}

// TestTheGuideNamesEveryLie as the command does.
func TestTheGuideNamesEveryLie(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/guide/selftest.md")
	if err != nil {
		t.Fatal(err)
	}
	combinations := 0
	for _, l := range lies.Lies() {
		combinations += len(l.Drills())
		if row := fmt.Sprintf("| `%s` | %s | %s | ", l.Name, l.Sentence, strings.Join(l.Drills(), ", ")); !strings.Contains(string(guide), row) {
			t.Errorf("the guide has no row %q", row)
		}
	}
	if n := strings.Count(string(guide), "\n| `"); n < len(lies.Lies()) || !strings.Contains(string(guide), fmt.Sprintf("%d lies in\n%d combinations", len(lies.Lies()), combinations)) {
		t.Errorf("the guide counts otherwise: %d rows, %d combinations", n, combinations)
	}
}
