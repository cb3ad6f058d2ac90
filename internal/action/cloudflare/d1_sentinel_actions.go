package cloudflare

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

type sentinelIn struct {
	Database string `json:"database" doc:"id of the database"`
	Name     string `json:"name,omitempty" doc:"name of the sentinel; \"sentinel\" if left out"`
	EveryMS  int64  `json:"every_ms,omitempty" doc:"milliseconds between two writes; 50 on a loopback address and 2,000 elsewhere if left out"`
}

type sentinelOut struct {
	Sentinel string `json:"sentinel" doc:"its name, for the actions that pause, resume and stop it"`
}

type sentinelRef struct {
	Database string `json:"database" doc:"id of the database"`
	Sentinel string `json:"sentinel" doc:"output of d1.sentinel"`
}

type sentinelStopOut struct {
	Acknowledged int64 `json:"acknowledged" doc:"writes that were acknowledged"`
	Lost         int64 `json:"lost" doc:"acknowledged writes that are not there"`
	Ghosts       int64 `json:"ghosts" doc:"writes that are there and were never acknowledged"`
}

func (p *pack) d1Sentinel() firedrill.Action {
	const name = "d1.sentinel"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Observer: true, Claims: claim(true),
		Doc: "Write numbered rows into a table of firedrill's own, one after the other, and note which were acknowledged: what is missing after the recovery is the loss. The table is left out of fingerprints; d1.sentinel-remove takes it away."},
		func(ctx context.Context, call firedrill.Call, in sentinelIn) (action.Result[sentinelOut], error) {
			var res action.Result[sentinelOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			d.tell = nil // a sentinel outlives its call
			if in.Name == "" {
				in.Name = "sentinel"
			}
			if in.EveryMS < 0 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "every_ms", Detail: "is negative"}
			}
			every := time.Duration(in.EveryMS) * time.Millisecond
			if every == 0 {
				every = 2 * time.Second
				if d.c.local {
					every = 50 * time.Millisecond
				}
			}
			if err := d.createSentinelTable(ctx, name); err != nil {
				return res, err
			}
			path, err := artefact(call, in.Name+".acks.jsonl")
			if err != nil {
				return res, err
			}
			if err := makeDir(call); err != nil {
				return res, err
			}
			s, err := newSentinel(d, path, every, call.Now)
			if err != nil {
				return res, err
			}
			if err := call.Observers.Start(in.Name, s); err != nil {
				s.Stop()
				return res, err
			}
			res.Out.Sentinel = in.Name
			if s.wasPaused() {
				res.Summary = "taken up as it was: paused"
				return res, nil
			}
			first, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			if err := s.resume(first); err != nil {
				s.Stop()
				return res, err
			}
			res.Summary = fmt.Sprintf("a numbered write every %s", every)
			return res, nil
		})
}

// findSentinel gives a running sentinel of this process. When a run is taken
// up, observers are started again beside the calls that need them, so it waits
// a while for one to come.
func (p *pack) findSentinel(ctx context.Context, op string, call firedrill.Call, name string) (*sentinel, error) {
	c, err := p.client(call)
	if err != nil {
		return nil, err
	}
	const pause, patience = 50 * time.Millisecond, 15 * time.Second
	for waited := time.Duration(0); ; waited += pause {
		o, ok := call.Observers.Get(name)
		if s, is := o.(*sentinel); ok && is {
			return s, nil
		}
		if waited < patience && c.Sleep(ctx, pause) == nil {
			continue
		}
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindNotFound, Target: "sentinel " + name, Detail: "does not run in this process", Remedy: "start it with d1.sentinel first"}
	}
}

func (p *pack) d1SentinelPause() firedrill.Action {
	const name = "d1.sentinel-pause"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Hold the sentinel's writes, so that the database stands still for a fingerprint. Returns when no write is under way."},
		func(ctx context.Context, call firedrill.Call, in sentinelRef) (action.Result[struct{}], error) {
			s, err := p.findSentinel(ctx, name, call, in.Sentinel)
			if err != nil {
				return action.Result[struct{}]{}, err
			}
			return action.Result[struct{}]{}, s.pause(ctx)
		})
}

func (p *pack) d1SentinelResume() firedrill.Action {
	const name = "d1.sentinel-resume"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Let the sentinel write again; what it writes is the doing of d1.sentinel, whose undo takes it away. Returns after the next write that was acknowledged."},
		func(ctx context.Context, call firedrill.Call, in sentinelRef) (action.Result[struct{}], error) {
			s, err := p.findSentinel(ctx, name, call, in.Sentinel)
			if err != nil {
				return action.Result[struct{}]{}, err
			}
			return action.Result[struct{}]{}, s.resume(ctx)
		})
}

func (p *pack) d1SentinelStop() firedrill.Action {
	const name = "d1.sentinel-stop"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Stop the sentinel and read which of its writes are there. A sentinel that acknowledged nothing measured nothing, which is an error."},
		func(ctx context.Context, call firedrill.Call, in sentinelRef) (action.Result[sentinelStopOut], error) {
			var res action.Result[sentinelStopOut]
			s, err := p.findSentinel(ctx, name, call, in.Sentinel)
			if err != nil {
				return res, err
			}
			s.Stop()
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			survivors, err := d.survivors(ctx, name)
			if err != nil {
				return res, err
			}
			o := s.observation(in.Sentinel, survivors)
			for _, a := range o.Acks {
				if a.Lost {
					res.Out.Lost++
				}
			}
			res.Out.Acknowledged, res.Out.Ghosts = int64(len(o.Acks)), int64(len(o.Ghosts))
			if len(o.Acks) == 0 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindExpectation, Target: "sentinel " + in.Sentinel, Detail: "none of its writes was acknowledged: nothing was measured"}
			}
			res.Observation = o
			res.Summary = fmt.Sprintf("%s acknowledged, %s lost", count(len(o.Acks), "write"), grouped(res.Out.Lost))
			return res, nil
		})
}

// survivors reads the numbers that are in the sentinel's table.
func (d *d1) survivors(ctx context.Context, op string) (map[int64]bool, error) {
	out := map[int64]bool{}
	after := int64(0)
	for {
		sets, err := d.run(ctx, op, true, statement("SELECT CAST(n AS TEXT) FROM "+quoted(sentinelTable)+" WHERE n>"+strconv.FormatInt(after, 10)+" ORDER BY n LIMIT "+strconv.Itoa(largestSet)))
		if err != nil {
			return nil, err
		}
		for _, row := range sets[0].Rows {
			n, err := whole(row[0])
			if err != nil {
				return nil, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + sentinelTable, Err: err}
			}
			out[n], after = true, n
		}
		if len(sets[0].Rows) < largestSet {
			return out, nil
		}
	}
}

func (p *pack) d1SentinelRemove() firedrill.Action {
	const name = "d1.sentinel-remove"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claim(true),
		Doc: "Take the sentinel's table away, and what else firedrill made for itself in the database. A sentinel that still runs is stopped first."},
		func(ctx context.Context, call firedrill.Call, in bookmarkIn) (action.Result[struct{}], error) {
			var res action.Result[struct{}]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			if call.Observers != nil {
				if o, ok := call.Observers.Get("sentinel"); ok {
					o.Stop()
				}
			}
			_, err = d.repeat(ctx, name, statement("DROP TABLE IF EXISTS "+quoted(sentinelTable)), statement("DROP TABLE IF EXISTS "+quoted(protectionTable)))
			res.Summary = "firedrill's own tables are gone"
			return res, err
		})
}
