package salvage

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const header = `{"firedrill":"salvage","version":1,"run":"r","drill":"d","environment":"e","database":"id","name":"shop","then":"b0","now":"b1"}`

// TestAFileOfChoicesIsReadAsItIsMeant reads what a person may have edited.
func TestAFileOfChoicesIsReadAsItIsMeant(t *testing.T) {
	t.Parallel()
	const row = `{"take":"then","table":"t","key":"id=1","how":"gone","id":"aa"}`
	for name, c := range map[string]struct{ text, want string }{
		"as it was written":      {header + "\n" + row + "\n\n" + `{"take":"now","table":"u","refused":"it is gone"}`, ""},
		"without a line's end":   {header + "\n" + row, ""},
		"nothing":                {"", "it is empty"},
		"no header":              {row, "line 1 does not begin"},
		"another file":           {`{"firedrill":"backup","version":1}`, "line 1 does not begin"},
		"a later version":        {strings.Replace(header, `"version":1`, `"version":2`, 1), "version 2"},
		"a word that is none":    {header + "\n" + strings.Replace(row, "then", "than", 1), `line 2: take is "than"`},
		"no word":                {header + "\n" + strings.Replace(row, "then", "", 1), `line 2: take is ""`},
		"a table not yet passed": {header + "\n" + `{"take":"","table":"u","refused":"it is gone"}`, ""},
		"a table taken":          {header + "\n" + `{"take":"then","table":"u","refused":"it is gone"}`, "cannot be as they were then: it is gone"},
		"a key that is none":     {header + "\n" + strings.Replace(row, `"key"`, `"kye"`, 1), "line 2"},
		"a row twice":            {header + "\n" + row + "\n" + row, "line 3: it is the second choice"},
		"no row":                 {header + "\n" + `{"take":"then","table":"t"}`, "names no row"},
		"two in a line":          {header + "\n" + row + row, "more than one"},
		"a line that is cut":     {header + "\n" + row[:20], "line 2"},
	} {
		_, err := Read(strings.NewReader(c.text), func(Row) error { return nil })
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestRulesFillAListIn asks every rule about every kind of row.
func TestRulesFillAListIn(t *testing.T) {
	t.Parallel()
	rows := []Row{{Table: "t", Key: "id=1", How: Gone}, {Table: "t", Key: "id=2", How: Changed}, {Table: "t", Key: "id=3", How: New},
		{Table: "u:v", Key: "id=1", How: Changed}, {Table: "u:v", Key: "id=3", How: New}}
	for _, c := range []struct {
		rules Rules
		want  string // a word a row, or the error
	}{
		{Rules{}, "then then now then now"},
		{Rules{DropNew: true}, "then then then then then"},
		{Rules{Keep: []string{"t"}}, "now now now then now"},
		{Rules{Keep: []string{"T:2,1"}}, "now now now then now"},
		{Rules{Keep: []string{"t:id=2"}}, "then now now then now"},
		{Rules{Keep: []string{"u:v:1"}}, "then then now now now"},
		{Rules{Restore: []string{"t"}}, "then then now now now"},
		{Rules{Restore: []string{"t"}, DropNew: true}, "then then then now now"},
		{Rules{Restore: []string{"t:3"}}, "now now then now now"},
		{Rules{Restore: []string{"t"}, Keep: []string{"t:1"}}, "now then now now now"},
		{Rules{Keep: []string{"t"}, Restore: []string{"t:1"}}, "then now now now now"},
		{Rules{Keep: []string{"t:1"}, Restore: []string{"t:1"}}, "row id=1 of table t is to be kept and restored"},
		{Rules{Keep: []string{"t"}, Restore: []string{"t"}}, "table t is to be kept and restored"},
		{Rules{Keep: []string{"x"}}, "names no table"},
		{Rules{Keep: []string{"t:"}}, "names an empty key"},
		{Rules{Keep: []string{"t:9"}}, "unmet t:9"},
	} {
		if got := answers(c.rules, rows); !strings.Contains(got, c.want) {
			t.Errorf("%+v: %s, want %s", c.rules, got, c.want)
		}
	}
}

// answers gives a word for each row, or the error.
func answers(rules Rules, rows []Row) string {
	c, err := rules.Chooser([]string{"t", "u", "u:v"})
	if err != nil {
		return err.Error()
	}
	var words []string
	for _, r := range rows {
		take, err := c.Take(r.Table, r.Key, strings.TrimPrefix(r.Key, "id="), r.How)
		if err != nil {
			return err.Error()
		}
		words = append(words, take)
	}
	if key := c.Unmet(); key != "" {
		return "unmet " + key
	}
	return strings.Join(words, " ")
}

// FuzzRead reads what anybody may have written. What is accepted is the same after it
// was written again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(header + "\n" + `{"take":"then","table":"t","key":"id=1","how":"gone","columns":[{"column":"c","then":"1","now":""}],"id":"aa"}`))
	f.Add([]byte(header + "\n" + `{"take":"","table":"u","refused":"gone","remedy":"x"}`))
	f.Add([]byte(`{"firedrill":"salvage"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var rows []Row
		h, err := Read(bytes.NewReader(data), func(r Row) error { rows = append(rows, r); return nil })
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, h); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if err := Write(&out, r); err != nil {
				t.Fatal(err)
			}
		}
		var again []Row
		if h2, err := Read(&out, func(r Row) error { again = append(again, r); return nil }); err != nil || h2 != h || fmt.Sprint(again) != fmt.Sprint(rows) {
			t.Fatalf("%v\n%v\n%v", err, rows, again)
		}
	})
}
