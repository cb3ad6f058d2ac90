package cloudflare

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

type fingerprintIn struct {
	Database string `json:"database" doc:"id of the database"`
	Level    string `json:"level,omitempty" doc:"full: every row; quick: schema, numbers of rows, outermost keys and a sample, which proves nothing. full if left out"`
}

type fingerprintOut struct {
	Bookmark string   `json:"bookmark" doc:"the point in time that the fingerprint is of; nobody wrote while it was taken"`
	Level    string   `json:"level" doc:"full or quick"`
	Digest   string   `json:"digest" doc:"one hash over schema and rows"`
	Rows     int64    `json:"rows" doc:"rows in all tables"`
	Tables   int64    `json:"tables" doc:"tables that were read"`
	Objects  int64    `json:"objects" doc:"tables, indexes, views and triggers in the schema"`
	Virtual  []string `json:"virtual" doc:"virtual tables: their content is seen through the tables they keep"`
	File     string   `json:"file" doc:"file in the run's folder that holds a hash for every row that was read"`
}

func (p *pack) d1Fingerprint() firedrill.Action {
	const name = "d1.fingerprint"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Hash every row and every schema entry of a database at one point in time. The bookmark before and after must be the same; if somebody writes meanwhile it is tried up to three times, then given up. The platform's own tables and those that firedrill makes for itself are left out. Until the run is over the values of the rows are kept in a private file, so that differences can be told with what was there before; of columns that the plan hides, only a digest."},
		func(ctx context.Context, call firedrill.Call, in fingerprintIn) (action.Result[fingerprintOut], error) {
			var res action.Result[fingerprintOut]
			level, err := levelOf(name, in.Level)
			if err != nil {
				return res, err
			}
			hide, err := columnRules(name, call.Environment)
			if err != nil {
				return res, err
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			taken, err := d.fingerprint(ctx, name, call, call.Step+".fingerprint", level, &hide)
			if err != nil {
				return res, err
			}
			res.Out = fingerprintOut{Bookmark: taken.bookmark, Level: string(level), Digest: taken.digest.String(), Rows: taken.rows, Tables: int64(len(taken.schema.Tables)),
				Objects: int64(len(taken.schema.Objects)), Virtual: append([]string{}, taken.schema.Virtual...), File: taken.file}
			res.Summary = fmt.Sprintf("%s in %s fingerprinted · bookmark %s", count(taken.rows, "row"), count(len(taken.schema.Tables), "table"), taken.bookmark)
			if level == fingerprint.Quick {
				res.Summary = fmt.Sprintf("%s in %s counted, a sample fingerprinted · bookmark %s", count(taken.rows, "row"), count(len(taken.schema.Tables), "table"), taken.bookmark)
			}
			return res, nil
		})
}

// levelOf reads the input `level`.
func levelOf(op, text string) (fingerprint.Level, error) {
	switch level := fingerprint.Level(text); level {
	case "":
		return fingerprint.Full, nil
	case fingerprint.Full, fingerprint.Quick:
		return level, nil
	}
	return "", &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "input level", Detail: fmt.Sprintf("is %q", text), Remedy: "write full or quick"}
}

// fingerprintTries is how often a database is read while others write.
const fingerprintTries = 3

// still reads a database while nobody writes: between two equal bookmarks. read may
// be called several times, and only its last reading counts. What does not agree
// with itself can be the doing of somebody who writes meanwhile; where nobody did,
// it is an error.
func (d *d1) still(ctx context.Context, op string, call firedrill.Call, read func(bookmark string) error) error {
	for try := 1; ; try++ {
		before, err := d.bookmark(ctx, op)
		if err != nil {
			return err
		}
		err = read(before)
		kind := firedrill.KindOf(err)
		if err != nil && kind != firedrill.KindConflict && kind != firedrill.KindCorrupt {
			return err
		}
		after, berr := d.bookmark(ctx, op)
		if berr != nil {
			return berr
		}
		if after == before && (err == nil || kind == firedrill.KindCorrupt) {
			return err
		}
		if try == fingerprintTries {
			return &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: "database " + d.db.Name,
				Detail: fmt.Sprintf("somebody wrote during each of %d attempts", fingerprintTries), Remedy: "stop the writers (quiesce in the plan), then run again", Err: err}
		}
		call.Progress(firedrill.Progress{Text: "somebody wrote meanwhile; reading again"})
	}
}

// taken is a fingerprint that was written.
type taken struct {
	file     string
	bookmark string
	digest   fingerprint.Sum
	rows     int64
	tables   []tally
	schema   schema
}

// fingerprint writes the fingerprint of a database into a file of the run's folder.
// hide says which values are not kept beside it; nil: none at all are kept.
func (d *d1) fingerprint(ctx context.Context, op string, call firedrill.Call, file string, level fingerprint.Level, hide *redaction) (taken, error) {
	var f *drawing
	err := d.still(ctx, op, call, func(bookmark string) (err error) {
		f.drop()
		if f, err = d.draw(ctx, op, call, file, bookmark, level, hide); err != nil || level != fingerprint.Full {
			return err
		}
		return d.counted(ctx, op, f.tables)
	})
	if err != nil {
		f.drop()
		return taken{}, err
	}
	return f.taken, f.keep()
}

// drawing is a fingerprint that is written and not yet kept.
type drawing struct {
	taken
	print  *draft
	values *valueWriter // nil: no values are kept
}

// drop takes the files of a drawing away; nil has none.
func (f *drawing) drop() {
	if f == nil {
		return
	}
	if f.print != nil {
		f.print.drop()
	}
	if f.values != nil {
		f.values.f.drop()
	}
}

func (f *drawing) keep() error {
	if f.values != nil {
		if err := f.values.f.keep(); err != nil {
			f.print.drop()
			return err
		}
	}
	return f.print.keep()
}

// draw reads a database once, whoever writes meanwhile. The drawing is there to be
// dropped after an error, too.
func (d *d1) draw(ctx context.Context, op string, call firedrill.Call, file, bookmark string, level fingerprint.Level, hide *redaction) (f *drawing, err error) {
	f = &drawing{taken: taken{file: file, bookmark: bookmark}}
	if f.print, err = newDraft(call, file); err != nil {
		return f, err
	}
	if hide != nil && level == fingerprint.Full {
		if f.values, err = newValueWriter(call, valuesFile(file), *hide); err != nil {
			return f, err
		}
	}
	buffer := bufio.NewWriterSize(f.print, 1<<16)
	if f.schema, err = d.schema(ctx, op); err != nil {
		return f, err
	}
	w, err := fingerprint.NewWriter(buffer, fingerprint.Header{Database: d.db.ID, Level: level, Objects: f.schema.objects()})
	if err != nil {
		return f, f.print.failed(err)
	}
	r := recorder{d: d, op: op, call: call, w: w, values: f.values}
	for _, t := range f.schema.Tables {
		n, err := r.table(ctx, t, level)
		if err != nil {
			return f, err
		}
		f.rows += n
		f.tables = append(f.tables, tally{t.Name, n})
	}
	if f.digest, err = w.Finish(bookmark); err == nil {
		err = buffer.Flush()
	}
	if err != nil {
		return f, f.print.failed(err)
	}
	return f, nil
}

// shape is how a table stands in a fingerprint. A rowid that is no column of the
// table is one more column: a restore must bring it back, too.
func (t table) shape() fingerprint.Table {
	out := fingerprint.Table{Name: t.Name, Columns: t.names(), Order: t.Collations}
	if t.Rowid != "" {
		out.Order = []string{fingerprint.Binary}
	}
	if t.separate() {
		out.Columns = append(out.Columns, "rowid")
	}
	return out
}

// separate tells whether the table has a rowid that is no column of it.
func (t table) separate() bool { return t.Rowid != "" && t.RowidAlias == "" }

// rowOf gives a row as it stands in a fingerprint. cells is memory for it.
func (t table) rowOf(r keyed, cells []fingerprint.Cell) fingerprint.Row {
	if t.separate() {
		r.Cells = append(append(cells[:0], r.Cells...), fingerprint.Cell{Type: fingerprint.Integer, Int: r.Rowid})
	}
	return r.Row
}

// readable refuses a table whose rows stand in an order that is not known.
func (d *d1) readable(op string, t table) error {
	for _, name := range t.shape().Order {
		if !fingerprint.KnownCollation(name) {
			return &firedrill.Error{Op: op, Kind: firedrill.KindUnsupported, Target: "table " + t.Name + " of database " + d.db.Name, Detail: "is in the order of a collation that is not known: " + name}
		}
	}
	return nil
}

// recorder writes the tables of a database into a fingerprint.
type recorder struct {
	d      *d1
	op     string
	call   firedrill.Call
	w      *fingerprint.Writer
	values *valueWriter // nil: values are not kept
	done   int64
	weight int // of the values of the present range
	cells  []fingerprint.Cell
}

// table reads a table and gives the number of its rows.
func (r *recorder) table(ctx context.Context, t table, level fingerprint.Level) (int64, error) {
	if err := r.d.readable(r.op, t); err != nil {
		return 0, err
	}
	shape := t.shape()
	if err := r.w.Begin(shape); err != nil {
		return 0, err
	}
	if level == fingerprint.Quick {
		return r.sample(ctx, t)
	}
	if r.values != nil {
		r.values.begin(shape.Name, shape.Columns)
	}
	err := r.d.eachRow(ctx, r.op, t, "", func(k keyed) error { return r.row(t, k) })
	if err == nil {
		err = r.endRange()
	}
	if err != nil {
		return 0, err
	}
	return r.w.Rows(), r.w.End()
}

func (r *recorder) row(t table, k keyed) error {
	if r.done++; r.done%1000 == 0 {
		r.call.Progress(firedrill.Progress{Text: "reading rows of " + t.Name, Done: r.done})
	}
	row := t.rowOf(k, r.cells)
	r.cells = row.Cells
	if err := r.w.Row(row, k.Position); err != nil {
		return r.d.unreadableRow(r.op, err)
	}
	if r.values != nil {
		r.values.add(row.Cells)
	}
	for _, c := range row.Cells {
		r.weight += 8 + len(c.Bytes)
	}
	if r.w.Rows()%fingerprint.RangeRows == 0 || r.weight >= fingerprint.RangeBytes {
		return r.endRange()
	}
	return nil
}

// unreadableRow is the error of rows that come out of order or are none: the
// platform has given one twice, or has left one out.
func (d *d1) unreadableRow(op string, err error) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "database " + d.db.Name, Detail: "the rows that it gives cannot be right", Err: err}
}

func (r *recorder) endRange() error {
	r.weight = 0
	var at fingerprint.Place
	if r.values != nil {
		var err error
		if at, err = r.values.end(); err != nil {
			return err
		}
	}
	return r.w.EndRange(at)
}

// openFingerprint opens what an earlier step wrote. The file is the caller's to
// close.
func openFingerprint(call firedrill.Call, file string) (*os.File, *fingerprint.Reader, error) {
	path, err := artefact(call, file)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, &firedrill.Error{Op: "read artefact", Kind: firedrill.KindStorage, Target: path, Detail: "what an earlier step wrote cannot be read", Err: err}
	}
	r, err := fingerprint.NewReader(f)
	if err != nil {
		_ = f.Close() // it was only read
		return nil, nil, changedFingerprint(file, err)
	}
	return f, r, nil
}

// changedFingerprint is the error of a file that cannot be relied on.
func changedFingerprint(file string, err error) error {
	return &firedrill.Error{Op: "read fingerprint", Kind: firedrill.KindCorrupt, Target: file, Err: err, Remedy: "run the drill again"}
}
