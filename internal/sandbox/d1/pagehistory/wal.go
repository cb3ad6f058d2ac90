package pagehistory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The layout of a WAL file, from SQLite's file format documentation
// (https://www.sqlite.org/fileformat2.html#walformat).
const (
	walHeaderSize   = 32
	frameHeaderSize = 24
	walMagicLE      = 0x377f0682
	walMagicBE      = 0x377f0683
	walVersion      = 3007000
)

// walHeader is the head of a WAL file. Its salts name a generation: a WAL that
// starts again after a checkpoint gets new ones.
type walHeader struct {
	pageSize     uint32
	salt1, salt2 uint32
	sum          checksum
	order        binary.ByteOrder // of the words that checksums are made of
}

// checksum is the running checksum of a WAL.
type checksum struct{ s0, s1 uint32 }

func (c checksum) add(order binary.ByteOrder, b []byte) checksum {
	for ; len(b) >= 8; b = b[8:] {
		c.s0 += order.Uint32(b) + c.s1
		c.s1 += order.Uint32(b[4:]) + c.s0
	}
	return c
}

// readWALHeader gives ok false for a file that holds no WAL (yet).
func readWALHeader(r io.ReaderAt) (h walHeader, ok bool, err error) {
	var b [walHeaderSize]byte
	if n, err := r.ReadAt(b[:], 0); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return h, false, nil
		}
		return h, false, fmt.Errorf("read the WAL: %w", err)
	}
	switch binary.BigEndian.Uint32(b[0:]) {
	case walMagicLE:
		h.order = binary.LittleEndian
	case walMagicBE:
		h.order = binary.BigEndian
	default:
		return h, false, nil
	}
	if binary.BigEndian.Uint32(b[4:]) != walVersion {
		return h, false, nil
	}
	h.pageSize = binary.BigEndian.Uint32(b[8:])
	h.salt1, h.salt2 = binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	h.sum = checksum{}.add(h.order, b[:24])
	if h.sum != (checksum{binary.BigEndian.Uint32(b[24:]), binary.BigEndian.Uint32(b[28:])}) {
		return h, false, nil
	}
	if h.pageSize < 512 || h.pageSize > 65536 || h.pageSize&(h.pageSize-1) != 0 {
		return h, false, nil
	}
	return h, true, nil
}

// frame is one page image in the WAL; size is the database's size in pages
// after the commit that this frame ends, 0 for the others.
type frame struct {
	page uint32
	size uint32
}

func (h walHeader) frameOffset(n uint32) int64 {
	return walHeaderSize + int64(n)*int64(frameHeaderSize+h.pageSize)
}

// readFrame reads frame n (from 0) into buf, which holds a whole frame, and
// gives ok false where the WAL ends: another generation or a wrong checksum.
func (h walHeader) readFrame(r io.ReaderAt, n uint32, before checksum, buf []byte) (f frame, after checksum, ok bool, err error) {
	got, err := r.ReadAt(buf, h.frameOffset(n))
	if got < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			return f, before, false, nil
		}
		return f, before, false, fmt.Errorf("read the WAL: %w", err)
	}
	f = frame{binary.BigEndian.Uint32(buf[0:]), binary.BigEndian.Uint32(buf[4:])}
	if binary.BigEndian.Uint32(buf[8:]) != h.salt1 || binary.BigEndian.Uint32(buf[12:]) != h.salt2 || f.page == 0 {
		return f, before, false, nil
	}
	after = before.add(h.order, buf[:8]).add(h.order, buf[frameHeaderSize:])
	if after != (checksum{binary.BigEndian.Uint32(buf[16:]), binary.BigEndian.Uint32(buf[20:])}) {
		return f, before, false, nil
	}
	return f, after, true, nil
}

// readFramePage reads the page of a frame that was checked before.
func (h walHeader) readFramePage(r io.ReaderAt, n uint32) ([]byte, error) {
	page := make([]byte, h.pageSize)
	if _, err := r.ReadAt(page, h.frameOffset(n)+frameHeaderSize); err != nil {
		return nil, fmt.Errorf("read page from the WAL: %w", err)
	}
	return page, nil
}
