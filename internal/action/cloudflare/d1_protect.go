package cloudflare

import (
	"context"
	"fmt"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

const protectionTable = ownPrefix + "protection"

type protectIn struct {
	Database string `json:"database" doc:"id of the database"`
}

type protectOut struct {
	Before string `json:"before" doc:"point in time before the write"`
	After  string `json:"after" doc:"point in time after the write: later, so the write can be returned to"`
}

func (p *pack) d1Protect() firedrill.Action {
	const name = "d1.protect"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claim(true),
		Doc: "Show that protection resumes after a recovery: a write into a table of firedrill's own succeeds, can be read, and yields a later point in time. The table is taken away again."},
		func(ctx context.Context, call firedrill.Call, in protectIn) (action.Result[protectOut], error) {
			var res action.Result[protectOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			if res.Out.Before, err = d.bookmark(ctx, name); err != nil {
				return res, err
			}
			word := literal(fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(call.Op)})
			table := quoted(protectionTable)
			_, err = d.repeat(ctx, name,
				statement("CREATE TABLE IF NOT EXISTS "+table+" (op TEXT PRIMARY KEY) WITHOUT ROWID"),
				statement("INSERT OR REPLACE INTO "+table+" (op) VALUES ("+word+")"))
			if err != nil {
				return res, err
			}
			if res.Out.After, err = d.bookmark(ctx, name); err != nil {
				return res, err
			}
			sets, err := d.run(ctx, name, true, statement("SELECT count(*) FROM "+table+" WHERE op="+word))
			if err != nil {
				return res, err
			}
			found := int64(0)
			if len(sets[0].Rows) == 1 {
				if found, err = whole(sets[0].Rows[0][0]); err != nil {
					return res, err
				}
			}
			if _, err := d.repeat(ctx, name, statement("DROP TABLE IF EXISTS "+table)); err != nil {
				return res, err
			}
			ok := found == 1 && res.Out.After > res.Out.Before
			res.Summary = "a new write is protected"
			if !ok {
				res.Summary = fmt.Sprintf("a new write is not protected: found %d times, bookmark %s before and %s after", found, res.Out.Before, res.Out.After)
			}
			res.Checks = []firedrill.Check{{OK: ok, Compared: 1, Detail: res.Summary}}
			return res, nil
		})
}
