package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
	"firedrill/internal/runner"
	"firedrill/internal/state"
)

// planText is a plan with a drill of its own steps: the address, and the
// intervals of probe, sentinel and alert.
const planText = `version: 1
name: bench
environments:
  here:
    class: sandbox
    cloudflare: {api: %[1]s, account: f17ed411f17ed411f17ed411f17ed411, token: {env: NONE}}
    resources:
      app:
        kind: worker
        name: app
        url: %[1]s
        probes: [{path: /page, json: {ok: true}}]
        sentinel:
          write: {path: "/canaries/{n}"}
          read: {path: /canaries}
          remove: {path: /canaries}
          every: %[3]s
drills:
  truth:
    rto: 1m
    rpo: 1m
    alert: {url: "%[1]s/alert", json: {state: firing}, every: %[4]s}
    steps:
      - {id: answers, phase: baseline, uses: http.baseline, with: {probes: "${{ environment.probes }}"}}
      - {id: watch, phase: baseline, uses: http.watch, with: {probes: "${{ environment.probes }}", answers: "${{ steps.answers.outputs.answers }}", every_ms: %[2]d}}
      - id: writes
        phase: baseline
        uses: http.sentinel
        with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}"}
        undo: {uses: http.sentinel-remove, with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}"}}
      - {id: while, phase: baseline, uses: bench.while, with: {ms: 1500}, needs: [watch, writes]}
      - {id: disaster, phase: inject, uses: bench.disaster, undo: {uses: bench.restore}}
      - {id: red, phase: detect, uses: http.await, with: {watch: "${{ steps.watch.outputs.watch }}", state: red}, proves: damage}
      - {id: restore, phase: recover, uses: bench.restore}
      - {id: green, phase: recover, uses: http.await, with: {watch: "${{ steps.watch.outputs.watch }}", state: green}, needs: [restore]}
      - {id: same, phase: verify, uses: http.compare, with: {probes: "${{ environment.probes }}", answers: "${{ steps.answers.outputs.answers }}"}, proves: service, discharges: [disaster]}
      - {id: unwatch, phase: cleanup, uses: http.unwatch, with: {watch: "${{ steps.watch.outputs.watch }}"}}
      - {id: loss, phase: cleanup, uses: http.sentinel-stop, with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}", sentinel: "${{ steps.writes.outputs.observer }}"}}
      - {id: truth, phase: cleanup, uses: bench.truth, needs: [loss]}
      - {id: no-numbers, phase: cleanup, uses: http.sentinel-remove, with: {url: "${{ resources.app.url }}", routes: "${{ resources.app.sentinel }}"}, needs: [truth], discharges: [writes]}
`

type nothing struct{}

type while struct {
	MS int64 `json:"ms" doc:"milliseconds"`
}

// own are the actions of the benchmark: what a user's own program would do.
func own(a *app, tell *truth) action.Pack {
	post := func(name, doc string, impact firedrill.Impact, replay firedrill.Replay, do func(ctx context.Context) error) firedrill.Action {
		return action.Typed(firedrill.Spec{Name: name, Doc: doc, Impact: impact, Replay: replay,
			Claims: func(firedrill.Values) []firedrill.Claim {
				return []firedrill.Claim{{Resource: "app", Write: impact != firedrill.Reads}}
			}},
			func(ctx context.Context, _ firedrill.Call, _ nothing) (action.Result[nothing], error) {
				return action.Result[nothing]{}, do(ctx)
			})
	}
	return action.Pack{Providers: cloudflare.Providers(), Kinds: cloudflare.Kinds(), Actions: []firedrill.Action{
		post("bench.disaster", "Damage the application.", firedrill.Damages, firedrill.Never, func(ctx context.Context) error { return a.call(ctx, "POST", "/disaster", nil) }),
		post("bench.restore", "Repair the application.", firedrill.Changes, firedrill.Idempotent, func(ctx context.Context) error { return a.call(ctx, "POST", "/restore", nil) }),
		post("bench.truth", "Ask what happened.", firedrill.Reads, firedrill.Idempotent, func(ctx context.Context) error { return a.call(ctx, "GET", "/truth", tell) }),
		action.Typed(firedrill.Spec{Name: "bench.while", Doc: "Let time go by.", Impact: firedrill.Reads, Replay: firedrill.Idempotent},
			func(ctx context.Context, _ firedrill.Call, in while) (action.Result[nothing], error) {
				select {
				case <-ctx.Done():
					return action.Result[nothing]{}, ctx.Err()
				case <-time.After(time.Duration(in.MS) * time.Millisecond):
					return action.Result[nothing]{}, nil
				}
			}),
	}}
}

// drills runs the drills and gives how many measured something that was not so.
func drills(ctx context.Context, a *app, dir string, opt options) (off int, err error) {
	var t truth
	registry, err := action.NewRegistry(http.Pack(http.Deps{}), own(a, &t))
	if err != nil {
		return 0, err
	}
	p, err := plan.Parse("bench.yaml", fmt.Appendf(nil, planText, a.url, opt.probe.Milliseconds(), opt.write, opt.probe), registry, playbook.Library{})
	if err != nil {
		return 0, err
	}
	program, err := plan.Program(p, "truth", "", registry, playbook.Library{})
	if err != nil {
		return 0, err
	}
	home, err := state.Open(filepath.Join(dir, "home"))
	if err != nil {
		return 0, err
	}
	j, err := journal.Open(ctx, home.Journal())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	n := 0
	r := runner.New(runner.Config{Journal: j, Home: home, Registry: registry, Resolver: plan.NewResolver(registry), Now: runner.Clock(),
		NewID: func() string { n++; return fmt.Sprint("run-", n) }, Version: "bench", Executor: "bench"})
	fmt.Printf("%-6s  %-19s  %-19s  %-19s  %-13s  %-13s  %s\n", "drill", "RTO s", "detect s", "RPO s", "lost before", "lost after", "")
	for range opt.drills {
		records, err := r.Run(ctx, *program)
		if err != nil {
			return off, err
		}
		if !compare(n, t, records, opt) {
			off++
		}
	}
	return off, nil
}

// compare prints a drill's truth and what was measured, and tells whether they
// agree.
func compare(n int, t truth, records []firedrill.Record, opt options) bool {
	var m firedrill.Measurement
	var end firedrill.Finished
	var sent firedrill.Stamp
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.Measured:
			m = b.Measurement
		case firedrill.Finished:
			end = b
		case firedrill.Ended:
			if b.Step == "disaster" && b.Role == firedrill.RoleDo {
				sent = b.Started
			}
		}
	}
	rto, _ := t.Up.Since(sent)
	detect, _ := t.Alert.Since(sent)
	rpo, _ := sent.Since(t.Cut)
	var before, after int64
	for _, w := range t.Acked {
		switch {
		case w.Lost && w.At.After(sent):
			after++
		case w.Lost:
			before++
		}
	}
	good := end.Verdict == firedrill.Passed && within(m.RTO.Actual, rto, opt.probe+opt.slack) && within(m.RTO.Detect.Seconds, detect, opt.probe+opt.slack) && within(m.RPO.Actual, rpo, opt.write+opt.slack) &&
		is(m.RPO.LostBefore, before) && is(m.RPO.LostAfter, after)
	mark := ""
	if !good {
		mark = fmt.Sprintf("NOT SO: %s %v", end.Verdict, end.Reasons)
	}
	fmt.Printf("%-6d  %8.3f | %-8s  %8.3f | %-8s  %8.3f | %-8s  %5d | %-5s  %5d | %-5s  %s\n", n, rto.Seconds(), seconds(m.RTO.Actual), detect.Seconds(), seconds(m.RTO.Detect.Seconds), rpo.Seconds(), seconds(m.RPO.Actual), before, number(m.RPO.LostBefore), after, number(m.RPO.LostAfter), mark)
	return good
}

func within(got *float64, truth, tolerance time.Duration) bool {
	return got != nil && math.Abs(*got-truth.Seconds()) <= tolerance.Seconds()
}

func is(got *int64, want int64) bool { return got != nil && *got == want }

func seconds(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *x)
}

func number(x *int64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprint(*x)
}
