package expr

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"

	"github.com/expr-lang/expr/ast"
)

func eval(n ast.Node, values map[string]any) (any, error) {
	switch n := n.(type) {
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.IntegerNode:
		return int64(n.Value), nil
	case *ast.FloatNode:
		return n.Value, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IdentifierNode:
		return lookup(values, "", n.Value)
	case *ast.ChainNode:
		return eval(n.Node, values)
	case *ast.MemberNode:
		return evalMember(n, values)
	case *ast.UnaryNode:
		return evalUnary(n, values)
	case *ast.BinaryNode:
		return evalBinary(n, values)
	case *ast.ConditionalNode:
		cond, err := evalBool(n.Cond, values)
		if err != nil {
			return nil, err
		}
		if cond {
			return eval(n.Exp1, values)
		}
		return eval(n.Exp2, values)
	case *ast.ArrayNode:
		list := make([]any, len(n.Nodes))
		for i, x := range n.Nodes {
			v, err := eval(x, values)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case *ast.BuiltinNode:
		return evalCall(n.Name, n.Arguments[0], values)
	case *ast.CallNode:
		return evalCall(n.Callee.String(), n.Arguments[0], values)
	}
	return nil, fmt.Errorf("%s is not part of the language", n.String())
}

// lookup finds a name; missing and null are errors.
func lookup(values map[string]any, of, name string) (any, error) {
	v, ok := values[name]
	path := name
	if of != "" {
		path = of + "." + name
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("%s is missing%s", path, suggest(name, slices.Sorted(maps.Keys(values))))
	case v == nil:
		return nil, fmt.Errorf("%s is null", path)
	}
	return v, nil
}

func evalMember(n *ast.MemberNode, values map[string]any) (any, error) {
	of, err := eval(n.Node, values)
	if err != nil {
		return nil, err
	}
	if name, ok := n.Property.(*ast.StringNode); ok {
		m, ok := of.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s is %s and has no %q", n.Node.String(), describe(of), name.Value)
		}
		return lookup(m, n.Node.String(), name.Value)
	}
	index, err := eval(n.Property, values)
	if err != nil {
		return nil, err
	}
	list, ok := of.([]any)
	i, isInt := index.(int64)
	switch {
	case !ok || !isInt:
		return nil, fmt.Errorf("%s: only a list has elements, by their number", n.String())
	case i < 0 || i >= int64(len(list)):
		return nil, fmt.Errorf("%s: the list has %d elements", n.String(), len(list))
	case list[i] == nil:
		return nil, fmt.Errorf("%s is null", n.String())
	}
	return list[i], nil
}

func evalBool(n ast.Node, values map[string]any) (bool, error) {
	v, err := eval(n, values)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s is %s, not true or false", n.String(), describe(v))
	}
	return b, nil
}

func evalUnary(n *ast.UnaryNode, values map[string]any) (any, error) {
	if n.Operator == "!" || n.Operator == "not" {
		b, err := evalBool(n.Node, values)
		return !b, err
	}
	v, err := eval(n.Node, values)
	if err != nil || n.Operator == "+" {
		return v, err
	}
	switch v := v.(type) {
	case int64:
		if v == math.MinInt64 {
			return nil, fmt.Errorf("%s overflows", n.String())
		}
		return -v, nil
	case float64:
		return -v, nil
	}
	return nil, fmt.Errorf("%s is %s, not a number", n.Node.String(), describe(v))
}

func evalBinary(n *ast.BinaryNode, values map[string]any) (any, error) {
	switch n.Operator {
	case "&&", "and", "||", "or":
		l, err := evalBool(n.Left, values)
		if err != nil {
			return nil, err
		}
		if or := n.Operator == "||" || n.Operator == "or"; l == or {
			return l, nil
		}
		return evalBool(n.Right, values)
	}
	l, err := eval(n.Left, values)
	if err != nil {
		return nil, err
	}
	r, err := eval(n.Right, values)
	if err != nil {
		return nil, err
	}
	switch n.Operator {
	case "==", "!=", "<", "<=", ">", ">=":
		if err := notEmpty(n, l, r); err != nil {
			return nil, err
		}
		return compare(n, l, r)
	case "in":
		return contains(n, l, r)
	}
	return arithmetic(n, l, r)
}

// notEmpty refuses an empty text in a comparison, unless the other side is
// written down: two empty texts are equal without saying anything.
func notEmpty(n *ast.BinaryNode, l, r any) error {
	if literal(n.Left) || literal(n.Right) {
		return nil
	}
	for side, v := range map[ast.Node]any{n.Left: l, n.Right: r} {
		if v == "" {
			return fmt.Errorf("%s is empty, so the comparison says nothing", side.String())
		}
	}
	return nil
}

func literal(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return true
	}
	return false
}

func compare(n *ast.BinaryNode, l, r any) (bool, error) {
	c, err := order(l, r)
	if err != nil {
		return false, fmt.Errorf("%s: %w", n.String(), err)
	}
	if _, isBool := l.(bool); isBool && n.Operator != "==" && n.Operator != "!=" {
		return false, fmt.Errorf("%s: true and false have no order", n.String())
	}
	switch n.Operator {
	case "==":
		return c == 0, nil
	case "!=":
		return c != 0, nil
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

// order compares two values of one kind exactly.
func order(l, r any) (int, error) {
	switch a := l.(type) {
	case bool:
		if b, ok := r.(bool); ok {
			if a == b {
				return 0, nil
			}
			return 1, nil
		}
	case string:
		if b, ok := r.(string); ok {
			return compareText(a, b), nil
		}
	case int64, float64:
		x, okX := rational(l)
		y, okY := rational(r)
		if okX && okY {
			return x.Cmp(y), nil
		}
	}
	return 0, fmt.Errorf("%s and %s do not compare", describe(l), describe(r))
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// rational makes an exact number, so that 2^53 + 1 is not 2^53.
func rational(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case int64:
		return new(big.Rat).SetInt64(v), true
	case float64:
		r := new(big.Rat).SetFloat64(v)
		return r, r != nil
	}
	return nil, false
}

func contains(n *ast.BinaryNode, l, r any) (bool, error) {
	list, ok := r.([]any)
	if !ok {
		return false, fmt.Errorf("%s is %s, not a list", n.Right.String(), describe(r))
	}
	if len(list) == 0 {
		return false, fmt.Errorf("%s is an empty list", n.Right.String())
	}
	for _, x := range list {
		c, err := order(l, x)
		if err != nil {
			return false, fmt.Errorf("%s: %w", n.String(), err)
		}
		if c == 0 {
			return true, nil
		}
	}
	return false, nil
}

func arithmetic(n *ast.BinaryNode, l, r any) (any, error) {
	if a, ok := l.(string); ok && n.Operator == "+" {
		if b, ok := r.(string); ok {
			return a + b, nil
		}
	}
	x, isInt := l.(int64)
	y, alsoInt := r.(int64)
	if isInt && alsoInt {
		return integers(n, x, y)
	}
	a, okA := real(l)
	b, okB := real(r)
	if !okA || !okB {
		return nil, fmt.Errorf("%s: %s and %s do not go together", n.String(), describe(l), describe(r))
	}
	var v float64
	switch n.Operator {
	case "+":
		v = a + b
	case "-":
		v = a - b
	case "*":
		v = a * b
	case "/":
		v = a / b
	default:
		return nil, fmt.Errorf("%s: %% is for integers", n.String())
	}
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil, fmt.Errorf("%s gives no number", n.String())
	}
	return v, nil
}

func real(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), int64(float64(v)) == v && v != math.MaxInt64
	case float64:
		return v, true
	}
	return 0, false
}

func integers(n *ast.BinaryNode, x, y int64) (any, error) {
	a, b, z := big.NewInt(x), big.NewInt(y), new(big.Int)
	switch n.Operator {
	case "+":
		z.Add(a, b)
	case "-":
		z.Sub(a, b)
	case "*":
		z.Mul(a, b)
	default:
		if y == 0 {
			return nil, fmt.Errorf("%s divides by zero", n.String())
		}
		rest := new(big.Int)
		z.QuoRem(a, b, rest)
		if n.Operator == "%" {
			z = rest
		} else if rest.Sign() != 0 {
			return nil, fmt.Errorf("%s leaves a remainder; write a number with a fraction to get one", n.String())
		}
	}
	if !z.IsInt64() {
		return nil, fmt.Errorf("%s overflows", n.String())
	}
	return z.Int64(), nil
}

func evalCall(name string, arg ast.Node, values map[string]any) (any, error) {
	v, err := eval(arg, values)
	if err != nil {
		return nil, err
	}
	n := 0
	switch v := v.(type) {
	case string:
		n = len(v)
	case []any:
		n = len(v)
	case map[string]any:
		n = len(v)
	default:
		return nil, fmt.Errorf("%s(%s): %s has no length", name, arg.String(), describe(v))
	}
	if name == "empty" {
		return n == 0, nil
	}
	return int64(n), nil
}

func describe(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case int64:
		return "an integer"
	case float64:
		return "a number"
	case string:
		return "text"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}
