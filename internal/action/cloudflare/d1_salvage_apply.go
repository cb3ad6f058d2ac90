package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
	"firedrill/internal/salvage"
)

type salvageApplyIn struct {
	Database string `json:"database" doc:"id of the database"`
	Chosen   string `json:"chosen" doc:"output file of d1.salvage-choose"`
	Against  string `json:"against" doc:"output against of d1.found: the state now, every row"`
	Bookmark string `json:"bookmark" doc:"point in time of that state: where somebody has written since, nothing is applied"`
}

type salvageApplyOut struct {
	Rows    int64 `json:"rows" doc:"rows that are as they were"`
	Batches int64 `json:"batches" doc:"atomic batches; 1: all rows at once, or none; 0: a request whose answer was lost had applied them"`
}

func (p *pack) d1SalvageApply() firedrill.Action {
	const name = "d1.salvage-apply"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claim(true), Timeout: time.Hour,
		Doc: "Make the chosen rows as they were, value by value, in one atomic batch where they fit into one of 1 MB. Triggers do not fire. A foreign key that would change rows that were not chosen lets the batch fail. Where the answer of a request is lost it is looked whether it was applied, and nothing is sent twice."},
		func(ctx context.Context, call firedrill.Call, in salvageApplyIn) (action.Result[salvageApplyOut], error) {
			var res action.Result[salvageApplyOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			chosen, err := loadSalvage[salvageChosen](call, in.Chosen)
			if err != nil {
				return res, err
			}
			res.Out.Rows = int64(len(chosen.Rows))
			now, err := d.bookmark(ctx, name)
			if err != nil {
				return res, err
			}
			applied := func() (action.Result[salvageApplyOut], error) {
				check, err := p.salvageChecked(ctx, name, call, in.Database, in.Against, chosen)
				if err == nil && !check.OK {
					err = &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: "database " + d.db.Name,
						Detail: "is not as it was found, and not as it was chosen: " + check.Detail, Remedy: "stop the writers, then list again"}
				}
				res.Summary = count(res.Out.Rows, "row") + " had been applied by a request whose answer was lost"
				return res, err
			}
			if now != in.Bookmark {
				return applied()
			}
			w, err := d.salvaging(ctx, name, chosen)
			if err != nil {
				return res, err
			}
			for i, batch := range w.batches {
				call.Progress(firedrill.Progress{Text: "applying rows", Done: int64(i), Total: int64(len(w.batches))})
				_, err := d.sendItems(ctx, name, false, false, batch)
				if firedrill.KindOf(err) == firedrill.KindUnknown && i == len(w.batches)-1 && ctx.Err() == nil {
					return applied() // nothing is sent twice
				}
				if err != nil {
					return res, notApplied(err, i)
				}
			}
			res.Out.Batches = int64(len(w.batches))
			res.Summary = fmt.Sprintf("%s as they were, at once", count(res.Out.Rows, "row"))
			if n := len(w.batches); n > 1 {
				res.Summary = fmt.Sprintf("%s as they were, in %d batches", count(res.Out.Rows, "row"), n)
				res.Notes = []string{fmt.Sprintf("the rows did not fit into one batch of %d MB: others could see some of %d applied without the rest", batchBytes/1_000_000, n)}
			}
			return res, nil
		})
}

// overflow is what the platform says where a count is not as it is to be, see
// [salvageWriter.demand].
const overflow = "integer overflow"

// notApplied says what an error of a batch means. before is how many were applied.
func notApplied(err error, before int) error {
	var own *firedrill.Error
	if firedrill.KindOf(err) != firedrill.KindInvalid || !errors.As(err, &own) {
		return err
	}
	out := *own
	switch low := strings.ToLower(own.Detail); {
	case strings.Contains(low, overflow):
		out.Detail = "a foreign key would have changed rows that were not chosen"
		out.Remedy = "choose the rows that refer to each other alike"
	case strings.Contains(low, "foreign key"):
		out.Remedy = "a row would refer to one that is not there: choose both alike"
	case strings.Contains(low, "unique"):
		out.Remedy = "a row that stays as it is has the value of one that is to come back: choose both alike"
	}
	if before == 0 {
		out.Detail += "; nothing was applied"
	}
	return &out
}

// salvageWriter gathers the statements that make rows as they were.
type salvageWriter struct {
	schema  schema // of the database now
	tables  []table
	rows    map[string][]salvageRow // by table
	head    []item                  // that each batch begins with
	tail    []item                  // that each batch ends with
	batches [][]item
	batch   []item
	bytes   int
}

// salvaging puts the batches together.
func (d *d1) salvaging(ctx context.Context, op string, chosen salvageChosen) (*salvageWriter, error) {
	s, err := d.schema(ctx, op)
	if err != nil {
		return nil, err
	}
	w := &salvageWriter{schema: s, rows: map[string][]salvageRow{}}
	for _, r := range chosen.Rows {
		w.rows[r.Table] = append(w.rows[r.Table], r)
	}
	for _, t := range parentsFirst(s) {
		if len(w.rows[t.Name]) > 0 {
			w.tables = append(w.tables, t)
		}
	}
	w.frame()
	demands, err := d.demands(ctx, op, w)
	if err != nil {
		return nil, err
	}
	if err := w.all(); err != nil {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "database " + d.db.Name, Detail: "a chosen row cannot be read", Err: err}
	}
	for _, table := range sortedKeys(chosen.Sequences) {
		w.batch = append(w.batch, item{SQL: fmt.Sprintf("UPDATE sqlite_sequence SET seq=%d WHERE name=%s AND seq<%[1]d", chosen.Sequences[table], textLiteral(table))})
	}
	w.batch = append(w.batch, demands...)
	w.cut()
	return w, nil
}

func textLiteral(s string) string {
	return literal(fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(s)})
}

// frame takes the triggers of the tables away for the time of a batch, which nobody
// else ever sees: what they would write is known already, or was not chosen.
func (w *salvageWriter) frame() {
	w.head = []item{{SQL: "PRAGMA defer_foreign_keys=TRUE"}}
	for _, o := range w.schema.Objects {
		if t, found := w.schema.table(o.Table); o.Type == "trigger" && found && len(w.rows[t.Name]) > 0 {
			w.head = append(w.head, item{SQL: "DROP TRIGGER IF EXISTS " + quoted(o.Name)})
			w.tail = append(w.tail, item{SQL: o.SQL})
		}
	}
}

// acts tells whether deleting a row of a table does something to rows that refer to
// it, or is refused for them at once.
func (s schema) acts(t table) bool {
	return slices.ContainsFunc(s.foreign, func(k foreignKey) bool {
		return strings.EqualFold(k.Parent, t.Name) && !strings.EqualFold(k.OnDelete, "NO ACTION")
	})
}

// demands counts the rows of the tables, and of those that refer to them, and demands
// that afterwards there be as many as there are to be: a foreign key that deletes more
// lets the whole batch fail.
func (d *d1) demands(ctx context.Context, op string, w *salvageWriter) ([]item, error) {
	var ask []statement
	var names []string
	for _, t := range w.schema.Tables {
		refers := slices.ContainsFunc(w.schema.foreign, func(k foreignKey) bool {
			parent, found := w.schema.table(k.Parent)
			return k.Table == t.Name && found && len(w.rows[parent.Name]) > 0
		})
		if refers || len(w.rows[t.Name]) > 0 {
			names = append(names, t.Name)
			ask = append(ask, statement("SELECT count(*) FROM "+quoted(t.Name)))
		}
	}
	sets, err := d.run(ctx, op, true, ask...)
	if err != nil {
		return nil, err
	}
	var out []item
	for i, name := range names {
		if len(sets[i].Rows) != 1 || len(sets[i].Rows[0]) != 1 {
			return nil, fmt.Errorf("counting %s gave no count", name)
		}
		n, err := whole(sets[i].Rows[0][0])
		if err != nil {
			return nil, err
		}
		for _, r := range w.rows[name] {
			switch r.How {
			case salvage.Gone:
				n++
			case salvage.New:
				n--
			}
		}
		out = append(out, demand(name, n))
	}
	return out, nil
}

// demand is a statement that fails unless a table has so many rows: the negative of
// the smallest integer is none.
func demand(table string, rows int64) item {
	return item{SQL: fmt.Sprintf("SELECT abs(CASE WHEN (SELECT count(*) FROM %s)=%d THEN 1 ELSE -9223372036854775807-1 END)", quoted(table), rows)}
}

// all writes what is to be done: rows that are to go, those that refer before those
// that are referred to; then rows that have changed; then rows that come back, the
// other way round.
func (w *salvageWriter) all() error {
	for _, t := range slices.Backward(w.tables) {
		if err := w.remove(t, w.of(t, salvage.New)); err != nil {
			return err
		}
	}
	for _, t := range w.tables {
		if err := w.change(t, w.of(t, salvage.Changed)); err != nil {
			return err
		}
	}
	for _, t := range w.tables {
		items, err := inserts(t, w.of(t, salvage.Gone))
		if err != nil {
			return err
		}
		for _, i := range items {
			w.add(i)
		}
	}
	return nil
}

func (w *salvageWriter) of(t table, how string) []salvageRow {
	var out []salvageRow
	for _, r := range w.rows[t.Name] {
		if r.How == how {
			out = append(out, r)
		}
	}
	return out
}

// add adds statements that belong into one batch.
func (w *salvageWriter) add(items ...item) {
	size := 0
	for _, i := range items {
		size += len(i.SQL)
		for _, p := range i.Params {
			size += len(p)
		}
	}
	if w.bytes > 0 && w.bytes+size > batchBytes {
		w.cut()
	}
	w.batch, w.bytes = append(w.batch, items...), w.bytes+size
}

// cut ends a batch.
func (w *salvageWriter) cut() {
	if len(w.batch) > 0 {
		w.batches = append(w.batches, slices.Concat(w.head, w.batch, w.tail))
	}
	w.batch, w.bytes = nil, 0
}

func (w *salvageWriter) remove(t table, rows []salvageRow) error {
	items, err := deletes(t, rows)
	for _, i := range items {
		w.add(i)
	}
	return err
}

// change makes rows as they were. Rows that nothing depends on are deleted and made
// again, all before any, so that they may have exchanged values that no two can have.
// Where a foreign key would follow the deletion they are updated instead.
func (w *salvageWriter) change(t table, rows []salvageRow) error {
	if w.schema.acts(t) {
		for _, r := range rows {
			i, err := update(t, r)
			if err != nil {
				return err
			}
			w.add(i)
		}
		return nil
	}
	for _, some := range chunks(rows, batchBytes/4) {
		gone, err := deletes(t, some)
		if err != nil {
			return err
		}
		again, err := inserts(t, some)
		if err != nil {
			return err
		}
		w.add(slices.Concat(gone, again)...)
	}
	return nil
}

// chunks splits rows by the weight of their values; a row stays whole.
func chunks(rows []salvageRow, most int) [][]salvageRow {
	var out [][]salvageRow
	from, weight := 0, 0
	for i, r := range rows {
		if weight > 0 && weight+len(r.Cells) > most {
			out, from, weight = append(out, rows[from:i]), i, 0
		}
		weight += len(r.Cells)
	}
	if from < len(rows) {
		out = append(out, rows[from:])
	}
	return out
}

// statementBytes is how long statements are made that hold many rows.
const statementBytes = maxStatement / 2

// deletes deletes rows by what they are found by.
func deletes(t table, rows []salvageRow) ([]item, error) {
	var out []item
	var ids []string
	size := 0
	head := "DELETE FROM " + quoted(t.Name) + " WHERE "
	end := func() {
		if len(ids) > 0 {
			out = append(out, item{SQL: head + t.Rowid + " IN (" + strings.Join(ids, ",") + ")"})
		}
		ids, size = nil, 0
	}
	for _, r := range rows {
		at, err := fingerprint.ReadCells(r.Position)
		if err != nil || len(at) != len(t.order()) {
			return nil, errors.Join(err, fmt.Errorf("table %s: %d parts of a key", t.Name, len(at)))
		}
		if t.Rowid == "" {
			out = append(out, item{SQL: head + t.at(at)})
			continue
		}
		id := strconv.FormatInt(at[0].Int, 10)
		if size += len(id) + 1; size > statementBytes {
			end()
		}
		ids = append(ids, id)
	}
	end()
	return out, nil
}

// written gives the columns of a table that can be written, and the values of a row as
// SQL, short enough for a statement. A rowid that is no column is the first one.
func (t table) written(r salvageRow) (columns, values, params []string, err error) {
	cells, err := fingerprint.ReadCells(r.Cells)
	if err != nil {
		return nil, nil, nil, err
	}
	if want := len(t.shape().Columns); len(cells) != want {
		return nil, nil, nil, fmt.Errorf("table %s: %d values for %d columns", t.Name, len(cells), want)
	}
	for _, long := range []int{literalBytes, 100} {
		columns, values, params = nil, nil, nil
		size := 0
		put := func(column string, c fingerprint.Cell) {
			sql, more := bindableOver(c, long)
			columns, values, params = append(columns, column), append(values, sql), append(params, more...)
			size += len(column) + len(sql) + 4
		}
		if t.separate() {
			put(t.Rowid, cells[len(cells)-1])
		}
		for i, c := range t.Columns {
			if !c.Generated {
				put(quoted(c.Name), cells[i])
			}
		}
		if size < statementBytes {
			break
		}
	}
	return columns, values, params, nil
}

// inserts makes rows.
func inserts(t table, rows []salvageRow) ([]item, error) {
	var out []item
	var head string
	var values, params []string
	size := 0
	end := func() {
		if len(values) > 0 {
			out = append(out, item{head + strings.Join(values, ","), params})
		}
		values, params, size = nil, nil, 0
	}
	for _, r := range rows {
		columns, cells, own, err := t.written(r)
		if err != nil {
			return nil, err
		}
		head = "INSERT INTO " + quoted(t.Name) + " (" + strings.Join(columns, ",") + ") VALUES "
		row := "(" + strings.Join(cells, ",") + ")"
		if size+len(head)+len(row) > statementBytes || len(own) > 0 || len(params) > 0 {
			end()
		}
		values, params, size = append(values, row), own, size+len(row)+1
	}
	end()
	return out, nil
}

// update makes one row as it was, in its place.
func update(t table, r salvageRow) (item, error) {
	at, err := fingerprint.ReadCells(r.Position)
	if err != nil {
		return item{}, err
	}
	columns, values, params, err := t.written(r)
	if err != nil {
		return item{}, err
	}
	var sets []string
	for i, c := range columns {
		if c != t.Rowid { // it is found by it
			sets = append(sets, c+"="+values[i])
		}
	}
	return item{"UPDATE " + quoted(t.Name) + " SET " + strings.Join(sets, ",") + " WHERE " + t.at(at), params}, nil
}
