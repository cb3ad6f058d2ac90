package http

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// records is what an export gave. The order in which records came, and that of
// their fields, do not count; every value does, exactly as it is written.
type records struct {
	Name    string   `json:"name"`
	Records []record `json:"records"`

	byKey map[string]int
}

// record is one record of an export. The values themselves are not kept.
type record struct {
	Key    string  `json:"k"` // as it is written (7 is not "7"), or a hash where it is not to be shown
	Hash   string  `json:"h"` // SHA-256 over all fields
	Fields []shown `json:"f"` // in the order of their names
}

// shown is a field as a difference names it.
type shown struct {
	Name string `json:"n"`
	Hash string `json:"h"` // the first 8 bytes of the SHA-256 of its value
	Text string `json:"t"` // its value cut short, or that it is not shown
}

// maxShown is how many characters of a value are shown.
const maxShown = 32

// record takes one record.
func (r *records) record(e Export, raw json.RawMessage) error {
	fields, err := members(raw)
	if err != nil {
		return fmt.Errorf("record %d: %w", len(r.Records)+1, err)
	}
	slices.SortFunc(fields, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	var out record
	whole := sha256.New()
	fold := func(text []byte) {
		whole.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		whole.Write(text)
	}
	for _, f := range fields {
		value, err := canonical(f.raw, 0)
		if err != nil {
			return fmt.Errorf("record %d, field %q: %w", len(r.Records)+1, f.name, err)
		}
		fold([]byte(f.name))
		fold(value)
		sum := sha256.Sum256(value)
		out.Fields = append(out.Fields, shown{f.name, hex.EncodeToString(sum[:8]), show(value, slices.Contains(e.Redact, f.name))})
		if f.name == e.Key {
			out.Key = string(value)
		}
	}
	out.Hash = hex.EncodeToString(whole.Sum(nil))
	switch {
	case out.Key == "":
		return fmt.Errorf("record %d has no %q", len(r.Records)+1, e.Key)
	case !strings.ContainsAny(out.Key[:1], `"-0123456789`):
		return fmt.Errorf("record %d: its %q is %s, which is no name", len(r.Records)+1, e.Key, cut(out.Key))
	}
	if slices.Contains(e.Redact, e.Key) {
		sum := sha256.Sum256([]byte(out.Key))
		out.Key = "#" + hex.EncodeToString(sum[:8])
	}
	if other, twice := r.byKey[out.Key]; twice {
		return fmt.Errorf("records %d and %d have one key, %s", other+1, len(r.Records)+1, named(e, out))
	}
	r.byKey[out.Key] = len(r.Records)
	r.Records = append(r.Records, out)
	return nil
}

// named gives a record's key with its field.
func named(e Export, one record) string { return e.Key + "=" + cut(one.Key) }

// show gives a value as a difference shows it.
func show(value []byte, redacted bool) string {
	if redacted {
		return "(redacted)"
	}
	return cut(string(value))
}

func cut(text string) string {
	if utf8.RuneCountInString(text) <= maxShown {
		return text
	}
	return string([]rune(text)[:maxShown]) + "…"
}

// member is a field of an object.
type member struct {
	name string
	raw  json.RawMessage
}

// members gives the fields of an object, in their order. A field that stands
// twice is an error: readers do not agree which of them counts.
func members(raw json.RawMessage) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("it is no object")
	}
	var all []member
	there := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if there[name] {
			return nil, fmt.Errorf("field %q stands twice", name)
		}
		there[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		all = append(all, member{name, value})
	}
	return all, nil
}

// maxNested bounds how deep a value may be nested.
const maxNested = 100

// canonical writes a value without white space and with the fields of objects
// in order. Numbers and texts stay as they are written: 1.0 is not 1, and
// nothing is rounded or replaced on the way.
func canonical(raw json.RawMessage, depth int) ([]byte, error) {
	if depth > maxNested {
		return nil, fmt.Errorf("it is nested deeper than %d", maxNested)
	}
	switch raw[0] {
	case '{':
		fields, err := members(raw)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(fields, func(a, b member) int { return cmp.Compare(a.name, b.name) })
		out := []byte{'{'}
		for i, f := range fields {
			if i > 0 {
				out = append(out, ',')
			}
			name, err := json.Marshal(f.name)
			if err != nil {
				return nil, err
			}
			value, err := canonical(f.raw, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(append(append(out, name...), ':'), value...)
		}
		return append(out, '}'), nil
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		out := []byte{'['}
		for i, x := range list {
			if i > 0 {
				out = append(out, ',')
			}
			value, err := canonical(x, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, value...)
		}
		return append(out, ']'), nil
	}
	return raw, nil
}

// differences names the records in which what an export gives now differs from
// before: those that changed or are missing, then those that are new.
func differences(e Export, before, now records) []string {
	var all []string
	kept := map[string]bool{}
	for _, b := range before.Records {
		kept[b.Key] = true
		switch i, there := now.byKey[b.Key]; {
		case !there:
			all = append(all, named(e, b)+" is missing")
		case now.Records[i].Hash != b.Hash:
			all = append(all, named(e, b)+": "+changes(b, now.Records[i]))
		}
	}
	for _, n := range now.Records {
		if !kept[n.Key] {
			all = append(all, named(e, n)+" is new")
		}
	}
	return all
}

// changes names the fields that differ, with both values.
func changes(before, now record) string {
	var parts []string
	is := map[string]shown{}
	for _, f := range now.Fields {
		is[f.Name] = f
	}
	was := map[string]bool{}
	for _, f := range before.Fields {
		was[f.Name] = true
		switch n, there := is[f.Name]; {
		case !there:
			parts = append(parts, f.Name+" is gone")
		case n.Hash != f.Hash:
			parts = append(parts, f.Name+" "+f.Text+" is now "+n.Text)
		}
	}
	for _, f := range now.Fields {
		if !was[f.Name] {
			parts = append(parts, f.Name+" is new")
		}
	}
	return strings.Join(parts, ", ")
}
