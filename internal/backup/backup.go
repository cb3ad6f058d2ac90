// Package backup writes, checks and restores portable backups.
//
// A backup is a folder, or a prefix in a bucket: parts, and a manifest that is
// written last. The parts of a KV namespace are JSON arrays that the bulk-write
// API and `wrangler kv bulk put` take as they are; those of a D1 database are SQL
// for `sqlite3` and `wrangler d1 execute --file`. So a backup can be restored
// without this program. docs/formats/backup.md describes every field.
//
// The package knows no provider: what it reads from and writes to are small
// interfaces that others implement.
package backup

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// The bounds of a part: those of one call of the platform's bulk write.
const (
	MaxPairs     = 10_000
	MaxPartBytes = 95 << 20 // below 100 MB with room for what a call adds
)

// Entry is one key with what is stored under it.
type Entry struct {
	Key      string
	Value    []byte
	Metadata json.RawMessage // nil: none
	// Expiration is in seconds since 1970; 0: never.
	Expiration int64
}

// pair is an entry as a part holds it: an element of a bulk write.
type pair struct {
	Key        string          `json:"key"`
	Value      string          `json:"value"`
	Base64     bool            `json:"base64,omitempty"`
	Expiration int64           `json:"expiration,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

// encode writes an entry into b as an element of a bulk write. A value that is
// not UTF-8 goes as base64.
func (e Entry) encode(b *bytes.Buffer) error {
	p := pair{Key: e.Key, Expiration: e.Expiration, Metadata: e.Metadata, Base64: !utf8.Valid(e.Value)}
	if !p.Base64 {
		p.Value = string(e.Value)
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // what is text stays readable
	at := b.Len()
	if err := enc.Encode(p); err != nil {
		return fmt.Errorf("encode key %q: %w", e.Key, err)
	}
	b.Truncate(b.Len() - 1) // the line's end
	if !p.Base64 {
		return nil
	}
	// A value may be large, so it is put into its place without a copy in between.
	// The first empty value is it: in a key the quotes are escaped.
	const empty = `"value":"`
	hole := at + bytes.Index(b.Bytes()[at:], []byte(empty+`"`)) + len(empty)
	tail := bytes.Clone(b.Bytes()[hole:])
	b.Truncate(hole)
	b.Grow(base64.StdEncoding.EncodedLen(len(e.Value)) + len(tail))
	b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), e.Value))
	b.Write(tail)
	return nil
}

// decodePair reads an element of a bulk write. Whatever it does not know is an
// error: to pass over it could lose something.
func decodePair(dec *json.Decoder) (Entry, error) {
	var p struct {
		Key        *string         `json:"key"`
		Value      *string         `json:"value"`
		Base64     bool            `json:"base64"`
		Expiration int64           `json:"expiration"`
		Metadata   json.RawMessage `json:"metadata"`
	}
	if err := dec.Decode(&p); err != nil {
		return Entry{}, err
	}
	if p.Key == nil || p.Value == nil || *p.Key == "" {
		return Entry{}, fmt.Errorf("a pair has no key or no value")
	}
	e := Entry{Key: *p.Key, Value: []byte(*p.Value), Expiration: p.Expiration, Metadata: p.Metadata}
	if p.Base64 {
		data, err := base64.StdEncoding.DecodeString(*p.Value)
		if err != nil {
			return Entry{}, fmt.Errorf("the value of key %q is not base64", e.Key)
		}
		e.Value = data
	}
	return e, nil
}

// digest is what an entry adds to the digest of a namespace. Metadata counts by
// its meaning: the order of an object's members does not.
func (e Entry) digest() (fingerprint.Sum, error) {
	metadata, err := canonical(e.Metadata)
	if err != nil {
		return fingerprint.Sum{}, fmt.Errorf("the metadata of key %q: %w", e.Key, err)
	}
	return fingerprint.HashText(e.Key, string(e.Value), metadata, fmt.Sprint(e.Expiration)), nil
}

// canonical writes JSON in one form for one meaning: members sorted, numbers as
// they were written.
func canonical(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", err
	}
	data, err := json.Marshal(v)
	return string(data), err
}

func corrupt(target, detail, remedy string) error {
	return &firedrill.Error{Op: "read the backup", Kind: firedrill.KindCorrupt, Target: target, Detail: detail, Remedy: remedy}
}

// otherBackup is the remedy for a backup that is damaged.
const otherBackup = "use another backup"

// storage is the error of a place that failed; one that says itself what to do is
// left as it is.
func storage(op, target string, err error) error {
	var own *firedrill.Error
	if errors.As(err, &own) {
		return err
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: target, Err: err, Remedy: "free the place, or name another folder"}
}
