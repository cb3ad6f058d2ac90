package plan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"firedrill"
)

// kind is what a YAML node holds.
type kind int

const (
	isNull kind = iota
	isBool
	isInt
	isFloat
	isText
	isList
	isMap
)

func (k kind) String() string {
	return [...]string{"nothing", "true or false", "an integer", "a number", "text", "a list", "a mapping"}[k]
}

// node is a YAML value and where it stands.
type node struct {
	pos   firedrill.Position
	kind  kind
	value any // of scalars: bool, int64, float64 or string
	items []*node
	pairs []pair
}

// pair is a key and its value.
type pair struct {
	key   string
	pos   firedrill.Position
	value *node
}

// get gives the value of a key, nil if it is not there.
func (n *node) get(key string) *node {
	for _, p := range n.pairs {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// plain gives the node as values without positions.
func (n *node) plain() any {
	switch n.kind {
	case isNull:
		return nil
	case isList:
		list := make([]any, len(n.items))
		for i, x := range n.items {
			list[i] = x.plain()
		}
		return list
	case isMap:
		m := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			m[p.key] = p.value.plain()
		}
		return m
	}
	return n.value
}

// read parses YAML into nodes; a key that stands twice is a syntax error.
// Anchors, aliases and tags are refused: a plan
// says what it means where it means it.
func (b *builder) read(data []byte) *node {
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		b.syntax(err)
		return nil
	}
	var docs []*ast.DocumentNode
	for _, d := range f.Docs {
		if d.Body != nil {
			docs = append(docs, d)
		}
	}
	switch len(docs) {
	case 0:
		b.fail(firedrill.Position{File: b.file, Line: 1, Column: 1}, "the file is empty", "")
		return nil
	case 1:
		return b.node(docs[0].Body)
	}
	b.fail(b.at(docs[1].Body.GetToken()), "there is more than one document", "keep the first")
	return nil
}

// syntax reports an error of the YAML parser: its first line is "[line:column] text".
func (b *builder) syntax(err error) {
	pos := firedrill.Position{File: b.file, Line: 1, Column: 1}
	text := strings.SplitN(err.Error(), "\n", 2)[0]
	var line, column int
	if n, _ := fmt.Sscanf(text, "[%d:%d]", &line, &column); n == 2 {
		pos.Line, pos.Column = line, column
		_, text, _ = strings.Cut(text, "] ")
	}
	b.fail(pos, "this is not YAML: "+text, "")
}

func (b *builder) at(t *token.Token) firedrill.Position {
	if t == nil || t.Position == nil {
		return firedrill.Position{File: b.file, Line: 1, Column: 1}
	}
	return firedrill.Position{File: b.file, Line: t.Position.Line, Column: t.Position.Column}
}

func (b *builder) node(n ast.Node) *node {
	out := &node{pos: b.at(n.GetToken())}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		out.kind, out.value = isBool, n.Value
	case *ast.IntegerNode:
		b.integer(out, n)
	case *ast.FloatNode:
		out.kind, out.value = isFloat, n.Value
	case *ast.StringNode:
		out.kind, out.value = isText, n.Value
	case *ast.LiteralNode:
		out.kind, out.value = isText, n.Value.Value
	case *ast.SequenceNode:
		out.kind = isList
		for _, x := range n.Values {
			out.items = append(out.items, b.node(x))
		}
	case *ast.MappingNode:
		out.kind = isMap
		for _, v := range n.Values {
			b.pair(out, v)
		}
		if len(n.Values) > 0 {
			out.pos = b.at(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		out.kind = isMap
		out.pos = b.at(n.Key.GetToken())
		b.pair(out, n)
	default:
		b.fail(out.pos, "anchors, aliases, tags and other special YAML are not used here", "write the value itself")
	}
	return out
}

func (b *builder) integer(out *node, n *ast.IntegerNode) {
	out.kind = isInt
	switch v := n.Value.(type) {
	case int64:
		out.value = v
	case uint64:
		if v > 1<<63-1 {
			b.fail(out.pos, fmt.Sprintf("integer %d does not fit 64 bits", v), "quote it, if it is text")
		}
		out.value = int64(v)
	default:
		b.fail(out.pos, "this is no integer that can be read", "")
	}
}

func (b *builder) pair(out *node, v *ast.MappingValueNode) {
	p := pair{pos: b.at(v.Key.GetToken())}
	key, ok := v.Key.(ast.ScalarNode)
	if !ok {
		b.fail(p.pos, "a key must be text", "")
		return
	}
	p.key = fmt.Sprint(key.GetValue())
	p.value = b.node(v.Value)
	out.pairs = append(out.pairs, p)
}

// builder gathers what is wrong while it reads a file.
type builder struct {
	file     string
	catalog  firedrill.Catalog
	library  Library
	errs     []error
	warnings []firedrill.Warning
}

// fail notes an error at a place; remedy is what to do, or "".
func (b *builder) fail(pos firedrill.Position, what, remedy string) {
	b.errs = append(b.errs, &firedrill.Error{Kind: firedrill.KindUsage, Target: pos.String(), Detail: what, Remedy: remedy})
}

func (b *builder) err() error { return errors.Join(b.errs...) }
