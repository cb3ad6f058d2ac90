package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	apphttp "firedrill/internal/action/http"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/cli"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
	"firedrill/internal/report"
	"firedrill/internal/runner"
	"firedrill/internal/state"
)

// asProgram makes the test binary the program itself.
const asProgram = "FIREDRILL_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main())
	}
	goleak.VerifyTestMain(m)
}

const runID = "run-1"

// scenario is a drill in one of its forms, or the recovery of an incident.
type scenario struct {
	drill    string
	class    firedrill.Class // ci: in place; staging: on a scratch copy
	incident bool
}

func (s scenario) String() string {
	if s.incident {
		return "recover " + s.drill
	}
	return s.drill + " " + string(s.class)
}

func scenarios() []scenario {
	return []scenario{{drill: "d1-pitr", class: firedrill.ClassCI}, {drill: "d1-pitr", class: firedrill.ClassStaging}, {drill: "kv-backup-restore", class: firedrill.ClassCI},
		{drill: "kv-backup-restore", class: firedrill.ClassStaging}, {drill: "worker-rollback", class: firedrill.ClassCI}, {drill: "d1-pitr", class: firedrill.ClassCI, incident: true}}
}

// text is the plan.
func (s scenario) text() []byte {
	return fmt.Appendf(nil, `version: 1
name: crash
environments:
  test:
    class: %s
    cloudflare: {api: "http://%s/client/v4", account: %q, token: {env: TOKEN}}
    resources:
      primary: {kind: d1, name: shop}
      cache: {kind: kv, name: cache}
      app: {kind: worker, name: app, url: "http://%s", probes: [{path: /health, json: {status: healthy}}%s]}
drills:
  d1-pitr: {use: d1-pitr, with: {database: primary, rows: 8}}
  kv-backup-restore: {use: kv-backup-restore, with: {namespace: cache, keys: 16, settle: 1, large: 1000}}
  worker-rollback: {use: worker-rollback, with: {worker: app}}
`, s.class, apiHost, account, appHost, map[string]string{"d1-pitr": ", {path: /rows, json: {ok: true}}", "kv-backup-restore": ", {path: /keys, json: {ok: true}}"}[s.drill])
}

// counted counts how often an injection was called.
type counted struct {
	firedrill.Action
	calls *atomic.Int64
}

func (c counted) Do(ctx context.Context, call firedrill.Call) (firedrill.Outcome, error) {
	c.calls.Add(1)
	return c.Action.Do(ctx, call)
}

// process is one process of firedrill in a world: it ends, and another takes up
// what it left.
type process struct {
	w        *world
	home     *state.Home
	journal  *memory
	runner   *runner.Runner
	registry *action.Registry
	injected atomic.Int64
	mu       sync.Mutex
	notices  []string // what it told while it waited
}

// open wires a process as the command line does, on a clock of the given boot.
func open(t testing.TB, w *world, home string, j *memory, boot string) *process {
	t.Helper()
	p := &process{w: w, journal: j}
	client := &http.Client{Transport: w}
	secrets := action.Secrets{LookupEnv: func(string) (string, bool) { return token, true }}
	cf := cloudflare.Pack(cloudflare.Deps{Secrets: secrets, Now: time.Now, HTTP: client, Restores: cloudflare.FileRestores{Path: home + "/restores"}})
	for i, a := range cf.Actions {
		if a.Spec().Impact == firedrill.Damages {
			cf.Actions[i] = counted{a, &p.injected}
		}
	}
	registry, err := action.NewRegistry(cf, apphttp.Pack(apphttp.Deps{Secrets: secrets, HTTP: client}), quiesce.Pack())
	if err != nil {
		t.Fatal(err)
	}
	p.registry = registry
	if p.home, err = state.Open(home); err != nil {
		t.Fatal(err)
	}
	p.runner = runner.New(runner.Config{Journal: j, Home: p.home, Registry: registry, Resolver: plan.NewResolver(registry), Version: "test", Executor: "test",
		NewID: func() string { return runID },
		Now: func() firedrill.Stamp {
			now := time.Now()
			return firedrill.Stamp{Wall: now.UTC(), Mono: now.UnixNano(), Boot: boot}
		},
		Notice: func(text string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.notices = append(p.notices, text)
		}})
	return p
}

// program is what a scenario runs; point is what an incident returns to.
func (p *process) program(t testing.TB, s scenario, point string) firedrill.Program {
	t.Helper()
	parsed, err := plan.Parse("firedrill.yaml", s.text(), p.registry, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	var program *firedrill.Program
	if s.incident {
		program, err = plan.Recovery(parsed, s.drill, "", firedrill.Values{"bookmark": point}, firedrill.Incident{Point: point}, p.registry, playbook.Recoveries{})
	} else {
		program, err = plan.Program(parsed, s.drill, "", p.registry, playbook.Library{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return *program
}

// damaged tells whether the damage was seen, and is about to be dealt with.
func (p *process) damaged(s scenario) bool {
	seen := "seen"
	if s.drill == "worker-rollback" {
		seen = "red"
	}
	records, err := p.journal.Records(context.Background(), runID)
	return err == nil && slices.ContainsFunc(records, func(r firedrill.Record) bool {
		b, is := r.Body.(firedrill.Ended)
		return is && b.Step == seen
	})
}

// memory is a journal that keeps what the real one does: encoded records, batch by
// batch.
type memory struct {
	mu       sync.Mutex
	records  []string
	boundary func() // called before and after each append; nil: nobody looks
}

func (m *memory) look() {
	if m.boundary != nil {
		m.boundary()
	}
}

func (m *memory) Append(_ context.Context, _ string, records []firedrill.Record) error {
	m.look()
	defer m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		m.records = append(m.records, string(data))
	}
	return nil
}

func (m *memory) Records(context.Context, string) ([]firedrill.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	records := make([]firedrill.Record, len(m.records))
	for i, text := range m.records {
		if err := json.Unmarshal([]byte(text), &records[i]); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func (m *memory) Runs(ctx context.Context, _ journal.Query) ([]journal.Run, error) {
	records, err := m.Records(ctx, runID)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	if _, over := records[len(records)-1].Body.(firedrill.Finished); over {
		return nil, nil
	}
	return []journal.Run{{ID: runID}}, nil
}

func (m *memory) kept() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.records)
}

// proven are the steps without which none of the drills may say passed.
func proven(drill string) []string {
	switch drill {
	case "d1-pitr":
		return []string{"damage", "seen", "restore", "equal", "clean"}
	case "worker-rollback":
		return []string{"disaster", "red", "rollback", "same", "behaves", "landmines", "clean"}
	}
	return []string{"damage", "seen", "restore", "equal", "protect"}
}

// judge holds the end of a run to the promise: the world is as it was when it was
// good, and for that the run says so.
func judge(s scenario, records []firedrill.Record, w *world, at start) error {
	if len(records) == 0 {
		return errors.New("there are no records")
	}
	end, is := records[len(records)-1].Body.(firedrill.Finished)
	if !is {
		return errors.New("the run did not finish")
	}
	if s.incident && end.Verdict != firedrill.Recovered {
		return judgeUnrecovered(end, w, at)
	}
	var errs []error
	if end.Environment != firedrill.Restored {
		errs = append(errs, fmt.Errorf("%s: %v, left %+v", end.Environment, end.Reasons, end.Left))
	}
	if after := w.holds(); after != at.good {
		errs = append(errs, fmt.Errorf("the world is not as it was:\n%s\nbut\n%s", at.good, after))
	}
	injections, ok := 0, map[string]bool{}
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.Intended:
			if b.Role == firedrill.RoleDo && b.Resolved.Impact == firedrill.Damages {
				injections++
			}
		case firedrill.Ended:
			ok[b.Step] = ok[b.Step] || b.Role == firedrill.RoleDo && b.Status == firedrill.StatusOK
		}
	}
	if injections > 1 {
		errs = append(errs, fmt.Errorf("%d injections were intended", injections))
	}
	if end.Verdict == firedrill.Passed {
		for _, step := range proven(s.drill) {
			if !ok[step] && (step != "clean" || s.class == firedrill.ClassCI) {
				errs = append(errs, fmt.Errorf("passed, and %s never succeeded", step))
			}
		}
	}
	if _, err := report.Result(records); err != nil {
		errs = append(errs, fmt.Errorf("no result can be made of it: %w", err))
	}
	return errors.Join(errs...)
}

// judgeUnrecovered: a recovery that failed says what it left, and leaves one of the
// two states whole.
func judgeUnrecovered(end firedrill.Finished, w *world, at start) error {
	holds := w.holds()
	if holds != at.found && holds != at.good || end.Environment == firedrill.Restored && holds != at.found {
		return fmt.Errorf("%s, %s: %v, and the world is\n%s\nit was\n%s\nand should be\n%s", end.Verdict, end.Environment, end.Reasons, holds, at.found, at.good)
	}
	return nil
}

// story tells a run, for a test that failed.
func story(t testing.TB, records []firedrill.Record) {
	t.Helper()
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.Ended:
			t.Logf("%4d %-14s %-5s %-7s %s %v", r.Seq, b.Step, b.Role, b.Status, b.Summary, b.Problem)
		case firedrill.Turned, firedrill.Resumed, firedrill.Answered, firedrill.Finished:
			t.Logf("%4d %T %+v", r.Seq, b, b)
		}
	}
}
