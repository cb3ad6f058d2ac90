package measuring

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
	"firedrill/internal/report"
	"firedrill/internal/runner"
	"firedrill/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// planText is a drill of a user's own steps: the address, the probes, and what
// else stands at the drill.
const planText = `version: 1
name: acceptance
environments:
  here:
    class: sandbox
    cloudflare: {api: %[1]s, account: f17ed411f17ed411f17ed411f17ed411, token: {env: NONE}}
    resources:
      app:
        kind: worker
        name: app
        url: %[1]s
        probes: [%[2]s]
        sentinel: {write: {path: "/canaries/{n}"}, read: {path: /canaries}, remove: {path: /canaries}, every: 10ms}
drills:
  drill:
    rto: 1m
    rpo: 1m
    %[3]s
    steps:
      - {id: answers, phase: baseline, uses: http.baseline, with: {probes: "${{ environment.probes }}"}}
      - {id: watch, phase: baseline, uses: http.watch, with: {probes: "${{ environment.probes }}", answers: "${{ steps.answers.outputs.answers }}", every_ms: 10}}
      - id: writes
        phase: baseline
        uses: http.sentinel
        with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}"}
        needs: [watch]
        undo: {uses: http.sentinel-remove, with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}"}}
      - {id: some, phase: baseline, uses: app.while, needs: [writes]}
      - {id: disaster, phase: inject, uses: app.break, undo: {uses: app.repair}}
      - {id: red, phase: detect, uses: http.await, with: {watch: "${{ steps.watch.outputs.watch }}", state: red}, proves: damage, timeout: 2s}
      - {id: repair, phase: recover, uses: app.repair}
      - {id: green, phase: recover, uses: http.await, with: {watch: "${{ steps.watch.outputs.watch }}", state: green}, needs: [repair], timeout: 2s}
      - {id: same, phase: verify, uses: http.compare, with: {probes: "${{ environment.probes }}", answers: "${{ steps.answers.outputs.answers }}"}, proves: service, discharges: [disaster]}
      - {id: unwatch, phase: cleanup, uses: http.unwatch, with: {watch: "${{ steps.watch.outputs.watch }}"}}
      - {id: loss, phase: cleanup, uses: http.sentinel-stop, with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}", sentinel: "${{ steps.writes.outputs.observer }}"}}
      - {id: no-numbers, phase: cleanup, uses: http.sentinel-remove, with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}"}, needs: [loss], discharges: [writes]}
`

const good, blind = `{path: /page, json: {ok: true}}`, `{path: /blind}`

type nothing struct{}

// own are the actions by which the application is damaged and repaired.
func own(a *app) action.Pack {
	do := func(name string, impact firedrill.Impact, replay firedrill.Replay, f func()) firedrill.Action {
		return action.Typed(firedrill.Spec{Name: name, Doc: "Test action.", Impact: impact, Replay: replay,
			Claims: func(firedrill.Values) []firedrill.Claim {
				return []firedrill.Claim{{Resource: "app", Write: impact != firedrill.Reads}}
			}},
			func(context.Context, firedrill.Call, nothing) (action.Result[nothing], error) {
				f()
				return action.Result[nothing]{}, nil
			})
	}
	return action.Pack{Providers: cloudflare.Providers(), Kinds: cloudflare.Kinds(), Actions: []firedrill.Action{
		do("app.break", firedrill.Damages, firedrill.Never, a.breakIt),
		do("app.repair", firedrill.Changes, firedrill.Idempotent, a.repair),
		do("app.while", firedrill.Reads, firedrill.Idempotent, func() { time.Sleep(200 * time.Millisecond) }),
	}}
}

// dies is a journal that takes nothing more once a step's call ended, as if the
// process had been killed there.
type dies struct {
	runner.Journal
	after string
	dead  bool
}

func (d *dies) Append(ctx context.Context, run string, records []firedrill.Record) error {
	if d.dead {
		return errors.New("the process is gone")
	}
	for _, r := range records {
		b, ended := r.Body.(firedrill.Ended)
		d.dead = d.dead || ended && b.Step == d.after
	}
	return d.Journal.Append(ctx, run, records)
}

// drill runs the drill to its end and gives its result. Where a step is named
// the process is gone after it, and another takes the run up.
func drill(t *testing.T, a *app, probes, more, dieAfter string) firedrill.Result {
	t.Helper()
	registry, err := action.NewRegistry(http.Pack(http.Deps{}), own(a))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Parse("f.yaml", fmt.Appendf(nil, planText, a.URL, probes, more), registry, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	program, err := plan.Program(p, "drill", "", registry, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	home, err := state.Open(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), home.Journal())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	cfg := runner.Config{Journal: j, Home: home, Registry: registry, Resolver: plan.NewResolver(registry), Now: runner.Clock(),
		NewID: func() string { return "run-1" }, Version: "test", Executor: "test"}
	var records []firedrill.Record
	if dieAfter == "" {
		records, err = runner.New(cfg).Run(t.Context(), *program)
	} else {
		mortal := cfg
		mortal.Journal = &dies{Journal: j, after: dieAfter}
		if _, err := runner.New(mortal).Run(t.Context(), *program); firedrill.KindOf(err) != firedrill.KindStorage {
			t.Fatalf("the first process: %v", err)
		}
		records, err = runner.New(cfg).Resume(t.Context(), "run-1")
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Result(records)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// told gives all that a person reads of a result.
func told(r firedrill.Result) string {
	return strings.Join(append(append([]string{string(r.Verdict), string(r.ReasonCode)}, r.Reasons...), r.Notes...), "\n")
}

func TestAnHonestDrillPassesAndIsMeasured(t *testing.T) {
	t.Parallel()
	a := newApp(t, honest)
	r := drill(t, a, good+", "+blind, "alert: {url: "+a.URL+"/alert, json: {firing: true}, every: 20ms}", "")
	if r.Verdict != firedrill.Passed || r.State != firedrill.Restored {
		t.Fatalf("%s", told(r))
	}
	if r.RTO.Detect.Seconds == nil || *r.RTO.Detect.Seconds < 0.19 || r.RTO.Actual == nil || *r.RTO.Actual < *r.RTO.Detect.Seconds || r.RTO.Services["app"].Actual == nil {
		t.Errorf("RTO %+v", r.RTO)
	}
	if !strings.Contains(told(r), "probe app /blind passes with a wrong body") {
		t.Errorf("notes %q", r.Notes)
	}
	if len(r.RPO.Sentinels) != 1 || *r.RPO.LostBefore+*r.RPO.LostAfter != int64(a.lost) || *r.RPO.LostBefore < 2 || *r.RPO.Acknowledged != int64(len(a.acked)) {
		t.Errorf("RPO %+v, %d acknowledged, %d lost", r.RPO, len(a.acked), a.lost)
	}
}

// TestNoDrillPassesOnWhatIsNotSo: each lie is caught, and named.
func TestNoDrillPassesOnWhatIsNotSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, probes string
		lie          lie
		verdict      firedrill.Verdict
		want         string
	}{
		{"probes that cannot fail", blind, honest, firedrill.Inconclusive, "not one of them can fail"},
		{"a cache that hides the damage", good, cached, firedrill.Inconclusive, "no target became red"},
		{"a redirect to a healthy copy", good, redirected, firedrill.Failed, "status 302"},
		{"a repair that does nothing", good, unrepaired, firedrill.Failed, "status 503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, c.lie)
			r := drill(t, a, c.probes, "", "")
			if r.Verdict != c.verdict || !strings.Contains(told(r), c.want) {
				t.Errorf("%s", told(r))
			}
			if c.probes == blind && a.broken > 0 {
				t.Error("it was damaged although nothing could show it")
			}
		})
	}
}

// TestAcrossAResume: where a process is gone before the injection nothing is
// lost, and where it is gone in the outage the drill goes on and says what
// nobody saw.
func TestAcrossAResume(t *testing.T) {
	t.Parallel()
	for after, want := range map[string]firedrill.ReasonCode{"writes": firedrill.ReasonOK, "red": firedrill.ReasonNotMeasured} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, honest)
			r := drill(t, a, good, "", after)
			if r.ReasonCode != want || r.State != firedrill.Restored || a.broken != 1 || a.down {
				t.Errorf("%s", told(r))
			}
			// The write under way when the process went may have been answered with
			// nobody there to take the answer.
			if r.RPO.Acknowledged == nil || int64(len(a.acked))-*r.RPO.Acknowledged > 1 || *r.RPO.Acknowledged > int64(len(a.acked)) {
				t.Errorf("RPO %+v, %d acknowledged", r.RPO, len(a.acked))
			}
			if named := strings.Contains(told(r), "nobody observed for"); named != (want != firedrill.ReasonOK) {
				t.Errorf("notes %q", r.Notes)
			}
		})
	}
}
