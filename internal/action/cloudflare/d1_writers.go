package cloudflare

import (
	"context"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// bookmarks is a database as somebody else writes into it: every write moves its
// bookmark.
type bookmarks struct {
	d  *d1
	op string
}

func (b bookmarks) String() string { return "database " + b.d.db.Name }

func (b bookmarks) state(ctx context.Context) (state, partial string, err error) {
	state, err = b.d.bookmark(ctx, b.op)
	return state, "", err
}

func (p *pack) d1Writers(ctx context.Context, op string, call firedrill.Call, database string, windowMS, patience int64) (writers, error) {
	d, err := p.database(ctx, op, call, database)
	if err != nil {
		return writers{}, err
	}
	return newWriters(op, call, d.c, bookmarks{d, op}, windowMS, patience)
}

type d1WatchIn struct {
	Database string `json:"database" doc:"id of the database"`
	WindowMS int64  `json:"window_ms,omitempty" doc:"milliseconds to watch; 500 on a loopback address and 10,000 elsewhere if left out"`
}

func (p *pack) d1WatchWrites() firedrill.Action {
	const name = "d1.watch-writes"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Watch a database for a while and tell whether anybody writes: every write moves its bookmark. It is over as soon as one is seen. A sentinel's writes count, too."},
		func(ctx context.Context, call firedrill.Call, in d1WatchIn) (action.Result[watchWritesOut], error) {
			w, err := p.d1Writers(ctx, name, call, in.Database, in.WindowMS, 0)
			if err != nil {
				return action.Result[watchWritesOut]{}, err
			}
			return w.watch(ctx)
		})
}

type d1StillIn struct {
	Database string `json:"database" doc:"id of the database"`
	WindowMS int64  `json:"window_ms,omitempty" doc:"milliseconds in which nobody may write; 500 on a loopback address and 10,000 elsewhere if left out"`
	Patience int64  `json:"patience,omitempty" doc:"seconds until writers have to have stopped; 15 on a loopback address and 120 elsewhere if left out"`
}

func (p *pack) d1AwaitStill() firedrill.Action {
	const name = "d1.await-still"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false), Timeout: time.Hour,
		Doc: "Prove that nobody writes to a database: its bookmark must stand still for a whole window. Writers may learn late that they are to stop; where somebody still writes when patience is over, the step fails."},
		func(ctx context.Context, call firedrill.Call, in d1StillIn) (action.Result[stillOut], error) {
			w, err := p.d1Writers(ctx, name, call, in.Database, in.WindowMS, in.Patience)
			if err != nil {
				return action.Result[stillOut]{}, err
			}
			return w.still(ctx)
		})
}

type d1AgainIn struct {
	Database string `json:"database" doc:"id of the database"`
	Seen     bool   `json:"seen" doc:"output seen of d1.watch-writes: somebody wrote before the writers were stopped"`
	Patience int64  `json:"patience,omitempty" doc:"seconds in which somebody has to write; 15 on a loopback address and 120 elsewhere if left out"`
}

func (p *pack) d1AwaitWrites() firedrill.Action {
	const name = "d1.await-writes"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false), Timeout: time.Hour,
		Doc: "Prove that writers of a database go on: its bookmark must move before patience is over, else the step fails. Where nobody was seen writing before they were stopped this cannot be shown, and it says so."},
		func(ctx context.Context, call firedrill.Call, in d1AgainIn) (action.Result[awaitWritesOut], error) {
			w, err := p.d1Writers(ctx, name, call, in.Database, 0, in.Patience)
			if err != nil {
				return action.Result[awaitWritesOut]{}, err
			}
			return w.again(ctx, in.Seen)
		})
}
