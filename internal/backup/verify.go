package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"firedrill/internal/fingerprint"
)

// Verify reads a backup from its first byte to its last, offline, and refuses
// one in which anything is not as the manifest says: it names the part and the
// offset.
func Verify(ctx context.Context, dir string) (Manifest, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return m, err
	}
	var t tally
	if err := readEntries(ctx, dir, m, func(_ Part, e Entry) error { return t.add(e) }); err != nil {
		return m, err
	}
	return m, t.compare(dir, m)
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

func (t *tally) compare(dir string, m Manifest) error {
	const remedy = "use another backup"
	switch {
	case t.keys != m.Keys || t.bytes != m.Bytes:
		return corrupt(dir, fmt.Sprintf("the parts hold %d keys and %d bytes, the manifest says %d and %d", t.keys, t.bytes, m.Keys, m.Bytes), remedy)
	case t.digest != m.Digest:
		return corrupt(dir, "the digest of the entries is not the manifest's", remedy)
	}
	return nil
}

// checkFile compares a part's size and checksum.
func checkFile(dir string, p Part) error {
	path := filepath.Join(dir, p.File)
	f, err := os.Open(path)
	if err != nil {
		return corrupt(path, "the part cannot be read: "+err.Error(), "use another backup")
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return corrupt(path, "the part cannot be read: "+err.Error(), "use another backup")
	}
	if n != p.Bytes {
		return corrupt(path, fmt.Sprintf("the part has %d bytes, the manifest says %d", n, p.Bytes), "use another backup")
	}
	if hex.EncodeToString(h.Sum(nil)) != p.SHA256 {
		// Where it is broken is told by reading it, if it shows there.
		detail := "the checksum of the part is not the manifest's"
		if err := readPart(path, p, func(Entry) error { return nil }); err != nil {
			detail += "; " + err.Error()
		}
		return corrupt(path, detail, "use another backup")
	}
	return nil
}

// readEntries hands on all entries in the order of their keys, after each part's
// checksum was found right.
func readEntries(ctx context.Context, dir string, m Manifest, visit func(Part, Entry) error) error {
	last := ""
	for i, p := range m.Parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := checkFile(dir, p); err != nil {
			return err
		}
		path := filepath.Join(dir, p.File)
		if i > 0 && p.First <= last {
			return corrupt(path, "its first key does not come after the part before", "use another backup")
		}
		last = p.Last
		if err := readPart(path, p, func(e Entry) error { return visit(p, e) }); err != nil {
			return corrupt(path, err.Error(), "use another backup")
		}
	}
	return nil
}

// readPart parses a part, and checks what the manifest says of it.
func readPart(path string, p Part, visit func(Entry) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	dec := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
	dec.DisallowUnknownFields()
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return errors.New("at offset 0: not a JSON array")
	}
	n, last := 0, ""
	for dec.More() {
		at := dec.InputOffset()
		e, err := decodePair(dec)
		if err != nil {
			return fmt.Errorf("pair %d at offset %d: %w", n, at, err)
		}
		if n == 0 && e.Key != p.First || n > 0 && e.Key <= last {
			return fmt.Errorf("pair %d at offset %d: key %s is out of order", n, at, quote(e.Key))
		}
		last = e.Key
		n++
		if err := visit(e); err != nil {
			return err
		}
	}
	if t, err := dec.Token(); err != nil || t != json.Delim(']') {
		return fmt.Errorf("at offset %d: the array is cut off", dec.InputOffset())
	}
	if n != p.Keys || last != p.Last {
		return fmt.Errorf("it ends with key %s after %d pairs, the manifest says %s and %d", quote(last), n, quote(p.Last), p.Keys)
	}
	return nil
}
