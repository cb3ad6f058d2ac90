package cloudflare

import (
	"context"
	"fmt"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// counted holds a fingerprint against what the database counts itself. A reader
// that is given too few rows, or some of them twice, does not notice: a table ends
// where a page is short, and what is left out of every reading differs in none.
func (d *d1) counted(ctx context.Context, op string, snap fingerprint.Snapshot) error {
	var ask []statement
	for _, t := range snap.Tables {
		ask = append(ask, statement("SELECT count(*) FROM "+quoted(t.Name)))
	}
	if len(ask) == 0 {
		return nil
	}
	sets, err := d.run(ctx, op, true, ask...)
	if err != nil {
		return err
	}
	for i, t := range snap.Tables {
		if len(sets[i].Rows) != 1 || len(sets[i].Rows[0]) != 1 {
			return fmt.Errorf("counting %s gave no count", t.Name)
		}
		n, err := whole(sets[i].Rows[0][0])
		if err != nil {
			return err
		}
		if n != t.Rows {
			return &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + t.Name + " of database " + d.db.Name,
				Detail: fmt.Sprintf("has %s and gave %d to read", count(n, "row"), t.Rows), Remedy: "repeat; if it comes again, the platform does not answer truly"}
		}
	}
	return nil
}
