package cloudflare

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

type copyIn struct {
	Database string `json:"database" doc:"id of the database to copy"`
	Name     string `json:"name" doc:"name of the copy, from d1.scratch-name"`
}

type copyOut struct {
	ID     string `json:"id" doc:"id of the copy"`
	Name   string `json:"name" doc:"name of the copy"`
	Rows   int64  `json:"rows" doc:"rows that were copied"`
	Tables int64  `json:"tables" doc:"tables that were copied"`
}

func (p *pack) d1Copy() firedrill.Action {
	const name = "d1.copy"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent,
		Doc:    "Copy a database into a scratch database with the same schema and the same rows, value by value, and compare both by fingerprint. Of rows that others change meanwhile it has one state or another, and says so. What an interrupted attempt left is made anew. Virtual tables cannot be copied exactly and are refused by name.",
		Claims: func(in firedrill.Values) []firedrill.Claim { return append(claim(false)(in), claimName(in)...) }},
		func(ctx context.Context, call firedrill.Call, in copyIn) (action.Result[copyOut], error) {
			var res action.Result[copyOut]
			if err := checkScratchName(name, in.Name); err != nil {
				return res, err
			}
			var note string
			var err error
			res.Out, note, err = p.copy(ctx, name, call, in)
			if err != nil {
				return res, err
			}
			res.Collateral = notes(note)
			res.Summary = fmt.Sprintf("%s in %s copied to %s", count(res.Out.Rows, "row"), count(res.Out.Tables, "table"), in.Name)
			return res, nil
		})
}

// copyTries is how often a copy is begun where others write in its way.
const copyTries = 4

// copy copies a database into a scratch database and compares them.
func (p *pack) copy(ctx context.Context, op string, call firedrill.Call, in copyIn) (out copyOut, note string, err error) {
	from, err := p.database(ctx, op, call, in.Database)
	if err != nil {
		return copyOut{}, "", err
	}
	s, err := from.schema(ctx, op)
	if err != nil {
		return copyOut{}, "", err
	}
	if len(s.Virtual) > 0 {
		return copyOut{}, "", &firedrill.Error{Op: op, Kind: firedrill.KindUnsupported, Target: "database " + from.db.Name,
			Detail: "has virtual tables, which cannot be copied exactly: " + strings.Join(s.Virtual, ", "), Remedy: "drill it in place, on an environment that is exclusive"}
	}
	to, err := from.c.scratch(ctx, op, in.Name, notify(call))
	if err != nil {
		return copyOut{}, "", err
	}
	for try := 1; ; try++ {
		began, err := from.bookmark(ctx, op)
		if err != nil {
			return copyOut{}, "", err
		}
		out, note, failed := copyOnce(ctx, op, call, from, to, began)
		if failed == nil {
			return out, note, nil
		}
		kind := firedrill.KindOf(failed)
		now, err := from.bookmark(ctx, op)
		if err != nil || now == began || try == copyTries || kind != firedrill.KindConflict && kind != firedrill.KindInvalid && kind != firedrill.KindCorrupt {
			return copyOut{}, "", failed // it is not that somebody wrote
		}
		call.Progress(firedrill.Progress{Text: "somebody wrote meanwhile; copying again"})
	}
}

// copyOnce copies a database that others may write to. Where nobody did since a
// bookmark, the copy is the original, row by row. Otherwise it is the original but
// for rows that others changed meanwhile, of which it has one state or another: the
// drill is about the copy and takes it as it is.
func copyOnce(ctx context.Context, op string, call firedrill.Call, from, to *d1, began string) (out copyOut, note string, err error) {
	file := call.Step + ".copied"
	before, err := from.draw(ctx, op, call, file, began, fingerprint.Full, nil)
	if err != nil {
		before.drop()
		return copyOut{}, "", err
	}
	if err := before.keep(); err != nil {
		return copyOut{}, "", err
	}
	w := copyWriter{to: to, op: op, tell: call.Progress, total: before.rows}
	if err := w.all(ctx, from, before.schema); err != nil {
		return copyOut{}, "", err
	}
	made, err := to.differing(ctx, op, call, file)
	if err != nil {
		return copyOut{}, "", err
	}
	miscounted := from.counted(ctx, op, before.tables) // counts only if nobody wrote
	ended, err := from.bookmark(ctx, op)
	if err != nil {
		return copyOut{}, "", err
	}
	if ended == began {
		err = miscounted
	} else {
		var moved map[place]bool
		if moved, err = from.moved(ctx, op, call, file); err == nil {
			made.rows = slices.DeleteFunc(made.rows, func(p place) bool { return moved[p] })
			note = fmt.Sprintf("others wrote while the copy was made: of %s that they changed it has one state or another", count(len(moved), "row"))
		}
	}
	if err != nil {
		return copyOut{}, "", err
	}
	if how := made.how(); how != "" {
		return copyOut{}, "", &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "database " + to.db.Name,
			Detail: "the copy is not exact: " + how, Remedy: "stop the writers, then run again"}
	}
	return copyOut{to.db.ID, to.db.Name, before.rows, int64(made.tables)}, note, nil
}

// inexact is how a copy differs from the fingerprint of its original. Its rows are
// named and not shown.
type inexact struct {
	rows   []place
	schema fingerprint.Difference // without rows
	tables int
}

func (x inexact) how() string {
	if n := len(x.rows); n > 0 {
		return fmt.Sprintf("%s, the first in table %s", count(n, "row"), x.rows[0].table)
	}
	if len(x.schema.Objects)+len(x.schema.Columns) > 0 {
		return equality(x.schema, fingerprint.Full, nil)
	}
	return ""
}

// differing compares a copy, to which nobody else writes, with the fingerprint of
// its original.
func (d *d1) differing(ctx context.Context, op string, call firedrill.Call, file string) (inexact, error) {
	var out inexact
	err := d.still(ctx, op, call, func(string) error {
		s, err := d.schema(ctx, op)
		if err != nil {
			return err
		}
		out = inexact{tables: len(s.Tables)}
		diff, read, err := d.compareRows(ctx, op, call, file, s, func(r fingerprint.RowDifference) error {
			out.rows = append(out.rows, place{r.Table, r.Key})
			return nil
		})
		if err != nil {
			return err
		}
		out.schema = fingerprint.Difference{Objects: diff.Objects, Columns: diff.Columns}
		return d.counted(ctx, op, read)
	})
	return out, err
}

// moved gives the rows that others changed since a fingerprint, while they write.
func (d *d1) moved(ctx context.Context, op string, call firedrill.Call, file string) (map[place]bool, error) {
	s, err := d.schema(ctx, op)
	if err != nil {
		return nil, err
	}
	rows := map[place]bool{}
	_, _, err = d.compareRows(ctx, op, call, file, s, func(r fingerprint.RowDifference) error {
		rows[place{r.Table, r.Key}] = true
		return nil
	})
	return rows, err
}

// notes is a list of a note, empty if there is none.
func notes(note string) []string {
	if note == "" {
		return nil
	}
	return []string{note}
}

// copyWriter writes a database into another.
type copyWriter struct {
	to    *d1
	op    string
	tell  func(firedrill.Progress)
	total int64
	done  int64

	batch []item
	bytes int
}

const (
	literalBytes = 20_000    // of a value in a statement; longer ones travel as parameters
	batchBytes   = 1_000_000 // of a batch
	pieceOfHex   = 900_000   // digits of one parameter
)

// all empties the target, makes the tables, copies the rows parents first,
// and then makes indexes, views and triggers, so that no trigger fires.
func (w *copyWriter) all(ctx context.Context, from *d1, s schema) error {
	if err := w.empty(ctx); err != nil {
		return err
	}
	for _, o := range s.Objects {
		if o.Type == "table" && o.SQL != "" && !strings.HasPrefix(strings.ToLower(o.Name), "sqlite_") {
			w.batch = append(w.batch, item{SQL: o.SQL})
		}
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	for _, t := range parentsFirst(s) {
		lower := strings.ToLower(t.Name)
		if strings.HasPrefix(lower, "sqlite_") && lower != "sqlite_sequence" {
			return &firedrill.Error{Op: w.op, Kind: firedrill.KindUnsupported, Target: "table " + t.Name, Detail: "holds what ANALYZE found and cannot be copied", Remedy: "drill in place, or drop the statistics"}
		}
		if lower == "sqlite_sequence" {
			continue
		}
		if err := w.rows(ctx, from, t); err != nil {
			return err
		}
	}
	if seq, ok := s.table("sqlite_sequence"); ok {
		w.batch = append(w.batch, item{SQL: "DELETE FROM sqlite_sequence"})
		if err := w.rows(ctx, from, seq); err != nil {
			return err
		}
	}
	for _, kind := range []string{"index", "view", "trigger"} {
		for _, o := range s.Objects {
			if o.Type == kind && !o.Auto {
				w.batch = append(w.batch, item{SQL: o.SQL})
			}
		}
	}
	return w.flush(ctx)
}

// empty takes away what an interrupted attempt left.
func (w *copyWriter) empty(ctx context.Context) error {
	s, err := w.to.schema(ctx, w.op)
	if err != nil {
		return err
	}
	for _, kind := range []string{"trigger", "view"} {
		for _, o := range s.Objects {
			if o.Type == kind {
				w.batch = append(w.batch, item{SQL: "DROP " + strings.ToUpper(kind) + " " + quoted(o.Name)})
			}
		}
	}
	tables := parentsFirst(s)
	slices.Reverse(tables)
	for _, t := range tables {
		if !strings.HasPrefix(strings.ToLower(t.Name), "sqlite_") {
			w.batch = append(w.batch, item{SQL: "DROP TABLE " + quoted(t.Name)})
		}
	}
	return w.flush(ctx)
}

func (w *copyWriter) flush(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	_, err := w.to.sendItems(ctx, w.op, false, false, append([]item{{SQL: "PRAGMA defer_foreign_keys=TRUE"}}, w.batch...))
	w.batch, w.bytes = nil, 0
	return err
}

func (w *copyWriter) rows(ctx context.Context, from *d1, t table) error {
	var columns []string
	if t.Rowid != "" && t.RowidAlias == "" {
		columns = append(columns, t.Rowid)
	}
	for _, c := range t.Columns {
		if !c.Generated {
			columns = append(columns, quoted(c.Name))
		}
	}
	head := "INSERT INTO " + quoted(t.Name) + " (" + strings.Join(columns, ",") + ") VALUES "
	var values strings.Builder
	var params []string
	end := func() {
		if values.Len() > 0 {
			w.batch = append(w.batch, item{head + values.String(), params})
			w.bytes += len(head) + values.Len()
			for _, p := range params {
				w.bytes += len(p)
			}
		}
		values.Reset()
		params = nil
	}
	err := from.eachRow(ctx, w.op, t, "", func(r keyed) error {
		var parts []string
		var own []string
		if t.Rowid != "" && t.RowidAlias == "" {
			parts = append(parts, literal(fingerprint.Cell{Type: fingerprint.Integer, Int: r.Rowid}))
		}
		for i, c := range t.Columns {
			if c.Generated {
				continue
			}
			part, more := bindable(r.Cells[i])
			parts, own = append(parts, part), append(own, more...)
		}
		row := "(" + strings.Join(parts, ",") + ")"
		if values.Len()+len(row)+len(head) > maxStatement-1000 || len(params)+len(own) > 100 || len(own) > 0 && len(params) > 0 {
			end()
		}
		if values.Len() > 0 {
			values.WriteByte(',')
		}
		values.WriteString(row)
		params = append(params, own...)
		w.done++
		if w.done%1000 == 0 {
			w.tell(firedrill.Progress{Text: "copying rows of " + t.Name, Done: w.done, Total: w.total})
		}
		if w.bytes+values.Len() > batchBytes || len(params) > 0 {
			end()
			if w.bytes > batchBytes {
				return w.flush(ctx)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	end()
	return w.flush(ctx)
}

// bindable gives the SQL of a value: a literal, or, where that would be too
// long for a statement, an expression over parameters.
func bindable(c fingerprint.Cell) (sql string, params []string) { return bindableOver(c, literalBytes) }

// bindableOver is the same with another limit of what is long, in bytes.
func bindableOver(c fingerprint.Cell, long int) (sql string, params []string) {
	if len(c.Bytes) <= long {
		return literal(c), nil
	}
	digits := hex.EncodeToString(c.Bytes)
	var marks []string
	for len(digits) > 0 {
		n := min(pieceOfHex, len(digits))
		marks, params = append(marks, "unhex(?)"), append(params, digits[:n])
		digits = digits[n:]
	}
	typ := "BLOB"
	if c.Type == fingerprint.Text {
		typ = "TEXT"
	}
	return "CAST(" + strings.Join(marks, "||") + " AS " + typ + ")", params
}

// parentsFirst orders tables so that those that foreign keys refer to come
// before those that refer, as far as there is no circle.
func parentsFirst(s schema) []table {
	var out []table
	seen := map[string]bool{}
	var visit func(table)
	visit = func(t table) {
		if seen[strings.ToLower(t.Name)] {
			return
		}
		seen[strings.ToLower(t.Name)] = true
		for _, k := range s.foreign {
			if k.Table == t.Name {
				if parent, ok := s.table(k.Parent); ok {
					visit(parent)
				}
			}
		}
		out = append(out, t)
	}
	for _, t := range s.Tables {
		visit(t)
	}
	return out
}
