package isolation

import (
	"regexp"
	"strconv"

	"github.com/tailscale/hujson"

	"firedrill"
)

// parseJSONC reads JSON with comments and trailing commas, as wrangler does.
func parseJSONC(file string, data []byte) (*node, *syntaxError) {
	l := newLines(file, data)
	v, err := hujson.Parse(data)
	if err != nil {
		return nil, unreadable(jsonErrorAt(file, err), err.Error())
	}
	root, wrong := fromJSON(l, v)
	if wrong == nil && root.shape != aTable {
		return nil, unreadable(root.at, "holds no object")
	}
	return root, wrong
}

// jsonErrorAt finds the place that an error of the parser names in its text.
func jsonErrorAt(file string, err error) firedrill.Position {
	at := firedrill.Position{File: file, Line: 1, Column: 1}
	if m := regexp.MustCompile(`line (\d+), column (\d+)`).FindStringSubmatch(err.Error()); m != nil {
		line, lineErr := strconv.Atoi(m[1])
		column, columnErr := strconv.Atoi(m[2])
		if lineErr == nil && columnErr == nil {
			at.Line, at.Column = line, column
		}
	}
	return at
}

func fromJSON(l *lines, v hujson.Value) (*node, *syntaxError) {
	n := &node{at: l.at(v.StartOffset), shape: another}
	switch x := v.Value.(type) {
	case *hujson.Object:
		n.shape = aTable
		for _, m := range x.Members {
			name, is := m.Name.Value.(hujson.Literal)
			if !is {
				return nil, unreadable(l.at(m.Name.StartOffset), "a key is no text")
			}
			key, at := name.String(), l.at(m.Name.StartOffset)
			if _, there := n.member(key); there {
				return nil, twice(at, key)
			}
			value, err := fromJSON(l, m.Value)
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, member{key, at, value})
		}
	case *hujson.Array:
		n.shape = aList
		for _, e := range x.Elements {
			item, err := fromJSON(l, e)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case hujson.Literal:
		if x.Kind() == '"' {
			n.shape = aText
		}
		n.text = x.String()
	}
	return n, nil
}
