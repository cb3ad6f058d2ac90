package pagehistory

import (
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
)

// Capture appends to the history what the WAL holds beyond it and gives the
// number of the last transaction. It must be called after every commit, before
// the commit is acknowledged and before anything is checkpointed.
func (h *History) Capture() (uint64, error) {
	wal, ok, err := h.readWAL()
	if err != nil || !ok {
		return h.tx, err
	}
	if !h.haveWAL || wal.salt1 != h.wal.salt1 || wal.salt2 != h.wal.salt2 {
		h.adopt(wal)
	}
	h.at("before capture")
	buf := make([]byte, frameHeaderSize+wal.pageSize)
	pages := map[uint32]uint32{} // of the transaction under way: page -> frame
	sum := h.sum
	for n := h.next; ; n++ {
		f, after, ok, err := wal.readFrame(h.files.WAL, n, sum, buf)
		if err != nil {
			return h.tx, err
		}
		if !ok {
			h.at("after capture")
			return h.tx, nil
		}
		sum = after
		pages[f.page] = n
		if f.size == 0 {
			continue
		}
		if err := h.append(pages, f.size, n+1, sum); err != nil {
			return h.tx, err
		}
		for p, n := range pages {
			h.frames[p] = n
		}
		clear(pages)
	}
}

// append writes the record of one transaction.
func (h *History) append(changed map[uint32]uint32, after, endFrame uint32, sum checksum) error {
	pages := slices.Sorted(maps.Keys(changed))
	lock := h.lockBytePage()
	for p := after + 1; p <= h.size; p++ { // pages cut off have no frame
		if _, ok := changed[p]; !ok && p != lock {
			pages = append(pages, p)
		}
	}
	slices.Sort(pages)
	r := record{tx: h.tx + 1, timeMS: h.stamp(), before: h.size, after: after, salt1: h.wal.salt1, salt2: h.wal.salt2,
		endFrame: endFrame, sum: sum, pages: pages, crcs: make([]uint32, len(pages))}
	r.imagesFrom = h.end + int64(r.headSize())
	images := make([]byte, 0, min(r.images(), 1024)*int(h.pageSize))
	at := r.imagesFrom
	for i, p := range pages[:r.images()] {
		page, err := h.Page(p)
		if err != nil {
			return err
		}
		r.crcs[i] = crc32.Checksum(page, castagnoli())
		if images = append(images, page...); len(images) >= 4<<20 {
			if _, err := h.files.History.WriteAt(images, at); err != nil {
				return fmt.Errorf("append to the page history: %w", err)
			}
			at += int64(len(images))
			images = images[:0]
		}
	}
	if _, err := h.files.History.WriteAt(images, at); err != nil {
		return fmt.Errorf("append to the page history: %w", err)
	}
	h.at("torn record")
	if _, err := h.files.History.WriteAt(r.encodeHead(), h.end); err != nil {
		return fmt.Errorf("append to the page history: %w", err)
	}
	h.index(r)
	return nil
}

// stamp is the time of a transaction; it never goes backward.
func (h *History) stamp() int64 {
	ms := h.now().UnixMilli()
	if n := len(h.moments); n > 0 {
		ms = max(ms, h.moments[n-1].timeMS)
	}
	return ms
}

// Page is what a page holds now: its last committed frame, else the main file.
// Beyond the end of the main file it is zeros (an unwritten free page).
func (h *History) Page(p uint32) ([]byte, error) {
	if n, ok := h.frames[p]; ok {
		return h.wal.readFramePage(h.files.WAL, n)
	}
	page := make([]byte, h.pageSize)
	if _, err := h.files.Main.ReadAt(page, int64(p-1)*int64(h.pageSize)); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read page %d: %w", p, err)
	}
	return page, nil
}

// lockBytePage is the page that SQLite never uses because its locks lie there.
func (h *History) lockBytePage() uint32 { return 0x40000000/h.pageSize + 1 }
