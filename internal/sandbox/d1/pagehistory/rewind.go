package pagehistory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// Rewind is what has to be written to return to an earlier state: only pages
// that differ from what is there now.
type Rewind struct {
	PageSize uint32
	Size     uint32 // pages after it
	Truncate bool   // the database has more pages now
	// Pages are to be written in this order: 2 and up ascending, then page 1.
	Pages  []uint32
	Images []byte // of Pages, one after another
}

// Empty tells whether nothing differs.
func (r Rewind) Empty() bool { return len(r.Pages) == 0 && !r.Truncate }

// offsets in page 1, from SQLite's file format documentation.
const schemaCookieAt = 40

// Plan gives what has to be written to return to the state after transaction tx.
func (h *History) Plan(tx uint64) (Rewind, error) {
	if tx > h.tx || tx < h.Oldest() {
		return Rewind{}, fmt.Errorf("transaction %d is not in the history (%d to %d)", tx, h.Oldest(), h.tx)
	}
	r := Rewind{PageSize: h.pageSize, Size: h.size}
	if tx == h.tx {
		return r, nil
	}
	r.Size = h.moments[tx-h.moments[0].tx+1].before
	r.Truncate = h.size > r.Size
	lock := h.lockBytePage()
	var first []byte
	for _, p := range slices.Sorted(maps.Keys(h.versions)) {
		v, ok := after(h.versions[p], tx)
		if !ok || p > r.Size || p == lock {
			continue
		}
		old, differs, err := h.differs(p, v)
		if err != nil {
			return Rewind{}, err
		}
		switch {
		case !differs:
		case p == 1:
			first = old
		default:
			r.Pages = append(r.Pages, p)
			r.Images = append(r.Images, old...)
		}
	}
	if first == nil && (len(r.Pages) > 0 || r.Truncate) && h.size != r.Size {
		return Rewind{}, fmt.Errorf("the history has no image of page 1, though the size differs")
	}
	if first != nil {
		if err := h.raiseCookie(first); err != nil {
			return Rewind{}, err
		}
		r.Pages = append(r.Pages, 1)
		r.Images = append(r.Images, first...)
	}
	return r, nil
}

// after gives the oldest image since a transaction: what the page held then.
func after(versions []version, tx uint64) (version, bool) {
	i, _ := slices.BinarySearchFunc(versions, tx+1, func(v version, tx uint64) int {
		switch {
		case v.tx < tx:
			return -1
		case v.tx > tx:
			return 1
		}
		return 0
	})
	if i == len(versions) {
		return version{}, false
	}
	return versions[i], true
}

func (h *History) differs(p uint32, v version) (old []byte, differs bool, err error) {
	old = make([]byte, h.pageSize)
	if _, err := h.files.History.ReadAt(old, v.at); err != nil {
		return nil, false, fmt.Errorf("read the page history: %w", err)
	}
	if crc32.Checksum(old, castagnoli()) != v.crc {
		return nil, false, fmt.Errorf("the page history is damaged at offset %d (page %d)", v.at, p)
	}
	if p > h.size {
		return old, true, nil
	}
	now, err := h.Page(p)
	return old, err == nil && !bytes.Equal(old, now), err
}

// raiseCookie gives page 1 a schema cookie that no connection has seen, where
// the schema differs. Otherwise a connection with a stale schema would read
// another table's rows under a dropped table's name.
func (h *History) raiseCookie(first []byte) error {
	now, err := h.Page(1)
	if err != nil {
		return err
	}
	old, cur := binary.BigEndian.Uint32(first[schemaCookieAt:]), binary.BigEndian.Uint32(now[schemaCookieAt:])
	if old != cur {
		binary.BigEndian.PutUint32(first[schemaCookieAt:], max(old, cur)+1)
	}
	return nil
}
