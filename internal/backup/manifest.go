package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// The names in a backup's place.
const (
	ManifestName = "manifest.json"
	progressName = "progress.json" // only while the backup is being written
)

// Format and Version say how to read a backup. A reader refuses a newer one.
const (
	Format  = "firedrill-backup"
	Version = 2
)

// The kinds of backups.
const (
	KindKV = "kv" // of a KV namespace
	KindD1 = "d1" // of a D1 database
)

// Manifest describes a complete backup. A place without one holds none.
type Manifest struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Kind     string    `json:"kind"`
	Source   Source    `json:"source"`
	Encoding Encoding  `json:"encoding"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Snapshot tells whether everything is of one moment. A namespace has no
	// snapshot: each key is as it was at one moment between Started and
	// Finished, and not all at the same.
	Snapshot bool `json:"snapshot"`

	Keys  int64 `json:"keys,omitempty"`
	Bytes int64 `json:"bytes,omitempty"` // of values
	// Digest is the sum of the digests of all entries, or of all tables with
	// the schema; order is not in it.
	Digest   fingerprint.Sum `json:"digest"`
	Database *Database       `json:"database,omitempty"`

	Parts []Part `json:"parts"`
	// Noted counts what happened to keys while the backup was written, and
	// Notes names the first of each.
	Noted map[What]int64 `json:"noted,omitempty"`
	Notes []Note         `json:"notes,omitempty"`
	// Rechecked is when everything was read a second time and compared; absent:
	// it was not, and a value that changed meanwhile need not have shown.
	Rechecked *time.Time `json:"rechecked,omitempty"`
	Tool      string     `json:"tool"`
}

// Source says what was backed up.
type Source struct {
	API       string `json:"api"`
	Account   string `json:"account"`
	Namespace string `json:"namespace,omitempty"` // id
	Database  string `json:"database,omitempty"`  // id
	Title     string `json:"title,omitempty"`     // of the namespace, or name of the database
}

// What is something that happened to a key while a backup was written.
type What string

// What can happen.
const (
	Vanished What = "vanished" // listed, then not there to be read: not in the backup
	Expired  What = "expired"  // likewise, and its expiration had passed
	Changed  What = "changed"  // what was read last is in the backup
	Appeared What = "appeared" // seen only when everything was read a second time: not in the backup
	Deleted  What = "deleted"  // in the backup, and gone when everything was read a second time
)

// Note names a key to which something happened.
type Note struct {
	Key  string `json:"key"`
	What What   `json:"what"`
}

// mostNotes bounds how many notes of one sort are kept; all are counted.
const mostNotes = 1000

func (m *Manifest) note(key string, what What) {
	if m.Noted == nil {
		m.Noted = map[What]int64{}
	}
	if m.Noted[what]++; m.Noted[what] <= mostNotes {
		m.Notes = append(m.Notes, Note{key, what})
	}
}

// Named gives the keys that are noted for something.
func (m Manifest) Named(what What) []string {
	var keys []string
	for _, n := range m.Notes {
		if n.What == what {
			keys = append(keys, n.Key)
		}
	}
	return keys
}

// Backup is a complete backup, to be read.
type Backup struct {
	Place    Place
	Manifest Manifest
	keys     []age.Identity
}

// Open reads the manifest of a backup. A place without one, or with one of a
// newer version, is refused. keys open what is encrypted.
func Open(ctx context.Context, place Place, keys ...age.Identity) (*Backup, error) {
	b := &Backup{Place: place, keys: keys}
	data, err := readAll(ctx, place, ManifestName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := readAll(ctx, place, progressName); err == nil {
			return nil, corrupt(place.String(), "the backup was not finished", "finish it: give the same backup command again")
		}
		return nil, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindNotFound, Target: place.String(), Detail: "there is no " + ManifestName, Remedy: "name the folder of a backup"}
	case err != nil:
		return nil, storage("read the backup", place.String(), err)
	}
	b.Manifest, err = decodeManifest(data, place.String()+"/"+ManifestName)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// decodeManifest reads a manifest of any version that is known.
func decodeManifest(data []byte, target string) (Manifest, error) {
	var m struct {
		Manifest
		// Version 1 named keys in lists.
		Vanished []string `json:"vanished"`
		Changed  []string `json:"changed"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, corrupt(target, "it is not the JSON expected: "+err.Error(), otherBackup)
	}
	switch {
	case m.Format != Format:
		return Manifest{}, corrupt(target, fmt.Sprintf("its format is %q, not %q", m.Format, Format), "name the folder of a backup")
	case m.Version < 1 || m.Version > Version:
		return Manifest{}, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindUnsupported, Target: target, Detail: fmt.Sprintf("it has version %d, this program reads up to %d", m.Version, Version), Remedy: "use a newer firedrill"}
	case m.Kind != KindKV && m.Kind != KindD1:
		return Manifest{}, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindUnsupported, Target: target, Detail: fmt.Sprintf("it is of kind %q", m.Kind), Remedy: "use a newer firedrill"}
	case m.Kind == KindD1 && m.Database == nil:
		return Manifest{}, corrupt(target, "it describes no database", otherBackup)
	}
	if err := m.Encoding.known(target); err != nil {
		return Manifest{}, err
	}
	seen := map[string]bool{}
	for _, p := range m.Parts {
		if p.File == "" || strings.ContainsAny(p.File, `/\`) || p.File == ManifestName || p.File == ".." {
			return Manifest{}, corrupt(target, fmt.Sprintf("the name %q of a part leads out of the folder", p.File), otherBackup)
		}
		if seen[p.File] {
			return Manifest{}, corrupt(target, fmt.Sprintf("the part %s stands in it twice", p.File), otherBackup)
		}
		seen[p.File] = true
		if p.Bytes < 0 || p.ContentBytes < 0 || p.Keys < 0 || p.Rows < 0 || len(p.Blocks) > 0 && int64(len(p.Blocks)) != (p.Bytes+blockBytes-1)/blockBytes {
			return Manifest{}, corrupt(target, fmt.Sprintf("what it says of the part %s cannot be", p.File), otherBackup)
		}
		if m.Encoding != (Encoding{}) && p.ContentSHA256 == "" {
			return Manifest{}, corrupt(target, fmt.Sprintf("it does not say what the part %s holds when its encoding is undone", p.File), otherBackup)
		}
	}
	for _, k := range m.Vanished {
		m.note(k, Vanished)
	}
	for _, k := range m.Changed {
		m.note(k, Changed)
	}
	return m.Manifest, nil
}

// readAll reads a small file of a place.
func readAll(ctx context.Context, place Place, name string) ([]byte, error) {
	file, err := place.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	return data, errors.Join(err, file.Close())
}

// writeJSON writes a small file of a place.
func writeJSON(ctx context.Context, place Place, name string, x any) error {
	failed := func(err error) error { return storage("write the backup", place.String()+"/"+name, err) }
	data, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		return failed(err)
	}
	file, err := place.Create(ctx, name)
	if err != nil {
		return failed(err)
	}
	if _, err := file.Write(append(data, '\n')); err != nil {
		return failed(errors.Join(err, file.Abort()))
	}
	if err := file.Close(); err != nil {
		return failed(err)
	}
	return nil
}

// progress is what is durable of a backup that is being written. Its manifest
// counts the parts that are complete.
type progress struct {
	Manifest Manifest `json:"manifest"`
	// Page is the cursor of the page on which the last key stands, and Last is
	// that key: the writing goes on behind it.
	Page string `json:"page,omitempty"`
	Last string `json:"last,omitempty"`
}

// storedProgress is progress as it is stored. The checksum is of its meaning. A place that
// is not where the writing stopped would be gone on from without anything to
// notice it by: keys in between would be missing in a backup that verifies.
type storedProgress struct {
	plainProgress
	SHA256 string `json:"sha256"`
}

type plainProgress progress

func (p plainProgress) sum() (string, error) {
	data, err := json.Marshal(p)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}

// MarshalJSON implements json.Marshaler.
func (p progress) MarshalJSON() ([]byte, error) {
	sum, err := plainProgress(p).sum()
	if err != nil {
		return nil, err
	}
	return json.Marshal(storedProgress{plainProgress(p), sum})
}

// UnmarshalJSON implements json.Unmarshaler, and refuses what is not as it was
// written.
func (p *progress) UnmarshalJSON(data []byte) error {
	var n storedProgress
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	sum, err := n.sum()
	if err == nil && sum != n.SHA256 {
		err = errors.New("its checksum is not the one it names")
	}
	*p = progress(n.plainProgress)
	return err
}

// begin takes a place for a backup: an empty one, or one in which this backup was
// cut off. Parts that were complete are kept if they are as they were written.
func begin(ctx context.Context, place Place, fresh Manifest) (progress, error) {
	p := progress{Manifest: fresh}
	names, err := place.Names(ctx)
	if err != nil {
		return p, storage("write the backup", place.String(), err)
	}
	switch {
	case slices.Contains(names, ManifestName):
		return p, refuse(place, "there is a complete backup in it")
	case len(names) == 0:
		return p, writeJSON(ctx, place, progressName, p)
	case !slices.Contains(names, progressName):
		return p, refuse(place, "it is not empty")
	}
	old, err := readProgress(ctx, place)
	if err != nil {
		return p, err
	}
	if err := old.Manifest.same(place, fresh); err != nil {
		return p, err
	}
	return old, old.Manifest.whole(ctx, place)
}

// refuse is the error of a place that is not for this backup.
func refuse(place Place, detail string) error {
	return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindConflict, Target: place.String(), Detail: detail, Remedy: "name another folder"}
}

func readProgress(ctx context.Context, place Place) (progress, error) {
	data, err := readAll(ctx, place, progressName)
	if err != nil {
		return progress{}, storage("write the backup", place.String(), err)
	}
	var p progress
	if err := json.Unmarshal(data, &p); err != nil || p.Manifest.Version != Version {
		return progress{}, refuse(place, "what was begun in it cannot be read")
	}
	return p, nil
}

// same refuses to go on with a backup of something else, or one that is stored in
// another way.
func (m Manifest) same(place Place, fresh Manifest) error {
	switch {
	case m.Source != fresh.Source || m.Kind != fresh.Kind:
		return refuse(place, "a backup of something else was begun in it: "+m.Source.Title)
	case m.Encoding != fresh.Encoding:
		return refuse(place, "a backup was begun in it that is stored in another way (compression, encryption)")
	}
	return nil
}

// whole tells whether the parts that were written are still as they were.
func (m Manifest) whole(ctx context.Context, place Place) error {
	begun := &Backup{Place: place, Manifest: m}
	for _, part := range m.Parts {
		err := begun.checkWhole(ctx, part)
		if firedrill.KindOf(err) == firedrill.KindCorrupt {
			return &firedrill.Error{Op: "write the backup", Kind: firedrill.KindCorrupt, Target: begun.name(part), Detail: "what was begun is damaged", Err: err, Remedy: "begin again in another folder"}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finished looks for a backup that was cut off between its manifest and the end:
// it is complete but for the note of its progress, and the same command ends it.
func finished(ctx context.Context, place Place, fresh Manifest) (Manifest, bool, error) {
	names, err := place.Names(ctx)
	if err != nil {
		return Manifest{}, false, storage("write the backup", place.String(), err)
	}
	if !slices.Contains(names, ManifestName) || !slices.Contains(names, progressName) {
		return Manifest{}, false, nil
	}
	b, err := Open(ctx, place)
	if err == nil {
		err = b.Manifest.same(place, fresh)
	}
	if err == nil {
		err = b.Manifest.whole(ctx, place)
	}
	if err != nil {
		return Manifest{}, false, err
	}
	if err := place.Remove(ctx, progressName); err != nil {
		return Manifest{}, false, storage("write the backup", place.String(), err)
	}
	return b.Manifest, true, nil
}

// tidy removes parts that were written and never counted, because the writing was
// cut off in between and then came to an end without them. Whoever takes the files
// of a backup as they are must not find what is not in it.
func tidy(ctx context.Context, place Place, m Manifest) error {
	names, err := place.Names(ctx)
	if err != nil {
		return storage("write the backup", place.String(), err)
	}
	for _, name := range names {
		counted := slices.ContainsFunc(m.Parts, func(p Part) bool { return p.File == name })
		if counted || !strings.HasPrefix(name, m.Kind+"-") {
			continue
		}
		if err := place.Remove(ctx, name); err != nil {
			return storage("write the backup", place.String()+"/"+name, err)
		}
	}
	return nil
}

// complete writes the manifest: from then on there is a backup.
func complete(ctx context.Context, place Place, m Manifest) error {
	if err := writeJSON(ctx, place, ManifestName, m); err != nil {
		return err
	}
	if err := place.Remove(ctx, progressName); err != nil {
		return storage("write the backup", place.String(), err)
	}
	return nil
}
