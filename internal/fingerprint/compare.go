package fingerprint

import (
	"fmt"
	"slices"
)

// How a row or an object differs.
const (
	Changed = "changed" // in both, with another content
	Missing = "missing" // in the first state only
	Extra   = "extra"   // in the second state only
)

// RowDifference is a row that is not the same in both states.
type RowDifference struct {
	Table    string
	Key      string
	Position []Cell
	How      string
	// Hash is that of the row in the old state; zero for one that is only in the new.
	Hash Sum
	// Before are the columns of the old state. Its values stand in the range that was
	// kept at Values, as row number Index; the zero Values: they were not kept.
	Before []string
	Values Place
	Index  int
	// After and Row are the columns and the cells of the new state, unless the row is
	// missing in it.
	After []string
	Row   []Cell
}

// ObjectDifference is an entry of the schema that is not the same in both states.
type ObjectDifference struct {
	Object Object
	How    string
}

// CountDifference is a table that has another number of rows.
type CountDifference struct {
	Table         string
	Before, After int64
}

// Difference is what a comparison found, but for the rows themselves.
type Difference struct {
	// Rows and objects that were compared, counted in both states together.
	ComparedRows    int64
	ComparedObjects int64
	// How many rows differ, and in which tables.
	Changed, Missing, Extra int64
	Tables                  []string
	Objects                 []ObjectDifference
	// Columns names tables whose list of columns differs.
	Columns []string
	// Counts are of a comparison at the level quick: the rows that make the
	// difference were not read.
	Counts []CountDifference
}

// Rows counts the rows that differ.
func (d Difference) Rows() int64 { return d.Changed + d.Missing + d.Extra }

// Differs tells whether anything does.
func (d Difference) Differs() bool {
	return d.Rows() > 0 || len(d.Objects) > 0 || len(d.Columns) > 0 || len(d.Counts) > 0
}

// Equal tells whether something was compared and nothing differs. Two empty
// states are not equal: nothing was compared.
func (d Difference) Equal() bool {
	return d.ComparedRows > 0 && d.ComparedObjects > 0 && !d.Differs()
}

// note counts a row that differs.
func (d *Difference) note(r RowDifference) {
	switch r.How {
	case Changed:
		d.Changed++
	case Missing:
		d.Missing++
	default:
		d.Extra++
	}
	d.differs(r.Table)
}

// differs notes a table. Tables come in the order of their names.
func (d *Difference) differs(table string) {
	if len(d.Tables) == 0 || d.Tables[len(d.Tables)-1] != table {
		d.Tables = append(d.Tables, table)
	}
}

// objects compares two schemas.
func (d *Difference) objects(a, b []Object) {
	for len(a) > 0 || len(b) > 0 {
		c := 0
		switch {
		case len(a) == 0:
			c = 1
		case len(b) == 0:
			c = -1
		default:
			c = compareObjects(a[0], b[0])
		}
		d.ComparedObjects++
		switch {
		case c < 0:
			d.Objects = append(d.Objects, ObjectDifference{a[0], Missing})
			a = a[1:]
		case c > 0:
			d.Objects = append(d.Objects, ObjectDifference{b[0], Extra})
			b = b[1:]
		default:
			if a[0] != b[0] {
				d.Objects = append(d.Objects, ObjectDifference{b[0], Changed})
			}
			a, b = a[1:], b[1:]
		}
	}
}

// Comparison walks the fingerprint of an old state and a reading of a new one side
// by side. For each table of the new state, in the order of names, comes
// [Comparison.Begin] and then [Comparison.Row] for each of its rows in the order of
// their positions; at last [Comparison.Finish]. Each row that differs is shown as
// soon as it is known.
type Comparison struct {
	old    *Reader
	visit  func(RowDifference) error
	d      Difference
	hasher hasher

	ahead    Table // the next table of the old state
	more     bool
	table    Table // of the new state
	inTable  bool
	last     []Cell
	entries  *entries // of the old state, nil where it has no such table
	together bool     // positions of both states are in one order
}

// NewComparison begins with the schemas. The fingerprint must be one of every row.
func NewComparison(old *Reader, objects []Object, visit func(RowDifference) error) (*Comparison, error) {
	if old.Header().Level != Full {
		return nil, fmt.Errorf("a fingerprint of level %s cannot be compared row by row", old.Header().Level)
	}
	c := &Comparison{old: old, visit: visit}
	objects = slices.Clone(objects)
	SortObjects(objects)
	c.d.objects(old.Header().Objects, objects)
	return c, c.nextTable()
}

func (c *Comparison) nextTable() (err error) {
	c.ahead, c.more, err = c.old.Table()
	return err
}

func (c *Comparison) note(r RowDifference) error {
	c.d.note(r)
	return c.visit(r)
}

// Begin begins a table of the new state.
func (c *Comparison) Begin(t Table) error {
	if err := t.valid(); err != nil {
		return err
	}
	if err := c.endTable(); err != nil {
		return err
	}
	if t.Name <= c.table.Name {
		return fmt.Errorf("table %s comes out of order", t.Name)
	}
	if err := c.goneBefore(t.Name); err != nil {
		return err
	}
	c.table, c.inTable, c.last, c.entries = t, true, nil, nil
	if !c.more || c.ahead.Name != t.Name {
		return nil
	}
	c.entries = newEntries(c.old, c.ahead)
	c.together = slices.Equal(c.ahead.Order, t.Order)
	if !slices.Equal(c.ahead.Columns, t.Columns) {
		c.d.Columns = append(c.d.Columns, t.Name)
		c.d.differs(t.Name)
	}
	if !c.together { // the key is another one: no row of one state is one of the other
		return c.gone()
	}
	return nil
}

// goneBefore shows the tables of the old state before a name: they are missing.
func (c *Comparison) goneBefore(name string) error {
	for c.more && (name == "" || c.ahead.Name < name) {
		c.entries = newEntries(c.old, c.ahead)
		if err := c.gone(); err != nil {
			return err
		}
		if err := c.nextTable(); err != nil {
			return err
		}
	}
	return nil
}

// gone shows what is left of the old state's table as missing.
func (c *Comparison) gone() error {
	for {
		e, found, err := c.entries.peek()
		if err != nil || !found {
			return err
		}
		if err := c.missing(e); err != nil {
			return err
		}
	}
}

// missing shows the entry at which the old state stands.
func (c *Comparison) missing(e *Entry) error {
	c.d.ComparedRows++
	r := c.entries.difference(e, Missing)
	c.entries.next()
	return c.note(r)
}

// Row takes a row of the new state.
func (c *Comparison) Row(row Row, position []Cell) error {
	if err := checkRow(c.table, row, position); err != nil {
		return err
	}
	if c.last != nil && comparePositions(c.table.Order, c.last, position) >= 0 {
		return fmt.Errorf("table %s: a row comes out of order", c.table.Name)
	}
	c.last = position
	for c.entries != nil && c.together {
		e, found, err := c.entries.peek()
		if err != nil {
			return err
		}
		if !found {
			break
		}
		order := comparePositions(c.table.Order, e.Position, position)
		if order > 0 {
			break
		}
		if order < 0 {
			if err := c.missing(e); err != nil {
				return err
			}
			continue
		}
		c.d.ComparedRows++
		same := e.Hash == c.hasher.row(row)
		r := c.entries.difference(e, Changed)
		c.entries.next()
		if same {
			return nil
		}
		r.After, r.Row = c.table.Columns, row.Cells
		return c.note(r)
	}
	c.d.ComparedRows++
	return c.note(RowDifference{Table: c.table.Name, Key: row.Key, Position: position, How: Extra, After: c.table.Columns, Row: row.Cells})
}

// endTable ends the present table of the new state.
func (c *Comparison) endTable() error {
	if !c.inTable {
		return nil
	}
	c.inTable = false
	if c.entries == nil {
		return nil
	}
	if err := c.gone(); err != nil {
		return err
	}
	return c.nextTable()
}

// Finish ends the comparison. Nothing that was shown before counts if it fails.
func (c *Comparison) Finish() (Difference, error) {
	if err := c.endTable(); err != nil {
		return Difference{}, err
	}
	if err := c.goneBefore(""); err != nil {
		return Difference{}, err
	}
	return c.d, nil
}

// entries walks the entries of a table of the old state.
type entries struct {
	old   *Reader
	table Table
	span  Range
	at    int
	ended bool
}

func newEntries(old *Reader, t Table) *entries { return &entries{old: old, table: t} }

// peek gives the entry at which the walk stands; false: there are no more.
func (e *entries) peek() (*Entry, bool, error) {
	for !e.ended && e.at == len(e.span.Entries) {
		span, more, err := e.old.Range()
		if err != nil {
			return nil, false, err
		}
		e.span, e.at, e.ended = span, 0, !more
	}
	if e.ended {
		return nil, false, nil
	}
	return &e.span.Entries[e.at], true, nil
}

func (e *entries) next() { e.at++ }

func (e *entries) difference(x *Entry, how string) RowDifference {
	return RowDifference{Table: e.table.Name, Key: x.Key, Position: x.Position, How: how, Hash: x.Hash, Before: e.table.Columns, Values: e.span.Values, Index: e.at}
}
