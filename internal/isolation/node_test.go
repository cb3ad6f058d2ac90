package isolation

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tailscale/hujson"
)

// shown gives a tree as shapes and texts, to compare it with what another reader
// makes of the same file.
func shown(n *node) any {
	switch n.shape {
	case aTable:
		m := map[string]any{}
		for _, x := range n.members {
			m[x.key] = shown(x.value)
		}
		return m
	case aList:
		list := []any{}
		for _, x := range n.items {
			list = append(list, shown(x))
		}
		return list
	case aText:
		return n.text
	}
	return another
}

// shapes gives decoded values in the form of shown.
func shapes(v any) any {
	switch x := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, y := range x {
			m[k] = shapes(y)
		}
		return m
	case []any:
		list := []any{}
		for _, y := range x {
			list = append(list, shapes(y))
		}
		return list
	case string:
		return x
	case nil, bool, int64, float64, time.Time, toml.LocalDate, toml.LocalDateTime, toml.LocalTime:
		return another
	}
	return fmt.Sprintf("a %T", v)
}

// inside tells whether every place of a tree is one of the text.
func inside(n *node, text string) error {
	lines := strings.Split(text, "\n")
	if n.at.Line < 1 || n.at.Line > len(lines) || n.at.Column < 1 || n.at.Column > len([]rune(lines[n.at.Line-1]))+1 {
		return fmt.Errorf("%v is outside of the text", n.at)
	}
	for _, m := range n.members {
		if err := inside(m.value, text); err != nil {
			return err
		}
	}
	for _, x := range n.items {
		if err := inside(x, text); err != nil {
			return err
		}
	}
	return nil
}

// seeds adds the files of the corpus with one ending.
func seeds(f *testing.F, ending string) {
	f.Helper()
	for _, folder := range []string{"leaks", "clean"} {
		all, err := filepath.Glob("testdata/" + folder + "/*.txtar")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range all {
			a, err := txtar.ParseFile(file)
			if err != nil {
				f.Fatal(err)
			}
			for _, x := range a.Files {
				if strings.HasSuffix(x.Name, ending) {
					f.Add(string(x.Data))
				}
			}
		}
	}
}

// FuzzTOML holds the tree against what the library decodes.
func FuzzTOML(f *testing.F) {
	seeds(f, ".toml")
	for _, s := range []string{"a.b.c = 1\na.b.d = 'x'\n[a.e]\n", "x = [[1, 'a'], [{b = \"\\u00fc\"}]]\r\n", "[[a]]\n[[a.b]]\nc = '''\ntwo\nlines'''\n[[a.b]]\n[a.d]\n[[a]]\n",
		"\"a b\".'c.d' = 1979-05-27T07:32:00Z\nt = 07:32:00\nd = 1979-05-27\n", "a = \"\"\"\\\n   b\"\"\" # c\n", "=", "[a", "a = {b = 1, c = {d = []}}", "\"\" = 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, wrong := parse("wrangler.toml", []byte(text))
		if wrong != nil {
			if wrong.at.Line < 1 || wrong.at.Column < 1 {
				t.Fatalf("an error at %v", wrong.at)
			}
			return
		}
		var whole map[string]any
		if err := toml.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &whole); err != nil {
			t.Fatalf("read what is no TOML: %v", err)
		}
		if whole == nil {
			whole = map[string]any{}
		}
		if diff := cmp.Diff(shapes(whole), shown(root)); diff != "" {
			t.Fatalf("decoded (-) and walked (+):\n%s", diff)
		}
		if err := inside(root, text); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzJSONC holds the tree against what the standard library decodes.
func FuzzJSONC(f *testing.F) {
	seeds(f, ".jsonc")
	seeds(f, ".json")
	for _, s := range []string{"{}", "{\"a\":1,}//", "{\"a\":[1,null,true,\"\\u00fc\\n\",],/* */}", "[", "{\"a\":1,\"a\":2}", "\ufeff{\"a\":\r\n{}}", "{\"\":\"\\ud800\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, wrong := parse("wrangler.jsonc", []byte(text))
		if wrong != nil {
			if wrong.at.Line < 1 || wrong.at.Column < 1 {
				t.Fatalf("an error at %v", wrong.at)
			}
			return
		}
		plain, err := hujson.Standardize([]byte(strings.TrimPrefix(text, "\ufeff")))
		if err != nil {
			t.Fatalf("read what is no JSON: %v", err)
		}
		var whole any
		if err := json.Unmarshal(plain, &whole); err != nil {
			t.Fatalf("read what is no JSON: %v", err)
		}
		if diff := cmp.Diff(shapes(whole), shown(root)); diff != "" {
			t.Fatalf("decoded (-) and walked (+):\n%s", diff)
		}
		if err := inside(root, text); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPlaces: line and column count characters, whatever ends the lines.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text   string
		line, column int
	}{
		"JSON with CRLF":      {"wrangler.json", "{\r\n  \"x\":\r\n    \"HERE\"\r\n}", 3, 5},
		"JSON with a mark":    {"wrangler.json", "\ufeff{\"x\": \"HERE\"}", 1, 7},
		"JSON behind letters": {"wrangler.jsonc", "{ /* äöü 🙂 */ \"x\": \"HERE\" }", 1, 20},
		"TOML with CRLF":      {"wrangler.toml", "a = 1\r\n\r\nx = \"HERE\"\r\n", 3, 5},
		"TOML with a mark":    {"wrangler.toml", "\ufeffx = \"HERE\"", 1, 5},
		"TOML behind letters": {"wrangler.toml", "a = {b = \"äöü 🙂\", x = \"HERE\"}", 1, 23},
		"TOML over lines":     {"wrangler.toml", "x = \"\"\"\nHERE\"\"\"", 1, 5},
		"TOML literal":        {"wrangler.toml", "[a]\n'x'   =   'HERE'", 2, 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, wrong := parse(c.file, []byte(c.text))
			if wrong != nil {
				t.Fatal(wrong)
			}
			n := root.get("x")
			if a := root.get("a"); n == nil {
				n = a.get("x")
			}
			if n == nil || n.text != "HERE" || n.at.Line != c.line || n.at.Column != c.column {
				t.Errorf("%+v, want %d:%d", n, c.line, c.column)
			}
		})
	}
}

// TestUnreadable: what wrangler cannot read, or two programs read differently, is
// refused with its place.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, text, at, detail string }{
		"JSON":             {"wrangler.json", "{\n\"a\": }", "wrangler.json:2:6", ""},
		"empty JSON":       {"wrangler.json", "", "wrangler.json:1:1", ""},
		"a list":           {"wrangler.json", "\n []", "wrangler.json:2:2", "no object"},
		"a key twice":      {"wrangler.jsonc", "{\"a\": {\n\"b\": 1, \"c\": 2,\n \"b\": 3}}", "wrangler.jsonc:3:2", `"b"`},
		"TOML":             {"wrangler.toml", "a = 1\nb = ", "wrangler.toml:2", ""},
		"TOML key twice":   {"wrangler.toml", "a = 1\nb.c = 2\n[b]\nc = 3", "wrangler.toml:", ""},
		"TOML table twice": {"wrangler.toml", "[a]\n[b]\n[a]", "wrangler.toml:3", ""},
		"other letters":    {"wrangler.toml", "a = \"\xff\"", "wrangler.toml:1:1", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, wrong := parse(c.file, []byte(c.text))
			if wrong == nil {
				t.Fatal("it was read")
			}
			if !strings.HasPrefix(wrong.at.String(), c.at) || !strings.Contains(wrong.detail, c.detail) {
				t.Errorf("%v", wrong)
			}
		})
	}
}
