package expr

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"firedrill"
)

// Kind is the kind of a value.
type Kind string

// The kinds. Any is checked when it is evaluated.
const (
	Any    Kind = "value"
	Bool   Kind = "true or false"
	Int    Kind = "integer"
	Float  Kind = "number"
	String Kind = "text"
	List   Kind = "list"
	Object Kind = "object"
)

// Type is what is known of a value before it is there.
type Type struct {
	Kind   Kind
	Fields map[string]Type // of an object; nil: not known
	Elem   *Type           // of a list; nil: not known
}

// Fields makes an object type.
func Fields(fields map[string]Type) Type { return Type{Kind: Object, Fields: fields} }

// Of gives the type of values that a Go type turns into through its json tags.
func Of(t reflect.Type) Type { return of(t, 0) }

func of(t reflect.Type, depth int) Type {
	if t == nil || depth > 8 {
		return Type{Kind: Any}
	}
	switch t {
	case reflect.TypeFor[firedrill.Values]():
		return Type{Kind: Object}
	case reflect.TypeFor[time.Time]():
		return Type{Kind: String}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return of(t.Elem(), depth)
	case reflect.Bool:
		return Type{Kind: Bool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Type{Kind: Int}
	case reflect.Float32, reflect.Float64:
		return Type{Kind: Float}
	case reflect.String:
		return Type{Kind: String}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return Type{Kind: String} // bytes become base64
		}
		elem := of(t.Elem(), depth+1)
		return Type{Kind: List, Elem: &elem}
	case reflect.Map:
		return Type{Kind: Object}
	case reflect.Struct:
		fields := map[string]Type{}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || !f.IsExported() || name == "-" || name == "" {
				continue
			}
			fields[name] = of(f.Type, depth+1)
		}
		return Fields(fields)
	}
	return Type{Kind: Any}
}

// names lists the fields of an object, sorted.
func (t Type) names() []string { return slices.Sorted(maps.Keys(t.Fields)) }

// is tells whether a value of this type can be of a kind.
func (t Type) is(kinds ...Kind) bool { return t.Kind == Any || slices.Contains(kinds, t.Kind) }
