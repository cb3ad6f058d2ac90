package fingerprint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"slices"
)

// Writer writes the fingerprint of a database while it is read: for each table, in
// the order of names, [Writer.Begin], its rows in the order of their positions with
// [Writer.Row] and [Writer.EndRange], and [Writer.End]; at last [Writer.Finish]. A
// file without that end is refused by a reader.
type Writer struct {
	w   io.Writer
	sum hash.Hash
	all digest

	table  Table
	open   bool
	rows   int64 // of the table
	digest Sum   // of the table
	first  []byte
	last   []Cell
	span   Range
	hasher hasher
	buffer []byte
}

// NewWriter begins a file.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	sum := sha256.New()
	out := &Writer{w: io.MultiWriter(w, sum), sum: sum}
	h.Format = Format
	h.Objects = slices.Clone(h.Objects)
	SortObjects(h.Objects)
	out.all.objects(h.Objects)
	if _, err := io.WriteString(out.w, magic); err != nil {
		return nil, err
	}
	return out, out.record(recordHeader, h)
}

// record writes a record whose content is JSON.
func (w *Writer) record(kind byte, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return w.frame(kind, data)
}

func (w *Writer) frame(kind byte, data []byte) error {
	if len(data) > largestRecord {
		return fmt.Errorf("a record of %d bytes is too long", len(data))
	}
	head := binary.AppendUvarint([]byte{kind}, uint64(len(data)))
	if _, err := w.w.Write(head); err != nil {
		return err
	}
	_, err := w.w.Write(data)
	return err
}

// Begin begins a table.
func (w *Writer) Begin(t Table) error {
	if err := t.valid(); err != nil {
		return err
	}
	if w.open || t.Name <= w.table.Name {
		return fmt.Errorf("table %s comes out of order", t.Name)
	}
	w.table, w.open = t, true
	w.rows, w.digest, w.first, w.last = 0, Sum{}, nil, nil
	return w.record(recordTable, t)
}

// Row takes a row behind the position of the one before. A row with another number
// of cells than the table has columns, or with a cell that is no cell, is an error,
// and so is one that comes out of order: it was read twice, or rows between were
// not read.
func (w *Writer) Row(row Row, position []Cell) error {
	if err := checkRow(w.table, row, position); err != nil {
		return err
	}
	if w.last != nil && comparePositions(w.table.Order, w.last, position) >= 0 {
		return fmt.Errorf("table %s: row %d comes out of order", w.table.Name, w.rows+1)
	}
	if w.first == nil {
		w.first = encodePosition(position)
	}
	w.last = position
	e := Entry{Key: row.Key, Position: position, Hash: w.hasher.row(row)}
	w.span.Entries = append(w.span.Entries, e)
	w.span.Digest = w.span.Digest.Add(e.Hash)
	w.rows++
	return nil
}

func checkRow(t Table, row Row, position []Cell) error {
	if len(row.Cells) != len(t.Columns) || len(position) != len(t.Order) {
		return fmt.Errorf("table %s: a row has %d cells for %d columns", t.Name, len(row.Cells), len(t.Columns))
	}
	for i, c := range row.Cells {
		if !c.Valid() {
			return fmt.Errorf("table %s: column %s of a row has no valid value", t.Name, t.Columns[i])
		}
	}
	return nil
}

// EndRange ends a range whose values are kept at a place. An empty range is none.
func (w *Writer) EndRange(values Place) error {
	if len(w.span.Entries) == 0 {
		return nil
	}
	b := binary.AppendUvarint(w.buffer[:0], uint64(len(w.span.Entries)))
	b = binary.AppendUvarint(b, uint64(values.Offset))
	b = binary.AppendUvarint(b, uint64(values.Length))
	b = append(b, w.span.Digest[:]...)
	for _, e := range w.span.Entries {
		b = binary.AppendUvarint(b, uint64(len(e.Key)))
		b = append(b, e.Key...)
		for _, c := range e.Position {
			b = c.Append(b)
		}
		b = append(b, e.Hash[:]...)
	}
	w.digest = w.digest.Add(w.span.Digest)
	w.span = Range{Entries: w.span.Entries[:0]}
	w.buffer = b
	return w.frame(recordRange, b)
}

// Rows counts the rows of the table that were taken so far.
func (w *Writer) Rows() int64 { return w.rows }

// End ends a table of which every row was taken.
func (w *Writer) End() error {
	var behind []byte
	if w.last != nil {
		behind = encodePosition(w.last)
	}
	return w.EndSample(w.rows, w.first, behind)
}

// EndSample ends a table of which some ranges were taken. It has so many rows in
// all, and these are its outermost positions, as [Outermost] writes them.
func (w *Writer) EndSample(rows int64, first, behind []byte) error {
	if !w.open || len(w.span.Entries) > 0 {
		return fmt.Errorf("table %s ends within a range", w.table.Name)
	}
	w.open = false
	end := TableEnd{Rows: rows, Digest: w.digest, First: first, Last: behind}
	w.all.table(w.table, end)
	return w.record(recordEnd, end)
}

// Outermost writes a position for [Writer.EndSample].
func Outermost(position []Cell) []byte { return encodePosition(position) }

// Finish ends the file and gives the digest of the whole: one hash over schema and
// rows.
func (w *Writer) Finish(bookmark string) (Sum, error) {
	if w.open {
		return Sum{}, fmt.Errorf("table %s was not ended", w.table.Name)
	}
	end := last{Bookmark: bookmark, Digest: w.all.sum()}
	if err := w.record(recordLast, end); err != nil {
		return Sum{}, err
	}
	_, err := w.w.Write(w.sum.Sum(nil))
	return end.Digest, err
}
