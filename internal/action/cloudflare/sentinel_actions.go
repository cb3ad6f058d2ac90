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
	if err := makeDir(call); err != nil {
		return res, err
	}
	var err error
	res.Out.Sentinel, res.Summary, err = observe.StartSentinel(ctx, op, call, name, every, place)
	return res, err
}

// findSentinel gives a running sentinel of this process.
func (p *pack) findSentinel(ctx context.Context, op string, call firedrill.Call, name string) (*observe.Sentinel, error) {
	c, err := p.client(call)
	if err != nil {
		return nil, err
	}
	return observe.FindSentinel(ctx, op, call, name, c.Sleep)
}

// stopSentinel stops one and reads which of its writes are there.
func (p *pack) stopSentinel(ctx context.Context, op string, call firedrill.Call, name string, place observe.Numbered) (action.Result[sentinelStopOut], error) {
	var res action.Result[sentinelStopOut]
	s, err := p.findSentinel(ctx, op, call, name)
	if err != nil {
		return res, err
	}
	l, o, err := observe.StopSentinel(ctx, op, s, name, place)
	if err != nil {
		return res, err
	}
	res.Out, res.Observation = sentinelStopOut{l.Acknowledged, l.Lost, l.Ghosts}, o
	res.Summary = fmt.Sprintf("%s acknowledged, %s lost", count(l.Acknowledged, "write"), grouped(l.Lost))
	return res, nil
}
