package conformance

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The SDK does not fail on an answer of the wrong shape: it notes for each
// field whether it was missing, null or of another type, leaves the zero value,
// and goes on. audit reads those notes, so that a number that came as a string
// is a failure here and not a zero.

// known are words outside the SDK's lists that the sandbox says on purpose.
var known = map[string]string{
	"SANDBOX": "the sandbox is no place of the platform's, and does not claim to be one",
}

// audit fails the test for each field of a decoded answer that came with
// another type, for each required one that did not come, and for each word that
// the SDK's lists do not hold.
func audit(t testing.TB, v any) {
	t.Helper()
	for _, f := range findings(v) {
		t.Errorf("%T: %s", v, f)
	}
}

// findings are what audit finds. A result of another type as a whole leaves no
// note at all, only an empty answer.
func findings(v any) []string {
	if whole := reflect.Indirect(reflect.ValueOf(v)); whole.Kind() == reflect.Map && whole.IsNil() {
		return []string{"nothing was decoded"}
	} else if whole.Kind() == reflect.Struct {
		if notes := whole.FieldByName("JSON"); notes.IsValid() {
			if raw, ok := notes.Interface().(interface{ RawJSON() string }); ok && raw.RawJSON() == "" {
				return []string{"nothing was decoded"}
			}
		}
	}
	return auditValue(reflect.ValueOf(v), "")
}

func auditValue(v reflect.Value, path string) (found []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			found = auditValue(v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = append(found, auditValue(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			found = append(found, auditValue(v.MapIndex(k), fmt.Sprintf("%s[%v]", path, k))...)
		}
	case reflect.Struct:
		found = auditStruct(v, path)
	default:
		if e, ok := word(v); ok && !v.IsZero() && !e.IsKnown() && known[fmt.Sprint(e)] == "" {
			found = append(found, fmt.Sprintf("%s is %v, which the SDK does not know", path, e))
		}
	}
	return found
}

func word(v reflect.Value) (interface{ IsKnown() bool }, bool) {
	if !v.IsValid() || !v.CanInterface() {
		return nil, false
	}
	e, ok := v.Interface().(interface{ IsKnown() bool })
	return e, ok
}

// note is what the SDK writes down about a field.
type note interface {
	IsNull() bool
	IsMissing() bool
	IsInvalid() bool
	Raw() string
}

func auditStruct(v reflect.Value, path string) (found []string) {
	notes := v.FieldByName("JSON")
	if !notes.IsValid() || notes.Kind() != reflect.Struct {
		return nil // a time, or a type that is not decoded from an answer
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		at := strings.TrimPrefix(path+"."+field.Name, ".")
		if !field.IsExported() || field.Name == "JSON" {
			continue
		}
		if n, ok := noteOf(notes, field.Name); ok {
			options := strings.Split(field.Tag.Get("api"), ",")
			switch {
			case n.IsNull():
				if slices.Contains(options, "required") && !slices.Contains(options, "nullable") {
					found = append(found, at+" is required and did not come")
				}
				continue
			case n.IsInvalid() || !fits(n.Raw(), field.Type.Kind()):
				found = append(found, fmt.Sprintf("%s came as %s, which is no %s", at, n.Raw(), field.Type))
				continue
			}
		}
		found = append(found, auditValue(v.Field(i), at)...)
	}
	return found
}

func noteOf(notes reflect.Value, name string) (note, bool) {
	f := notes.FieldByName(name)
	if !f.IsValid() || !f.CanInterface() {
		return nil, false
	}
	n, ok := f.Interface().(note)
	return n, ok
}

// fits tells whether a JSON value is of a kind, without the SDK's leniency,
// which makes numbers of texts and texts of numbers.
func fits(raw string, kind reflect.Kind) bool {
	starts := ""
	switch kind {
	case reflect.String:
		starts = `"`
	case reflect.Bool:
		starts = "tf"
	case reflect.Int, reflect.Int64, reflect.Float64:
		starts = "-0123456789"
	case reflect.Slice:
		starts = "["
	default:
		return true
	}
	raw = strings.TrimLeft(raw, " \t\r\n")
	return raw != "" && strings.ContainsRune(starts, rune(raw[0]))
}
