package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"filippo.io/age"

	"firedrill/internal/fingerprint"
)

// WriteOptions say how a backup is written.
type WriteOptions struct {
	Source Source
	Tool   string // name and version of the program
	Now    func() time.Time
	Seal   Seal
	// Recheck reads the whole namespace a second time and notes every key that
	// is not as it was read first. Keys open what was encrypted for that.
	Recheck bool
	Keys    []age.Identity
	// Progress is told after each part; nil: nobody.
	Progress func(keys, bytes int64)
	// MaxPairs and MaxPartBytes bound the content of a part; 0: those of one bulk
	// write, or of one import.
	MaxPairs     int
	MaxPartBytes int64
}

// WriteKV backs up a namespace. A backup that was cut off is gone on with: its
// complete parts are kept, if they are as they were written.
func WriteKV(ctx context.Context, src KVSource, place Place, o WriteOptions) (Manifest, error) {
	if o.MaxPairs == 0 {
		o.MaxPairs = MaxPairs
	}
	if o.MaxPartBytes == 0 {
		o.MaxPartBytes = MaxPartBytes
	}
	fresh := Manifest{Format: Format, Version: Version, Kind: KindKV, Source: o.Source, Encoding: o.Seal.encoding(), Started: o.Now().UTC(), Tool: o.Tool, Parts: []Part{}}
	m, done, err := finished(ctx, place, fresh)
	if err != nil || done && (m.Rechecked != nil || !o.Recheck) {
		return m, err
	}
	p, err := begin(ctx, place, fresh)
	if err != nil {
		return Manifest{}, err
	}
	w := &kvWriter{ctx: ctx, place: place, o: o, p: p}
	if err := walk(ctx, src, o.Now, p.Page, p.Last, visitor{entry: w.add, note: w.note}); err != nil {
		return Manifest{}, errors.Join(err, w.drop())
	}
	if err := w.finish(); err != nil {
		return Manifest{}, err
	}
	m = w.p.Manifest
	if o.Recheck {
		if err := recheck(ctx, src, place, &m, o); err != nil {
			return Manifest{}, err
		}
	}
	m.Finished = o.Now().UTC()
	if err := tidy(ctx, place, m); err != nil {
		return Manifest{}, err
	}
	return m, complete(ctx, place, m)
}

// kvWriter cuts entries into parts.
type kvWriter struct {
	ctx   context.Context // of the writing as a whole
	place Place
	o     WriteOptions
	p     progress

	out    *partWriter // nil: no part is being written
	keys   int         // in it
	first  string
	last   string
	digest fingerprint.Sum
	values int64 // bytes
	page   string
	text   bytes.Buffer // an entry, encoded
	noted  []Note       // since the last complete part
}

func (w *kvWriter) note(key string, what What) { w.noted = append(w.noted, Note{key, what}) }

func (w *kvWriter) add(e Entry, page string) error {
	w.text.Reset()
	if err := e.encode(&w.text); err != nil {
		return err
	}
	if w.out != nil && (w.keys >= w.o.MaxPairs || w.out.bytes+int64(w.text.Len())+4 > w.o.MaxPartBytes) {
		if err := w.finish(); err != nil {
			return err
		}
	}
	if err := w.write(e); err != nil {
		return storage("write the backup", w.place.String(), err)
	}
	w.page = page
	return nil
}

func (w *kvWriter) write(e Entry) error {
	separator := ",\n"
	if w.out == nil {
		out, err := newPart(w.ctx, w.place, fmt.Sprintf("kv-%05d.json", len(w.p.Manifest.Parts)+1), w.o.Seal)
		if err != nil {
			return err
		}
		w.out, w.keys, w.first, w.digest, w.values = out, 0, e.Key, fingerprint.Sum{}, 0
		separator = "[\n"
	}
	for _, piece := range [][]byte{[]byte(separator), w.text.Bytes()} {
		if _, err := w.out.Write(piece); err != nil {
			return err
		}
	}
	sum, err := e.digest()
	if err != nil {
		return err
	}
	w.digest = w.digest.Add(sum)
	w.values += int64(len(e.Value))
	w.keys++
	w.last = e.Key
	return nil
}

// finish makes the part that is being written durable, and notes it.
func (w *kvWriter) finish() error {
	m := &w.p.Manifest
	if w.out != nil {
		out := w.out
		w.out = nil
		if _, err := out.Write([]byte("\n]\n")); err != nil {
			return storage("write the backup", w.place.String(), errors.Join(err, out.Abort()))
		}
		part, err := out.Close()
		if err != nil {
			return storage("write the backup", w.place.String(), err)
		}
		part.Keys = w.keys
		if m.Encoding.Encryption == "" {
			part.First, part.Last = w.first, w.last
		}
		m.Parts = append(m.Parts, part)
		m.Keys += int64(w.keys)
		m.Bytes += w.values
		m.Digest = m.Digest.Add(w.digest)
		w.p.Page, w.p.Last = w.page, w.last
	}
	for _, n := range w.noted {
		m.note(n.Key, n.What)
	}
	w.noted = nil
	if err := writeJSON(w.ctx, w.place, progressName, w.p); err != nil {
		return err
	}
	if w.o.Progress != nil {
		w.o.Progress(m.Keys, m.Bytes)
	}
	return nil
}

// drop gives up the part that is being written.
func (w *kvWriter) drop() error {
	if w.out == nil {
		return nil
	}
	return w.out.Abort()
}

// recheck reads a namespace again, compares it with what was written, and notes
// what differs.
func recheck(ctx context.Context, src KVSource, place Place, m *Manifest, o WriteOptions) error {
	written := &Backup{Place: place, Manifest: *m, keys: o.Keys}
	err := written.compareKV(ctx, src, CompareOptions{Now: o.Now}, func(d KeyDifference) {
		what := Changed
		switch d.How {
		case missing:
			what = Deleted
		case stranger:
			what = Appeared
		}
		m.note(d.Key, what)
	}, &Difference{})
	now := o.Now().UTC()
	m.Rechecked = &now
	return err
}
