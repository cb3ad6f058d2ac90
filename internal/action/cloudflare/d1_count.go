package cloudflare

import (
	"context"
	"fmt"

	"firedrill"
)

// tally is how many rows of a table a reading was given.
type tally struct {
	table string
	rows  int64
}

// counted holds a reading of every row against what the database counts itself. A
// reader that is given too few rows, or some of them twice, does not notice: a
// table ends where a page is short, and what is left out of every reading differs in
// none. A difference can also be somebody's who writes meanwhile, see [d1.still].
func (d *d1) counted(ctx context.Context, op string, read []tally) error {
	var ask []statement
	for _, t := range read {
		ask = append(ask, statement("SELECT count(*) FROM "+quoted(t.table)))
	}
	if len(ask) == 0 {
		return nil
	}
	sets, err := d.run(ctx, op, true, ask...)
	if err != nil {
		return err
	}
	for i, t := range read {
		if len(sets[i].Rows) != 1 || len(sets[i].Rows[0]) != 1 {
			return fmt.Errorf("counting %s gave no count", t.table)
		}
		n, err := whole(sets[i].Rows[0][0])
		if err != nil {
			return err
		}
		if n != t.rows {
			return &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + t.table + " of database " + d.db.Name,
				Detail: fmt.Sprintf("has %s and gave %d to read", count(n, "row"), t.rows), Remedy: "repeat; if it comes again, the platform does not answer truly"}
		}
	}
	return nil
}
