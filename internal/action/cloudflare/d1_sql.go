package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"firedrill"
	"firedrill/internal/action"
)

type queryIn struct {
	Database string `json:"database" doc:"id or name of the database"`
	SQL      string `json:"sql" doc:"one statement that only reads: SELECT, WITH … SELECT, EXPLAIN"`
}

type queryOut struct {
	Rows  []firedrill.Values `json:"rows" doc:"the rows, by column name; at most 1,000"`
	Count int64              `json:"count" doc:"how many rows there are"`
}

func (p *pack) d1Query() firedrill.Action {
	const name = "d1.query"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Ask a question of your own. A statement that could change something is refused before it is sent. Integers beyond 2^53 are exact only as CAST(x AS TEXT): the platform rounds others."},
		func(ctx context.Context, call firedrill.Call, in queryIn) (action.Result[queryOut], error) {
			var res action.Result[queryOut]
			if err := onlyReads(name, in.SQL); err != nil {
				return res, err
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			sets, err := d.run(ctx, name, true, statement(in.SQL))
			if err != nil {
				return res, err
			}
			rows := sets[0].Rows
			const most = 1000
			if len(rows) > most {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUnsupported, Target: "database " + d.db.Name,
					Detail: fmt.Sprintf("gave %d rows", len(rows)), Remedy: "ask for at most 1,000: add a LIMIT, or count in SQL"}
			}
			res.Out.Rows = []firedrill.Values{}
			for _, row := range rows {
				v := firedrill.Values{}
				for i, c := range sets[0].Columns {
					cell, err := json.Marshal(row[i])
					if err != nil {
						return res, err
					}
					if v[c], err = firedrill.DecodeValue(cell); err != nil {
						return res, &firedrill.Error{Op: name, Kind: firedrill.KindCorrupt, Target: "column " + c, Err: err}
					}
				}
				res.Out.Rows = append(res.Out.Rows, v)
			}
			res.Out.Count = int64(len(rows))
			res.Summary = count(len(rows), "row")
			return res, nil
		})
}

// onlyReads refuses statements that could change something. It knows the
// words that begin a change and looks for them anywhere: it may refuse too
// much, never too little.
func onlyReads(op, sql string) error {
	words := tokens(sql)
	refuse := func(detail string) error {
		return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "its SQL", Detail: detail, Remedy: "use d1.execute for changes, with an undo"}
	}
	for len(words) > 0 && words[len(words)-1] == ";" {
		words = words[:len(words)-1]
	}
	if len(words) == 0 || !slices.Contains([]string{"select", "with", "explain", "values"}, words[0]) {
		return refuse("does not begin with SELECT, WITH, VALUES or EXPLAIN")
	}
	for _, w := range words {
		if slices.Contains([]string{";", "insert", "update", "delete", "replace", "create", "drop", "alter", "reindex", "vacuum", "attach", "detach", "pragma", "begin", "commit", "analyze"}, w) {
			return refuse("holds " + w)
		}
	}
	return nil
}

type executeIn struct {
	Database string   `json:"database" doc:"id or name of the database"`
	SQL      []string `json:"sql" doc:"statements; all of them happen, or none"`
}

type executeOut struct {
	Changes int64 `json:"changes" doc:"rows that were changed, as the database counts"`
}

func (p *pack) d1Execute() firedrill.Action {
	const name = "d1.execute"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Damages, Replay: firedrill.Never, Claims: claim(true),
		Doc: "Perform statements of your own as one atomic batch. It counts as damage, because what they do is not known, and is never repeated: give the step an undo."},
		func(ctx context.Context, call firedrill.Call, in executeIn) (action.Result[executeOut], error) {
			var res action.Result[executeOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			if err := mayDamage(name, call, d); err != nil {
				return res, err
			}
			var batch []statement
			for _, s := range in.SQL {
				batch = append(batch, statement(s))
			}
			if len(batch) == 0 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "its SQL", Detail: "no statement is given"}
			}
			sets, err := d.run(ctx, name, false, batch...)
			if err != nil {
				return res, err
			}
			for _, s := range sets {
				res.Out.Changes += s.Changes
			}
			res.Summary = fmt.Sprintf("%s, %s changed", count(len(batch), "statement"), count(res.Out.Changes, "row"))
			return res, withinCap(name, "database "+d.db.Name, "rows", res.Out.Changes, call.Environment.Limits.Rows)
		})
}
