package cloudflare

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

type canariesIn struct {
	Database string `json:"database" doc:"id of the database"`
	Canaries string `json:"canaries" doc:"output file of d1.plan-canaries, or of d1.insert-canaries to mean only what could be written"`
}

type insertCanariesOut struct {
	Rows    int64    `json:"rows" doc:"canary rows that are there now"`
	Skipped []string `json:"skipped" doc:"tables that refused theirs, and why"`
	File    string   `json:"file" doc:"file in the run's folder that holds the rows that are there"`
}

type checkCanariesOut struct {
	Intact int64 `json:"intact" doc:"canary rows that are exactly as they were written"`
	Rows   int64 `json:"rows" doc:"canary rows that were looked for"`
}

type removeCanariesOut struct {
	Removed int64 `json:"removed" doc:"canary rows that were taken away"`
	Gone    int64 `json:"gone" doc:"canary rows that were not there any more"`
	Also    int64 `json:"also" doc:"rows that triggers wrote about the canaries and that had to go with them"`
}

// planted is a canary with the table it belongs to and what it is found by.
type planted struct {
	canary
	t        table
	cells    map[string]fingerprint.Cell // by column, lower case
	position []fingerprint.Cell
}

// canaries matches the planned rows with the live schema. A table that is
// not there any more, or has lost a column, is an error.
func (d *d1) canaries(ctx context.Context, op string, call firedrill.Call, name string) (canaryFile, []planted, schema, error) {
	file, err := loadCanaries(call, name)
	if err != nil {
		return file, nil, schema{}, err
	}
	if file.Database != d.db.ID {
		return file, nil, schema{}, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "database " + d.db.Name, Detail: "the canaries are of database " + file.Database}
	}
	s, err := d.schema(ctx, op)
	if err != nil {
		return file, nil, s, err
	}
	var out []planted
	for _, c := range file.Rows {
		pl := planted{canary: c, cells: map[string]fingerprint.Cell{}}
		var ok bool
		if pl.t, ok = s.table(c.Table); !ok {
			return file, nil, s, &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "table " + c.Table, Detail: "held a canary and does not exist any more"}
		}
		for i, column := range c.Columns {
			cell, _, err := parseCell(c.Cells[i])
			if err != nil {
				return file, nil, s, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: name, Err: err}
			}
			pl.cells[strings.ToLower(column)] = cell
		}
		for _, column := range pl.key() {
			cell, ok := pl.cells[strings.ToLower(column)]
			if c.Rowid != "" {
				cell, _, err = parseCell(c.Rowid)
				ok = err == nil
			}
			if !ok {
				return file, nil, s, &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "table " + c.Table, Detail: "is not the table that its canary was made for"}
			}
			pl.position = append(pl.position, cell)
		}
		out = append(out, pl)
	}
	return file, out, s, nil
}

// key gives the columns that a canary is found by.
func (pl planted) key() []string {
	switch {
	case pl.t.RowidAlias != "":
		return []string{pl.t.RowidAlias}
	case pl.t.Rowid != "":
		return []string{pl.t.Rowid}
	}
	return pl.t.PrimaryKey
}

func (pl planted) String() string {
	return pl.Table + " " + fingerprint.Key(pl.key(), pl.position)
}

// insert gives the statement that writes the canary.
func (pl planted) insert() statement {
	var columns, values []string
	if pl.Rowid != "" {
		columns, values = append(columns, pl.t.Rowid), append(values, literal(pl.position[0]))
	}
	for _, c := range pl.Columns {
		columns = append(columns, quoted(c))
		values = append(values, literal(pl.cells[strings.ToLower(c)]))
	}
	return statement("INSERT INTO " + quoted(pl.Table) + " (" + strings.Join(columns, ",") + ") VALUES (" + strings.Join(values, ",") + ")")
}

// presence tells what stands where a canary belongs.
type presence int

const (
	absent  presence = iota
	intact           // exactly the canary
	altered          // the canary by its marks, with other values
	foreign          // a row of somebody else
)

func (d *d1) look(ctx context.Context, op string, pl planted) (presence, error) {
	rows, _, err := d.page(ctx, op, pl.t, pl.t.at(pl.position), nil, 2, 0)
	if err != nil {
		return absent, err
	}
	if len(rows) == 0 {
		return absent, nil
	}
	if len(rows) > 1 {
		return absent, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: pl.String(), Detail: "one place holds more than one row"}
	}
	different := map[string]bool{}
	for i, c := range pl.t.Columns {
		want, planned := pl.cells[strings.ToLower(c.Name)]
		if planned && !sameCell(want, rows[0].Cells[i]) {
			different[strings.ToLower(c.Name)] = true
		}
	}
	if len(different) == 0 {
		return intact, nil
	}
	for _, m := range pl.Marks {
		if different[strings.ToLower(m)] {
			return foreign, nil
		}
	}
	if len(pl.Marks) == 0 {
		return foreign, nil // nothing tells it from a row of the application
	}
	return altered, nil
}

func sameCell(a, b fingerprint.Cell) bool {
	return string(a.Append(nil)) == string(b.Append(nil))
}

func (p *pack) d1InsertCanaries() firedrill.Action {
	const name = "d1.insert-canaries"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claim(true),
		Doc: "Write the planned canary rows. Rows that are already there are left alone, so it may be repeated. A table that refuses its row is named, not passed over in silence."},
		func(ctx context.Context, call firedrill.Call, in canariesIn) (action.Result[insertCanariesOut], error) {
			var res action.Result[insertCanariesOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			file, all, _, err := d.canaries(ctx, name, call, in.Canaries)
			if err != nil {
				return res, err
			}
			var missing []planted
			for _, pl := range all {
				is, err := d.look(ctx, name, pl)
				if err != nil {
					return res, err
				}
				switch is {
				case absent:
					missing = append(missing, pl)
				case foreign:
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: pl.String(), Detail: "somebody wrote a row where the canary belongs", Remedy: "stop the writers, then run again"}
				}
			}
			refused, err := d.plant(ctx, name, missing)
			if err != nil {
				return res, err
			}
			written := canaryFile{Format: canaryFormat, Database: file.Database}
			res.Out.Skipped = []string{}
			for _, pl := range all {
				if reason, no := refused[pl.Table]; no {
					res.Out.Skipped = append(res.Out.Skipped, pl.Table+": "+reason)
					res.Collateral = append(res.Collateral, "no canary in "+pl.Table+": "+reason)
					continue
				}
				if is, err := d.look(ctx, name, pl); err != nil {
					return res, err
				} else if is != intact {
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: pl.String(), Detail: "the canary was accepted, but it is not there as it was written", Remedy: "see whether a trigger changes rows of this table"}
				}
				written.Rows = append(written.Rows, pl.canary)
			}
			res.Out.Rows, res.Out.File = int64(len(written.Rows)), call.Step+".written.json"
			if len(written.Rows) == 0 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUnsupported, Target: "database " + d.db.Name, Detail: "every table refused its canary: " + strings.Join(res.Out.Skipped, "; ")}
			}
			res.Summary = fmt.Sprintf("%s written", count(len(written.Rows), "canary row"))
			return res, saveCanaries(call, res.Out.File, written)
		})
}

// plant writes canaries in one batch. If the database refuses one, they are
// written one by one, and what is refused is told with the reason.
func (d *d1) plant(ctx context.Context, op string, rows []planted) (refused map[string]string, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	var batch []statement
	for _, pl := range rows {
		batch = append(batch, pl.insert())
	}
	if _, err = d.run(ctx, op, false, batch...); err == nil || firedrill.KindOf(err) != firedrill.KindInvalid {
		return nil, err
	}
	refused = map[string]string{}
	for i, pl := range rows {
		_, err := d.run(ctx, op, false, batch[i])
		switch {
		case firedrill.KindOf(err) == firedrill.KindInvalid:
			refused[pl.Table] = firedrill.ProblemOf(err).Detail
		case err != nil:
			return nil, err
		}
	}
	return refused, nil
}

func (p *pack) d1CheckCanaries() firedrill.Action {
	const name = "d1.check-canaries"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Check that every canary row is there and exactly as it was written. Checking none is never success."},
		func(ctx context.Context, call firedrill.Call, in canariesIn) (action.Result[checkCanariesOut], error) {
			var res action.Result[checkCanariesOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			_, all, _, err := d.canaries(ctx, name, call, in.Canaries)
			if err != nil {
				return res, err
			}
			var wrong []string
			for _, pl := range all {
				is, err := d.look(ctx, name, pl)
				if err != nil {
					return res, err
				}
				if is == intact {
					res.Out.Intact++
				} else {
					wrong = append(wrong, pl.String())
				}
			}
			res.Out.Rows = int64(len(all))
			res.Summary = fmt.Sprintf("%d of %s intact", res.Out.Intact, count(len(all), "canary row"))
			if len(wrong) > 0 {
				res.Summary += "; not: " + strings.Join(wrong[:min(3, len(wrong))], ", ")
			}
			res.Checks = []firedrill.Check{{OK: len(all) > 0 && len(wrong) == 0, Compared: res.Out.Rows, Detail: res.Summary}}
			return res, nil
		})
}

func (p *pack) d1RemoveCanaries() firedrill.Action {
	const name = "d1.remove-canaries"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claim(true),
		Doc: "Take the canary rows away again, children before parents. Rows that triggers wrote about them and that hold them by a foreign key go too, and are counted. A row that is not the canary is never touched."},
		func(ctx context.Context, call firedrill.Call, in canariesIn) (action.Result[removeCanariesOut], error) {
			var res action.Result[removeCanariesOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			_, all, s, err := d.canaries(ctx, name, call, in.Canaries)
			if err != nil {
				return res, err
			}
			slices.Reverse(all)
			var there []planted
			for _, pl := range all {
				is, err := d.look(ctx, name, pl)
				if err != nil {
					return res, err
				}
				switch is {
				case intact, altered:
					there = append(there, pl)
				case foreign:
					res.Collateral = append(res.Collateral, pl.String()+" is not the canary and was left alone")
					res.Out.Gone++
				default:
					res.Out.Gone++
				}
			}
			also, err := d.uproot(ctx, name, s, there)
			if err != nil {
				return res, err
			}
			for _, pl := range there {
				if is, err := d.look(ctx, name, pl); err != nil {
					return res, err
				} else if is == intact || is == altered {
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: pl.String(), Detail: "was deleted and is still there", Remedy: "see whether a trigger keeps rows of this table"}
				}
			}
			res.Out.Removed, res.Out.Also = int64(len(there)), also
			res.Summary = fmt.Sprintf("%s removed", count(len(there), "canary row"))
			if also > 0 {
				res.Collateral = append(res.Collateral, fmt.Sprintf("%s that triggers wrote about the canaries went with them", count(also, "row")))
			}
			return res, nil
		})
}

// uproot deletes canaries in one batch. If a foreign key holds one, the rows
// that hold it are deleted first: only canaries and what triggers wrote about
// them can refer to a canary.
func (d *d1) uproot(ctx context.Context, op string, s schema, rows []planted) (also int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	var plain, deep []statement
	var extra []int // of deep: statements that delete other rows
	for _, pl := range rows {
		del := statement("DELETE FROM " + quoted(pl.Table) + " WHERE " + pl.t.at(pl.position))
		plain = append(plain, del)
		for _, k := range s.foreign {
			if !strings.EqualFold(k.Parent, pl.Table) {
				continue
			}
			var parts []string
			for i, to := range s.parentColumns(k) {
				if cell, ok := pl.cells[strings.ToLower(to)]; ok && cell.Type != fingerprint.Null && i < len(k.From) {
					parts = append(parts, quoted(k.From[i])+"="+literal(cell))
				}
			}
			if len(parts) == len(k.From) {
				extra = append(extra, len(deep))
				deep = append(deep, statement("DELETE FROM "+quoted(k.Table)+" WHERE "+strings.Join(parts, " AND ")))
			}
		}
		deep = append(deep, del)
	}
	_, err = d.repeat(ctx, op, plain...)
	if firedrill.KindOf(err) != firedrill.KindInvalid || len(extra) == 0 {
		return 0, err
	}
	sets, err := d.repeat(ctx, op, deep...)
	if err != nil {
		return 0, err
	}
	for _, i := range extra {
		also += sets[i].Changes
	}
	return also, nil
}
