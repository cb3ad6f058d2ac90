package cloudflare

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/fingerprint"
)

const plainShop = `CREATE TABLE users(id INTEGER PRIMARY KEY, email TEXT UNIQUE); INSERT INTO users VALUES(1,'a@b'),(2,'ü');
	CREATE TABLE posts(id INTEGER PRIMARY KEY AUTOINCREMENT, author INT REFERENCES users(id), body TEXT); INSERT INTO posts(author, body) VALUES(1,'x'),(2,'y'),(2,'z');
	CREATE INDEX by_author ON posts(author); CREATE VIEW v AS SELECT * FROM posts; CREATE TRIGGER t AFTER INSERT ON users BEGIN INSERT INTO posts(author) VALUES(new.id); END`

// TestEveryRequestOfABackupMayFail fails each request of a backup and a restore
// once, in each of several ways, and looks that what is said to be done is done.
func TestEveryRequestOfABackupMayFail(t *testing.T) {
	t.Parallel()
	for _, method := range []backup.Method{backup.MethodExport, backup.MethodSQL} {
		for name, fail := range map[string]func(w http.ResponseWriter, r *http.Request, inner func(http.ResponseWriter)){
			"status 500": func(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
				refuse(w, http.StatusInternalServerError, 0, "fault")
			},
			"success false": func(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
				refuse(w, http.StatusOK, 7500, "no: SQLITE_ERROR")
			},
			"inner success false": func(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
				answer(w, map[string]any{"success": false, "error": "no", "messages": []string{}})
			},
			"nothing": func(http.ResponseWriter, *http.Request, func(http.ResponseWriter)) {},
			"cut off": func(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
				w.Header().Set("Content-Length", "1000")
				fmt.Fprint(w, `{"success":true,"result":[`)
			},
			"done, and cut off": func(w http.ResponseWriter, _ *http.Request, inner func(http.ResponseWriter)) {
				rec := httptest.NewRecorder()
				inner(rec)
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/2])
			},
		} {
			t.Run(string(method)+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := newPlatform(t)
				id := p.create("shop", plainShop)
				// A third of the requests each, unless there is time.
				step := 3
				if os.Getenv("FIREDRILL_SOAK") != "" {
					step = 1
				}
				try := func(n int) (seen int) {
					var mu sync.Mutex
					p.bending(func(w http.ResponseWriter, r *http.Request) bool {
						mu.Lock()
						seen++
						now := seen == n
						mu.Unlock()
						if now {
							fail(w, r, func(w http.ResponseWriter) { p.inner.ServeHTTP(w, r) })
						}
						return now
					})
					failedRound(t, p, id, method, n)
					mu.Lock()
					defer mu.Unlock()
					return seen
				}
				total := try(0)
				for n := 1 + len(name)%step; n <= total; n += step {
					try(n)
				}
				if total < 15 {
					t.Errorf("only %d requests", total)
				}
			})
		}
	}
}

// failedRound backs up and restores while a request fails, and tries again without.
func failedRound(t *testing.T, p *platform, id string, method backup.Method, n int) {
	t.Helper()
	ctx := t.Context()
	to := p.create(fmt.Sprintf("to %d", n), "")
	dir := backup.Folder(filepath.Join(t.TempDir(), "b"))
	c := p.client(t, nil)
	round := func() error {
		if _, err := backup.Open(ctx, dir); err != nil {
			d, err := c.D1(ctx, "test", id, nil)
			if err != nil {
				return err
			}
			o := writeOptions(d, method)
			o.MaxPartBytes = 300
			if _, err := backup.WriteD1(ctx, d, dir, o); err != nil {
				return err
			}
		}
		b, err := backup.Open(ctx, dir)
		if err != nil {
			return err
		}
		if err := b.Verify(ctx); err != nil {
			t.Errorf("request %d: a backup that does not verify: %v", n, err)
		}
		d, err := c.D1(ctx, "test", to, nil)
		if err != nil {
			return err
		}
		_, err = b.RestoreD1(ctx, d, restoreOptions())
		return err
	}
	err := round()
	p.bending(nil)
	if err != nil {
		if strings.Contains(err.Error(), "/transfer/") || strings.Contains(err.Error(), canaryToken) {
			t.Errorf("request %d: the error holds a secret: %v", n, err)
		}
		if again := round(); again != nil && (firedrill.KindOf(again) != firedrill.KindConflict || !same(t, p, id, to)) {
			t.Errorf("request %d, again: %v; first %v", n, again, err)
		}
	}
	if !same(t, p, id, to) {
		t.Errorf("request %d: what was restored differs", n)
	}
}

// same compares two databases by the fingerprint that drills use, but for what
// full-text tables keep.
func same(t *testing.T, p *platform, a, b string) bool {
	t.Helper()
	from := p.d1(t, a)
	s, err := from.d.schema(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return len(apartFrom(t, from, p.d1(t, b), func(table string) bool {
		return table == "sqlite_sequence" || slices.ContainsFunc(s.Virtual, func(v string) bool { return strings.HasPrefix(table, v+"_") })
	})) == 0
}

// TestTransfersGoWhereTheyMay gives addresses that the platform never would.
func TestTransfersGoWhereTheyMay(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plainShop)
	var tokens []string
	seen := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("Authorization"))
		http.Redirect(w, r, p.url, http.StatusFound)
	}))
	defer seen.Close()
	for address, kind := range map[string]firedrill.Kind{
		"http://example.com/x": firedrill.KindGuard, "ftp://127.0.0.1/x": firedrill.KindGuard, "": firedrill.KindCorrupt, "http://user:pass@127.0.0.1/": firedrill.KindGuard,
		"::": firedrill.KindGuard, "/relative": firedrill.KindGuard, seen.URL + "/secret": firedrill.KindDenied,
	} {
		p.bending(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/export") {
				return false
			}
			answer(w, map[string]any{"success": true, "status": "complete", "at_bookmark": "x", "messages": []string{}, "result": map[string]any{"filename": "f", "signed_url": address}})
			return true
		})
		d := p.d1(t, id)
		_, err := backup.WriteD1(t.Context(), d, backup.Folder(t.TempDir()), writeOptions(d, backup.MethodExport))
		if firedrill.KindOf(err) != kind || address != "" && strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(tokens) != 1 || tokens[0] != "" {
		t.Errorf("what came with the download: %q", tokens)
	}
	// From a real platform nothing goes to this machine.
	c := p.client(t, nil)
	c.local = false
	far := &D1{d: &d1{c: c}}
	if _, err := far.signed(t.Context(), http.MethodGet, seen.URL, nil); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("%v", err)
	}
}

// TestTransfersAreFollowed lets the platform take its time, fail, and forget.
func TestTransfersAreFollowed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers []map[string]any
		kind    firedrill.Kind
		want    string
	}{
		"slow":            {[]map[string]any{{"success": true, "status": "active", "messages": []string{"half"}}, {"success": true, "status": "active"}, {"success": true, "status": "complete", "result": map[string]any{"num_queries": 3}}}, "", ""},
		"an error":        {[]map[string]any{{"success": true, "status": "active"}, {"success": true, "status": "error", "errors": []string{"near x: syntax error at offset 7: SQLITE_ERROR"}}}, firedrill.KindInvalid, "offset 7"},
		"inner failure":   {[]map[string]any{{"success": false, "error": "statement 4 is too long"}}, firedrill.KindInvalid, "statement 4"},
		"without reason":  {[]map[string]any{{"success": true, "status": "error"}}, firedrill.KindInvalid, "without a reason"},
		"forgotten":       {[]map[string]any{{"success": true, "status": "active"}, {"success": false, "error": "Not currently importing anything."}}, firedrill.KindUnknown, ""},
		"lost":            {[]map[string]any{{"success": true, "status": "active"}, {"success": true, "status": "error", "error": "Network connection lost."}}, firedrill.KindUnknown, ""},
		"without success": {[]map[string]any{{"status": "complete"}}, firedrill.KindUnknown, ""},
		"no statement":    {[]map[string]any{{"success": true, "status": "complete", "result": map[string]any{"num_queries": 0}}}, firedrill.KindUnknown, ""},
		"another state":   {[]map[string]any{{"success": true, "status": "dreaming"}}, firedrill.KindUnknown, "dreaming"},
		"for ever":        {[]map[string]any{{"success": true, "status": "active"}}, firedrill.KindUnknown, "not waited for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			d := p.d1(t, p.create("to", ""))
			n := 0
			p.bending(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/import") {
					return false
				}
				body, _ := io.ReadAll(r.Body)
				var in struct{ Action string }
				if json.Unmarshal(body, &in) != nil || in.Action == "init" {
					r.Body = io.NopCloser(strings.NewReader(string(body)))
					return false
				}
				answer(w, c.answers[min(n, len(c.answers)-1)])
				n++
				return true
			})
			sql := "CREATE TABLE t(x);"
			err := d.Import(t.Context(), backup.Body{Size: int64(len(sql)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(sql)), nil }})
			if firedrill.KindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestRandomDatabasesRoundTrip makes schemas and rows at random and sends them
// through both methods.
func TestRandomDatabasesRoundTrip(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	rounds := 25
	if os.Getenv("FIREDRILL_SOAK") != "" {
		rounds = 1000
	}
	scripts := rapid.Custom(randomDatabase)
	methods := map[backup.Method]int{}
	for n := range rounds {
		script := scripts.Example(n)
		id := p.create(fmt.Sprintf("random %d", n), script)
		d := p.d1(t, id)
		o := writeOptions(d, []backup.Method{backup.MethodAuto, backup.MethodAuto, backup.MethodSQL}[n%3])
		o.MaxPartBytes = int64(n % 2 * 500)
		o.Seal.Compress = n%5 == 0
		dir := backup.Folder(filepath.Join(t.TempDir(), fmt.Sprint(n)))
		m, err := backup.WriteD1(t.Context(), d, dir, o)
		if err != nil {
			t.Fatalf("%v\n%s", err, script)
		}
		methods[m.Database.Method]++
		b, err := backup.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		to := p.create(fmt.Sprintf("restored %d", n), "")
		if _, err := b.RestoreD1(t.Context(), p.d1(t, to), restoreOptions()); err != nil {
			t.Fatalf("%v (%s)\n%s", err, m.Database.Method, script)
		}
		if !same(t, p, id, to) {
			t.Fatalf("differs (%s)\n%s", m.Database.Method, script)
		}
	}
	if methods[backup.MethodSQL] == 0 || methods[backup.MethodExport] == 0 {
		t.Errorf("a method was not tried: %v", methods)
	}
}

// randomDatabase writes SQL that makes a database.
func randomDatabase(t *rapid.T) string {
	var b strings.Builder
	name := rapid.SampledFrom([]string{"a", "Order", "x y", `q"u"o`, "d;ot--", "tab\tle", "ünï", "end", "trigger"})
	value := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) fingerprint.Cell {
			return fingerprint.Cell{Type: fingerprint.Integer, Int: rapid.Int64().Draw(t, "int")}
		}),
		rapid.Custom(func(t *rapid.T) fingerprint.Cell {
			return fingerprint.Cell{Type: fingerprint.Integer, Int: rapid.Int64Range(-3, 100).Draw(t, "small")}
		}),
		rapid.Custom(func(t *rapid.T) fingerprint.Cell {
			return fingerprint.Cell{Type: fingerprint.Real, Real: rapid.Float64().Draw(t, "real")}
		}),
		rapid.Custom(func(t *rapid.T) fingerprint.Cell {
			return fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(rapid.String().Draw(t, "text"))}
		}),
		rapid.Custom(func(t *rapid.T) fingerprint.Cell {
			return fingerprint.Cell{Type: rapid.SampledFrom([]fingerprint.Type{fingerprint.Text, fingerprint.Blob}).Draw(t, "type"), Bytes: rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes")}
		}),
		rapid.Just(fingerprint.Cell{Type: fingerprint.Null}))
	for i := range rapid.IntRange(1, 4).Draw(t, "tables") {
		table := fmt.Sprintf("%s %d", name.Draw(t, "table"), i)
		key := rapid.SampledFrom([]string{"", "id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT", "id TEXT PRIMARY KEY", "id INTEGER PRIMARY KEY DESC", "id ANY NOT NULL PRIMARY KEY"}).Draw(t, "key")
		var columns, inserted []string
		if key != "" {
			columns, inserted = append(columns, key), append(inserted, "id")
		}
		for k := range rapid.IntRange(1, 5).Draw(t, "columns") {
			c := fmt.Sprintf("%s %d", name.Draw(t, "column"), k)
			columns = append(columns, quoted(c)+" "+rapid.SampledFrom([]string{"", "INT", "TEXT", "REAL", "BLOB", "NUMERIC", "DATETIME", "BOOLEAN DEFAULT 1", "TEXT COLLATE NOCASE"}).Draw(t, "type"))
			inserted = append(inserted, quoted(c))
		}
		if rapid.Bool().Draw(t, "generated") {
			columns = append(columns, "made AS (typeof("+inserted[0]+")) "+rapid.SampledFrom([]string{"STORED", "VIRTUAL"}).Draw(t, "kind"))
		}
		if strings.HasSuffix(key, "PRIMARY KEY") && rapid.Bool().Draw(t, "refers") {
			columns = append(columns, "up REFERENCES "+quoted(table)+"(id)")
		}
		without := ""
		if strings.HasSuffix(key, "PRIMARY KEY") && key != "id INTEGER PRIMARY KEY" && rapid.Bool().Draw(t, "without") {
			without = " WITHOUT ROWID"
		}
		fmt.Fprintf(&b, "CREATE TABLE %s(%s)%s;\n", quoted(table), strings.Join(columns, ", "), without)
		for range rapid.IntRange(0, 6).Draw(t, "rows") {
			var values []string
			for range inserted {
				values = append(values, string(backup.AppendLiteral(nil, value.Draw(t, "value"))))
			}
			if key != "" {
				values[0] = string(backup.AppendLiteral(nil, fingerprint.Cell{Type: fingerprint.Integer, Int: rapid.Int64Range(-50, 1<<40).Draw(t, "id")}))
			}
			fmt.Fprintf(&b, "INSERT OR IGNORE INTO %s(%s) VALUES(%s);\n", quoted(table), strings.Join(inserted, ","), strings.Join(values, ","))
		}
		if rapid.Bool().Draw(t, "index") {
			fmt.Fprintf(&b, "CREATE INDEX \"i %d\" ON %s(%s, typeof(%s)) WHERE %s IS NOT NULL;\n", i, quoted(table), inserted[0], inserted[0], inserted[0])
		}
		if rapid.Bool().Draw(t, "trigger") {
			fmt.Fprintf(&b, "CREATE VIEW \"v %d\" AS SELECT * FROM %s;\nCREATE TRIGGER \"t %d\" AFTER INSERT ON %s BEGIN DELETE FROM %s; SELECT CASE WHEN 1 THEN 'END;' END; END;\n", i, quoted(table), i, quoted(table), quoted(table))
		}
	}
	if rapid.Bool().Draw(t, "texts") {
		b.WriteString("CREATE VIRTUAL TABLE ft USING fts5(a, b UNINDEXED);\n")
		for range rapid.IntRange(0, 3).Draw(t, "texts") {
			fmt.Fprintf(&b, "INSERT INTO ft(rowid, a, b) VALUES(%d, %s, %s);\n", rapid.Int64Range(1, 1<<40).Draw(t, "rowid"),
				backup.AppendLiteral(nil, fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(rapid.StringMatching(`[a-z ']{0,20}`).Draw(t, "text"))}), backup.AppendLiteral(nil, value.Draw(t, "value")))
		}
	}
	return b.String()
}

// TestWhatAnExportCannotCarryIsKnown asks databases with one reason each.
func TestWhatAnExportCannotCarryIsKnown(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for script, want := range map[string]string{
		"INSERT INTO t VALUES(1, 'plain', 2.5)":                          "",
		"INSERT INTO t VALUES(1, 'ü 漢 🔥', 9007199254740992)":             "",
		"INSERT INTO t VALUES(-9007199254740992, NULL, 1e308)":           "",
		"INSERT INTO t VALUES(1, x'00ff', 4.9e-324)":                     "",
		"INSERT INTO t VALUES(9007199254740993, 1, 1)":                   "table t holds values",
		"INSERT INTO t VALUES(1, -9007199254740993, 1)":                  "table t holds values",
		"INSERT INTO t VALUES(1, 1, 9e999)":                              "table t holds values",
		"INSERT INTO t VALUES(1, 1, -9e999)":                             "table t holds values",
		"INSERT INTO t VALUES(1, -0.0, 1)":                               "table t holds values",
		"INSERT INTO t VALUES(1, CAST(x'4100' AS TEXT), 1)":              "table t holds values",
		"INSERT INTO t VALUES(1, CAST(x'e9' AS TEXT), 1)":                "table t holds values",
		"INSERT INTO t VALUES(1, CAST(x'4180' AS TEXT), 1)":              "table t holds values",
		"INSERT INTO t VALUES(1, hex(zeroblob(23000)), 1)":               "table t holds values",
		"INSERT INTO t VALUES(1, zeroblob(24000), zeroblob(24000))":      "table t holds values",
		"CREATE TABLE h(x); INSERT INTO h VALUES(1), (2)":                "",
		"CREATE TABLE h(x); INSERT INTO h(rowid, x) VALUES(1, 1), (3,1)": "table h has rowids",
		"CREATE TABLE h(x); INSERT INTO h(rowid, x) VALUES(2, 1)":        "table h has rowids",
		"CREATE TABLE h(x TEXT PRIMARY KEY) WITHOUT ROWID":               "",
		"CREATE VIRTUAL TABLE ft USING fts5(x)":                          "virtual tables",
		"CREATE TABLE _firedrill_canary(x)":                              "firedrill made",
	} {
		id := p.create(script, "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, c); "+script)
		why, err := p.d1(t, id).Exportable(t.Context())
		if err != nil || (why == "") != (want == "") || !strings.Contains(why, want) {
			t.Errorf("%s: %q, %v", script, why, err)
		}
	}
	var columns []string
	for i := range 100 {
		columns = append(columns, fmt.Sprintf("column_number_%d", i))
	}
	id := p.create("wide", "CREATE TABLE t("+strings.Join(columns, ",")+"); INSERT INTO t(column_number_99) VALUES(9e999)")
	if why, err := p.d1(t, id).Exportable(t.Context()); err != nil || why == "" {
		t.Errorf("100 columns: %q, %v", why, err)
	}
}

// TestAnUploadThatArrivesOtherwiseIsNotIngested answers an upload with another
// checksum.
func TestAnUploadThatArrivesOtherwiseIsNotIngested(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	d := p.d1(t, p.create("to", ""))
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went with the upload")
		}
		w.Header().Set("ETag", `"0123"`)
		return true
	})
	sql := "CREATE TABLE t(x);"
	err := d.Import(t.Context(), backup.Body{Size: int64(len(sql)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(sql)), nil }})
	if firedrill.KindOf(err) != firedrill.KindUnavailable || !strings.Contains(err.Error(), "MD5") {
		t.Errorf("%v", err)
	}
	if names, err := d.Ask(t.Context(), "SELECT name FROM sqlite_schema WHERE name = 't'"); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}
