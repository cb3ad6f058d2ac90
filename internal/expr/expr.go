// Package expr is the language of `${{ … }}`, `when:` and `expect:`. It uses
// the syntax of expr-lang/expr and its parser, and evaluates a strict subset
// itself, because a general language breeds false passes: there `all([], …)`
// is true, `missing == missing` is true, and 2^53 + 1 equals 2^53.
//
// The rules:
//   - The environment is typed from the actions' outputs: an unknown name is an
//     error before anything runs.
//   - Integers are exact 64-bit numbers; overflow and division with a remainder
//     are errors; an integer and a real compare exactly.
//   - Whatever is missing or null is an error, and so is an empty text that is
//     compared with anything but a literal.
//   - There is no truthiness, no clock, no chance, no loop over collections.
//   - Ids may hold dashes: steps.plan-damage.outputs.file.
package expr

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"firedrill"
)

// MaxLength bounds an expression, in bytes.
const MaxLength = 2000

// Expr is a compiled expression.
type Expr struct {
	Source string
	Type   Type // of its value
	node   ast.Node
	steps  []string
}

// Compile parses an expression and checks it against the types of the names
// that it may use.
func Compile(source string, names Type) (*Expr, error) {
	source = strings.TrimSpace(source)
	switch {
	case source == "":
		return nil, fmt.Errorf("the expression is empty")
	case len(source) > MaxLength:
		return nil, fmt.Errorf("the expression is longer than %d bytes", MaxLength)
	}
	tree, err := parser.Parse(quoteIDs(source))
	if err != nil {
		return nil, fmt.Errorf("in %q: %s", source, syntaxText(err))
	}
	c := checker{names: names}
	t, err := c.typeOf(tree.Node, 0)
	if err != nil {
		return nil, fmt.Errorf("in %q: %w", source, err)
	}
	slices.Sort(c.steps)
	return &Expr{Source: source, Type: t, node: tree.Node, steps: slices.Compact(c.steps)}, nil
}

// Steps names the steps that the expression refers to, sorted.
func (e *Expr) Steps() []string { return e.steps }

// Eval gives the value: nil, bool, int64, float64, string, []any or
// map[string]any.
func (e *Expr) Eval(values map[string]any) (any, error) {
	v, err := eval(e.node, values)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Source, err)
	}
	return v, nil
}

// Bool evaluates a condition and records what it gave.
func (e *Expr) Bool(values map[string]any) (bool, firedrill.Evaluation, error) {
	v, err := e.Eval(values)
	if err != nil {
		return false, firedrill.Evaluation{Expr: e.Source}, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, firedrill.Evaluation{Expr: e.Source, Value: v}, fmt.Errorf("%s: gives %s, not true or false", e.Source, describe(v))
	}
	return b, firedrill.Evaluation{Expr: e.Source, Value: b}, nil
}

// dashed finds ids with dashes or slashes behind the roots that have ids.
var dashed = regexp.MustCompile(`\b(steps|inputs|resources)\.([A-Za-z_][A-Za-z0-9_]*(?:[-/][A-Za-z0-9_]+)+)`)

// quoteIDs lets ids hold dashes: steps.a-b.outputs becomes steps["a-b"].outputs.
// Text in quotes stays as it is.
func quoteIDs(source string) string {
	var b strings.Builder
	for source != "" {
		i := strings.IndexAny(source, "'\"`")
		if i < 0 {
			b.WriteString(dashed.ReplaceAllString(source, `$1["$2"]`))
			break
		}
		b.WriteString(dashed.ReplaceAllString(source[:i], `$1["$2"]`))
		end := endOfText(source, i)
		b.WriteString(source[i:end])
		source = source[end:]
	}
	return b.String()
}

func endOfText(s string, from int) int {
	for i := from + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[from]:
			return i + 1
		}
	}
	return len(s)
}

// syntaxText is the parser's message on one line.
func syntaxText(err error) string {
	var e *file.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return strings.SplitN(err.Error(), "\n", 2)[0]
}
