// Package pagehistory keeps what every page of a SQLite database held before
// each transaction, so that the database can be rewound in place to any moment
// at a cost that follows the pages that differ, not the size of the database.
//
// The WAL is the source. After a commit [History.Capture] reads the new frames
// and appends, for each page they change, the image it had before: its previous
// frame in the WAL, else the main file. The history needs no fsync of its own
// per commit, because until a checkpoint WAL and main file can regenerate it;
// so the order capture, fsync history, then checkpoint ([History.Sync]) is the
// one that must never be broken. See DESIGN.md beside internal/sandbox/d1.
package pagehistory

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"time"
)

// version is one image of a page: what it held before transaction tx.
type version struct {
	tx  uint64
	at  int64 // offset of the image
	crc uint32
}

// moment is a transaction in the order of time.
type moment struct {
	tx     uint64
	timeMS int64
	before uint32 // size in pages before it
}

// Files are the open files that a history reads and writes. They must be
// opened before SQLite opens the database and closed after it closed it:
// closing any descriptor of the main file drops SQLite's locks on it.
type Files struct {
	Main    *os.File // the database
	WAL     *os.File // its WAL; nil while there is none
	History *os.File // opened for reading and writing
}

// History is the page history of one database. It is not safe for concurrent
// use: there is one writer, and it holds the lock.
type History struct {
	files    Files
	id       [16]byte
	pageSize uint32
	end      int64 // where the next record goes
	now      func() time.Time

	moments  []moment // ascending
	versions map[uint32][]version
	size     uint32 // pages now
	tx       uint64 // last transaction

	wal     walHeader // generation that frames belongs to
	haveWAL bool
	next    uint32 // first frame that is not captured
	sum     checksum
	frames  map[uint32]uint32 // page -> its last committed frame

	// At is called at each boundary where a crash could hurt; tests stop there.
	at func(point string)
}

// Options of Open.
type Options struct {
	ID  [16]byte // identity of the database, kept in the history
	Now func() time.Time
	// At is told each boundary of capture; nil: nobody.
	At func(point string)
}

// Open reads the history and captures what the WAL holds beyond it. pageSize
// is the database's.
func Open(f Files, pageSize uint32, o Options) (*History, error) {
	h := &History{files: f, id: o.ID, pageSize: pageSize, now: o.Now, at: o.At, versions: map[uint32][]version{}, frames: map[uint32]uint32{}}
	if h.at == nil {
		h.at = func(string) {}
	}
	if err := h.begin(); err != nil {
		return nil, err
	}
	records, err := h.scan()
	if err != nil {
		return nil, err
	}
	if records, err = h.agree(records); err != nil {
		return nil, err
	}
	for _, r := range records {
		h.index(r)
	}
	if err := f.History.Truncate(h.end); err != nil {
		return nil, fmt.Errorf("cut the page history: %w", err)
	}
	if err := h.replayFrames(); err != nil {
		return nil, err
	}
	if _, err := h.Capture(); err != nil {
		return nil, err
	}
	return h, h.Sync()
}

// begin reads or writes the head of the file.
func (h *History) begin() error {
	info, err := h.files.History.Stat()
	if err != nil {
		return fmt.Errorf("page history: %w", err)
	}
	h.end = fileHeaderSize
	if info.Size() < fileHeaderSize {
		if _, err := h.files.History.WriteAt(header{h.pageSize, h.id}.encode(), 0); err != nil {
			return fmt.Errorf("begin the page history: %w", err)
		}
		return nil
	}
	head, err := readHeader(h.files.History)
	if err != nil {
		return err
	}
	if head.id != h.id || head.pageSize != h.pageSize {
		return fmt.Errorf("the page history belongs to another database")
	}
	return nil
}

// scan reads the heads of all records up to the first that is not whole.
func (h *History) scan() ([]record, error) {
	var records []record
	at := int64(fileHeaderSize)
	info, err := h.files.History.Stat()
	if err != nil {
		return nil, fmt.Errorf("page history: %w", err)
	}
	for {
		r, err := readRecord(h.files.History, at)
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		if n := len(records); r.end(h.pageSize) > info.Size() || n > 0 && r.tx != records[n-1].tx+1 {
			return records, nil
		}
		records = append(records, r)
		at = r.end(h.pageSize)
	}
}

// agree drops records at the end that the WAL does not know or whose images
// were not wholly written: they were never fsynced, and what they tell is
// captured again. Records of earlier generations were fsynced before the
// checkpoint that ended their generation.
func (h *History) agree(records []record) ([]record, error) {
	commits, wal, ok, err := h.walCommits()
	if err != nil {
		return nil, err
	}
	for n := 0; n < len(records); n++ {
		r := records[n]
		if !ok || r.salt1 != wal.salt1 || r.salt2 != wal.salt2 {
			continue
		}
		if commits[r.endFrame] != r.sum || !h.whole(r) {
			return records[:n], nil
		}
	}
	return records, nil
}

func (h *History) whole(r record) bool {
	for i := range r.images() {
		if _, err := r.readImage(h.files.History, i, h.pageSize); err != nil {
			return false
		}
	}
	return true
}

// walCommits walks the WAL as SQLite's recovery does and gives the running
// checksum at each commit, by the number of frames up to it.
func (h *History) walCommits() (map[uint32]checksum, walHeader, bool, error) {
	commits := map[uint32]checksum{}
	wal, ok, err := h.readWAL()
	if err != nil || !ok {
		return commits, wal, ok, err
	}
	buf := make([]byte, frameHeaderSize+wal.pageSize)
	sum := wal.sum
	for n := uint32(0); ; n++ {
		f, after, ok, err := wal.readFrame(h.files.WAL, n, sum, buf)
		if err != nil || !ok {
			return commits, wal, true, err
		}
		if sum = after; f.size > 0 {
			commits[n+1] = sum
		}
	}
}

func (h *History) readWAL() (walHeader, bool, error) {
	if h.files.WAL == nil {
		return walHeader{}, false, nil
	}
	wal, ok, err := readWALHeader(h.files.WAL)
	if ok && wal.pageSize != h.pageSize {
		return wal, false, fmt.Errorf("the WAL has pages of %d bytes, the database of %d", wal.pageSize, h.pageSize)
	}
	return wal, ok, err
}

// index makes a record findable. Pages without an image are left out: a rewind
// to before them cuts them off, and never asks what they held. So the index
// follows what was changed, not what was added.
func (h *History) index(r record) {
	for i, p := range r.pages[:r.images()] {
		h.versions[p] = append(h.versions[p], version{tx: r.tx, at: r.imagesFrom + int64(i)*int64(h.pageSize), crc: r.crcs[i]})
	}
	h.moments = append(h.moments, moment{r.tx, r.timeMS, r.before})
	h.tx, h.size, h.end = r.tx, r.after, r.end(h.pageSize)
	h.wal.salt1, h.wal.salt2, h.next, h.sum = r.salt1, r.salt2, r.endFrame, r.sum
}

// replayFrames rebuilds which frame holds each page, for the frames that the
// history covers already.
func (h *History) replayFrames() error {
	wal, ok, err := h.readWAL()
	if err != nil {
		return err
	}
	covered := h.next
	known := h.wal
	h.haveWAL, h.next, h.sum = false, 0, checksum{}
	if len(h.moments) == 0 || !ok || wal.salt1 != known.salt1 || wal.salt2 != known.salt2 {
		if h.size == 0 || len(h.moments) == 0 {
			return h.sizeFromMain()
		}
		return nil
	}
	h.adopt(wal)
	buf := make([]byte, frameHeaderSize+wal.pageSize)
	pending := map[uint32]uint32{}
	sum := wal.sum
	for n := uint32(0); n < covered; n++ {
		f, after, ok, err := wal.readFrame(h.files.WAL, n, sum, buf)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("the WAL lost frame %d, which the page history covers", n)
		}
		sum = after
		pending[f.page] = n
		if f.size > 0 {
			for p, n := range pending {
				h.frames[p] = n
			}
			clear(pending)
			h.next, h.sum = n+1, sum
		}
	}
	return nil
}

func (h *History) sizeFromMain() error {
	info, err := h.files.Main.Stat()
	if err != nil {
		return fmt.Errorf("page history: %w", err)
	}
	h.size = uint32(info.Size() / int64(h.pageSize))
	return nil
}

func (h *History) adopt(wal walHeader) {
	h.wal, h.haveWAL = wal, true
	h.next, h.sum = 0, wal.sum
	h.Checkpointed()
}

// Sync makes the history durable. It must come before every checkpoint.
func (h *History) Sync() error {
	h.at("before history fsync")
	if err := h.files.History.Sync(); err != nil {
		return fmt.Errorf("sync the page history: %w", err)
	}
	h.at("after history fsync")
	return nil
}

// Checkpointed says that the main file holds everything that was captured:
// frames of the WAL are no longer looked at, and may be overwritten.
func (h *History) Checkpointed() {
	h.frames = map[uint32]uint32{} // clear would keep the memory of the largest transaction
}

// Tx is the last transaction, 0 before the first.
func (h *History) Tx() uint64 { return h.tx }

// Oldest is the earliest state that can be returned to.
func (h *History) Oldest() uint64 {
	if len(h.moments) == 0 {
		return h.tx
	}
	return h.moments[0].tx - 1
}

// Size is the number of pages of the database.
func (h *History) Size() uint32 { return h.size }

// Frames is the number of frames in the current WAL that are captured.
func (h *History) Frames() uint32 { return h.next }

// Unmoved is the length of the current WAL while it holds captured frames that
// the main file does not; 0 when the main file has them all.
func (h *History) Unmoved() uint32 {
	if len(h.frames) == 0 {
		return 0
	}
	return h.next
}

// TxAt is the last transaction at or before a time; ok is false when the
// history does not reach back that far.
func (h *History) TxAt(t time.Time) (tx uint64, ok bool) {
	ms := t.UnixMilli()
	i := sort.Search(len(h.moments), func(i int) bool { return h.moments[i].timeMS > ms })
	if i > 0 {
		return h.moments[i-1].tx, true
	}
	return 0, false
}
