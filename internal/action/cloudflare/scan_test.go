package cloudflare

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestScanTakesThePlainAnswerOnly(t *testing.T) {
	t.Parallel()
	const good = `{"success":true,"errors":[],"messages":[],"result":[{"results":{"columns":["x"],"rows":[["a"],["\u00e9\n\ud83d\ude00\""]]},"success":true,"meta":{"n":-1.5e+3,"o":[null,{}]}}]}`
	rows, ok := scanTexts([]byte(good))
	if !ok || rows.len() != 2 || string(rows.row(0)[0]) != "a" || string(rows.row(1)[0]) != "é\n😀\"" {
		t.Fatalf("got %q, %v", rows.cells, ok)
	}
	for what, bad := range map[string]string{
		"failure":          strings.Replace(good, `"success":true,"errors"`, `"success":false,"errors"`, 1),
		"failure inside":   strings.Replace(good, `"success":true,"meta"`, `"success":false,"meta"`, 1),
		"no success":       strings.Replace(good, `"success":true,"errors":[],`, ``, 1),
		"none inside":      strings.Replace(good, `"success":true,"meta"`, `"meta"`, 1),
		"an error":         strings.Replace(good, `"errors":[]`, `"errors":[{}]`, 1),
		"two results":      strings.Replace(good, `"result":[{`, `"result":[{},{`, 1),
		"no rows":          strings.Replace(good, `"rows"`, `"raws"`, 1),
		"rows twice":       strings.Replace(good, `"rows":`, `"rows":[],"rows":`, 1),
		"number":           strings.Replace(good, `["a"]`, `[1]`, 1),
		"ragged":           strings.Replace(good, `["a"]`, `["a","b"]`, 1),
		"something behind": good + "{}",
		"cut":              good[:len(good)-1],
		"empty":            "",
	} {
		if bad == good {
			t.Fatalf("%s: nothing was changed", what)
		}
		if rows, ok := scanTexts([]byte(bad)); ok {
			t.Errorf("%s: taken: %q", what, rows.cells)
		}
	}
}

// FuzzScan: what the scanner takes, the standard library reads just so.
func FuzzScan(f *testing.F) {
	f.Add([]byte(`{"success":true,"errors":[],"messages":[],"result":[{"results":{"columns":["x"],"rows":[["a","\u0000\ud800x\t"],["b","é"]]},"success":true,"meta":{"n":-1.5e+3}}]}`))
	f.Add([]byte(`{"result":[{"success":true,"results":{"rows":[]}}],"success":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, ok := scanTexts(data)
		if !ok || !utf8.Valid(data) {
			return
		}
		var env struct {
			Success bool
			Result  []struct {
				Results struct{ Rows [][]string }
				Success bool
			}
		}
		if err := json.Unmarshal(data, &env); err != nil {
			t.Fatalf("taken, though it cannot be read: %v", err)
		}
		var got [][]string
		for i := range rows.len() {
			var row []string
			for _, c := range rows.row(i) {
				row = append(row, string(c))
			}
			got = append(got, row)
		}
		if !env.Success || len(env.Result) != 1 || !slices.EqualFunc(got, env.Result[0].Results.Rows, slices.Equal) {
			t.Errorf("got %q, want %+v", got, env.Result)
		}
	})
}
