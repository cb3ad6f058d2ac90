package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"firedrill"
)

// Part is one file of a backup.
type Part struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"` // of the file
	Bytes  int64  `json:"bytes"`  // of the file
	// Blocks are the SHA-256 of each [blockBytes] of the file: they tell where it
	// is broken, and let a reader trust what it has read so far.
	Blocks []string `json:"blocks,omitempty"`
	// ContentSHA256 and ContentBytes are of what is left when the encoding is
	// undone; the file's own where there is none.
	ContentSHA256 string `json:"content_sha256,omitempty"`
	ContentBytes  int64  `json:"content_bytes,omitempty"`

	Keys  int    `json:"keys,omitempty"`  // of a namespace
	First string `json:"first,omitempty"` // key; not in encrypted backups
	Last  string `json:"last,omitempty"`
	Rows  int64  `json:"rows,omitempty"` // of a database
}

// content gives how many bytes a part has when its encoding is undone.
func (p Part) content() int64 {
	if p.ContentSHA256 == "" {
		return p.Bytes
	}
	return p.ContentBytes
}

const blockBytes = 1 << 20

// partWriter writes a part through its encoding and measures it on both sides.
type partWriter struct {
	part    Part
	file    File
	stored  *blockHash
	encoder *encoder
	out     *bufio.Writer
	content hash.Hash
	bytes   int64
	encoded bool
}

// newPart begins the part of a name without the suffix of its encoding.
func newPart(ctx context.Context, place Place, name string, seal Seal) (*partWriter, error) {
	encoding := seal.encoding()
	name += encoding.suffix()
	file, err := place.Create(ctx, name)
	if err != nil {
		return nil, err
	}
	w := &partWriter{part: Part{File: name}, file: file, stored: newBlockHash(), content: sha256.New(), encoded: encoding != Encoding{}}
	w.encoder, err = seal.encoder(io.MultiWriter(file, w.stored))
	if err != nil {
		return nil, errors.Join(err, file.Abort())
	}
	w.out = bufio.NewWriterSize(w.encoder, 256<<10)
	return w, nil
}

// Write takes content.
func (w *partWriter) Write(b []byte) (int, error) {
	n, err := w.out.Write(b)
	w.bytes += int64(n)
	if w.encoded {
		w.content.Write(b[:n])
	}
	return n, err
}

// Close makes the part durable and completes what is known of it.
func (w *partWriter) Close() (Part, error) {
	if err := errors.Join(w.out.Flush(), w.encoder.Close()); err != nil {
		return Part{}, errors.Join(err, w.file.Abort())
	}
	if err := w.file.Close(); err != nil {
		return Part{}, err
	}
	w.part.SHA256, w.part.Blocks, w.part.Bytes = w.stored.finish()
	if w.encoded {
		w.part.ContentSHA256, w.part.ContentBytes = hex.EncodeToString(w.content.Sum(nil)), w.bytes
	}
	return w.part, nil
}

// Abort gives the part up.
func (w *partWriter) Abort() error { return w.file.Abort() }

// blockHash hashes a file as a whole and block by block.
type blockHash struct {
	whole, block hash.Hash
	in           int // bytes of the present block
	bytes        int64
	blocks       []string
}

func newBlockHash() *blockHash { return &blockHash{whole: sha256.New(), block: sha256.New()} }

// Write implements io.Writer and never fails.
func (h *blockHash) Write(b []byte) (int, error) {
	n := len(b)
	h.bytes += int64(n)
	h.whole.Write(b)
	for len(b) > 0 {
		k := min(len(b), blockBytes-h.in)
		h.block.Write(b[:k])
		if h.in += k; h.in == blockBytes {
			h.end()
		}
		b = b[k:]
	}
	return n, nil
}

func (h *blockHash) end() {
	h.blocks = append(h.blocks, hex.EncodeToString(h.block.Sum(nil)))
	h.block.Reset()
	h.in = 0
}

func (h *blockHash) finish() (whole string, blocks []string, bytes int64) {
	if h.in > 0 {
		h.end()
	}
	return hex.EncodeToString(h.whole.Sum(nil)), h.blocks, h.bytes
}

// open gives the content of a part. No byte is handed on before the block that it
// stands in was found to be as the manifest says; the size and the checksum of
// the whole are compared at its end.
func (b *Backup) open(ctx context.Context, p Part) (io.ReadCloser, error) {
	file, err := b.stored(ctx, p)
	if err != nil {
		return nil, err
	}
	content, err := b.Manifest.Encoding.decoder(file, b.keys, b.name(p))
	if err != nil {
		return nil, b.broken(p, errors.Join(err, file.Close()))
	}
	return &contentReader{b: b, p: p, file: file, content: content, hash: sha256.New()}, nil
}

// stored gives a part as it is stored, verified as [Backup.open] says.
func (b *Backup) stored(ctx context.Context, p Part) (io.ReadCloser, error) {
	if err := b.Manifest.Encoding.known(b.name(p)); err != nil {
		return nil, err
	}
	if len(p.Blocks) == 0 && p.Bytes > 0 { // version 1: only the whole can be compared
		if err := b.checkWhole(ctx, p); err != nil {
			return nil, err
		}
	}
	file, err := b.file(ctx, p)
	if err != nil {
		return nil, err
	}
	return &blockReader{b: b, p: p, file: file, whole: sha256.New()}, nil
}

func (b *Backup) file(ctx context.Context, p Part) (io.ReadCloser, error) {
	file, err := b.Place.Open(ctx, p.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corrupt(b.name(p), "the part is missing", otherBackup)
	}
	if err != nil {
		return nil, storage("read the backup", b.name(p), err)
	}
	return file, nil
}

// checkWhole compares size and checksum of a part that has no blocks.
func (b *Backup) checkWhole(ctx context.Context, p Part) error {
	file, err := b.file(ctx, p)
	if err != nil {
		return err
	}
	h := newBlockHash()
	_, err = io.Copy(h, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return storage("read the backup", b.name(p), err)
	}
	return b.compareWhole(p, h)
}

func (b *Backup) compareWhole(p Part, h *blockHash) error {
	sum, _, n := h.finish()
	if n != p.Bytes {
		return corrupt(b.name(p), fmt.Sprintf("the part has %d bytes, the manifest says %d", n, p.Bytes), otherBackup)
	}
	if sum != p.SHA256 {
		return corrupt(b.name(p), "the checksum of the part is not the manifest's", otherBackup)
	}
	return nil
}

// name names a part for people.
func (b *Backup) name(p Part) string { return b.Place.String() + "/" + p.File }

// broken says that the content of a part is not what it has to be. Errors that
// say of themselves what is wrong are left as they are.
func (b *Backup) broken(p Part, err error) error {
	var own *firedrill.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, errStop) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return corrupt(b.name(p), err.Error(), otherBackup)
}

// blockReader reads a stored part block by block, each compared before it is
// handed on.
type blockReader struct {
	b     *Backup
	p     Part
	file  io.ReadCloser
	whole hash.Hash
	block []byte
	rest  []byte
	n     int // blocks read
	bytes int64
	err   error
}

func (r *blockReader) Read(to []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.err = r.next()
	}
	n := copy(to, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next reads a block. Its error is io.EOF when the whole is as it has to be.
func (r *blockReader) next() error {
	if r.block == nil {
		r.block = make([]byte, min(blockBytes, max(1, r.p.Bytes)))
	}
	n, err := io.ReadFull(r.file, r.block)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return storage("read the backup", r.b.name(r.p), err)
	}
	if n > 0 {
		from := r.bytes
		r.bytes += int64(n)
		r.whole.Write(r.block[:n])
		if err := r.compare(from, r.block[:n]); err != nil {
			return err
		}
		r.n++
	}
	// The last block is handed on when the whole was found right: whoever sends
	// the part must not get to its end otherwise. Without blocks nothing else
	// holds back a part that changed since it was checked.
	if err != nil || r.bytes >= r.p.Bytes {
		if wrong := r.end(); wrong != nil {
			return wrong
		}
	}
	r.rest = r.block[:n]
	if err != nil {
		return io.EOF
	}
	return nil
}

// end compares the whole.
func (r *blockReader) end() error {
	if r.bytes < r.p.Bytes {
		return corrupt(r.b.name(r.p), fmt.Sprintf("at offset %d: the part ends, the manifest says %d bytes", r.bytes, r.p.Bytes), otherBackup)
	}
	if r.bytes > r.p.Bytes {
		return corrupt(r.b.name(r.p), fmt.Sprintf("at offset %d: the part goes on, the manifest says %d bytes", r.p.Bytes, r.p.Bytes), otherBackup)
	}
	if hex.EncodeToString(r.whole.Sum(nil)) != r.p.SHA256 {
		return corrupt(r.b.name(r.p), "the checksum of the part is not the manifest's", otherBackup)
	}
	return nil
}

func (r *blockReader) compare(from int64, block []byte) error {
	if len(r.p.Blocks) == 0 {
		return nil
	}
	if r.n >= len(r.p.Blocks) {
		return corrupt(r.b.name(r.p), fmt.Sprintf("at offset %d: the part goes on, the manifest says %d bytes", from, r.p.Bytes), otherBackup)
	}
	if sum := sha256.Sum256(block); hex.EncodeToString(sum[:]) == r.p.Blocks[r.n] {
		return nil
	}
	if r.bytes < r.p.Bytes && len(block) < blockBytes {
		return corrupt(r.b.name(r.p), fmt.Sprintf("at offset %d: the part ends, the manifest says %d bytes", r.bytes, r.p.Bytes), otherBackup)
	}
	return corrupt(r.b.name(r.p), fmt.Sprintf("at offset %d: something in the %d bytes from there on is not as it was written", from, len(block)), otherBackup)
}

func (r *blockReader) Close() error { return r.file.Close() }

// contentReader reads a part with its encoding undone, and compares the whole at
// the end.
type contentReader struct {
	b             *Backup
	p             Part
	file, content io.ReadCloser
	hash          hash.Hash
	bytes         int64
}

func (r *contentReader) Read(to []byte) (int, error) {
	n, err := r.content.Read(to)
	if r.p.ContentSHA256 != "" {
		r.hash.Write(to[:n])
		r.bytes += int64(n)
	}
	if err == io.EOF && r.p.ContentSHA256 != "" && (r.bytes != r.p.ContentBytes || hex.EncodeToString(r.hash.Sum(nil)) != r.p.ContentSHA256) {
		return n, corrupt(r.b.name(r.p), "what it holds is not what the manifest says", otherBackup)
	}
	if err != nil && err != io.EOF {
		return n, r.b.broken(r.p, err)
	}
	return n, err
}

// finish reads on to the end: what follows the last thing that was looked for
// has to be as it was, too.
func (r *contentReader) finish() error {
	_, err := io.Copy(io.Discard, r)
	if err != nil {
		return err
	}
	// What the decoder did not need is still part of the file.
	_, err = io.Copy(io.Discard, r.file)
	return err
}

func (r *contentReader) Close() error { return errors.Join(r.content.Close(), r.file.Close()) }
