package pagehistory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A history file is a header and then one record a transaction:
//
//	header  magic 8 · page size 4 · reserved 4 · database id 16
//	record  fixed 64 · table 8×n · CRC of both 4 · images
//	fixed   magic 4 · images n 4 · tx 8 · time 8 (ms) · size before 4 · size after 4 ·
//	        salts 8 · end frame 4 · WAL checksum 8 · images' bytes 4 · reserved 8
//	table   page number 4 · CRC of the image 4, pages ascending
//
// All integers are big endian, all CRCs are CRC-32C. A page that did not exist
// before the transaction (its number is above the size before) has no image.
const (
	fileMagic      = "FDPGHIS1"
	fileHeaderSize = 32
	recordMagic    = 0x46445458 // "FDTX"
	fixedSize      = 64
	entrySize      = 8
	maxImages      = 1 << 26
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// record is one transaction: what every page it changed held before.
type record struct {
	tx         uint64
	timeMS     int64
	before     uint32 // size in pages
	after      uint32
	salt1      uint32
	salt2      uint32
	endFrame   uint32 // frames of its WAL generation up to and with its commit
	sum        checksum
	pages      []uint32
	crcs       []uint32
	imagesFrom int64 // offset of the first image in the file
}

func (r record) headSize() int { return fixedSize + entrySize*len(r.pages) + 4 }

// images is how many of the pages have an image: those that existed before.
// Pages are in ascending order, so these come first.
func (r record) images() int {
	n, _ := slices.BinarySearch(r.pages, r.before+1)
	return n
}

func (r record) end(pageSize uint32) int64 {
	return r.imagesFrom + int64(r.images())*int64(pageSize)
}

// encodeHead writes everything of a record but its images.
func (r record) encodeHead() []byte {
	b := make([]byte, r.headSize())
	be := binary.BigEndian
	be.PutUint32(b[0:], recordMagic)
	be.PutUint32(b[4:], uint32(len(r.pages)))
	be.PutUint64(b[8:], r.tx)
	be.PutUint64(b[16:], uint64(r.timeMS))
	be.PutUint32(b[24:], r.before)
	be.PutUint32(b[28:], r.after)
	be.PutUint32(b[32:], r.salt1)
	be.PutUint32(b[36:], r.salt2)
	be.PutUint32(b[40:], r.endFrame)
	be.PutUint32(b[44:], r.sum.s0)
	be.PutUint32(b[48:], r.sum.s1)
	for i, p := range r.pages {
		be.PutUint32(b[fixedSize+entrySize*i:], p)
		be.PutUint32(b[fixedSize+entrySize*i+4:], r.crcs[i])
	}
	n := len(b) - 4
	be.PutUint32(b[n:], crc32.Checksum(b[:n], castagnoli()))
	return b
}

// errTorn marks the end of what can be read: a record that was not wholly written.
var errTorn = errors.New("record is incomplete or damaged")

// readRecord reads the head of the record at an offset. io.EOF means that the
// file ends there, errTorn that something is there which is no whole record.
func readRecord(r io.ReaderAt, at int64) (record, error) {
	var fixed [fixedSize]byte
	n, err := r.ReadAt(fixed[:], at)
	if n == 0 && errors.Is(err, io.EOF) {
		return record{}, io.EOF
	}
	if n < fixedSize {
		return record{}, tornOr(err)
	}
	be := binary.BigEndian
	count := be.Uint32(fixed[4:])
	if be.Uint32(fixed[0:]) != recordMagic || count > maxImages {
		return record{}, errTorn
	}
	rec := record{tx: be.Uint64(fixed[8:]), timeMS: int64(be.Uint64(fixed[16:])), before: be.Uint32(fixed[24:]), after: be.Uint32(fixed[28:]),
		salt1: be.Uint32(fixed[32:]), salt2: be.Uint32(fixed[36:]), endFrame: be.Uint32(fixed[40:]),
		sum: checksum{be.Uint32(fixed[44:]), be.Uint32(fixed[48:])}}
	table, err := readUpTo(r, at+fixedSize, entrySize*int(count)+4)
	if err != nil {
		return record{}, err
	}
	sum := crc32.Update(crc32.Checksum(fixed[:], castagnoli()), castagnoli(), table[:len(table)-4])
	if sum != be.Uint32(table[len(table)-4:]) {
		return record{}, errTorn
	}
	rec.pages, rec.crcs = make([]uint32, count), make([]uint32, count)
	for i := range rec.pages {
		rec.pages[i], rec.crcs[i] = be.Uint32(table[entrySize*i:]), be.Uint32(table[entrySize*i+4:])
	}
	rec.imagesFrom = at + int64(rec.headSize())
	return rec, nil
}

// readUpTo reads exactly n bytes, in pieces, so that a damaged length does not
// allocate more than the file holds.
func readUpTo(r io.ReaderAt, at int64, n int) ([]byte, error) {
	const piece = 1 << 16
	var all []byte
	for len(all) < n {
		b := make([]byte, min(piece, n-len(all)))
		got, err := r.ReadAt(b, at+int64(len(all)))
		if got < len(b) {
			return nil, tornOr(err)
		}
		all = append(all, b...)
	}
	return all, nil
}

func tornOr(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return errTorn
	}
	return fmt.Errorf("read the page history: %w", err)
}

// readImage reads and checks image i of a record.
func (r record) readImage(from io.ReaderAt, i int, pageSize uint32) ([]byte, error) {
	page := make([]byte, pageSize)
	if n, err := from.ReadAt(page, r.imagesFrom+int64(i)*int64(pageSize)); n < len(page) {
		return nil, tornOr(err)
	}
	if crc32.Checksum(page, castagnoli()) != r.crcs[i] {
		return nil, errTorn
	}
	return page, nil
}

// header is the head of a history file.
type header struct {
	pageSize uint32
	id       [16]byte
}

func (h header) encode() []byte {
	b := make([]byte, fileHeaderSize)
	copy(b, fileMagic)
	binary.BigEndian.PutUint32(b[8:], h.pageSize)
	copy(b[16:], h.id[:])
	return b
}

func readHeader(r io.ReaderAt) (header, error) {
	var b [fileHeaderSize]byte
	if n, err := r.ReadAt(b[:], 0); n < len(b) {
		return header{}, tornOr(err)
	}
	if string(b[:8]) != fileMagic {
		return header{}, fmt.Errorf("the page history is of another format (%q)", b[:8])
	}
	h := header{pageSize: binary.BigEndian.Uint32(b[8:])}
	copy(h.id[:], b[16:])
	return h, nil
}
