package fingerprint

import (
	"bytes"
	"slices"
)

// Sample compares what the level quick reads: schemas, numbers of rows, outermost
// positions and some ranges.
type Sample struct {
	d      Difference
	hasher hasher
	visit  func(RowDifference) error
}

// NewSample begins with the schemas.
func NewSample(before, after []Object, visit func(RowDifference) error) *Sample {
	s := &Sample{visit: visit}
	after = slices.Clone(after)
	SortObjects(after)
	s.d.objects(before, after)
	return s
}

// Table compares a table as a whole. One that is not there has no columns.
func (s *Sample) Table(before, after Table, was, is TableEnd) {
	name := before.Name
	if name == "" {
		name = after.Name
	}
	if len(before.Columns) > 0 && len(after.Columns) > 0 && !slices.Equal(before.Columns, after.Columns) {
		s.d.Columns = append(s.d.Columns, name)
		s.d.differs(name)
	}
	if was.Rows != is.Rows || !bytes.Equal(was.First, is.First) || !bytes.Equal(was.Last, is.Last) {
		s.d.Counts = append(s.d.Counts, CountDifference{name, was.Rows, is.Rows})
		s.d.differs(name)
	}
}

// Rows compares a range with the rows that stand there now, in the order of their
// positions.
func (s *Sample) Rows(before, after Table, span Range, rows []Row, positions [][]Cell) error {
	old := &entries{table: before, span: span}
	for old.at < len(span.Entries) || len(rows) > 0 {
		order := -1
		switch {
		case old.at == len(span.Entries):
			order = 1
		case len(rows) > 0:
			order = comparePositions(before.Order, span.Entries[old.at].Position, positions[0])
		}
		s.d.ComparedRows++
		var r RowDifference
		switch {
		case order < 0:
			r = old.difference(&span.Entries[old.at], Missing)
		case order > 0:
			r = RowDifference{Table: after.Name, Key: rows[0].Key, Position: positions[0], How: Extra}
		default:
			r = old.difference(&span.Entries[old.at], Changed)
		}
		same := order == 0 && span.Entries[old.at].Hash == s.hasher.row(rows[0])
		if order <= 0 {
			old.next()
		}
		if order >= 0 {
			r.After, r.Row = after.Columns, rows[0].Cells
			rows, positions = rows[1:], positions[1:]
		}
		if same {
			continue
		}
		s.d.note(r)
		if err := s.visit(r); err != nil {
			return err
		}
	}
	return nil
}

// Finish gives what was found.
func (s *Sample) Finish() Difference { return s.d }
