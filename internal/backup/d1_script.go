package backup

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/fingerprint"
)

const (
	aimStatement = 90_000 // bytes of a statement that holds several rows
	rowsTogether = 500    // in one statement at most
	codeTogether = 8_000  // instructions of one statement, by estimate: a third of the limit
	pieceOf      = 45_000 // bytes of a long value in one statement
)

// script writes a database as SQL, into parts and at the same time into a
// database on this machine.
type script struct {
	w      *d1Writer
	s      SQLSchema
	uncut  bool // no part may end now
	into   *partWriter
	load   *loading
	rows   int64 // in the part
	pieces bool  // the part has the table of pieces

	head   string
	rowids bool // the rowid stands among the values
	values []byte
	n      int // rows in values
	code   int

	now     d1State // with the rows in values
	written d1State // without them
}

// statement writes a statement.
func (x *script) statement(sql []byte) error {
	end := ";\n"
	if strings.Contains(string(sql), "--") { // it may end with a comment
		end = "\n;\n"
	}
	if x.into != nil && !x.uncut && x.into.bytes+int64(len(sql)+len(end)) > x.w.o.MaxPartBytes {
		if err := x.cut(); err != nil {
			return err
		}
	}
	if x.into == nil {
		if err := x.begin(); err != nil {
			return err
		}
	}
	return x.write(append(sql, end...))
}

func (x *script) begin() error {
	name := fmt.Sprintf("d1-%05d.sql", len(x.w.p.Manifest.Parts)+1)
	into, err := newPart(x.w.ctx, x.w.place, name, x.w.o.Seal)
	if err != nil {
		return storage("write the backup", x.w.place.String(), err)
	}
	x.into, x.rows, x.pieces = into, 0, false
	if x.load, err = x.w.local.load(x.w.ctx); err != nil {
		return err
	}
	return x.write([]byte("PRAGMA defer_foreign_keys=TRUE;\n"))
}

func (x *script) write(sql []byte) error {
	if _, err := x.into.Write(sql); err != nil {
		return storage("write the backup", x.w.place.String(), err)
	}
	_, err := x.load.Write(sql)
	return notLoaded(err)
}

// cut ends the part: what was written into it is durable, and so is how to go on
// behind it.
func (x *script) cut() error {
	if x.into == nil {
		return nil
	}
	if x.pieces {
		if err := x.write([]byte("DROP TABLE " + piecesTable + ";\n")); err != nil {
			return err
		}
	}
	into := x.into
	x.into = nil
	if err := x.load.finish(); err != nil {
		return errors.Join(notLoaded(err), into.Abort())
	}
	part, err := into.Close()
	if err != nil {
		return storage("write the backup", x.w.place.String(), err)
	}
	part.Rows = x.rows
	m := &x.w.p.Manifest
	m.Parts = append(m.Parts, part)
	return x.w.save(x.written)
}

// drop gives up the part that is being written.
func (x *script) drop() error {
	if x.into == nil {
		return nil
	}
	into := x.into
	x.into = nil
	return into.Abort()
}

// steps is the order in which a database is written. A child comes behind its
// parents, so that each part holds by itself; triggers come last, so that none
// fires.
func (x *script) steps() []step {
	out := []step{{do: x.tables}}
	for _, group := range parentsFirst(x.s.Tables) {
		for i, t := range group {
			if t.Module == "" && t.Name != sequence {
				circle := len(group) > 1 || slices.ContainsFunc(t.Parents, func(p string) bool { return strings.EqualFold(p, t.Name) })
				out = append(out, step{table: t, whole: circle, last: i == len(group)-1})
			}
		}
	}
	if i := slices.IndexFunc(x.s.Tables, func(t SQLTable) bool { return t.Name == sequence }); i >= 0 {
		out = append(out, step{table: x.s.Tables[i], first: x.forgetNumbers})
	}
	out = append(out, step{do: x.virtual})
	for _, t := range x.s.Tables {
		if t.Module == "fts5" && contentOf(x.s.sql(t.Name)) == ftsOwn {
			out = append(out, step{table: t})
		}
	}
	return append(out, step{do: x.rest})
}

// step is a piece of the writing: do, or the rows of a table.
type step struct {
	do    func() error
	table SQLTable
	whole bool         // of a circle of tables, which is not cut
	last  bool         // of the circle
	first func() error // before the rows; may be repeated
}

// parentsFirst puts tables behind those that their foreign keys refer to. Tables
// that refer to each other in a circle stand together.
func parentsFirst(tables []SQLTable) [][]SQLTable {
	tables = slices.Clone(tables)
	slices.SortFunc(tables, func(a, b SQLTable) int { return strings.Compare(a.Name, b.Name) })
	byName := map[string]int{}
	for i, t := range tables {
		byName[strings.ToLower(t.Name)] = i
	}
	// Tarjan's algorithm: what is referred to comes out first.
	index, low := make([]int, len(tables)), make([]int, len(tables))
	on := make([]bool, len(tables))
	var stack []int
	var out [][]SQLTable
	n := 0
	var visit func(int)
	visit = func(v int) {
		n++
		index[v], low[v] = n, n
		stack, on[v] = append(stack, v), true
		for _, parent := range tables[v].Parents {
			w, ok := byName[strings.ToLower(parent)]
			switch {
			case !ok:
			case index[w] == 0:
				visit(w)
				low[v] = min(low[v], low[w])
			case on[w]:
				low[v] = min(low[v], index[w])
			}
		}
		if low[v] != index[v] {
			return
		}
		var group []SQLTable
		for {
			w := stack[len(stack)-1]
			stack, on[w] = stack[:len(stack)-1], false
			group = append(group, tables[w])
			if w == v {
				break
			}
		}
		out = append(out, group)
	}
	for v := range tables {
		if index[v] == 0 {
			visit(v)
		}
	}
	return out
}

// make writes the SQL of entries of the schema.
func (x *script) make(want func(SQLObject) bool) error {
	for _, o := range x.s.Objects {
		if want(o) {
			if err := x.statement([]byte(o.SQL)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *script) isVirtual(o SQLObject) bool {
	return o.Type == "table" && slices.ContainsFunc(x.s.Tables, func(t SQLTable) bool { return t.Name == o.Name && t.Module != "" })
}

// early tells of unique indexes that foreign keys may refer to: without them rows
// that refer cannot be written.
func (x *script) early(o SQLObject) bool {
	words := tokens(o.SQL)
	return o.Type == "index" && len(words) > 1 && strings.EqualFold(words[1], "UNIQUE") && slices.ContainsFunc(x.s.Tables, func(t SQLTable) bool {
		return slices.ContainsFunc(t.Parents, func(p string) bool { return strings.EqualFold(p, o.Table) })
	})
}

func (x *script) tables() error {
	if err := x.make(func(o SQLObject) bool { return o.Type == "table" && !x.isVirtual(o) }); err != nil {
		return err
	}
	return x.make(x.early)
}

func (x *script) virtual() error { return x.make(x.isVirtual) }

func (x *script) forgetNumbers() error { return x.statement([]byte("DELETE FROM " + sequence)) }

func (x *script) rest() error {
	if err := x.make(func(o SQLObject) bool { return o.Type == "index" && !x.early(o) }); err != nil {
		return err
	}
	if err := x.make(func(o SQLObject) bool { return o.Type == "view" }); err != nil {
		return err
	}
	for _, t := range x.s.Tables {
		if t.Module == "fts5" && contentOf(x.s.sql(t.Name)) == ftsExternal {
			name := quoteName(t.Name)
			if err := x.statement([]byte("INSERT INTO " + name + "(" + name + ") VALUES('rebuild')")); err != nil {
				return err
			}
		}
	}
	return x.make(func(o SQLObject) bool { return o.Type == "trigger" })
}

// open begins the rows of a table.
func (x *script) open(t SQLTable) {
	var columns []string
	if x.rowids = t.Apart && len(t.Columns) < limitColumns; x.rowids {
		columns = append(columns, t.Rowid)
	}
	for _, c := range t.Columns {
		columns = append(columns, quoteName(c))
	}
	x.head = "INSERT INTO " + quoteName(t.Name) + "(" + strings.Join(columns, ",") + ") VALUES\n"
}

// row adds a row. Where the rowid would be one value too many for the platform, it
// is given to the row afterwards: rows come in the order of their rowids, so the
// last one has the largest.
func (x *script) row(t SQLTable, r SQLRow) error {
	if !t.Apart || x.rowids {
		return x.add(r)
	}
	uncut := x.uncut
	if x.into != nil && !uncut && x.into.bytes > x.w.o.MaxPartBytes-aimStatement {
		if err := x.cut(); err != nil {
			return err
		}
	}
	x.uncut = true
	defer func() { x.uncut = uncut }()
	if err := x.add(r); err != nil {
		return err
	}
	if err := x.flush(); err != nil {
		return err
	}
	table := quoteName(t.Name)
	return x.statement(fmt.Appendf(nil, "UPDATE %s SET %s=%d WHERE %s=(SELECT max(%s) FROM %s)", table, t.Rowid, r.Rowid, t.Rowid, t.Rowid, table))
}

func (x *script) add(r SQLRow) error {
	var row []byte
	code := 2
	cells := r.Cells
	if x.rowids {
		cells = append([]fingerprint.Cell{{Type: fingerprint.Integer, Int: r.Rowid}}, cells...)
	}
	size := len(x.head) + 4
	for _, c := range cells {
		size += literalSize(c) + 1
	}
	if size > maxStatement-1000 {
		return x.longRow(cells, size)
	}
	row = append(row, '(')
	for i, c := range cells {
		if i > 0 {
			row = append(row, ',')
		}
		from := len(row)
		row = AppendLiteral(row, c)
		code += 3
		if c.Type == fingerprint.Real {
			code += (len(row) - from) / 8
		}
	}
	row = append(row, ')')
	if x.n > 0 && (len(x.head)+len(x.values)+len(row) > x.aim() || x.n >= rowsTogether || x.code+code > codeTogether) {
		if err := x.flush(); err != nil {
			return err
		}
	}
	if x.n > 0 {
		x.values = append(x.values, ",\n"...)
	}
	x.values = append(x.values, row...)
	x.n++
	x.code += code
	return nil
}

// aim is how long a statement of several rows becomes: parts that are short have
// short statements, so that they can be cut.
func (x *script) aim() int { return int(min(aimStatement, max(1, x.w.o.MaxPartBytes/4))) }

// flush writes the rows that were added.
func (x *script) flush() error {
	if x.n == 0 {
		return nil
	}
	sql := append([]byte(x.head), x.values...)
	n := x.n
	x.values, x.n, x.code = x.values[:0], 0, 0
	if err := x.statement(sql); err != nil {
		return err
	}
	x.rows += int64(n)
	x.written = x.now
	return nil
}

// literalSize bounds how long the SQL of a value is.
func literalSize(c fingerprint.Cell) int {
	switch c.Type {
	case fingerprint.Text:
		if plain(c.Bytes) {
			return 2*len(c.Bytes) + 2
		}
		return 2*len(c.Bytes) + 20
	case fingerprint.Blob:
		return 2*len(c.Bytes) + 3
	case fingerprint.Real:
		return 400
	}
	return 30
}

// longRow writes a row that is too long for one statement: its longest values are
// put together from pieces in a table beside, so that no constraint of its own
// table ever sees half a value.
func (x *script) longRow(cells []fingerprint.Cell, size int) error {
	if err := x.flush(); err != nil {
		return err
	}
	const reference = 80 // bytes of SQL in the place of a value
	apart := map[int]int{}
	for size > maxStatement-1000 {
		longest := -1
		for i, c := range cells {
			if _, is := apart[i]; !is && (longest < 0 || literalSize(c) > literalSize(cells[longest])) {
				longest = i
			}
		}
		if longest < 0 || literalSize(cells[longest]) <= reference {
			return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindUnsupported, Target: x.head, Detail: "a row cannot be written in a statement of 100,000 bytes", Remedy: "shorten the names of its columns"}
		}
		size += reference - literalSize(cells[longest])
		apart[longest] = len(apart) + 1
	}
	// The row stands in one part with its pieces.
	uncut := x.uncut
	total := 0
	for i := range apart {
		total += literalSize(cells[i])
	}
	if x.into != nil && !x.uncut && x.into.bytes+int64(total+size) > x.w.o.MaxPartBytes {
		if err := x.cut(); err != nil {
			return err
		}
	}
	x.uncut = true
	defer func() { x.uncut = uncut }()
	if x.into == nil || !x.pieces {
		if err := x.statement([]byte("CREATE TABLE " + piecesTable + "(b BLOB)")); err != nil {
			return err
		}
		x.pieces = true
	}
	row := append([]byte(x.head), '(')
	for i, c := range cells {
		if i > 0 {
			row = append(row, ',')
		}
		n, is := apart[i]
		if !is {
			row = AppendLiteral(row, c)
			continue
		}
		id := strconv.Itoa(n)
		if err := x.together(id, c.Bytes); err != nil {
			return err
		}
		value := "(SELECT b FROM " + piecesTable + " WHERE rowid=" + id + ")"
		if c.Type == fingerprint.Text {
			value = "CAST(" + value + " AS TEXT)"
		}
		row = append(row, value...)
	}
	if err := x.statement(append(row, ')')); err != nil {
		return err
	}
	x.rows++
	return x.statement([]byte("DELETE FROM " + piecesTable))
}

// together puts a value together in the table of pieces.
func (x *script) together(id string, value []byte) error {
	for n := 0; len(value) > 0; n++ {
		piece := value[:min(len(value), pieceOf)]
		value = value[len(piece):]
		sql := appendHex([]byte("UPDATE "+piecesTable+" SET b=CAST(b||"), piece)
		if n == 0 {
			sql = append(appendHex([]byte("INSERT INTO "+piecesTable+"(rowid,b) VALUES("+id+","), piece), ')')
		} else {
			sql = append(sql, (" AS BLOB) WHERE rowid=" + id)...)
		}
		if err := x.statement(sql); err != nil {
			return err
		}
	}
	return nil
}

// run performs the steps from where the writing stands.
func (x *script) run(ctx context.Context, src SQLSource) error {
	steps := x.steps()
	from := x.w.state
	for i, s := range steps {
		if i < from.Step {
			continue
		}
		x.written = d1State{Step: i}
		if s.do != nil {
			// What is short is not cut, and so is gone on with as a whole.
			x.uncut = true
			if err := s.do(); err != nil {
				return err
			}
			x.uncut = false
			continue
		}
		if i == from.Step && from.Row != nil {
			x.written = from
		}
		if err := x.table(ctx, src, s); err != nil {
			return err
		}
	}
	x.written = d1State{Step: len(steps)}
	return x.cut()
}

// table writes the rows of a table, or those that are left of them.
func (x *script) table(ctx context.Context, src SQLSource, s step) error {
	m := measuring{t: s.table, Table: x.written.Table, seen: x.written.Seen}
	after, err := x.written.Row.row(s.table)
	if err != nil {
		return err
	}
	if s.whole && !x.uncut && x.into != nil && x.into.bytes > x.w.o.MaxPartBytes/2 {
		if err := x.cut(); err != nil {
			return err
		}
	}
	if s.first != nil && after == nil {
		if err := s.first(); err != nil {
			return err
		}
	}
	x.uncut = s.whole
	x.open(s.table)
	x.now = x.written
	err = src.Rows(ctx, s.table, after, func(r SQLRow) error {
		if m.add(r) {
			if err := x.row(s.table, r); err != nil {
				return err
			}
			x.w.told++
			x.w.tell()
		}
		x.now = d1State{Step: x.written.Step, Table: m.Table, Seen: m.seen, Row: positionOf(s.table, r)}
		if x.n == 0 { // it is written
			x.written = x.now
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := x.flush(); err != nil {
		return err
	}
	if s.last {
		x.uncut = false
	}
	if err := m.all(ctx, src); err != nil {
		return err
	}
	x.w.p.Manifest.Database.add(m.Table)
	return nil
}

// d1State is how far the writing has come: what stands before it is in complete
// parts.
type d1State struct {
	Step  int       `json:"step"`
	Table Table     `json:"table"` // what was read of the table of this step
	Seen  int64     `json:"seen"`
	Row   *position `json:"row"` // the last of these rows; nil: none
}

// position finds a row: by its rowid, or by the cells of its key.
type position struct {
	Rowid int64    `json:"rowid"`
	Key   []string `json:"key,omitempty"` // SQL of each cell, encoded as digests are
}

func positionOf(t SQLTable, r SQLRow) *position {
	p := &position{Rowid: r.Rowid}
	if t.Rowid == "" {
		for _, c := range t.cells(r, t.Key) {
			p.Key = append(p.Key, hex.EncodeToString(c.Append(nil)))
		}
	}
	return p
}

// row gives a row that has this position.
func (p *position) row(t SQLTable) (*SQLRow, error) {
	if p == nil {
		return nil, nil
	}
	r := &SQLRow{Rowid: p.Rowid, Cells: make([]fingerprint.Cell, len(t.Columns))}
	for i := range r.Cells {
		r.Cells[i].Type = fingerprint.Null
	}
	if t.Rowid != "" {
		return r, nil
	}
	broken := corrupt(progressName, "it does not say where the writing stands", "remove the folder, then begin again")
	if len(p.Key) != len(t.Key) {
		return nil, broken
	}
	for i, k := range t.Key {
		at := slices.IndexFunc(t.Columns, func(c string) bool { return strings.EqualFold(c, k) })
		data, err := hex.DecodeString(p.Key[i])
		if err != nil || at < 0 {
			return nil, broken
		}
		c, ok := decodeCell(data)
		if !ok {
			return nil, broken
		}
		r.Cells[at] = c
	}
	return r, nil
}

// decodeCell reads what [fingerprint.Cell.Append] wrote.
func decodeCell(b []byte) (fingerprint.Cell, bool) {
	if len(b) == 0 {
		return fingerprint.Cell{}, false
	}
	c := fingerprint.Cell{Type: fingerprint.Type(b[0])}
	rest := b[1:]
	switch {
	case c.Type == fingerprint.Null:
		return c, len(rest) == 0
	case len(rest) < 8 || !c.Valid():
		return c, false
	case c.Type == fingerprint.Integer:
		c.Int = int64(binary.BigEndian.Uint64(rest))
		return c, len(rest) == 8
	case c.Type == fingerprint.Real:
		c.Real = math.Float64frombits(binary.BigEndian.Uint64(rest))
		return c, len(rest) == 8 && c.Valid()
	}
	c.Bytes = rest[8:]
	return c, binary.BigEndian.Uint64(rest) == uint64(len(c.Bytes))
}
