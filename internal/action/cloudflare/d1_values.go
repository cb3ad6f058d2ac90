package cloudflare

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"firedrill"
	"firedrill/internal/fingerprint"
)

const (
	// mostValues is how much of the disk the values of one fingerprint may take.
	mostValues = 512 << 20
	// largestBlock is what the values of one range may be, unpacked.
	largestBlock = 1 << 28
)

// valuesFile names the file of the values that belong to a fingerprint.
func valuesFile(print string) string { return print + ".values" }

// valueWriter keeps the values of rows beside their fingerprint, range by range, so
// that a difference can be told with what was there before. They are everybody's
// data: the file is private, and gone when the run is over. Of a hidden column only
// a digest is kept, which tells whether it has changed.
type valueWriter struct {
	f    *draft
	pack *zstd.Encoder
	hide redaction

	table   string
	hidden  []bool
	block   []byte
	row     []byte
	at      int64
	stopped bool // no more is kept: there is enough
}

func newValueWriter(call firedrill.Call, name string, hide redaction) (*valueWriter, error) {
	f, err := newPrivateDraft(call, name)
	if err != nil {
		return nil, err
	}
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		f.drop()
		return nil, err
	}
	return &valueWriter{f: f, pack: pack, hide: hide}, nil
}

// begin begins a table.
func (w *valueWriter) begin(table string, columns []string) {
	w.table, w.hidden = table, make([]bool, len(columns))
	for i, c := range columns {
		w.hidden[i] = w.hide.hides(table, c)
	}
	w.empty()
}

// empty begins a block: how many columns there are, and which are hidden.
func (w *valueWriter) empty() {
	w.block = binary.AppendUvarint(w.block[:0], uint64(len(w.hidden)))
	for _, h := range w.hidden {
		b := byte(0)
		if h {
			b = 1
		}
		w.block = append(w.block, b)
	}
}

// add keeps a row.
func (w *valueWriter) add(cells []fingerprint.Cell) {
	if w.stopped {
		return
	}
	w.row = w.row[:0]
	for i, c := range cells {
		if w.hidden[i] {
			c = hiddenCell(c)
		}
		w.row = c.Append(w.row)
	}
	w.block = binary.AppendUvarint(w.block, uint64(len(w.row)))
	w.block = append(w.block, w.row...)
}

// hiddenCell is what is kept of a hidden value.
func hiddenCell(c fingerprint.Cell) fingerprint.Cell {
	sum := sha256.Sum256(c.Append(nil))
	return fingerprint.Cell{Type: fingerprint.Blob, Bytes: sum[:8]}
}

// end writes the rows of a range and says where they are.
func (w *valueWriter) end() (fingerprint.Place, error) {
	defer w.empty()
	if w.stopped || len(w.block) > largestBlock {
		return fingerprint.Place{}, nil
	}
	packed := w.pack.EncodeAll(w.block, nil)
	if w.at+int64(len(packed)) > mostValues {
		w.stopped = true
		return fingerprint.Place{}, nil
	}
	if _, err := w.f.Write(packed); err != nil {
		return fingerprint.Place{}, w.f.failed(err)
	}
	at := fingerprint.Place{Offset: w.at, Length: int64(len(packed))}
	w.at += at.Length
	return at, nil
}

// valueReader reads what a valueWriter kept.
type valueReader struct {
	f      *os.File
	unpack *zstd.Decoder

	at     fingerprint.Place // of the block that is at hand
	hidden []bool
	rows   [][]byte
}

// openValues opens the values that belong to a fingerprint; nil where none were
// kept.
func openValues(call firedrill.Call, print string) (*valueReader, error) {
	f, err := os.Open(filepath.Join(call.Dir, firedrill.PrivateFolder, valuesFile(print)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &firedrill.Error{Op: "read artefact", Kind: firedrill.KindStorage, Target: valuesFile(print), Detail: "what an earlier step wrote cannot be read", Err: err}
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(largestBlock), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &valueReader{f: f, unpack: unpack}, nil
}

func (r *valueReader) close() {
	if r != nil {
		r.unpack.Close()
		_ = r.f.Close() // it was only read
	}
}

// row gives the values of a row and which of them are hidden; nil where they were
// not kept.
func (r *valueReader) row(at fingerprint.Place, index int) ([]fingerprint.Cell, []bool, error) {
	if r == nil || at == (fingerprint.Place{}) {
		return nil, nil, nil
	}
	broken := func(err error) ([]fingerprint.Cell, []bool, error) {
		return nil, nil, &firedrill.Error{Op: "read artefact", Kind: firedrill.KindCorrupt, Target: filepath.Base(r.f.Name()), Detail: "the values of a range cannot be read", Remedy: "run the drill again", Err: err}
	}
	if at != r.at {
		if err := r.load(at); err != nil {
			return broken(err)
		}
	}
	if index >= len(r.rows) {
		return broken(fmt.Errorf("it has %d rows", len(r.rows)))
	}
	cells, err := fingerprint.ReadCells(r.rows[index])
	if err == nil && len(cells) != len(r.hidden) {
		err = fmt.Errorf("a row has %d values for %d columns", len(cells), len(r.hidden))
	}
	if err != nil {
		return broken(err)
	}
	return cells, r.hidden, nil
}

// load reads the block of a range.
func (r *valueReader) load(at fingerprint.Place) error {
	if at.Length <= 0 || at.Length > mostValues {
		return fmt.Errorf("a block of %d bytes", at.Length)
	}
	packed := make([]byte, at.Length)
	if _, err := r.f.ReadAt(packed, at.Offset); err != nil {
		return err
	}
	block, err := r.unpack.DecodeAll(packed, nil)
	if err != nil {
		return err
	}
	r.at, r.rows, r.hidden = at, nil, nil
	columns, n := binary.Uvarint(block)
	if n <= 0 || columns > uint64(len(block)-n) {
		return fmt.Errorf("it is cut")
	}
	for _, b := range block[n : n+int(columns)] {
		r.hidden = append(r.hidden, b == 1)
	}
	block = block[n+int(columns):]
	for len(block) > 0 {
		length, n := binary.Uvarint(block)
		if n <= 0 || length > uint64(len(block)-n) {
			return fmt.Errorf("it is cut")
		}
		r.rows = append(r.rows, block[n:n+int(length)])
		block = block[n+int(length):]
	}
	return nil
}

// sameValue tells whether two values are one, to their last byte.
func sameValue(a, b fingerprint.Cell) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) }
