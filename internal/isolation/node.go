package isolation

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"firedrill"
)

// shape is what a value of a configuration is.
type shape string

const (
	aTable  shape = "table"
	aList   shape = "list"
	aText   shape = "text"
	another shape = "other" // numbers, booleans, dates, null
)

// node is a value of a configuration and the place where it stands. JSONC and
// TOML both become a tree of these.
type node struct {
	at      firedrill.Position
	shape   shape
	text    string // of a text: its content; of others that hold nothing: as it is written
	members []member
	items   []*node
}

// member is a key of a table and its value.
type member struct {
	key   string
	at    firedrill.Position
	value *node
}

// member finds a key.
func (n *node) member(key string) (member, bool) {
	if n == nil || n.shape != aTable {
		return member{}, false
	}
	for _, m := range n.members {
		if m.key == key {
			return m, true
		}
	}
	return member{}, false
}

// get finds a value by a path of keys; nil if there is none.
func (n *node) get(path ...string) *node {
	for _, key := range path {
		m, ok := n.member(key)
		if !ok {
			return nil
		}
		n = m.value
	}
	return n
}

// string gives the text at a path; "" where there is no text.
func (n *node) string(path ...string) string {
	v := n.get(path...)
	if v == nil || v.shape != aText {
		return ""
	}
	return v.text
}

// list gives the entries of a list; nothing of anything else.
func (n *node) list() []*node {
	if n == nil || n.shape != aList {
		return nil
	}
	return n.items
}

// empty tells whether there is nothing: no value, null, or a list or table
// without entries.
func (n *node) empty() bool {
	return n == nil || n.shape == another && n.text == "null" || n.shape == aList && len(n.items) == 0 || n.shape == aTable && len(n.members) == 0
}

// parse reads a configuration by the ending of its name. A key that stands twice
// in one table is an error: programs disagree about which of them counts.
func parse(file string, data []byte) (*node, *syntaxError) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return nil, unreadable(firedrill.Position{File: file, Line: 1, Column: 1}, "is not UTF-8")
	}
	if strings.HasSuffix(file, ".toml") {
		return parseTOML(file, data)
	}
	return parseJSONC(file, data)
}

// syntaxError is a configuration that cannot be read.
type syntaxError struct {
	at     firedrill.Position
	detail string
}

// Error gives place and reason.
func (e *syntaxError) Error() string { return e.at.String() + ": " + e.detail }

func unreadable(at firedrill.Position, detail string) *syntaxError { return &syntaxError{at, detail} }

// lines finds the line and column of an offset.
type lines struct {
	file  string
	data  []byte
	start []int // offset of the first byte of each line
}

func newLines(file string, data []byte) *lines {
	l := &lines{file: file, data: data, start: []int{0}}
	for i, b := range data {
		if b == '\n' {
			l.start = append(l.start, i+1)
		}
	}
	return l
}

// at gives the position of an offset. Columns count characters from 1.
func (l *lines) at(offset int) firedrill.Position {
	offset = max(0, min(offset, len(l.data)))
	low, high := 0, len(l.start)
	for low+1 < high {
		middle := (low + high) / 2
		if l.start[middle] <= offset {
			low = middle
		} else {
			high = middle
		}
	}
	return firedrill.Position{File: l.file, Line: low + 1, Column: utf8.RuneCount(l.data[l.start[low]:offset]) + 1}
}

func twice(at firedrill.Position, key string) *syntaxError {
	return unreadable(at, fmt.Sprintf("the key %q stands here a second time", key))
}
