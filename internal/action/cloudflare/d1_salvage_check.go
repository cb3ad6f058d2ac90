package cloudflare

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
	"firedrill/internal/salvage"
)

type salvageCheckIn struct {
	Database string `json:"database" doc:"id of the database"`
	Chosen   string `json:"chosen" doc:"output file of d1.salvage-choose"`
	Against  string `json:"against" doc:"output against of d1.found: the state before"`
}

type salvageCheckOut struct {
	Rows int64 `json:"rows" doc:"rows that were compared"`
	Then int64 `json:"then" doc:"rows of those that had to be as they were at the good moment"`
}

func (p *pack) d1SalvageCheck() firedrill.Action {
	const name = "d1.salvage-check"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Read the whole database and compare it with what was computed: each chosen row as it was at the good moment, every other row and the schema as they were found. The numbers of sqlite_sequence may only have grown as far as the rows that came back need it."},
		func(ctx context.Context, call firedrill.Call, in salvageCheckIn) (action.Result[salvageCheckOut], error) {
			var res action.Result[salvageCheckOut]
			chosen, err := loadSalvage[salvageChosen](call, in.Chosen)
			if err != nil {
				return res, err
			}
			check, err := p.salvageChecked(ctx, name, call, in.Database, in.Against, chosen)
			if err != nil {
				return res, err
			}
			res.Out = salvageCheckOut{check.Compared, int64(len(chosen.Rows))}
			res.Summary, res.Checks = check.Detail, []firedrill.Check{check}
			if check.OK {
				return res, nil
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			return res, theirs(ctx, name, call, d.c, bookmarks{d, name}, check.Detail)
		})
}

// salvageChecked compares a database with the state that was found and what was chosen.
func (p *pack) salvageChecked(ctx context.Context, op string, call firedrill.Call, database, against string, chosen salvageChosen) (firedrill.Check, error) {
	c, err := p.comparison(ctx, op, call, compareIn{Database: database, Against: against, Level: string(fingerprint.Full)})
	if err != nil {
		return firedrill.Check{}, err
	}
	var check firedrill.Check
	err = c.d.still(ctx, op, call, func(string) error {
		var x *expectation
		diff, found, err := c.read(ctx, func(d *differences) func(fingerprint.RowDifference) error {
			x = expect(d, chosen)
			return x.visit
		})
		if err == nil {
			err = c.d.counted(ctx, op, found.read)
		}
		if err != nil {
			return err
		}
		check, err = x.check(ctx, c, diff)
		return err
	})
	return check, err
}

// expectation is how a state is to differ from the one that was found.
type expectation struct {
	found     *differences // those that were not expected
	rows      map[place]salvageRow
	sequences map[string]int64
	wrong     int64
}

func expect(found *differences, chosen salvageChosen) *expectation {
	x := &expectation{found: found, rows: map[place]salvageRow{}, sequences: chosen.Sequences}
	for _, r := range chosen.Rows {
		x.rows[place{r.Table, string(r.Position)}] = r
	}
	return x
}

// visit takes a row that differs from the state that was found.
func (x *expectation) visit(r fingerprint.RowDifference) error {
	if r.Table == "sqlite_sequence" && x.numbered(r) {
		return nil
	}
	at := place{r.Table, string(appendCells(r.Position))}
	if want, chosen := x.rows[at]; chosen && r.How == becomes(want.How) && bytes.Equal(appendCells(r.Row), want.Cells) {
		delete(x.rows, at)
		return nil
	}
	x.wrong++
	return x.found.add(r)
}

// becomes is how a row differs from the state that was found once it is as it was then.
func becomes(how string) string {
	switch how {
	case salvage.Gone:
		return fingerprint.Extra
	case salvage.New:
		return fingerprint.Missing
	}
	return fingerprint.Changed
}

// numbered tells whether a number of sqlite_sequence is one that rows which came back
// need.
func (x *expectation) numbered(r fingerprint.RowDifference) bool {
	if r.Row == nil || r.Row[0].Type != fingerprint.Text || r.Row[1].Type != fingerprint.Integer {
		return false
	}
	want, is := x.sequences[string(r.Row[0].Bytes)]
	return is && r.Row[1].Int == want
}

// check says how it turned out.
func (x *expectation) check(ctx context.Context, c *comparison, diff fingerprint.Difference) (firedrill.Check, error) {
	var parts []string
	if len(x.sequences) > 0 {
		now, err := c.d.sequences(ctx, c.op)
		if err != nil {
			return firedrill.Check{}, err
		}
		for _, table := range sortedKeys(x.sequences) {
			if now[table] != x.sequences[table] {
				parts = append(parts, fmt.Sprintf("table %s would go on numbering after %d, not after %d", table, now[table], x.sequences[table]))
			}
		}
	}
	if x.wrong > 0 {
		parts = append(parts, fmt.Sprintf("%s not as they should be: %s", count(x.wrong, "row"), x.found.rows[0]))
	}
	for at, r := range x.rows {
		parts = append(parts, fmt.Sprintf("%s not as then: %s %s", count(len(x.rows), "row"), at.table, r.Key))
		break
	}
	if len(diff.Objects)+len(diff.Columns) > 0 {
		parts = append(parts, equality(fingerprint.Difference{Objects: diff.Objects, Columns: diff.Columns}, fingerprint.Full, nil))
	}
	check := firedrill.Check{OK: len(parts) == 0, Compared: diff.ComparedRows, Detail: strings.Join(parts, "; ")}
	if check.OK {
		check.Detail = fmt.Sprintf("%s of %s as chosen", grouped(diff.ComparedRows), count(diff.ComparedRows, "row"))
	}
	return check, nil
}
