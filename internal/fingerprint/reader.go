package fingerprint

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Reader reads what a [Writer] wrote, range by range. It refuses a file that was
// cut or changed, and one that does not agree with itself; but what it finds at the
// end it cannot say before, so nothing that was read counts until [Reader.Table]
// has said that there are no more.
type Reader struct {
	r      *bufio.Reader
	sum    hash.Hash
	header Header
	all    digest

	table   Table
	inTable bool
	rows    int64 // that stood in the table's ranges
	digest  Sum
	first   []byte
	last    []Cell
	end     TableEnd
	final   last
	done    bool
}

// NewReader reads the beginning of a file.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{r: bufio.NewReaderSize(r, 1<<16), sum: sha256.New()}
	begin := make([]byte, len(magic))
	if n, err := io.ReadFull(in.r, begin); err != nil || string(begin) != magic {
		if n > 0 && begin[0] == '{' {
			return nil, fmt.Errorf("the fingerprint has format 1, this firedrill reads format %d", Format)
		}
		return nil, fmt.Errorf("this is no fingerprint of format %d", Format)
	}
	in.sum.Write(begin)
	kind, data, err := in.record()
	if err != nil {
		return nil, err
	}
	if kind != recordHeader {
		return nil, fmt.Errorf("the fingerprint has no header")
	}
	if err := strictly(data, &in.header); err != nil {
		return nil, err
	}
	h := in.header
	if h.Format != Format {
		return nil, fmt.Errorf("the fingerprint has format %d, this firedrill reads format %d", h.Format, Format)
	}
	if h.Level != Full && h.Level != Quick {
		return nil, fmt.Errorf("the fingerprint has the unknown level %q", h.Level)
	}
	for i := 1; i < len(h.Objects); i++ {
		if compareObjects(h.Objects[i-1], h.Objects[i]) > 0 {
			return nil, fmt.Errorf("the objects of the fingerprint are out of order")
		}
	}
	in.all.objects(h.Objects)
	return in, nil
}

func strictly(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("the fingerprint cannot be read: %w", err)
	}
	return nil
}

// record reads a record. Its content is read as it comes: a length that a changed
// file claims costs nothing.
func (r *Reader) record() (kind byte, data []byte, err error) {
	cut := func(err error) (byte, []byte, error) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the fingerprint is cut")
		}
		return 0, nil, err
	}
	if kind, err = r.r.ReadByte(); err != nil {
		return cut(err)
	}
	length, err := binary.ReadUvarint(r.r)
	if err != nil {
		return cut(err)
	}
	if length > largestRecord {
		return 0, nil, fmt.Errorf("the fingerprint has a record of %d bytes", length)
	}
	var b bytes.Buffer
	if n, err := io.CopyN(&b, r.r, int64(length)); err != nil || uint64(n) != length {
		return cut(err)
	}
	r.sum.Write(binary.AppendUvarint([]byte{kind}, length))
	r.sum.Write(b.Bytes())
	return kind, b.Bytes(), nil
}

// Header says what the fingerprint is of.
func (r *Reader) Header() Header { return r.header }

// Table goes on to the next table, over what is left of the present one; false:
// there are no more, and the whole file is as it was written.
func (r *Reader) Table() (Table, bool, error) {
	for r.inTable {
		if _, _, err := r.Range(); err != nil {
			return Table{}, false, err
		}
	}
	if r.done {
		return Table{}, false, nil
	}
	kind, data, err := r.record()
	if err != nil {
		return Table{}, false, err
	}
	switch kind {
	case recordTable:
		before := r.table.Name
		r.table = Table{}
		if err := strictly(data, &r.table); err != nil {
			return Table{}, false, err
		}
		if err := r.table.valid(); err != nil {
			return Table{}, false, err
		}
		if r.table.Name <= before {
			return Table{}, false, fmt.Errorf("table %s comes out of order in the fingerprint", r.table.Name)
		}
		r.inTable, r.rows, r.digest, r.first, r.last = true, 0, Sum{}, nil, nil
		return r.table, true, nil
	case recordLast:
		return Table{}, false, r.finish(data)
	}
	return Table{}, false, fmt.Errorf("the fingerprint has a record of kind %q where a table should begin", kind)
}

// finish reads the end of the file.
func (r *Reader) finish(data []byte) error {
	if err := strictly(data, &r.final); err != nil {
		return err
	}
	want := r.sum.Sum(nil)
	got, err := io.ReadAll(io.LimitReader(r.r, sha256.Size+1))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the fingerprint does not agree with its own digest: the file was changed")
	}
	if r.final.Digest != r.all.sum() {
		return fmt.Errorf("the fingerprint does not agree with its own tables")
	}
	r.done = true
	return nil
}

// Range gives the next range of the present table; false: there are no more, and
// [Reader.End] says what there was in all.
func (r *Reader) Range() (Range, bool, error) {
	if !r.inTable {
		return Range{}, false, nil
	}
	kind, data, err := r.record()
	if err != nil {
		return Range{}, false, err
	}
	switch kind {
	case recordRange:
		out, err := r.readRange(data)
		if err != nil {
			return Range{}, false, fmt.Errorf("table %s of the fingerprint: %w", r.table.Name, err)
		}
		return out, true, nil
	case recordEnd:
		return Range{}, false, r.endTable(data)
	}
	return Range{}, false, fmt.Errorf("the fingerprint has a record of kind %q within a table", kind)
}

func (r *Reader) endTable(data []byte) error {
	r.end = TableEnd{}
	if err := strictly(data, &r.end); err != nil {
		return err
	}
	var behind []byte
	if r.last != nil {
		behind = encodePosition(r.last)
	}
	whole := r.end.Rows == r.rows && bytes.Equal(r.end.First, r.first) && bytes.Equal(r.end.Last, behind)
	if r.end.Digest != r.digest || r.end.Rows < r.rows || r.header.Level == Full && !whole {
		return fmt.Errorf("table %s: the fingerprint does not agree with its own rows", r.table.Name)
	}
	r.all.table(r.table, r.end)
	r.inTable = false
	return nil
}

// readRange reads a range and checks it.
func (r *Reader) readRange(b []byte) (Range, error) {
	var out Range
	var numbers [3]uint64
	for i := range numbers {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return out, fmt.Errorf("a range is cut")
		}
		numbers[i], b = n, b[size:]
	}
	const largest = 1 << 62
	if numbers[0] == 0 || numbers[1] > largest || numbers[2] > largest || len(b) < len(out.Digest) {
		return out, fmt.Errorf("a range cannot be read")
	}
	out.Values = Place{int64(numbers[1]), int64(numbers[2])}
	copy(out.Digest[:], b)
	b = b[len(out.Digest):]
	if numbers[0] > uint64(len(b)/len(Sum{})) {
		return out, fmt.Errorf("a range is cut")
	}
	out.Entries = make([]Entry, numbers[0])
	cells := make([]Cell, 0, len(out.Entries)*len(r.table.Order))
	var digest Sum
	for i := range out.Entries {
		e := &out.Entries[i]
		var err error
		if *e, cells, b, err = readEntry(b, cells, len(r.table.Order)); err != nil {
			return out, err
		}
		if r.last != nil && comparePositions(r.table.Order, r.last, e.Position) >= 0 {
			return out, fmt.Errorf("row %d is out of order", r.rows+int64(i)+1)
		}
		if r.first == nil {
			r.first = encodePosition(e.Position)
		}
		r.last = e.Position
		digest = digest.Add(e.Hash)
	}
	if len(b) > 0 || digest != out.Digest {
		return out, fmt.Errorf("a range does not agree with its own rows")
	}
	r.rows += int64(len(out.Entries))
	r.digest = r.digest.Add(digest)
	return out, nil
}

func readEntry(b []byte, arena []Cell, width int) (e Entry, cells []Cell, rest []byte, err error) {
	length, size := binary.Uvarint(b)
	if size <= 0 || length > uint64(len(b)-size) {
		return e, nil, nil, fmt.Errorf("a row is cut")
	}
	e.Key, b = string(b[size:size+int(length)]), b[size+int(length):]
	from := len(arena)
	for range width {
		c, more, err := readCell(b)
		if err != nil {
			return e, nil, nil, err
		}
		arena, b = append(arena, c), more
	}
	e.Position = arena[from:len(arena):len(arena)]
	if len(b) < len(e.Hash) {
		return e, nil, nil, fmt.Errorf("a row is cut")
	}
	copy(e.Hash[:], b)
	return e, arena, b[len(e.Hash):], nil
}

// End says what there was of the table whose ranges have all been read.
func (r *Reader) End() TableEnd { return r.end }

// Bookmark is the moment of the fingerprint, and Digest its hash over schema and
// rows, once there are no more tables.
func (r *Reader) Bookmark() string { return r.final.Bookmark }

// Digest is one hash over schema and rows; see [Reader.Bookmark].
func (r *Reader) Digest() Sum { return r.final.Digest }
