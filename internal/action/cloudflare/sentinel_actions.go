package cloudflare

import (
	"context"
	"fmt"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/observe"
)

// The actions of all sentinels: each kind of place brings its own names,
// claims and documentation, and what it writes into.

type sentinelOut struct {
	Sentinel string `json:"sentinel" doc:"its name, for the actions that pause, resume and stop it"`
}

type sentinelStopOut struct {
	Acknowledged int64 `json:"acknowledged" doc:"writes that were acknowledged"`
	Lost         int64 `json:"lost" doc:"acknowledged writes that are not there"`
	Ghosts       int64 `json:"ghosts" doc:"writes that are there and were never acknowledged"`
}

// sentinelPace is the time between two writes: as asked for, or what a real
// platform's quota bears, and much less where nobody counts.
func sentinelPace(op string, everyMS int64, c *Client) (time.Duration, error) {
	switch {
	case everyMS < 0:
		return 0, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "every_ms", Detail: "is negative"}
	case everyMS > 0:
		return time.Duration(everyMS) * time.Millisecond, nil
	case c.local:
		return 50 * time.Millisecond, nil
	}
	return 2 * time.Second, nil
}

// startSentinel starts one, or takes up what a process before this one began,
// and waits for its first acknowledged write.
func startSentinel(ctx context.Context, op string, call firedrill.Call, name string, every time.Duration, place observe.Numbered) (action.Result[sentinelOut], error) {
	var res action.Result[sentinelOut]
	if name == "" {
		name = "sentinel"
	}
	path, err := artefact(call, name+".acks.jsonl")
	if err != nil {
		return res, err
	}
	if err := makeDir(call); err != nil {
		return res, err
	}
	s, err := observe.NewSentinel(op, place, path, every, call.Now)
	if err != nil {
		return res, err
	}
	if err := call.Observers.Start(name, s); err != nil {
		s.Stop()
		return res, err
	}
	res.Out.Sentinel = name
	if s.WasPaused() {
		res.Summary = "taken up as it was: paused"
		return res, nil
	}
	first, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.Resume(first); err != nil {
		s.Stop()
		return res, err
	}
	res.Summary = fmt.Sprintf("a numbered write every %s", every)
	return res, nil
}

// findSentinel gives a running sentinel of this process. When a run is taken
// up, observers are started again beside the calls that need them, so it waits
// a while for one to come.
func (p *pack) findSentinel(ctx context.Context, op string, call firedrill.Call, name string) (*observe.Sentinel, error) {
	c, err := p.client(call)
	if err != nil {
		return nil, err
	}
	const pause, patience = 50 * time.Millisecond, 15 * time.Second
	for waited := time.Duration(0); ; waited += pause {
		o, ok := call.Observers.Get(name)
		if s, is := o.(*observe.Sentinel); ok && is {
			return s, nil
		}
		if waited < patience && c.Sleep(ctx, pause) == nil {
			continue
		}
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindNotFound, Target: "sentinel " + name, Detail: "does not run in this process", Remedy: "start it first"}
	}
}

// stopSentinel stops one and reads which of its writes are there.
func (p *pack) stopSentinel(ctx context.Context, op string, call firedrill.Call, name string, place observe.Numbered) (action.Result[sentinelStopOut], error) {
	var res action.Result[sentinelStopOut]
	s, err := p.findSentinel(ctx, op, call, name)
	if err != nil {
		return res, err
	}
	s.Stop()
	survivors, err := place.Survivors(ctx, s.Acknowledged())
	if err != nil {
		return res, err
	}
	o := s.Observation(name, survivors)
	for _, a := range o.Acks {
		if a.Lost {
			res.Out.Lost++
		}
	}
	res.Out.Acknowledged, res.Out.Ghosts = int64(len(o.Acks)), int64(len(o.Ghosts))
	if len(o.Acks) == 0 {
		return res, &firedrill.Error{Op: op, Kind: firedrill.KindExpectation, Target: "sentinel " + name, Detail: "none of its writes was acknowledged: nothing was measured"}
	}
	res.Observation = o
	res.Summary = fmt.Sprintf("%s acknowledged, %s lost", count(len(o.Acks), "write"), grouped(res.Out.Lost))
	return res, nil
}

// endSentinel stops one that still runs in this process, before what it wrote
// is taken away. It gives the last number that may have been written.
func endSentinel(call firedrill.Call) (last int64) {
	if call.Observers == nil {
		return 0
	}
	o, ok := call.Observers.Get("sentinel")
	if !ok {
		return 0
	}
	o.Stop()
	if s, is := o.(*observe.Sentinel); is {
		last = s.Last()
	}
	return last
}
