package cloudflare

import (
	"context"
	"fmt"
	"slices"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

type fingerprintIn struct {
	Database string `json:"database" doc:"id of the database"`
}

type fingerprintOut struct {
	Bookmark string   `json:"bookmark" doc:"the point in time that the fingerprint is of; nobody wrote while it was taken"`
	Digest   string   `json:"digest" doc:"one hash over schema and rows"`
	Rows     int64    `json:"rows" doc:"rows in all tables"`
	Tables   int64    `json:"tables" doc:"tables that were read"`
	Objects  int64    `json:"objects" doc:"tables, indexes, views and triggers in the schema"`
	Virtual  []string `json:"virtual" doc:"virtual tables: their content is seen through the tables they keep"`
	File     string   `json:"file" doc:"file in the run's folder that holds a hash for every row"`
}

func (p *pack) d1Fingerprint() firedrill.Action {
	const name = "d1.fingerprint"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Hash every row and every schema entry of a database at one point in time. The bookmark before and after must be the same; if somebody writes meanwhile it is tried up to three times, then given up. The platform's own tables and those that firedrill makes for itself are left out."},
		func(ctx context.Context, call firedrill.Call, in fingerprintIn) (action.Result[fingerprintOut], error) {
			var res action.Result[fingerprintOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			snap, s, err := d.fingerprint(ctx, name, call)
			if err != nil {
				return res, err
			}
			file, err := saveSnapshot(call, snap)
			if err != nil {
				return res, err
			}
			res.Out = fingerprintOut{Bookmark: snap.Bookmark, Digest: snap.Digest().String(), Rows: snap.Rows(), Tables: int64(len(snap.Tables)),
				Objects: int64(len(snap.Objects)), Virtual: append([]string{}, s.Virtual...), File: file}
			res.Summary = fmt.Sprintf("%s in %s fingerprinted · bookmark %s", count(snap.Rows(), "row"), count(len(snap.Tables), "table"), snap.Bookmark)
			return res, nil
		})
}

func saveSnapshot(call firedrill.Call, snap fingerprint.Snapshot) (string, error) {
	data, err := snap.Encode()
	if err != nil {
		return "", err
	}
	file := call.Step + ".fingerprint.json"
	return file, save(call, file, data)
}

// fingerprintTries is how often a fingerprint is begun while others write.
const fingerprintTries = 3

// fingerprint reads the whole database between two equal bookmarks.
func (d *d1) fingerprint(ctx context.Context, op string, call firedrill.Call) (fingerprint.Snapshot, schema, error) {
	for try := 1; ; try++ {
		before, err := d.bookmark(ctx, op)
		if err != nil {
			return fingerprint.Snapshot{}, schema{}, err
		}
		snap, s, err := d.readAll(ctx, op, call)
		var miscounted error
		if err == nil {
			snap.Bookmark = before
			miscounted = d.counted(ctx, op, snap) // counts only if nobody wrote meanwhile
		} else if firedrill.KindOf(err) != firedrill.KindConflict {
			return fingerprint.Snapshot{}, schema{}, err
		}
		after, berr := d.bookmark(ctx, op)
		if berr != nil {
			return fingerprint.Snapshot{}, schema{}, berr
		}
		if err == nil && after == before {
			return snap, s, miscounted
		}
		if try == fingerprintTries {
			return fingerprint.Snapshot{}, schema{}, &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "database " + d.db.Name,
				Detail: fmt.Sprintf("somebody wrote during each of %d attempts", fingerprintTries), Remedy: "stop the writers (quiesce in the plan), then run again", Err: err}
		}
		call.Progress(firedrill.Progress{Text: "somebody wrote meanwhile; reading again"})
	}
}

// readAll reads schema and rows once, without regard to writers.
func (d *d1) readAll(ctx context.Context, op string, call firedrill.Call) (fingerprint.Snapshot, schema, error) {
	s, err := d.schema(ctx, op)
	if err != nil {
		return fingerprint.Snapshot{}, schema{}, err
	}
	var tables []fingerprint.Table
	var done int64
	for _, t := range s.Tables {
		columns := t.names()
		separate := t.Rowid != "" && t.RowidAlias == ""
		if separate {
			columns = append(slices.Clone(columns), "rowid")
		}
		b := fingerprint.NewBuilder(t.Name, columns)
		err := d.eachRow(ctx, op, t, "", func(r keyed) error {
			if separate {
				r.Cells = append(r.Cells, fingerprint.Cell{Type: fingerprint.Integer, Int: r.Rowid})
			}
			if done++; done%1000 == 0 {
				call.Progress(firedrill.Progress{Text: "reading rows of " + t.Name, Done: done})
			}
			return b.Add(r.Row)
		})
		if err != nil {
			return fingerprint.Snapshot{}, schema{}, err
		}
		tables = append(tables, b.Table())
	}
	return fingerprint.NewSnapshot(d.db.ID, "", tables, s.objects()), s, nil
}
