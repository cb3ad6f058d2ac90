package http

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/observe"
)

type sentinelIn struct {
	URL    string          `json:"url" doc:"address of a resource of the environment: ${{ resources.NAME.url }}"`
	Routes action.Sentinel `json:"routes" doc:"how numbers are written, read and removed: ${{ resources.NAME.sentinel }}"`
	Name   string          `json:"name,omitempty" doc:"name of the sentinel; \"http-sentinel\" if left out"`
}

type sentinelOut struct {
	// Observer tells the engine, too, which observer a resumed run starts again.
	Observer string `json:"observer" doc:"its name, for the actions that pause, resume and stop it"`
}

// claimRoutes claims the address that a sentinel writes to.
func claimRoutes(write bool) func(firedrill.Values) []firedrill.Claim {
	return func(in firedrill.Values) []firedrill.Claim {
		url, _ := in["url"].(string)
		return []firedrill.Claim{{Resource: "service:" + strings.TrimRight(url, "/"), Write: write}}
	}
}

func (p *pack) sentinel() firedrill.Action {
	const name = "http.sentinel"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Observer: true, Claims: claimRoutes(true),
		Doc: "Write numbers through a route of the application, one after the other, and note which were acknowledged: what is missing after the recovery is the loss. Each is on the disk before the next is sent. http.sentinel-remove takes them away."},
		func(ctx context.Context, call firedrill.Call, in sentinelIn) (action.Result[sentinelOut], error) {
			var res action.Result[sentinelOut]
			if err := os.MkdirAll(call.Dir, 0o700); err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindStorage, Target: call.Dir, Err: err, Remedy: "make the folder writable"}
			}
			r, err := p.routesOf(name, call, in.URL, in.Routes)
			if err != nil {
				return res, err
			}
			if !observe.Begun(call, sentinelName(in.Name)) {
				if err := r.nothingYet(ctx); err != nil {
					return res, err
				}
			}
			res.Out.Observer, res.Summary, err = observe.StartSentinel(ctx, name, call, sentinelName(in.Name), r.every, r)
			return res, err
		})
}

// sentinelName gives the name of a sentinel. Where none is given it is not that of
// other sentinels, so that several can write during one drill.
func sentinelName(name string) string {
	if name == "" {
		return "http-sentinel"
	}
	return name
}

type sentinelNameIn struct {
	Sentinel string `json:"sentinel" doc:"output of http.sentinel"`
}

func (p *pack) sentinelPause() firedrill.Action {
	const name = "http.sentinel-pause"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Hold the sentinel's writes, so that what the application stores stands still. Returns when no write is under way."},
		func(ctx context.Context, call firedrill.Call, in sentinelNameIn) (action.Result[struct{}], error) {
			s, err := observe.FindSentinel(ctx, name, call, in.Sentinel, pause)
			if err != nil {
				return action.Result[struct{}]{}, err
			}
			return action.Result[struct{}]{}, s.Pause(ctx)
		})
}

func (p *pack) sentinelResume() firedrill.Action {
	const name = "http.sentinel-resume"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Let the sentinel write again; what it writes is the doing of http.sentinel, whose undo takes it away. Returns after the next write that was acknowledged."},
		func(ctx context.Context, call firedrill.Call, in sentinelNameIn) (action.Result[struct{}], error) {
			s, err := observe.FindSentinel(ctx, name, call, in.Sentinel, pause)
			if err != nil {
				return action.Result[struct{}]{}, err
			}
			return action.Result[struct{}]{}, s.Resume(ctx)
		})
}

type sentinelStopIn struct {
	URL      string          `json:"url" doc:"address of a resource of the environment"`
	Routes   action.Sentinel `json:"routes" doc:"how numbers are written, read and removed"`
	Sentinel string          `json:"sentinel" doc:"output of http.sentinel"`
}

type sentinelStopOut struct {
	Acknowledged int64 `json:"acknowledged" doc:"writes that were acknowledged"`
	Lost         int64 `json:"lost" doc:"acknowledged writes that are not there"`
	Ghosts       int64 `json:"ghosts" doc:"writes that are there and were never acknowledged"`
}

func (p *pack) sentinelStop() firedrill.Action {
	const name = "http.sentinel-stop"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claimRoutes(false), Timeout: time.Hour,
		Doc: "Stop the sentinel and read through the application's route which of its writes are there. It is first waited until they have to be visible, and read twice. A sentinel that acknowledged nothing measured nothing, which is an error."},
		func(ctx context.Context, call firedrill.Call, in sentinelStopIn) (action.Result[sentinelStopOut], error) {
			var res action.Result[sentinelStopOut]
			r, err := p.routesOf(name, call, in.URL, in.Routes)
			if err != nil {
				return res, err
			}
			s, err := observe.FindSentinel(ctx, name, call, in.Sentinel, pause)
			if err != nil {
				return res, err
			}
			l, o, err := observe.StopSentinel(ctx, name, s, in.Sentinel, r)
			if err != nil {
				return res, err
			}
			res.Out, res.Observation = sentinelStopOut{l.Acknowledged, l.Lost, l.Ghosts}, o
			res.Summary = fmt.Sprintf("%d writes acknowledged, %d lost", l.Acknowledged, l.Lost)
			return res, nil
		})
}

type sentinelRemoveIn struct {
	URL      string          `json:"url" doc:"address of a resource of the environment"`
	Routes   action.Sentinel `json:"routes" doc:"how numbers are written, read and removed"`
	Sentinel string          `json:"sentinel,omitempty" doc:"name of the sentinel; \"http-sentinel\" if left out"`
}

type sentinelRemoveOut struct {
	Sent int64 `json:"sent" doc:"numbers that may have been written"`
}

func (p *pack) sentinelRemove() firedrill.Action {
	const name = "http.sentinel-remove"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimRoutes(true),
		Doc: "Take the sentinel's numbers away through the application's route, and look for them again. A sentinel that still runs is stopped first."},
		func(ctx context.Context, call firedrill.Call, in sentinelRemoveIn) (action.Result[sentinelRemoveOut], error) {
			var res action.Result[sentinelRemoveOut]
			r, err := p.routesOf(name, call, in.URL, in.Routes)
			if err != nil {
				return res, err
			}
			res.Out.Sent = observe.EndSentinel(call, sentinelName(in.Sentinel))
			left, err := r.takeAway(ctx)
			if err != nil {
				return res, err
			}
			check := firedrill.Check{OK: left == 0, Compared: max(res.Out.Sent, 1), Detail: "no number of the sentinel is there"}
			if res.Summary = "the sentinel's numbers removed"; left > 0 {
				check.Detail = fmt.Sprintf("%d numbers of the sentinel are still there", left)
			}
			res.Checks = []firedrill.Check{check}
			return res, nil
		})
}

// nothingYet reads the numbers before the first is sent: what cannot be read
// back measures nothing, and what is there already is not this run's.
func (r *routes) nothingYet(ctx context.Context) error {
	there, err := r.all(ctx)
	if err == nil && len(there) > 0 {
		err = &firedrill.Error{Op: r.op, Kind: firedrill.KindConflict, Target: r.String(), Detail: fmt.Sprintf("holds %d numbers before the first was sent", len(there)),
			Remedy: "let the routes tell runs apart by {run}, or remove what another run left"}
	}
	return err
}

// takeAway removes all numbers and gives how many are there when that has to be
// visible.
func (r *routes) takeAway(ctx context.Context) (left int, err error) {
	if _, err := r.send(ctx, "remove", r.remove, "", ""); err != nil {
		return 0, err
	}
	for waited := time.Duration(0); ; waited += removedLookGap {
		there, err := r.all(ctx)
		if err != nil || len(there) == 0 || waited >= r.settle {
			return len(there), err
		}
		if err := pause(ctx, removedLookGap); err != nil {
			return 0, err
		}
	}
}
