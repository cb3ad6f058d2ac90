package expr

import (
	"fmt"

	"github.com/expr-lang/expr/ast"

	"firedrill"
)

// maxDepth bounds how deep an expression is nested.
const maxDepth = 40

// checker finds the type of an expression and refuses what is not in the
// language.
type checker struct {
	names Type
	steps []string
}

func (c *checker) typeOf(n ast.Node, depth int) (Type, error) {
	if depth > maxDepth {
		return Type{}, fmt.Errorf("it is nested too deep")
	}
	switch n := n.(type) {
	case *ast.BoolNode:
		return Type{Kind: Bool}, nil
	case *ast.IntegerNode:
		return Type{Kind: Int}, nil
	case *ast.FloatNode:
		return Type{Kind: Float}, nil
	case *ast.StringNode:
		return Type{Kind: String}, nil
	case *ast.IdentifierNode:
		return c.field(c.names, "the names", n.Value)
	case *ast.ChainNode:
		return c.typeOf(n.Node, depth+1)
	case *ast.MemberNode:
		return c.member(n, depth)
	case *ast.UnaryNode:
		return c.unary(n, depth)
	case *ast.BinaryNode:
		return c.binary(n, depth)
	case *ast.ConditionalNode:
		return c.conditional(n, depth)
	case *ast.ArrayNode:
		return c.list(n, depth)
	case *ast.BuiltinNode:
		return c.call(n.Name, n.Arguments, depth)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(callee.Value, n.Arguments, depth)
		}
	}
	return Type{}, fmt.Errorf("this is not part of the language (docs/formats/expressions.md): %s", n.String())
}

func (c *checker) field(t Type, of, name string) (Type, error) {
	if t.Fields == nil {
		return Type{Kind: Any}, nil
	}
	f, ok := t.Fields[name]
	if !ok {
		return Type{}, fmt.Errorf("%s have no %q%s", of, name, suggest(name, t.names()))
	}
	return f, nil
}

func (c *checker) member(n *ast.MemberNode, depth int) (Type, error) {
	if n.Optional || n.Method {
		return Type{}, fmt.Errorf("?. and methods are not part of the language: %s", n.String())
	}
	t, err := c.typeOf(n.Node, depth+1)
	if err != nil {
		return Type{}, err
	}
	if name, ok := n.Property.(*ast.StringNode); ok {
		if id, ok := n.Node.(*ast.IdentifierNode); ok && id.Value == "steps" {
			c.steps = append(c.steps, name.Value)
		}
		if !t.is(Object) {
			return Type{}, fmt.Errorf("%s is %s and has no %q", n.Node.String(), article(t.Kind), name.Value)
		}
		return c.field(t, n.Node.String(), name.Value)
	}
	i, err := c.typeOf(n.Property, depth+1)
	if err != nil {
		return Type{}, err
	}
	if !i.is(Int) || !t.is(List) {
		return Type{}, fmt.Errorf("%s: only a list has elements, by their number", n.String())
	}
	if t.Elem != nil {
		return *t.Elem, nil
	}
	return Type{Kind: Any}, nil
}

func (c *checker) unary(n *ast.UnaryNode, depth int) (Type, error) {
	t, err := c.typeOf(n.Node, depth+1)
	if err != nil {
		return Type{}, err
	}
	switch n.Operator {
	case "!", "not":
		return Type{Kind: Bool}, wants(n.Node, t, Bool)
	case "-", "+":
		return t, wants(n.Node, t, Int, Float)
	}
	return Type{}, fmt.Errorf("operator %s is not part of the language", n.Operator)
}

func (c *checker) binary(n *ast.BinaryNode, depth int) (Type, error) {
	l, err := c.typeOf(n.Left, depth+1)
	if err != nil {
		return Type{}, err
	}
	r, err := c.typeOf(n.Right, depth+1)
	if err != nil {
		return Type{}, err
	}
	both := func(kinds ...Kind) error {
		if err := wants(n.Left, l, kinds...); err != nil {
			return err
		}
		return wants(n.Right, r, kinds...)
	}
	switch n.Operator {
	case "&&", "||", "and", "or":
		return Type{Kind: Bool}, both(Bool)
	case "==", "!=":
		if err := both(Bool, Int, Float, String); err != nil {
			return Type{}, err
		}
		return Type{Kind: Bool}, comparable(n, l, r)
	case "<", "<=", ">", ">=":
		if err := both(Int, Float, String); err != nil {
			return Type{}, err
		}
		return Type{Kind: Bool}, comparable(n, l, r)
	case "in":
		if err := wants(n.Right, r, List); err != nil {
			return Type{}, err
		}
		return Type{Kind: Bool}, wants(n.Left, l, Bool, Int, Float, String)
	case "+":
		if l.Kind == String || r.Kind == String {
			return Type{Kind: String}, both(String)
		}
		return number(l, r), both(Int, Float)
	case "-", "*", "/", "%":
		return number(l, r), both(Int, Float)
	}
	return Type{}, fmt.Errorf("operator %s is not part of the language", n.Operator)
}

func number(l, r Type) Type {
	switch {
	case l.Kind == Int && r.Kind == Int:
		return l
	case l.Kind == Any || r.Kind == Any:
		return Type{Kind: Any}
	}
	return Type{Kind: Float}
}

// comparable refuses comparisons between different kinds: a text is never a
// number.
func comparable(n *ast.BinaryNode, l, r Type) error {
	class := func(k Kind) Kind {
		if k == Float {
			return Int
		}
		return k
	}
	if l.Kind != Any && r.Kind != Any && class(l.Kind) != class(r.Kind) {
		return fmt.Errorf("%s compares %s with %s", n.String(), article(l.Kind), article(r.Kind))
	}
	return nil
}

func (c *checker) conditional(n *ast.ConditionalNode, depth int) (Type, error) {
	cond, err := c.typeOf(n.Cond, depth+1)
	if err != nil {
		return Type{}, err
	}
	if err := wants(n.Cond, cond, Bool); err != nil {
		return Type{}, err
	}
	a, err := c.typeOf(n.Exp1, depth+1)
	if err != nil {
		return Type{}, err
	}
	b, err := c.typeOf(n.Exp2, depth+1)
	if err != nil || a.Kind != b.Kind {
		return Type{Kind: Any}, err
	}
	return a, nil
}

func (c *checker) list(n *ast.ArrayNode, depth int) (Type, error) {
	t := Type{Kind: List}
	for i, x := range n.Nodes {
		e, err := c.typeOf(x, depth+1)
		if err != nil {
			return Type{}, err
		}
		if i == 0 {
			t.Elem = &e
		} else if t.Elem != nil && t.Elem.Kind != e.Kind {
			t.Elem = nil
		}
	}
	return t, nil
}

// call checks the functions of the language: len and empty.
func (c *checker) call(name string, args []ast.Node, depth int) (Type, error) {
	result := map[string]Kind{"len": Int, "empty": Bool}
	kind, ok := result[name]
	if !ok {
		return Type{}, fmt.Errorf("there is no function %q%s; there are empty and len", name, suggest(name, []string{"empty", "len"}))
	}
	if len(args) != 1 {
		return Type{}, fmt.Errorf("%s takes one argument", name)
	}
	t, err := c.typeOf(args[0], depth+1)
	if err != nil {
		return Type{}, err
	}
	return Type{Kind: kind}, wants(args[0], t, String, List, Object)
}

func wants(n ast.Node, t Type, kinds ...Kind) error {
	if t.is(kinds...) {
		return nil
	}
	return fmt.Errorf("%s is %s, expected %s", n.String(), article(t.Kind), article(kinds[0]))
}

func article(k Kind) string {
	switch k {
	case Int, Object:
		return "an " + string(k)
	case Float, List:
		return "a " + string(k)
	}
	return string(k)
}

// suggest names the nearest of names.
func suggest(given string, names []string) string {
	best := firedrill.Nearest(given, names)
	switch {
	case best != "":
		return fmt.Sprintf(" (did you mean %q?)", best)
	case len(names) > 0 && len(names) <= 12:
		return fmt.Sprintf(" (there are: %v)", names)
	}
	return ""
}
