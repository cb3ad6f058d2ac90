package backup

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"firedrill/internal/fingerprint"
)

// Verify reads a backup from its first byte to its last, without its source, and
// refuses one in which anything is not as the manifest says: it names the part
// and the offset.
func (b *Backup) Verify(ctx context.Context) error {
	if b.Manifest.Kind == KindD1 {
		return b.verifyD1(ctx)
	}
	var t tally
	if err := b.entries(ctx, func(_ Part, e Entry) error { return t.add(e) }); err != nil {
		return err
	}
	return t.compare(b)
}

// VerifyStored compares size and checksum of every part as it is stored. It needs
// no key, and says nothing about what encrypted parts hold.
func (b *Backup) VerifyStored(ctx context.Context) error {
	for _, p := range b.Manifest.Parts {
		file, err := b.stored(ctx, p)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// tally adds up entries, to be compared with a manifest.
type tally struct {
	digest      fingerprint.Sum
	keys, bytes int64
}

func (t *tally) add(e Entry) error {
	sum, err := e.digest()
	t.digest = t.digest.Add(sum)
	t.keys++
	t.bytes += int64(len(e.Value))
	return err
}

func (t *tally) compare(b *Backup) error {
	m := b.Manifest
	switch {
	case t.keys != m.Keys || t.bytes != m.Bytes:
		return corrupt(b.Place.String(), fmt.Sprintf("the parts hold %d keys and %d bytes, the manifest says %d and %d", t.keys, t.bytes, m.Keys, m.Bytes), otherBackup)
	case t.digest != m.Digest:
		return corrupt(b.Place.String(), "the digest of the entries is not the manifest's", otherBackup)
	}
	return nil
}

// Entries hands on all entries of a backup in the order of their keys. Each byte
// is verified before it is handed on; that all of them came is known when the
// error is nil.
func (b *Backup) Entries(ctx context.Context, visit func(Entry) error) error {
	return b.entries(ctx, func(_ Part, e Entry) error { return visit(e) })
}

func (b *Backup) entries(ctx context.Context, visit func(Part, Entry) error) error {
	if err := b.is(KindKV); err != nil {
		return err
	}
	last := ""
	for i, p := range b.Manifest.Parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := b.part(ctx, p, func(e Entry) error {
			if (i > 0 || last != "") && e.Key <= last {
				return fmt.Errorf("key %s is out of order", quote(e.Key))
			}
			last = e.Key
			return visit(p, e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// part hands on the entries of one part.
func (b *Backup) part(ctx context.Context, p Part, visit func(Entry) error) error {
	r, err := b.open(ctx, p)
	if err != nil {
		return err
	}
	content, ok := r.(*contentReader)
	err = readPairs(r, p, visit)
	if err == nil && ok {
		err = content.finish()
	}
	if err := errors.Join(b.broken(p, err), r.Close()); err != nil {
		return err
	}
	return nil
}

// readPairs parses the content of a part, and checks what the manifest says of it.
func readPairs(r io.Reader, p Part, visit func(Entry) error) error {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 256<<10))
	dec.DisallowUnknownFields()
	// at tells where something was wrong, unless the reading itself failed.
	at := func(n int, offset int64, err error) error {
		var syntax *json.SyntaxError
		var shape *json.UnmarshalTypeError
		if errors.As(err, &syntax) || errors.As(err, &shape) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("pair %d at offset %d: %w", n, offset, err)
		}
		return err
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return at(0, 0, err)
	}
	n, last := 0, ""
	for dec.More() {
		offset := dec.InputOffset()
		e, err := decodePair(dec)
		if err != nil {
			return at(n, offset, err)
		}
		if n == 0 && p.First != "" && e.Key != p.First || n > 0 && e.Key <= last {
			return fmt.Errorf("pair %d at offset %d: key %s is out of order", n, offset, quote(e.Key))
		}
		last = e.Key
		n++
		if err := visit(e); err != nil {
			return err
		}
	}
	if t, err := dec.Token(); err != nil || t != json.Delim(']') {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return at(n, dec.InputOffset(), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("something follows the array")
		}
		return at(n, dec.InputOffset(), err)
	}
	if n != p.Keys || p.Last != "" && last != p.Last {
		return fmt.Errorf("it ends with key %s after %d pairs, the manifest says %s and %d", quote(last), n, quote(p.Last), p.Keys)
	}
	return nil
}
