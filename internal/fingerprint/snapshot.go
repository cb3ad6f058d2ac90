package fingerprint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Format is the version of the file format of a [Snapshot].
const Format = 1

// Snapshot is the fingerprint of a database at one moment.
type Snapshot struct {
	Format   int      `json:"format"`
	Database string   `json:"database"` // its id
	Bookmark string   `json:"bookmark"` // the moment
	Tables   []Table  `json:"tables"`   // sorted by name
	Objects  []Object `json:"objects"`  // sorted by type and name
}

// Object is an entry of the schema: a table, an index, a view, a trigger.
type Object struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Table  string `json:"table"`
	Digest Sum    `json:"digest"` // of its definition
}

// String names the object for people: "index users_email".
func (o Object) String() string { return o.Type + " " + o.Name }

// NewSnapshot puts tables and objects in order.
func NewSnapshot(database, bookmark string, tables []Table, objects []Object) Snapshot {
	slices.SortFunc(tables, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(objects, compareObjects)
	return Snapshot{Format: Format, Database: database, Bookmark: bookmark, Tables: tables, Objects: objects}
}

func compareObjects(a, b Object) int {
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// Rows counts the rows of all tables.
func (s Snapshot) Rows() int64 {
	var n int64
	for _, t := range s.Tables {
		n += t.Rows
	}
	return n
}

// Digest is one hash for schema and rows; the moment is not part of it.
func (s Snapshot) Digest() Sum {
	var texts []string
	for _, t := range s.Tables {
		texts = append(texts, "table", t.Name, strconv.FormatInt(t.Rows, 10), t.Digest.String())
		texts = append(texts, t.Columns...)
	}
	for _, o := range s.Objects {
		texts = append(texts, "object", o.Type, o.Name, o.Table, o.Digest.String())
	}
	return HashText(texts...)
}

// Encode writes the snapshot as a file.
func (s Snapshot) Encode() ([]byte, error) {
	return json.Marshal(struct {
		Snapshot
		Digest Sum `json:"digest"`
	}{s, s.Digest()})
}

// Decode reads what [Snapshot.Encode] wrote. A file of a newer format, one
// that was cut or edited, or one that does not agree with itself is an error.
func Decode(data []byte) (Snapshot, error) {
	var file struct {
		Snapshot
		Digest *Sum `json:"digest"`
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Snapshot{}, fmt.Errorf("the fingerprint cannot be read: %w", err)
	}
	if version.Format != Format {
		return Snapshot{}, fmt.Errorf("the fingerprint has format %d, this firedrill reads format %d", version.Format, Format)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return Snapshot{}, fmt.Errorf("the fingerprint cannot be read: %w", err)
	}
	if file.Digest == nil || *file.Digest != file.Snapshot.Digest() {
		return Snapshot{}, fmt.Errorf("the fingerprint does not agree with its own digest: the file was changed")
	}
	for _, t := range file.Tables {
		if err := t.Verify(); err != nil {
			return Snapshot{}, err
		}
	}
	return file.Snapshot, nil
}
