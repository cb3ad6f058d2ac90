package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// WriteOptions say how a backup is written.
type WriteOptions struct {
	Source Source
	Tool   string // name and version of the program
	Now    func() time.Time
	// Progress is told after each part; nil: nobody.
	Progress func(keys, bytes int64)
	// MaxPairs and MaxPartBytes bound a part; 0: those of one bulk write.
	MaxPairs, MaxPartBytes int
}

// progress is what is durable of a backup that is being written. Its manifest
// counts the parts that are complete.
type progress struct {
	Manifest Manifest `json:"manifest"`
	// Page is the cursor of the page on which the last key stands, and Last is
	// that key: the writing goes on behind it.
	Page string `json:"page"`
	Last string `json:"last"`
}

// WriteKV backs up a namespace into a folder. A backup that was cut off is gone
// on with: its complete parts are kept, if they are as they were written.
func WriteKV(ctx context.Context, src KVSource, dir string, o WriteOptions) (Manifest, error) {
	if o.MaxPairs == 0 {
		o.MaxPairs = MaxPairs
	}
	if o.MaxPartBytes == 0 {
		o.MaxPartBytes = MaxPartBytes
	}
	p, err := begin(dir, o)
	if err != nil {
		return Manifest{}, err
	}
	w := &writer{dir: dir, o: o, p: p}
	if err := walk(ctx, src, p.Page, p.Last, w.add); err != nil {
		return Manifest{}, errors.Join(err, w.drop())
	}
	if err := w.finish(); err != nil {
		return Manifest{}, err
	}
	m := w.p.Manifest
	m.Finished = o.Now().UTC()
	if err := writeJSON(filepath.Join(dir, ManifestName), m); err != nil {
		return Manifest{}, err
	}
	if err := os.Remove(filepath.Join(dir, progressName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, storage("write the backup", dir, err)
	}
	return m, nil
}

// begin opens the folder: an empty one, or one in which this backup was cut off.
func begin(dir string, o WriteOptions) (progress, error) {
	p := progress{Manifest: Manifest{Format: Format, Version: Version, Kind: KindKV, Source: o.Source, Started: o.Now().UTC(), Tool: o.Tool, Parts: []Part{}}}
	refuse := func(detail string) (progress, error) {
		return p, &firedrill.Error{Op: "write the backup", Kind: firedrill.KindConflict, Target: dir, Detail: detail, Remedy: "name another folder"}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, storage("write the backup", dir, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return p, storage("write the backup", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ManifestName)); err == nil {
		return refuse("there is a complete backup in it")
	}
	data, err := os.ReadFile(filepath.Join(dir, progressName))
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(files) > 0:
		return refuse("the folder is not empty")
	case errors.Is(err, fs.ErrNotExist):
		return p, writeJSON(filepath.Join(dir, progressName), p)
	case err != nil:
		return p, storage("write the backup", dir, err)
	}
	var old progress
	if err := json.Unmarshal(data, &old); err != nil || old.Manifest.Version != Version {
		return refuse("what was begun in it cannot be read")
	}
	if old.Manifest.Source != o.Source {
		return refuse("a backup of another namespace was begun in it")
	}
	for _, part := range old.Manifest.Parts {
		if err := checkFile(dir, part); err != nil {
			return p, err
		}
	}
	return old, nil
}

// writer cuts entries into parts.
type writer struct {
	dir string
	o   WriteOptions
	p   progress

	part   Part
	digest fingerprint.Sum // of the part
	values int64           // bytes
	file   *os.File
	out    *bufio.Writer
	hash   hash.Hash
	page   string
	// What was noted since the last complete part.
	vanished, changed []string
}

func (w *writer) add(b *batch) error {
	for _, e := range b.entries {
		data, err := e.encode()
		if err != nil {
			return err
		}
		if w.file != nil && (w.part.Keys >= w.o.MaxPairs || w.part.Bytes+int64(len(data))+4 > int64(w.o.MaxPartBytes)) {
			if err := w.finish(); err != nil {
				return err
			}
		}
		if err := w.write(e, data); err != nil {
			return storage("write the backup", w.dir, err)
		}
		w.page = b.page
	}
	w.vanished = append(w.vanished, b.vanished...)
	w.changed = append(w.changed, b.changed...)
	return nil
}

func (w *writer) write(e Entry, data []byte) error {
	if w.file == nil {
		name := fmt.Sprintf("kv-%05d.json", len(w.p.Manifest.Parts)+1)
		f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		w.file, w.hash = f, sha256.New()
		w.out = bufio.NewWriterSize(io.MultiWriter(f, w.hash), 1<<20)
		w.part, w.digest, w.values = Part{File: name, First: e.Key}, fingerprint.Sum{}, 0
	}
	separator := ",\n"
	if w.part.Keys == 0 {
		separator = "[\n"
	}
	for _, piece := range [][]byte{[]byte(separator), data} {
		n, err := w.out.Write(piece)
		if err != nil {
			return err
		}
		w.part.Bytes += int64(n)
	}
	sum, err := e.digest()
	if err != nil {
		return err
	}
	w.digest = w.digest.Add(sum)
	w.values += int64(len(e.Value))
	w.part.Keys++
	w.part.Last = e.Key
	return nil
}

// finish makes the part that is being written durable, and notes it.
func (w *writer) finish() error {
	m := &w.p.Manifest
	if w.file != nil {
		n, err := w.out.WriteString("\n]\n")
		w.part.Bytes += int64(n)
		err = errors.Join(err, w.out.Flush(), w.file.Sync(), w.file.Close(), syncFolder(w.dir))
		w.file = nil
		if err != nil {
			return storage("write the backup", w.dir, err)
		}
		w.part.SHA256 = hex.EncodeToString(w.hash.Sum(nil))
		m.Parts = append(m.Parts, w.part)
		m.Keys += int64(w.part.Keys)
		m.Bytes += w.values
		m.Digest = m.Digest.Add(w.digest)
		w.p.Page, w.p.Last = w.page, w.part.Last
	}
	m.Vanished, m.Changed = append(m.Vanished, w.vanished...), append(m.Changed, w.changed...)
	w.vanished, w.changed = nil, nil
	if err := writeJSON(filepath.Join(w.dir, progressName), w.p); err != nil {
		return err
	}
	if w.o.Progress != nil {
		w.o.Progress(m.Keys, m.Bytes)
	}
	return nil
}

// drop gives up the part that is being written.
func (w *writer) drop() error {
	if w.file == nil {
		return nil
	}
	name := w.file.Name()
	return errors.Join(w.file.Close(), os.Remove(name))
}
