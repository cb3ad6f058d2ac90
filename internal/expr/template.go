package expr

import (
	"fmt"
	"strconv"
	"strings"

	"firedrill"
)

// Template is a string that may hold ${{ … }}. A string that is one expression
// keeps its type; in longer ones texts and integers are filled in. `$${{`
// stands for `${{` itself.
type Template struct {
	parts []part
}

// part is literal text or an expression.
type part struct {
	text string
	expr *Expr
}

// ParseTemplate parses and checks a string against the types of the names.
func ParseTemplate(s string, names Type) (Template, error) {
	var t Template
	for s != "" {
		i := strings.Index(s, "${{")
		if i < 0 {
			t.add(s)
			break
		}
		if i > 0 && s[i-1] == '$' {
			t.add(s[:i-1] + "${{")
			s = s[i+3:]
			continue
		}
		t.add(s[:i])
		inner, rest, ok := cutExpression(s[i+3:])
		if !ok {
			return Template{}, fmt.Errorf("${{ is not closed by }} in %q", s)
		}
		e, err := Compile(inner, names)
		if err != nil {
			return Template{}, err
		}
		t.parts = append(t.parts, part{expr: e})
		s = rest
	}
	if len(t.parts) > 1 {
		for _, p := range t.parts {
			if p.expr != nil && !p.expr.Type.is(String, Int) {
				return Template{}, fmt.Errorf("%s is %s; only texts and integers can be part of a longer text", p.expr.Source, article(p.expr.Type.Kind))
			}
		}
	}
	return t, nil
}

// cutExpression finds the closing braces outside of quotes.
func cutExpression(s string) (inner, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\'' || s[i] == '"' || s[i] == '`':
			i = endOfText(s, i) - 1
		case strings.HasPrefix(s[i:], "}}"):
			return s[:i], s[i+2:], true
		}
	}
	return "", "", false
}

func (t *Template) add(text string) {
	if text == "" {
		return
	}
	if n := len(t.parts); n > 0 && t.parts[n-1].expr == nil {
		t.parts[n-1].text += text
		return
	}
	t.parts = append(t.parts, part{text: text})
}

// Expr gives the expression of a string that is nothing else, nil for others.
func (t Template) Expr() *Expr {
	if len(t.parts) == 1 {
		return t.parts[0].expr
	}
	return nil
}

// Literal tells whether the string holds no expression.
func (t Template) Literal() bool {
	for _, p := range t.parts {
		if p.expr != nil {
			return false
		}
	}
	return true
}

// Steps names the steps that the string refers to.
func (t Template) Steps() []string {
	var steps []string
	for _, p := range t.parts {
		if p.expr != nil {
			steps = append(steps, p.expr.Steps()...)
		}
	}
	return steps
}

// Eval gives the value and what was evaluated for it.
func (t Template) Eval(values map[string]any) (any, []firedrill.Evaluation, error) {
	if e := t.Expr(); e != nil {
		v, err := e.Eval(values)
		return v, []firedrill.Evaluation{{Expr: e.Source, Value: v}}, err
	}
	var b strings.Builder
	var evaluated []firedrill.Evaluation
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := p.expr.Eval(values)
		if err != nil {
			return nil, evaluated, err
		}
		evaluated = append(evaluated, firedrill.Evaluation{Expr: p.expr.Source, Value: v})
		switch v := v.(type) {
		case string:
			if v == "" {
				return nil, evaluated, fmt.Errorf("%s is empty", p.expr.Source)
			}
			b.WriteString(v)
		case int64:
			b.WriteString(strconv.FormatInt(v, 10))
		default:
			return nil, evaluated, fmt.Errorf("%s is %s; only texts and integers can be part of a longer text", p.expr.Source, describe(v))
		}
	}
	return b.String(), evaluated, nil
}
