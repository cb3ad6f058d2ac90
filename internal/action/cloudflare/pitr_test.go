package cloudflare

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"firedrill"
	"firedrill/internal/engine"
)

// rehearsal performs the built-in drill on the real engine, one effect after
// the other, against the sandbox's API. What it adds to the drill's own test is
// that any step may be made to fail.
type rehearsal struct {
	b       *bench
	program firedrill.Program
	fail    string                              // step whose call fails after it was done
	then    func(step string, r firedrill.Role) // told before each call
	records []firedrill.Record
	// crash names the step at which the process ends: after the call was made
	// and before its outcome was recorded.
	crash   string
	crashed bool
}

func (r *rehearsal) claims(uses string, in firedrill.Values) (firedrill.Spec, []firedrill.Claim) {
	a := r.b.actions[uses]
	if a == nil { // the application's side is played by the test
		return firedrill.Spec{Name: uses, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Observer: uses == "http.watch"}, nil
	}
	spec := a.Spec()
	if spec.Claims == nil {
		return spec, nil
	}
	return spec, spec.Claims(in)
}

var reference = regexp.MustCompile(`^\$\{\{ (\S+) \}\}$`)

// value evaluates the few expressions that the drill uses.
func (r *rehearsal) value(expr string, scope firedrill.Scope, own firedrill.Values) (any, error) {
	expr = strings.TrimSpace(expr)
	if rest, not := strings.CutPrefix(expr, "!"); not {
		v, err := r.value(rest, scope, own)
		b, is := v.(bool)
		if err != nil || !is {
			return nil, fmt.Errorf("%s is not what is expected here", expr)
		}
		return !b, nil
	}
	if left, found := strings.CutSuffix(expr, " > 0"); found {
		v, err := r.value(left, scope, own)
		n, is := v.(int64)
		if err != nil || !is {
			return nil, fmt.Errorf("%s is not what is expected here", expr)
		}
		return n > 0, nil
	}
	path := strings.Split(expr, ".")
	switch {
	case expr == "environment.in_place":
		return scope.Program.Environment.InPlace(), nil
	case expr == "environment.probes":
		return []any{}, nil
	case len(path) == 2 && path[0] == "inputs":
		return scope.Program.Inputs[path[1]], nil
	case len(path) == 2 && path[0] == "outputs":
		return own[path[1]], nil
	case len(path) == 4 && path[0] == "steps" && path[2] == "outputs":
		v, ok := scope.Outputs[path[1]][path[3]]
		if !ok {
			return nil, fmt.Errorf("%s is missing", expr)
		}
		return v, nil
	}
	return nil, fmt.Errorf("%s is not known", expr)
}

func (r *rehearsal) resolve(with firedrill.Values, scope firedrill.Scope) (firedrill.Values, error) {
	out := firedrill.Values{}
	for k, v := range with {
		if s, is := v.(string); is {
			if m := reference.FindStringSubmatch(s); m != nil {
				var err error
				if v, err = r.value(m[1], scope, nil); err != nil {
					return nil, err
				}
			}
		}
		out[k] = v
	}
	return out, nil
}

func (r *rehearsal) When(step firedrill.Step, scope firedrill.Scope) (bool, []firedrill.Evaluation, error) {
	if step.When == "" {
		return true, nil, nil
	}
	v, err := r.value(step.When, scope, nil)
	b, _ := v.(bool)
	return b, nil, err
}

func (r *rehearsal) Resolve(step firedrill.Step, scope firedrill.Scope) (firedrill.Resolved, error) {
	in, err := r.resolve(step.With, scope)
	if err != nil {
		return firedrill.Resolved{}, err
	}
	spec, claims := r.claims(step.Uses, in)
	res := firedrill.Resolved{Inputs: in, Claims: claims, Impact: spec.Impact, Replay: spec.Replay, Observer: spec.Observer}
	if step.Undo != nil {
		back, err := r.resolve(step.Undo.With, scope)
		if err != nil {
			return res, err
		}
		spec, claims := r.claims(step.Undo.Uses, back)
		res.Undo = &firedrill.ResolvedUndo{Uses: step.Undo.Uses, Inputs: back, Claims: claims, Replay: spec.Replay}
		if spec.Repair != nil {
			res.Undo.Repair = spec.Repair(back)
		}
	}
	return res, nil
}

func (r *rehearsal) Expect(step firedrill.Step, scope firedrill.Scope, outputs firedrill.Values) []firedrill.Check {
	var checks []firedrill.Check
	for _, e := range step.Expect {
		v, err := r.value(e, scope, outputs)
		checks = append(checks, firedrill.Check{OK: err == nil && v == true, Expr: e})
	}
	return checks
}

// loadDrill reads the built-in drill the way it is written.
func loadDrill(t *testing.T) []firedrill.Step {
	t.Helper()
	data, err := os.ReadFile("../../playbook/drills/d1-pitr.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Steps []map[string]any }
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var steps []firedrill.Step
	for _, m := range doc.Steps {
		values, err := firedrill.ToValues(m)
		if err != nil {
			t.Fatal(err)
		}
		var s firedrill.Step
		if err := values.Into(&s); err != nil {
			t.Fatalf("step %v: %v", m["id"], err)
		}
		steps = append(steps, s)
	}
	return steps
}

// run performs the drill to its end.
func (r *rehearsal) run(t *testing.T) firedrill.Finished {
	t.Helper()
	m := engine.New(r)
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
	m, err := engine.Load(r, r.records)
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
	if r.then != nil {
		r.then(e.Step, e.Role)
	}
	began := at()
	var out firedrill.Outcome
	var err error
	if a := r.b.actions[e.Uses]; a != nil {
		call := r.b.call
		call.Step, call.Op, call.Inputs, call.Environment = e.Step, e.Op, e.Inputs, r.program.Environment
		out, err = a.Do(context.Background(), call)
	} else {
		out = firedrill.Outcome{Outputs: firedrill.Values{"answers": "a", "watch": "w"}, Checks: []firedrill.Check{{OK: true, Compared: 1}}}
	}
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
	env := b.call.Environment
	env.Class = class
	return &rehearsal{b: b, program: firedrill.Program{Drill: "d1-pitr", Environment: env, Steps: loadDrill(t),
		Inputs: firedrill.Values{"database": map[string]any{"key": "primary", "kind": "d1", "name": "shop"}, "rows": int64(40)}}}, p, id, hands
}

// TestTheDrillRunsToItsEnd runs it in place and on a scratch copy. On a copy
// no application shows the damage; everything else is shown all the same.
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
			want := firedrill.Passed
			if class == firedrill.ClassStaging {
				want = firedrill.Inconclusive // because no application was looked at, and for no other reason
				if len(end.Reasons) == 0 || end.Reasons[0] != "the drill is to prove service and no step did" || end.ReasonCode != firedrill.ReasonUnknownOutcome {
					t.Errorf("reasons: %q", end.Reasons)
				}
			}
			if end.Verdict != want || end.Environment != firedrill.Restored {
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
// the ones that change something, and those on whose word others rely. All
// are tried with FIREDRILL_SOAK=1.
func sampled(step string) bool {
	return os.Getenv("FIREDRILL_SOAK") != "" || slices.Contains([]string{"canaries", "cut", "damage", "seen", "restore", "equal", "no-canaries"}, step)
}

// TestWhereverTheDrillFailsNothingIsLeftDamaged makes each step fail in turn,
// after it was done, in place and on a scratch copy.
func TestWhereverTheDrillFailsNothingIsLeftDamaged(t *testing.T) {
	t.Parallel()
	for _, class := range []firedrill.Class{firedrill.ClassCI, firedrill.ClassStaging} {
		for _, s := range loadDrill(t) {
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
				if s.ID == "intact" || s.ID == "service" {
					// The rows are back, but not shown is not restored.
					if end.Environment != firedrill.Dirty || len(end.Left) != 1 || end.Left[0].Step != s.ID {
						t.Errorf("%s: %s, %v, left: %+v", end.Verdict, end.ReasonCode, end.Reasons, end.Left)
					}
				} else if end.Environment != firedrill.Restored {
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
	for _, s := range loadDrill(t) {
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
