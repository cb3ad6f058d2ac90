package cloudflare

import (
	"context"
	"fmt"
	"strconv"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/observe"
)

const sentinelTable = ownPrefix + "sentinel"

// sentinelRows is the sentinel's table in a database. The numbers are not the
// database's: AUTOINCREMENT would leave a trace in sqlite_sequence.
type sentinelRows struct {
	d  *d1
	op string
}

func (r sentinelRows) String() string { return "database " + r.d.db.Name }

// create makes the table, if it is not there.
func (r sentinelRows) create(ctx context.Context) error {
	_, err := r.d.repeat(ctx, r.op, statement("CREATE TABLE IF NOT EXISTS "+quoted(sentinelTable)+" (n INTEGER PRIMARY KEY)"))
	return err
}

func (r sentinelRows) Write(ctx context.Context, n int64) error {
	_, err := r.d.run(ctx, r.op, false, statement(fmt.Sprintf("INSERT INTO %s (n) VALUES (%d)", quoted(sentinelTable), n)))
	return err
}

// Survivors reads the whole table; a database shows its writes at once.
func (r sentinelRows) Survivors(ctx context.Context, _, _ []int64) (map[int64]bool, error) {
	out := map[int64]bool{}
	after := int64(0)
	for {
		sets, err := r.d.run(ctx, r.op, true, statement("SELECT CAST(n AS TEXT) FROM "+quoted(sentinelTable)+" WHERE n>"+strconv.FormatInt(after, 10)+" ORDER BY n LIMIT "+strconv.Itoa(largestSet)))
		if err != nil {
			return nil, err
		}
		for _, row := range sets[0].Rows {
			n, err := whole(row[0])
			if err != nil {
				return nil, &firedrill.Error{Op: r.op, Kind: firedrill.KindCorrupt, Target: "table " + sentinelTable, Err: err}
			}
			out[n], after = true, n
		}
		if len(sets[0].Rows) < largestSet {
			return out, nil
		}
	}
}

type sentinelIn struct {
	Database string `json:"database" doc:"id of the database"`
	Name     string `json:"name,omitempty" doc:"name of the sentinel; \"sentinel\" if left out"`
	EveryMS  int64  `json:"every_ms,omitempty" doc:"milliseconds between two writes; 50 on a loopback address and 2,000 elsewhere if left out"`
}

type sentinelRef struct {
	Database string `json:"database" doc:"id of the database"`
	Sentinel string `json:"sentinel" doc:"output of d1.sentinel"`
}

type sentinelRemoveIn struct {
	Database string `json:"database" doc:"id of the database"`
	Sentinel string `json:"sentinel,omitempty" doc:"name of the sentinel; \"sentinel\" if left out"`
}

func (p *pack) d1Sentinel() firedrill.Action {
	const name = "d1.sentinel"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Observer: true, Claims: claim(true),
		Doc: "Write numbered rows into a table of firedrill's own, one after the other, and note which were acknowledged: what is missing after the recovery is the loss. The table is left out of fingerprints; d1.sentinel-remove takes it away."},
		func(ctx context.Context, call firedrill.Call, in sentinelIn) (action.Result[sentinelOut], error) {
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return action.Result[sentinelOut]{}, err
			}
			d.tell = nil // a sentinel outlives its call
			every, err := sentinelPace(name, in.EveryMS, d.c)
			if err != nil {
				return action.Result[sentinelOut]{}, err
			}
			rows := sentinelRows{d, name}
			if err := rows.create(ctx); err != nil {
				return action.Result[sentinelOut]{}, err
			}
			return startSentinel(ctx, name, call, in.Name, every, rows)
		})
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
			return action.Result[struct{}]{}, s.Pause(ctx)
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
			return action.Result[struct{}]{}, s.Resume(ctx)
		})
}

func (p *pack) d1SentinelStop() firedrill.Action {
	const name = "d1.sentinel-stop"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Stop the sentinel and read which of its writes are there. A sentinel that acknowledged nothing measured nothing, which is an error."},
		func(ctx context.Context, call firedrill.Call, in sentinelRef) (action.Result[sentinelStopOut], error) {
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return action.Result[sentinelStopOut]{}, err
			}
			return p.stopSentinel(ctx, name, call, in.Sentinel, sentinelRows{d, name})
		})
}

func (p *pack) d1SentinelRemove() firedrill.Action {
	const name = "d1.sentinel-remove"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claim(true),
		Doc: "Take the sentinel's table away, and what else firedrill made for itself in the database. A sentinel that still runs is stopped first."},
		func(ctx context.Context, call firedrill.Call, in sentinelRemoveIn) (action.Result[struct{}], error) {
			var res action.Result[struct{}]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			observe.EndSentinel(call, in.Sentinel)
			_, err = d.repeat(ctx, name, statement("DROP TABLE IF EXISTS "+quoted(sentinelTable)), statement("DROP TABLE IF EXISTS "+quoted(protectionTable)))
			res.Summary = "firedrill's own tables are gone"
			return res, err
		})
}
