package expr

import (
	"reflect"
	"strings"
	"testing"
)

type outputs struct {
	Rows  int64          `json:"rows"`
	Name  string         `json:"name"`
	Other string         `json:"other,omitempty"`
	Equal bool           `json:"equal"`
	Share float64        `json:"share"`
	List  []string       `json:"list"`
	Map   map[string]any `json:"map"`
	Inner struct {
		Deep int `json:"deep"`
	} `json:"inner"`
}

func testNames() Type {
	return Fields(map[string]Type{
		"outputs": Of(reflect.TypeFor[outputs]()),
		"steps": Fields(map[string]Type{"plan-damage": Fields(map[string]Type{
			"outputs": Of(reflect.TypeFor[outputs]()), "skipped": {Kind: Bool}})}),
		"inputs": {Kind: Object},
	})
}

func testValues() map[string]any {
	o := map[string]any{"rows": int64(1)<<53 + 1, "name": "a-b", "equal": false, "share": 0.5, "list": []any{}, "map": map[string]any{"x": nil, "e": "", "f": ""}, "inner": map[string]any{"deep": int64(3)}}
	return map[string]any{"outputs": o, "steps": map[string]any{"plan-damage": map[string]any{"outputs": o, "skipped": false}}, "inputs": map[string]any{"n": int64(4)}}
}

func TestExpressionsGiveExactValues(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]any{
		"outputs.rows == 9007199254740992":         false,
		"outputs.rows == 9007199254740993":         true,
		"outputs.rows == 9007199254740992.0":       false,
		"outputs.rows + 1 > outputs.rows":          true,
		"!outputs.equal && outputs.share < 1":      true,
		"outputs.equal || not outputs.equal":       true,
		"steps.plan-damage.outputs.name == 'a-b'":  true,
		"steps.plan-damage.outputs.inner.deep - 1": int64(2),
		"7 / 2.0": 3.5,
		"6 / 2":   int64(3),
		"-7 % 4":  int64(-3),
		"len(outputs.list) == 0 and empty(outputs.list)":      true,
		"outputs.name in ['x', 'a-b']":                        true,
		"outputs.equal ? 1 : 2":                               int64(2),
		"inputs.n * 2":                                        int64(8),
		"outputs.name + 'steps.plan-damage'":                  "a-bsteps.plan-damage",
		"outputs.map.e == ''":                                 true,
		"['a', 'b'][1]":                                       "b",
		"steps.plan-damage.skipped == false && 0.1 + 0.2 > 0": true,
	} {
		e, err := Compile(source, testNames())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got, err := e.Eval(testValues())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v (%v), want %#v", source, got, err, want)
		}
	}
}

// TestTrapsAreClosed holds what passes silently in a general language.
func TestTrapsAreClosed(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"":                                   "empty",
		"outputs.rwos > 0":                   `did you mean "rows"?`,
		"steps.plan-damag.outputs.rows > 0":  `did you mean "plan-damage"?`,
		"outputs.rows":                       "not true or false",
		"outputs.rows && true":               "expected true or false",
		"outputs.rows == '1'":                "compares an integer with text",
		"outputs.name > 1":                   "compares text with an integer",
		"all(outputs.list, # == 'x')":        "there is no function",
		"none(outputs.list, # == 'x')":       "there is no function",
		"outputs.other == outputs.other":     "is missing",
		"outputs.map.x == outputs.map.x":     "is null",
		"outputs.map.y == 1":                 "is missing",
		"outputs.map.e == outputs.map.f":     "is empty",
		"outputs.name in outputs.list":       "an empty list",
		"outputs.list == outputs.list":       "is a list",
		"now() == now()":                     "there is no function",
		"outputs?.rows == 1":                 "not part of the language",
		"outputs.name matches 'a'":           "not part of the language",
		"9223372036854775807 + 1 > 0":        "overflows",
		"1 / 0 == 1":                         "divides by zero",
		"7 / 2 == 3":                         "remainder",
		"outputs.list[0] == 'x'":             "0 elements",
		"{'a': 1}.a == 1":                    "not part of the language",
		"let x = 1; x == 1":                  "not part of the language",
		"(outputs.rows ?? 1) == 1":           "not part of the language",
		"nil == nil":                         "not part of the language",
		"outputs.rows | len() == 1":          "expected text",
		"true > false":                       "expected an integer",
		"outputs.rows ==":                    "unexpected token",
		strings.Repeat("1+", 1001) + "1 > 0": "longer than",
	} {
		e, err := Compile(source, testNames())
		if err == nil {
			_, _, err = e.Bool(testValues())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want one with %q", source, err, want)
		}
	}
}

func TestTemplatesKeepTypes(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]any{
		"plain":                                 "plain",
		"${{ outputs.rows }}":                   int64(1)<<53 + 1,
		"a ${{ outputs.name }}/${{ inputs.n }}": "a a-b/4",
		"$${{ no }}":                            "${{ no }}",
		"${{ '}}' }}":                           "}}",
		"${{ outputs.inner }}":                  map[string]any{"deep": int64(3)},
	} {
		tpl, err := ParseTemplate(source, testNames())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, _, err := tpl.Eval(testValues()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %#v (%v), want %#v", source, got, err, want)
		}
	}
	for source, want := range map[string]string{
		"x ${{ outputs.list }}": "only texts and integers", "${{ outputs.name": "not closed", "a${{ outputs.map.e }}": "is empty", "${{ }}": "empty",
	} {
		tpl, err := ParseTemplate(source, testNames())
		if err == nil {
			_, _, err = tpl.Eval(testValues())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", source, err, want)
		}
	}
	tpl, err := ParseTemplate("${{ steps.plan-damage.outputs.rows + steps.plan-damage.outputs.rows }}", testNames())
	if err != nil || !reflect.DeepEqual(tpl.Steps(), []string{"plan-damage"}) {
		t.Errorf("steps %v, %v", tpl.Steps(), err)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"${{ outputs.rows + 1 }}", "${{ 'a", "$${{", "${{ steps.a-b['c'] in [1,2.5] ? -x : !y }}", "${{ len(outputs.list) }}x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tpl, err := ParseTemplate(s, testNames())
		if err != nil {
			return
		}
		v, _, err := tpl.Eval(testValues())
		if err == nil && v == nil {
			t.Errorf("%q gives null without an error", s)
		}
	})
}
