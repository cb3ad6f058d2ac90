package plan

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"firedrill"
)

// fields checks that a node is a mapping with known keys and gives it back;
// nil, and an error noted, if it is none.
func (b *builder) fields(n *node, what string, known ...string) *node {
	if n.kind != isMap {
		b.fail(n.pos, fmt.Sprintf("%s must be a mapping, this is %s", what, n.kind), "")
		return nil
	}
	for _, p := range n.pairs {
		if !slices.Contains(known, p.key) {
			b.fail(p.pos, fmt.Sprintf("%s has no key %q", what, p.key), nearest(p.key, known))
		}
	}
	return n
}

func (b *builder) text(n *node, what string) string {
	if n == nil {
		return ""
	}
	if n.kind != isText {
		b.fail(n.pos, fmt.Sprintf("%s must be text, this is %s", what, n.kind), "put it in quotes")
		return ""
	}
	return n.value.(string)
}

func (b *builder) required(in *node, key, what string) string {
	n := in.get(key)
	if n == nil {
		b.fail(in.pos, fmt.Sprintf("%s needs %q", what, key), "")
		return ""
	}
	s := b.text(n, key)
	if s == "" && n.kind == isText {
		b.fail(n.pos, key+" is empty", "")
	}
	return s
}

func (b *builder) boolean(n *node, what string) bool {
	if n == nil {
		return false
	}
	if n.kind != isBool {
		b.fail(n.pos, fmt.Sprintf("%s must be true or false, this is %s", what, n.kind), "")
		return false
	}
	return n.value.(bool)
}

// duration reads "90s", "15m", "2h", "1h30m".
func (b *builder) duration(n *node, what string) time.Duration {
	if n == nil {
		return 0
	}
	const remedy = "write for example 90s, 15m, 2h or 1h30m"
	if n.kind != isText {
		b.fail(n.pos, fmt.Sprintf("%s must be a duration, this is %s", what, n.kind), remedy)
		return 0
	}
	d, err := time.ParseDuration(n.value.(string))
	if err != nil {
		b.fail(n.pos, fmt.Sprintf("%s: %q is no duration", what, n.value), remedy)
		return 0
	}
	if d <= 0 {
		b.fail(n.pos, what+" must be longer than nothing", remedy)
	}
	return d
}

// texts reads a list of texts, or one text.
func (b *builder) texts(n *node, what string) []string {
	if n == nil {
		return nil
	}
	if n.kind == isText {
		return []string{n.value.(string)}
	}
	if n.kind != isList {
		b.fail(n.pos, fmt.Sprintf("%s must be a list of texts, this is %s", what, n.kind), "")
		return nil
	}
	var list []string
	for _, x := range n.items {
		list = append(list, b.text(x, what))
	}
	return list
}

var name = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// named checks the name of something that others refer to.
func (b *builder) named(pos firedrill.Position, what, text string) {
	if !name.MatchString(text) {
		b.fail(pos, fmt.Sprintf("%s %q is no name", what, text), "use small letters, digits and single dashes")
	}
}

// typed checks a value against a Go type, as an action or a provider declares
// it, and gives it as values.
func (b *builder) typed(n *node, t reflect.Type, what string) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	bad := func(want string) any {
		b.fail(n.pos, fmt.Sprintf("%s must be %s, this is %s", what, want, n.kind), "")
		return nil
	}
	switch {
	case t == reflect.TypeFor[firedrill.Values](), t.Kind() == reflect.Map:
		if n.kind != isMap {
			return bad("a mapping")
		}
		return n.plain()
	case t.Kind() == reflect.Interface:
		return n.plain()
	case t.Kind() == reflect.Struct:
		return b.typedStruct(n, t, what)
	case t.Kind() == reflect.Slice:
		if n.kind != isList {
			return bad("a list")
		}
		list := make([]any, len(n.items))
		for i, x := range n.items {
			list[i] = b.typed(x, t.Elem(), fmt.Sprintf("%s[%d]", what, i))
		}
		return list
	case t == reflect.TypeFor[firedrill.Duration]():
		b.duration(n, what)
	case t.Kind() == reflect.String:
		if n.kind != isText {
			return bad("text")
		}
	case t.Kind() == reflect.Bool:
		if n.kind != isBool {
			return bad("true or false")
		}
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		if n.kind != isFloat && n.kind != isInt {
			return bad("a number")
		}
	case n.kind != isInt:
		return bad("an integer")
	}
	return n.value
}

func (b *builder) typedStruct(n *node, t reflect.Type, what string) any {
	fields := structFields(t)
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.name)
	}
	if n.kind == isText && isReference(t) {
		b.fail(n.pos, what+" must not stand in the plan itself", "say where it stands: {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}")
		return nil
	}
	if b.fields(n, what, names...) == nil {
		return nil
	}
	m := map[string]any{}
	for _, f := range fields {
		v := n.get(f.name)
		if v == nil {
			if f.required {
				b.fail(n.pos, fmt.Sprintf("%s needs %q", what, f.name), "")
			}
			continue
		}
		m[f.name] = b.typed(v, f.typ, what+"."+f.name)
	}
	if isReference(t) && len(m) != 1 {
		b.fail(n.pos, what+" must name exactly one place", "write {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}")
	}
	return m
}

// isReference tells whether a struct is a reference to a secret: exactly env,
// file and command.
func isReference(t reflect.Type) bool {
	var names []string
	for _, f := range structFields(t) {
		names = append(names, f.name)
	}
	return slices.Equal(names, []string{"env", "file", "command"})
}

// field is one field of a declared struct.
type field struct {
	name     string
	doc      string
	typ      reflect.Type
	required bool
}

func structFields(t reflect.Type) []field {
	var fields []field
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || tag == "" || tag == "-" {
			continue
		}
		fields = append(fields, field{tag, f.Tag.Get("doc"), f.Type, !strings.Contains(options, "omit")})
	}
	return fields
}

// nearest suggests the name that was probably meant, or lists what there is.
func nearest(given string, names []string) string {
	best := firedrill.Nearest(given, names)
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(names) > 0 && len(names) <= 16:
		return "there are: " + strings.Join(names, ", ")
	}
	return ""
}
