package cloudflare

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/engine"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// rehearsal performs the built-in drill on the real engine, one effect after
// the other, against the sandbox's API. What it adds to the drill's own test is
// that any step may be made to fail.
type rehearsal struct {
	b        *bench
	program  firedrill.Program
	registry *action.Registry
	fail     string // step whose call fails after it was done
	records  []firedrill.Record
	// crash names the step at which the process ends: after the call was made
	// and before its outcome was recorded.
	crash   string
	crashed bool
}

// played are the application's actions, which another pack brings: here they
// answer what lets the drill go on.
func played() action.Pack {
	type in struct {
		Probes  []any  `json:"probes,omitempty"`
		Answers string `json:"answers,omitempty"`
		Watch   string `json:"watch,omitempty"`
		State   string `json:"state,omitempty"`

		Exports  []any  `json:"exports,omitempty"`
		Of       string `json:"of,omitempty"`
		Against  string `json:"against,omitempty"`
		Damage   bool   `json:"damage,omitempty"`
		Patience int64  `json:"patience,omitempty"`
	}
	type out struct {
		Answers string `json:"answers"`
		Watch   string `json:"watch"`
		File    string `json:"file"`

		Differing int64 `json:"differing"`
	}
	var pack action.Pack
	for _, name := range []string{"http.baseline", "http.watch", "http.await", "http.compare", "http.unwatch", "http.fingerprint", "http.fingerprint-compare"} {
		pack.Actions = append(pack.Actions, action.Typed(firedrill.Spec{Name: name, Doc: "Played.", Impact: firedrill.Reads, Replay: firedrill.Idempotent, Observer: name == "http.watch"},
			func(context.Context, firedrill.Call, in) (action.Result[out], error) {
				return action.Result[out]{Out: out{Answers: "answers", Watch: "watch"}, Checks: []firedrill.Check{{OK: true, Compared: 1}}}, nil
			}))
	}
	return pack
}

// link reads the drill as it is shipped and links it with a plan.
func link(t *testing.T, b *bench, class firedrill.Class, drill string) (firedrill.Program, *action.Registry) {
	t.Helper()
	return linkEdited(t, b, class, drill)
}

// linkEdited links a drill of a plan in which old texts are replaced by new ones.
func linkEdited(t *testing.T, b *bench, class firedrill.Class, drill string, oldnew ...string) (firedrill.Program, *action.Registry) {
	t.Helper()
	registry, err := action.NewRegistry(b.pack, played(), quiesce.Pack())
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`version: 1
name: test
environments:
  test:
    class: %s
    cloudflare: {api: %q, account: %q, token: {env: TOKEN}}
    resources:
      primary: {kind: d1, name: shop}
      cache: {kind: kv, name: cache}
drills:
  d1-pitr: {use: d1-pitr, with: {database: primary, rows: 40}}
  kv-backup-restore: {use: kv-backup-restore, with: {namespace: cache, keys: 30, settle: 0, large: 30000}}
`, class, b.call.Environment.Settings["api"], testAccount)
	text = strings.NewReplacer(oldnew...).Replace(text)
	p, err := plan.Parse("firedrill.yaml", []byte(text), registry, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	program, err := plan.Program(p, drill, "", registry, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	return *program, registry
}

// run performs the drill to its end.
func (r *rehearsal) run(t *testing.T) firedrill.Finished {
	t.Helper()
	m := engine.New(plan.NewResolver(r.registry))
	at := r.b.call.Now
	if err := m.Step(engine.Start{At: at(), Run: r.b.call.Run, Program: r.program}); err != nil {
		t.Fatal(err)
	}
	var todo []engine.Effect
	for range 2000 {
		for {
			ready, more := m.Ready()
			if !more {
				break
			}
			r.records = append(r.records, ready.Records...)
			m.Advance()
			todo = append(todo, ready.Effects...)
			// Observers come up beside the calls that wait for them.
			rearms := slices.DeleteFunc(slices.Clone(todo), func(e engine.Effect) bool { return e.Role != firedrill.RoleRearm })
			others := slices.DeleteFunc(todo, func(e engine.Effect) bool { return e.Role == firedrill.RoleRearm })
			todo = append(rearms, others...)
			for _, rec := range ready.Records {
				if f, is := rec.Body.(firedrill.Finished); is {
					return f
				}
			}
		}
		if len(todo) == 0 {
			t.Fatal("the engine waits for nothing")
		}
		e := todo[0]
		todo = todo[1:]
		var in engine.Input
		if e.Kind == engine.Do && e.Step == r.crash && !r.crashed {
			r.crashed = true
			r.perform(t, e)
			m, todo = r.takeUp(t), nil
			continue
		}
		switch e.Kind {
		case engine.Do:
			in = r.perform(t, e)
		case engine.Measure:
			in = engine.MeasureDone{At: at()}
		case engine.AskDone:
			in = engine.Answer{At: at(), Op: e.Op, Done: firedrill.DoneUnknown}
		case engine.Cancel:
			continue
		}
		if err := m.Step(in); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the drill does not end")
	return firedrill.Finished{}
}

// takeUp stops everything that lived in the process and loads the run anew.
func (r *rehearsal) takeUp(t *testing.T) *engine.Machine {
	t.Helper()
	hands := r.b.call.Observers.(*crew)
	for _, o := range hands.all {
		o.Stop()
	}
	hands.group.Wait()
	hands.all = map[string]firedrill.Observer{}
	m, err := engine.Load(plan.NewResolver(r.registry), r.records)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Step(engine.Resume{At: r.b.call.Now()}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (r *rehearsal) perform(t *testing.T, e engine.Effect) engine.Input {
	at := r.b.call.Now
	began := at()
	var out firedrill.Outcome
	var err error
	a, known := r.registry.Lookup(e.Uses)
	if !known {
		t.Fatalf("action %s does not exist", e.Uses)
	}
	call := r.b.call
	call.Step, call.Op, call.Inputs, call.Environment = e.Step, e.Op, e.Inputs, r.program.Environment
	out, err = a.Do(context.Background(), call)
	if e.Role == firedrill.RoleDo && e.Step == r.fail && err == nil {
		err = &firedrill.Error{Op: e.Uses, Kind: firedrill.KindConflict, Detail: "made to fail"}
	}
	status := firedrill.StatusOK
	if err != nil {
		status = firedrill.StatusFailed
		if firedrill.KindOf(err) == firedrill.KindUnknown {
			status = firedrill.StatusUnknown
		}
	}
	return engine.Completion{At: at(), Op: e.Op, Role: e.Role, Attempt: e.Attempt, Status: status, Started: began, Finished: at(), Outcome: out, Problem: firedrill.ProblemOf(err)}
}

// rehearse prepares the drill on a fresh platform.
func rehearse(t *testing.T, class firedrill.Class) (*rehearsal, *platform, string, *crew) {
	t.Helper()
	p := newPlatform(t)
	id := p.create("shop", hostile...)
	b := newBench(t, p.url)
	hands := &crew{all: map[string]firedrill.Observer{}}
	b.call.Observers = hands
	t.Cleanup(func() {
		for _, o := range hands.all {
			o.Stop()
		}
		hands.group.Wait()
	})
	program, registry := link(t, b, class, "d1-pitr")
	return &rehearsal{b: b, program: program, registry: registry}, p, id, hands
}

// steps gives the steps of the drill as it is shipped.
func steps(t *testing.T) []firedrill.Step {
	t.Helper()
	program, _ := link(t, newBench(t, "http://127.0.0.1:1"), firedrill.ClassCI, "d1-pitr")
	return program.Steps
}

// TestTheDrillRunsToItsEnd runs it in place and on a scratch copy. On a copy
// no application shows the damage, which the reasons say; everything else is
// shown all the same.
func TestTheDrillRunsToItsEnd(t *testing.T) {
	t.Parallel()
	for _, class := range []firedrill.Class{firedrill.ClassCI, firedrill.ClassStaging} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			r, p, id, _ := rehearse(t, class)
			before := r.b.do("outside", "d1.fingerprint", db(id))
			end := r.run(t)
			for _, rec := range r.records {
				if e, is := rec.Body.(firedrill.Ended); is {
					t.Logf("%-14s %-7s %s %v", e.Step, e.Status, e.Summary, e.Problem)
				}
			}
			if end.Verdict != firedrill.Passed || end.Environment != firedrill.Restored {
				t.Errorf("%+v", end)
			}
			r.leftNothing(t, p, id, before)
		})
	}
}

func (r *rehearsal) leftNothing(t *testing.T, p *platform, id string, before firedrill.Outcome) {
	t.Helper()
	o := r.b.do("outside-after", "d1.compare", db(id, "against", text(t, before, "file"), "residue", true))
	if !ok(o) {
		t.Errorf("not as before: %s", o.Summary)
	}
	if o := r.b.do("left", "d1.query", db(id, "sql", `SELECT name FROM sqlite_schema WHERE name LIKE '\_firedrill%' ESCAPE '\'`)); o.Outputs["count"].(int64) != 0 {
		t.Errorf("tables left behind: %v", o.Outputs)
	}
	if p.count() != 1 {
		t.Errorf("%d databases", p.count())
	}
}

// sampled tells whether a step is among those that are tried when not all are:
// the damage and the ways back, and those on whose word others rely. All are tried
// with FIREDRILL_SOAK=1.
func sampled(step string) bool {
	return os.Getenv("FIREDRILL_SOAK") != "" || slices.Contains([]string{"damage", "restore", "equal", "no-canaries"}, step)
}

// TestWhereverTheDrillFailsNothingIsLeftDamaged makes each step fail in turn,
// after it was done, in place and on a scratch copy.
func TestWhereverTheDrillFailsNothingIsLeftDamaged(t *testing.T) {
	t.Parallel()
	for _, class := range []firedrill.Class{firedrill.ClassCI, firedrill.ClassStaging} {
		for _, s := range steps(t) {
			if class == firedrill.ClassStaging && s.When == "environment.in_place" || class == firedrill.ClassCI && s.When == "!environment.in_place" {
				continue
			}
			if !sampled(s.ID) {
				continue
			}
			t.Run(string(class)+" "+s.ID, func(t *testing.T) {
				t.Parallel()
				r, p, id, _ := rehearse(t, class)
				before := r.b.do("outside", "d1.fingerprint", db(id))
				r.fail = s.ID
				end := r.run(t)
				if end.Verdict == firedrill.Passed {
					t.Errorf("passed although %s failed", s.ID)
				}
				if end.Environment != firedrill.Restored { // also after a proof that could not be made: the way back makes it
					t.Errorf("%s: %s, %v, left: %+v", end.Verdict, end.ReasonCode, end.Reasons, end.Left)
				}
				r.leftNothing(t, p, id, before)
			})
		}
	}
}

// TestACrashAfterAnyCallLeavesNothingDamaged loses the outcome of each call in
// turn and takes the run up in a new process.
func TestACrashAfterAnyCallLeavesNothingDamaged(t *testing.T) {
	t.Parallel()
	for _, s := range steps(t) {
		if !sampled(s.ID) || s.When == "!environment.in_place" {
			continue
		}
		t.Run(s.ID, func(t *testing.T) {
			t.Parallel()
			r, p, id, _ := rehearse(t, firedrill.ClassCI)
			before := r.b.do("outside", "d1.fingerprint", db(id))
			r.crash = s.ID
			end := r.run(t)
			if !r.crashed {
				t.Fatal("the step was never called")
			}
			if end.Environment != firedrill.Restored {
				t.Errorf("%s: %s, %v, left: %+v", end.Verdict, end.ReasonCode, end.Reasons, end.Left)
			}
			// Everything but the injection may be done again.
			if passed := end.Verdict == firedrill.Passed; passed == (s.ID == "damage") {
				t.Errorf("%s, and the outcome of %s was lost: %v", end.Verdict, s.ID, end.Reasons)
			}
			r.leftNothing(t, p, id, before)
		})
	}
}
