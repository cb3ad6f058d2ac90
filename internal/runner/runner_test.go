package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/journal"
	"firedrill/internal/state"
)

// killAt makes the test binary run a drill and kill itself: "FOLDER N" stops
// before or after the N-th boundary (append or effect).
const killAt = "FIREDRILL_TEST_KILL"

func TestMain(m *testing.M) {
	if spec := os.Getenv(killAt); spec != "" {
		var dir string
		var n int
		if _, err := fmt.Sscanf(spec, "%s %d", &dir, &n); err != nil {
			panic(err)
		}
		child(dir, n)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// world is what the fake actions act on: files in a folder, so that the truth
// can be looked at from outside and survives a kill.
type world struct{ dir string }

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

func (w world) has(name string) bool {
	_, err := os.Stat(w.path(name))
	return err == nil
}

func (w world) set(name string) error {
	f, err := os.OpenFile(w.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, name); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.WriteFile(w.path(name), nil, 0o600)
}

// times counts how often something was done.
func (w world) times(name string) int {
	data, err := os.ReadFile(w.path("log"))
	if err != nil {
		return 0
	}
	return strings.Count(string(data), name+"\n")
}

type empty struct{}

// panicSecret is in the value of a panic, and must be in nothing that is kept.
const panicSecret = "cnry-panic-4b1d"

// registry gives the actions of the fake world. hit is called before and after
// every effect.
func (w world) registry(t interface{ Fatal(...any) }, hit func()) *action.Registry {
	claims := func(firedrill.Values) []firedrill.Claim {
		return []firedrill.Claim{{Resource: "world", Write: true}}
	}
	make := func(name string, impact firedrill.Impact, replay firedrill.Replay, do func(ctx context.Context) (bool, error)) firedrill.Action {
		spec := firedrill.Spec{Name: name, Doc: "Test action.", Impact: impact, Replay: replay, Claims: claims}
		if impact == firedrill.Reads {
			spec.Claims = nil
		}
		return action.Typed(spec, func(ctx context.Context, call firedrill.Call, _ empty) (action.Result[empty], error) {
			hit()
			ok, err := do(ctx)
			hit()
			return action.Result[empty]{Checks: []firedrill.Check{{OK: ok, Compared: 1, Detail: name}}}, err
		})
	}
	look := func(want bool) func(context.Context) (bool, error) {
		return func(context.Context) (bool, error) { return w.has("damage") == want, nil }
	}
	other := firedrill.Spec{Name: "world.damage-other", Doc: "Test action.", Impact: firedrill.Damages, Replay: firedrill.Never,
		Claims: func(firedrill.Values) []firedrill.Claim { return []firedrill.Claim{{Resource: "other", Write: true}} }}
	r, err := action.NewRegistry(action.Pack{Actions: []firedrill.Action{
		action.Typed(other, func(context.Context, firedrill.Call, empty) (action.Result[empty], error) {
			return action.Result[empty]{}, w.set("other")
		}),
		make("world.look", firedrill.Reads, firedrill.Idempotent, func(context.Context) (bool, error) { return true, nil }),
		make("world.damage", firedrill.Damages, firedrill.Never, func(context.Context) (bool, error) { return true, w.set("damage") }),
		make("world.restore", firedrill.Changes, firedrill.Idempotent, func(context.Context) (bool, error) {
			if err := os.Remove(w.path("damage")); err != nil && !errors.Is(err, os.ErrNotExist) {
				return false, err
			}
			return true, nil
		}),
		make("world.is-damaged", firedrill.Reads, firedrill.Idempotent, look(true)),
		make("world.is-whole", firedrill.Reads, firedrill.Idempotent, look(false)),
		make("world.wait", firedrill.Reads, firedrill.Idempotent, func(ctx context.Context) (bool, error) { <-ctx.Done(); return false, ctx.Err() }),
		make("world.full", firedrill.Reads, firedrill.Idempotent, func(context.Context) (bool, error) {
			if kept, _ := os.ReadDir(filepath.Join(w.dir, "..", "home", "room")); len(kept) > 0 {
				return false, syscall.ENOSPC
			}
			return true, nil
		}),
		make("world.panic", firedrill.Reads, firedrill.Idempotent, func(context.Context) (bool, error) { panic("boom " + panicSecret) }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// resolver resolves without expressions.
type resolver struct{ r *action.Registry }

func (x resolver) When(firedrill.Step, firedrill.Scope) (bool, []firedrill.Evaluation, error) {
	return true, nil, nil
}

func (x resolver) Resolve(s firedrill.Step, _ firedrill.Scope) (firedrill.Resolved, error) {
	spec, _ := x.r.Action(s.Uses)
	out := firedrill.Resolved{Inputs: firedrill.Values{}, Impact: spec.Impact, Replay: spec.Replay}
	if spec.Claims != nil {
		out.Claims = spec.Claims(nil)
	}
	if s.Undo != nil {
		u, _ := x.r.Action(s.Undo.Uses)
		out.Undo = &firedrill.ResolvedUndo{Uses: u.Name, Inputs: firedrill.Values{}, Claims: u.Claims(nil), Replay: u.Replay, Repair: "rm damage"}
	}
	return out, nil
}

func (x resolver) Expect(firedrill.Step, firedrill.Scope, firedrill.Values) []firedrill.Check {
	return nil
}

// program is a whole drill on the fake world; extra steps go into the phase
// that they name.
func program(extra ...firedrill.Step) firedrill.Program {
	steps := []firedrill.Step{
		{ID: "before", Phase: firedrill.Baseline, Uses: "world.look"},
		{ID: "damage", Phase: firedrill.Inject, Uses: "world.damage", Undo: &firedrill.Undo{Uses: "world.restore"}},
		{ID: "seen", Phase: firedrill.Detect, Uses: "world.is-damaged", Proves: firedrill.ProvesDamage},
		{ID: "restore", Phase: firedrill.Recover, Uses: "world.restore"},
		{ID: "whole", Phase: firedrill.Verify, Uses: "world.is-whole", Proves: firedrill.ProvesData, Discharges: []string{"damage"}, Look: true},
	}
	return firedrill.Program{Drill: "fake", Title: "a fake drill", Environment: firedrill.Environment{Name: "world", Class: firedrill.ClassSandbox, Provider: "fake"}, Steps: append(steps, extra...)}
}

// station is a runner with everything that it needs, below one folder.
type station struct {
	world   world
	journal *journal.Journal
	runner  *Runner
}

func newStation(t *testing.T, dir string, wrap func(Journal) Journal, hit func()) *station {
	t.Helper()
	s, err := openStation(dir, wrap, hit, t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openStation(dir string, wrap func(Journal) Journal, hit func(), t interface{ Fatal(...any) }) (*station, error) {
	w := world{filepath.Join(dir, "world")}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, err
	}
	home, err := state.Open(filepath.Join(dir, "home"))
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(context.Background(), home.Journal())
	if err != nil {
		return nil, err
	}
	var used Journal = j
	if wrap != nil {
		used = wrap(j)
	}
	if hit == nil {
		hit = func() {}
	}
	reg := w.registry(t, hit)
	ids := 0
	r := New(Config{Journal: used, Home: home, Registry: reg, Resolver: resolver{reg}, Now: Clock(), Version: "test", Executor: "test@test",
		NewID: func() string { ids++; return fmt.Sprintf("run-%d-%d", os.Getpid(), ids) }})
	return &station{w, j, r}, nil
}

func finished(t *testing.T, records []firedrill.Record) firedrill.Finished {
	t.Helper()
	if len(records) > 0 {
		if f, ok := records[len(records)-1].Body.(firedrill.Finished); ok {
			return f
		}
	}
	t.Fatalf("the run did not finish: %d records", len(records))
	return firedrill.Finished{}
}

func TestADrillPassesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newStation(t, t.TempDir(), nil, nil)
	records, err := s.runner.Run(context.Background(), program())
	if err != nil {
		t.Fatal(err)
	}
	if f := finished(t, records); f.Verdict != firedrill.Passed || f.Environment != firedrill.Restored {
		t.Fatalf("%+v", f)
	}
	if s.world.has("damage") || s.world.times("damage") != 1 || len(s.runner.Damaged()) != 0 {
		t.Error("something was left")
	}
	again, err := s.journal.Records(context.Background(), records[0].Body.(firedrill.RunStarted).Run)
	if err != nil || len(again) != len(records) {
		t.Errorf("%d records in the journal, %d told (%v)", len(again), len(records), err)
	}
}

// TestTheInjectionIsKnown: calls can ask when the first injection was sent,
// and after a resume they still can.
func TestTheInjectionIsKnown(t *testing.T) {
	t.Parallel()
	at := func(n int64) firedrill.Stamp { return firedrill.Stamp{Mono: n, Boot: "b"} }
	records := []firedrill.Record{
		{At: at(1), Body: firedrill.RunStarted{Program: program()}},
		{At: at(2), Body: firedrill.Intended{Step: "before", Role: firedrill.RoleDo, Resolved: firedrill.Resolved{Impact: firedrill.Damages}}},
		{At: at(3), Body: firedrill.Intended{Step: "damage", Role: firedrill.RoleDo, Resolved: firedrill.Resolved{Impact: firedrill.Damages}}},
		{At: at(4), Body: firedrill.Intended{Step: "damage", Role: firedrill.RoleDo, Resolved: firedrill.Resolved{Impact: firedrill.Damages}}},
		{At: at(5), Body: firedrill.Intended{Step: "damage", Role: firedrill.RoleUndo, Resolved: firedrill.Resolved{Impact: firedrill.Damages}}},
	}
	for n := range records {
		i := injection{phases: map[string]firedrill.Phase{}, damaged: map[string]bool{}}
		i.note(records[:n+1])
		if got, known := i.sent(); known != (n >= 2) || known && got != at(3) {
			t.Errorf("after %d records: %v %v", n+1, got, known)
		}
	}
}

func TestProductionIsRefusedBeforeAnything(t *testing.T) {
	t.Parallel()
	s := newStation(t, t.TempDir(), nil, nil)
	p := program()
	p.Environment.Class = firedrill.ClassProduction
	records, err := s.runner.Run(context.Background(), p)
	if firedrill.KindOf(err) != firedrill.KindGuard || len(records) != 0 || s.world.times("damage") != 0 {
		t.Errorf("%v, %d records", err, len(records))
	}
}

func TestAPanicIsAFailureThatIsUndone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStation(t, dir, nil, nil)
	records, err := s.runner.Run(context.Background(), program(firedrill.Step{ID: "broken", Phase: firedrill.Detect, Uses: "world.panic"}))
	if err != nil {
		t.Fatal(err)
	}
	if f := finished(t, records); f.Verdict != firedrill.Inconclusive || f.Environment != firedrill.Restored || s.world.has("damage") {
		t.Errorf("%+v, damaged %v", f, s.world.has("damage"))
	}
	told := false
	for _, r := range records {
		if e, is := r.Body.(firedrill.Ended); is && e.Problem != nil {
			told = told || strings.Contains(e.Problem.Detail, "runner_test.go")
		}
	}
	if !told {
		t.Error("nothing says where it was")
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), panicSecret) {
			t.Errorf("%s holds the value of the panic", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAnInterruptInEachPhasePutsBack cancels while a step of each phase waits.
func TestAnInterruptInEachPhasePutsBack(t *testing.T) {
	t.Parallel()
	for _, phase := range []firedrill.Phase{firedrill.Baseline, firedrill.Inject, firedrill.Detect, firedrill.Recover, firedrill.Verify, firedrill.Cleanup} {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			s := newStation(t, t.TempDir(), nil, nil)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s.runner.cfg.Listener = func(r firedrill.Record) {
				if b, ok := r.Body.(firedrill.Intended); ok && b.Step == "waits" {
					cancel()
				}
			}
			records, err := s.runner.Run(ctx, program(firedrill.Step{ID: "waits", Phase: phase, Uses: "world.wait"}))
			if err != nil {
				t.Fatal(err)
			}
			if f := finished(t, records); f.Verdict != firedrill.Aborted || f.Environment != firedrill.Restored || s.world.has("damage") {
				t.Errorf("%+v, damaged %v", f, s.world.has("damage"))
			}
		})
	}
}

// faulty fails the n-th append, before or after it took effect, once or for good.
type faulty struct {
	Journal
	mu                sync.Mutex
	n, at             int
	persists, forGood bool
}

func (f *faulty) Append(ctx context.Context, run string, records []firedrill.Record) error {
	f.mu.Lock()
	f.n++
	fail := f.n == f.at || f.forGood && f.n > f.at
	f.mu.Unlock()
	if !fail {
		return f.Journal.Append(ctx, run, records)
	}
	if f.persists && f.n == f.at {
		if err := f.Journal.Append(ctx, run, records); err != nil {
			return err
		}
	}
	return errors.New("the disk is gone")
}

// TestEveryAppendMayFail fails each append in turn: once, once although it took
// effect, and for good. Nothing may start that is not recorded; what a dead
// journal leaves is put back by a resume.
func TestEveryAppendMayFail(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct{ persists, forGood bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		for at := 1; at <= 8; at++ {
			t.Run(fmt.Sprintf("%+v at %d", mode, at), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				s := newStation(t, dir, func(j Journal) Journal {
					return &faulty{Journal: j, at: at, persists: mode.persists, forGood: mode.forGood}
				}, nil)
				records, err := s.runner.Run(context.Background(), program())
				if err == nil { // the append failed once, or the run has fewer
					if f := finished(t, records); f.Verdict != firedrill.Passed || s.world.times("damage") != 1 {
						t.Errorf("%+v", f)
					}
					return
				}
				if !mode.forGood || firedrill.KindOf(err) != firedrill.KindStorage {
					t.Fatalf("error %v", err)
				}
				resumeAll(t, dir)
			})
		}
	}
}

// resumeAll takes up what was left below a folder and checks the truth.
func resumeAll(t *testing.T, dir string) {
	t.Helper()
	s := newStation(t, dir, nil, nil)
	_, left, err := s.runner.Unfinished(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range left {
		if s.world.has("damage") && len(i.Damaged) == 0 {
			t.Error("the world is damaged and nothing says so")
		}
		if _, err := s.runner.Run(context.Background(), program()); firedrill.KindOf(err) != firedrill.KindBusy || !strings.Contains(firedrill.RemedyOf(err), "resume "+i.Run.ID) {
			t.Errorf("a new run beside an interrupted one: %v", err)
		}
		records, err := s.runner.Resume(context.Background(), i.Run.ID)
		if err != nil {
			t.Fatal(err)
		}
		f := finished(t, records)
		if f.Environment != firedrill.Restored {
			t.Errorf("%+v", f)
		}
		if f.Verdict == firedrill.Passed && !slices.ContainsFunc(records, func(r firedrill.Record) bool {
			e, ok := r.Body.(firedrill.Ended)
			return ok && e.Step == "whole" && e.Status == firedrill.StatusOK
		}) {
			t.Error("passed without proof")
		}
	}
	if s.world.has("damage") {
		t.Error("the world is damaged")
	}
	if n := s.world.times("damage"); n > 1 {
		t.Errorf("the injection was done %d times", n)
	}
}

// child runs the drill and kills itself at the n-th boundary.
func child(dir string, n int) {
	var mu sync.Mutex
	hit := func() {
		mu.Lock()
		defer mu.Unlock()
		if n--; n == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			time.Sleep(time.Minute)
		}
	}
	s, err := openStation(dir, func(j Journal) Journal { return &boundaries{j, hit} }, hit, failing{})
	if err != nil {
		panic(err)
	}
	if _, err := s.runner.Run(context.Background(), program()); err != nil {
		panic(err)
	}
}

type failing struct{}

func (failing) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// boundaries calls hit before and after each append.
type boundaries struct {
	Journal
	hit func()
}

func (b *boundaries) Append(ctx context.Context, run string, records []firedrill.Record) error {
	b.hit()
	err := b.Journal.Append(ctx, run, records)
	b.hit()
	return err
}

// TestAKillAnywhereIsSurvived kills the real process before and after every
// append and every effect, and resumes.
func TestAKillAnywhereIsSurvived(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	for n := 1; n <= 24; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", killAt, dir, n))
			out, err := cmd.CombinedOutput()
			if err == nil {
				return // the run has fewer boundaries
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%v\n%s", err, out)
			}
			resumeAll(t, dir)
		})
	}
}
