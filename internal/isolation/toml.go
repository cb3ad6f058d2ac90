package isolation

import (
	"errors"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"firedrill"
)

// parseTOML reads a TOML document. It is decoded once by the library's stable
// interface, which knows every rule of the language, and then walked for the
// places at which things stand.
func parseTOML(file string, data []byte) (*node, *syntaxError) {
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		at := firedrill.Position{File: file, Line: 1, Column: 1}
		var decode *toml.DecodeError
		if errors.As(err, &decode) {
			at.Line, at.Column = decode.Position()
		}
		return nil, unreadable(at, strings.TrimPrefix(err.Error(), "toml: "))
	}
	w := &tomlWalk{lines: newLines(file, data)}
	w.parser.Reset(data)
	root := &node{at: w.lines.at(0), shape: aTable}
	current := root
	var err error
	for err == nil && w.parser.NextExpression() {
		switch e := w.parser.Expression(); e.Kind {
		case unstable.Table:
			current, err = w.descend(root, w.keys(e.Key()), false)
		case unstable.ArrayTable:
			current, err = w.descend(root, w.keys(e.Key()), true)
		case unstable.KeyValue:
			err = w.assign(current, e)
		}
	}
	if err == nil {
		err = w.parser.Error()
	}
	if err != nil {
		return nil, unreadable(root.at, err.Error())
	}
	return root, nil
}

// tomlWalk turns the parser's expressions into a tree.
type tomlWalk struct {
	parser unstable.Parser
	lines  *lines
}

// key is a part of a dotted key.
type key struct {
	name string
	at   firedrill.Position
}

func (w *tomlWalk) keys(it unstable.Iterator) []key {
	var out []key
	for it.Next() {
		n := it.Node()
		out = append(out, key{string(n.Data), w.lines.at(int(n.Raw.Offset))})
	}
	return out
}

// descend goes to a table, which is made where it is not there yet. The last
// table of a list of tables is the one that is meant.
func (w *tomlWalk) descend(n *node, keys []key, list bool) (*node, error) {
	for i, k := range keys {
		last := i+1 == len(keys)
		m, there := n.member(k.name)
		if !there {
			m = member{k.name, k.at, &node{at: k.at, shape: aTable}}
			if last && list {
				m.value.shape = aList
			}
			n.members = append(n.members, m)
		}
		next := m.value
		if last && list {
			next.items = append(next.items, &node{at: k.at, shape: aTable})
		}
		if next.shape == aList {
			if len(next.items) == 0 {
				return nil, errors.New("a list is used as a table: " + k.name)
			}
			next = next.items[len(next.items)-1]
		}
		n = next
	}
	return n, nil
}

// assign puts a value where its dotted key says.
func (w *tomlWalk) assign(n *node, e *unstable.Node) error {
	keys := w.keys(e.Key())
	n, err := w.descend(n, keys[:len(keys)-1], false)
	if err != nil {
		return err
	}
	last := keys[len(keys)-1]
	value, err := w.value(e.Value(), last.at)
	if err != nil {
		return err
	}
	n.members = append(n.members, member{last.name, last.at, value})
	return nil
}

// value reads a value; near is where it stands if it does not say so itself.
func (w *tomlWalk) value(e *unstable.Node, near firedrill.Position) (*node, error) {
	n := &node{at: near, shape: another, text: string(e.Data)}
	if e.Raw.Length > 0 {
		n.at = w.lines.at(int(e.Raw.Offset))
	}
	switch e.Kind {
	case unstable.String:
		n.shape = aText
	case unstable.Array:
		n.shape = aList
		for it := e.Children(); it.Next(); {
			item, err := w.value(it.Node(), near)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case unstable.InlineTable:
		n.shape = aTable
		for it := e.Children(); it.Next(); {
			if err := w.assign(n, it.Node()); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}
