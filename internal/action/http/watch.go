package http

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/observe"
)

type watchIn struct {
	Probes  []Probe  `json:"probes" doc:"probes to ask all the time"`
	Answers []Answer `json:"answers,omitempty" doc:"what they answered before the drill; output of http.baseline"`
	EveryMS int64    `json:"every_ms,omitempty" doc:"milliseconds between two requests of a probe; 50 if left out"`
	Timeout int64    `json:"timeout_ms,omitempty" doc:"milliseconds after which a probe is red; 2,000 if left out"`
}

type watchOut struct {
	Watch string `json:"watch" doc:"its name, for the actions that wait for it and stop it"`
}

// settleTime is how long a watch may take to be green at first.
const settleTime = 15 * time.Second

func (p *pack) watch() firedrill.Action {
	const name = "http.watch"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Observer: true,
		Doc: "Watch a service from now on: each probe is asked again and again and is red unless it answers as declared and as before; one at least must be able to fail. It measures recovery time and availability."},
		func(ctx context.Context, call firedrill.Call, in watchIn) (action.Result[watchOut], error) {
			var res action.Result[watchOut]
			all, err := expectations(name, in.Probes, in.Answers)
			if err != nil {
				return res, err
			}
			if _, res.Notes, err = p.trusted(ctx, name, all); err != nil {
				return res, err
			}
			cfg := observe.WatchConfig{Name: call.Step, Every: time.Duration(in.EveryMS) * time.Millisecond, Timeout: time.Duration(in.Timeout) * time.Millisecond, Now: call.Now}
			for _, e := range all {
				t := observe.Target{Name: e.name(), Service: e.Service, Check: p.checker(e, call)}
				if t.Timeout, err = e.Timeout.Parse(); err == nil {
					t.Slow, err = e.Slow.Parse()
				}
				if err != nil {
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "probe " + e.name(), Detail: "timeout or slow is no duration", Err: err, Remedy: "write for example slow: 250ms"}
				}
				cfg.Targets = append(cfg.Targets, t)
			}
			samples, err := os.OpenFile(filepath.Join(call.Dir, "samples-"+strings.ReplaceAll(call.Step, "/", "-")+".jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindStorage, Target: call.Dir, Err: err, Remedy: "look at the disk, or use another --home"}
			}
			cfg.Samples = sampleFile{samples, call.Full}
			w := &watching{Watch: observe.NewWatch(cfg), samples: samples}
			if err := call.Observers.Start(call.Step, w); err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: "watch " + call.Step, Err: err}
			}
			wait, cancel := context.WithTimeout(ctx, settleTime)
			defer cancel()
			// In a run that is taken up the service may be down as it should be.
			if _, damaged := injected(call); !damaged {
				if _, err := w.Await(wait, firedrill.Green, 0); err != nil {
					return res, err
				}
			}
			res.Out.Watch = call.Step
			res.Summary = fmt.Sprintf("%d probes watched", len(all))
			return res, nil
		})
}

// watching closes the stream of samples when the watch has ended.
type watching struct {
	*observe.Watch
	samples *os.File
}

// Run implements [firedrill.Observer].
func (w *watching) Run(ctx context.Context, emit func(firedrill.Edge)) {
	w.Watch.Run(ctx, emit)
	// The samples are for looking at later; what counts is in the records.
	_ = w.samples.Close()
}

// sampleFile takes samples as long as the disk has room that nothing else needs.
type sampleFile struct {
	*os.File
	full func() bool // may be nil
}

func (f sampleFile) Write(line []byte) (int, error) {
	if f.full != nil && f.full() {
		return 0, errors.New("the disk ran full")
	}
	return f.File.Write(line)
}

func (p *pack) checker(e expectation, call firedrill.Call) func(context.Context) error {
	return func(ctx context.Context) error {
		a, err := p.ask(ctx, e.Probe)
		if err == nil {
			err = kept(a, call)
		}
		if err != nil {
			return err
		}
		return e.judge(a)
	}
}

type awaitIn struct {
	Watch  string `json:"watch" doc:"output of http.watch"`
	State  string `json:"state" doc:"red: until any probe is red; green: until all are green"`
	HoldMS int64  `json:"hold_ms,omitempty" doc:"milliseconds that green must hold; 300 if left out"`
}

type awaitOut struct {
	Target string `json:"target" doc:"the probe that decided"`
	Detail string `json:"detail" doc:"its last bad answer, when it is red"`
}

func (p *pack) await() firedrill.Action {
	const name = "http.await"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Timeout: time.Minute,
		Doc: "Wait until a watch sees the damage (red) or the service is healthy again (green) and stays so. Running out of time fails and names the probes that stand in the way."},
		func(ctx context.Context, call firedrill.Call, in awaitIn) (action.Result[awaitOut], error) {
			var res action.Result[awaitOut]
			w, err := findWatch(ctx, name, call, in.Watch)
			if err != nil {
				return res, err
			}
			want, hold := firedrill.Colour(in.State), time.Duration(in.HoldMS)*time.Millisecond
			switch {
			case want != firedrill.Red && want != firedrill.Green:
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "input state", Detail: fmt.Sprintf("%q is neither red nor green", in.State), Remedy: "write state: red or state: green"}
			case want == firedrill.Green && hold == 0:
				hold = 300 * time.Millisecond
			}
			edge, err := w.Await(ctx, want, hold)
			if err != nil {
				return res, err
			}
			res.Out = awaitOut{edge.Target, edge.Detail}
			res.Checks = []firedrill.Check{{OK: true, Compared: 1, Detail: strings.TrimSpace(edge.Target + " " + string(edge.State))}}
			if res.Summary = "service green"; want == firedrill.Red {
				res.Summary = edge.Target + " wrong: " + edge.Detail
			}
			return res, nil
		})
}

// lookAgain is the time between two looks at what an observer saw.
const lookAgain = 20 * time.Millisecond

// find gives a running observer. When a run is resumed its observers are
// started again beside the steps that are redone, so it waits for a while.
func find[T firedrill.Observer](ctx context.Context, op string, call firedrill.Call, what, name, starter string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		if o, ok := call.Observers.Get(name); ok {
			if w, ok := o.(T); ok {
				return w, nil
			}
		}
		select {
		case <-ctx.Done():
			var none T
			return none, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: what + " " + name, Detail: "does not run", Remedy: "start it with " + starter}
		case <-time.After(lookAgain):
		}
	}
}

func findWatch(ctx context.Context, op string, call firedrill.Call, name string) (*watching, error) {
	return find[*watching](ctx, op, call, "watch", name, "http.watch")
}

type unwatchIn struct {
	Watch string `json:"watch" doc:"output of http.watch"`
}

type unwatchOut struct {
	Probes int64 `json:"probes" doc:"requests that were sent"`
	Failed int64 `json:"failed" doc:"of them"`
}

func (p *pack) unwatch() firedrill.Action {
	const name = "http.unwatch"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "End a watch and give what it saw in all."},
		func(ctx context.Context, call firedrill.Call, in unwatchIn) (action.Result[unwatchOut], error) {
			var res action.Result[unwatchOut]
			w, err := findWatch(ctx, name, call, in.Watch)
			if err != nil {
				return res, err
			}
			w.Stop()
			o := w.Observation()
			res.Observation, res.Out = &o, unwatchOut{o.Probes, o.Failed}
			res.Summary = fmt.Sprintf("%d of %d probes failed", o.Failed, o.Probes)
			if n, why := w.Dropped(); n > 0 {
				res.Notes = append(res.Notes, fmt.Sprintf("the last %d of %d samples are not in the run's folder: %v", n, o.Probes, why))
			}
			return res, nil
		})
}
