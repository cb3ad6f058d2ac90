// Package salvage holds the choice that a person makes after a disaster: of each row
// that is not as it was at the good moment, whether it is to be as it was then or to
// stay as it is now.
//
// A choice begins as a list, which [Rules] fill in and a person may edit, one JSON
// line per row. It names a row by an id that follows from what the row was and is,
// so a choice never counts for a row that somebody has changed since it was listed.
package salvage

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Format and Version are how a file of choices begins.
const (
	Format  = "salvage"
	Version = 1
)

// How a row differs, seen from the good moment.
const (
	Gone    = "gone"    // it was there then
	Changed = "changed" // it is another one now
	New     = "new"     // it is there now
)

// What becomes of a row.
const (
	Then = "then" // as at the good moment: it comes back, changes back, or goes
	Now  = "now"  // as it is
)

// Header is the first line: what the choices are about.
type Header struct {
	Format      string `json:"firedrill"`
	Version     int    `json:"version"`
	Run         string `json:"run"` // that listed the rows
	Drill       string `json:"drill"`
	Environment string `json:"environment"`
	Database    string `json:"database"` // its id
	Name        string `json:"name"`
	Then        string `json:"then"` // the good moment, as a bookmark
	Now         string `json:"now"`  // the moment of the list
}

// Row is a row that differs, or a table whose rows cannot be chosen.
type Row struct {
	Take  string `json:"take"`
	Table string `json:"table"`
	Key   string `json:"key,omitempty"` // for people; parts that the plan hides are "[redacted]"
	How   string `json:"how,omitempty"`
	// Columns are those that differ, for people: long values are cut, hidden ones redacted.
	Columns []Column `json:"columns,omitempty"`
	ID      string   `json:"id,omitempty"` // what counts
	// Refused says why the rows of a table cannot be chosen. Take has to say "now" before
	// anything is applied: they all stay.
	Refused string `json:"refused,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// Column is a column of a row, then and now. One that is not there is empty.
type Column struct {
	Column string `json:"column"`
	Then   string `json:"then"`
	Now    string `json:"now"`
}

// Write writes the header or a row as one line.
func Write(w io.Writer, line any) error {
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// longest is how long a line may be.
const longest = 16 << 20

// Read reads a file of choices and shows its rows to visit, in their order. What is
// no choice, or is made twice, is an error that names the line.
func Read(r io.Reader, visit func(Row) error) (Header, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	var h Header
	ids, tables := map[string]bool{}, map[string]bool{}
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if n == 1 {
			if err := decode(line, &h); err != nil || h.Format != Format {
				return Header{}, fmt.Errorf("line 1 does not begin a file of choices")
			}
			if h.Version != Version {
				return Header{}, fmt.Errorf("the choices have version %d, this firedrill reads version %d", h.Version, Version)
			}
			continue
		}
		if len(line) == 0 {
			continue
		}
		var row Row
		err := decode(line, &row)
		if err == nil {
			err = row.valid(ids, tables)
		}
		if err != nil {
			return Header{}, fmt.Errorf("line %d: %w", n, err)
		}
		if err := visit(row); err != nil {
			return Header{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return Header{}, fmt.Errorf("line %d: %w", n+1, err)
	}
	if n == 0 {
		return Header{}, fmt.Errorf("it is empty")
	}
	return h, nil
}

func decode(line []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.More() {
		return fmt.Errorf("more than one choice in a line")
	}
	return nil
}

// valid refuses a row that says nothing, or says it again.
func (r Row) valid(ids, tables map[string]bool) error {
	known, name := ids, r.ID
	if r.Refused != "" {
		known, name = tables, r.Table
	}
	switch {
	case r.Take != Then && r.Take != Now && (r.Refused == "" || r.Take != ""):
		return fmt.Errorf(`take is %q; write "then" or "now"`, r.Take)
	case r.Refused != "" && r.Take == Then:
		return fmt.Errorf("rows of table %s cannot be as they were then: %s", r.Table, r.Refused)
	case name == "":
		return fmt.Errorf("it names no row")
	case known[name]:
		return fmt.Errorf("it is the second choice for one row: table %s %s", r.Table, r.Key)
	}
	known[name] = true
	return nil
}
