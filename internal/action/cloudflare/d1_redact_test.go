package cloudflare

import (
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// hiddenWord begins every value that the rules of these tests hide.
const hiddenWord = "hidden-canary-"

var hiddenRules = []any{"users.email", "*.password", "sessions.*", "places.NAME"}

// hidden is a schema in which hidden values are in keys of every kind, in texts and
// in blobs.
var hidden = []string{
	`CREATE TABLE users (email TEXT PRIMARY KEY, password BLOB, name TEXT)`,
	`CREATE TABLE sessions (token TEXT PRIMARY KEY, data TEXT) WITHOUT ROWID`,
	`CREATE TABLE places (country TEXT, name TEXT, size INTEGER, PRIMARY KEY (country, name)) WITHOUT ROWID`,
	`CREATE TABLE open (id INTEGER PRIMARY KEY, name TEXT)`,
	`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 30) INSERT INTO users SELECT 'hidden-canary-mail-' || i, CAST('hidden-canary-pass-' || i AS BLOB), 'user ' || i FROM n`,
	`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 30) INSERT INTO sessions SELECT 'hidden-canary-token-' || i, 'hidden-canary-data' FROM n`,
	`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 30) INSERT INTO places SELECT 'c' || i, 'hidden-canary-place-' || i, i FROM n`,
	`INSERT INTO open VALUES (1, 'seen')`,
}

// showsHidden tells whether a hidden value can be read in something, as it is or as
// digits.
func showsHidden(t *testing.T, what any) bool {
	t.Helper()
	data, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ToLower(string(data))
	return strings.Contains(text, hiddenWord) || strings.Contains(text, hex.EncodeToString([]byte(hiddenWord)))
}

func hideIn(b *bench) {
	b.call.Environment.Resources = map[string]firedrill.Resource{"primary": {Key: "primary", Kind: "d1", Attrs: firedrill.Values{"name": "another", "redact": hiddenRules}}}
}

func TestHiddenValuesAreNeverShown(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", hidden...)
	b := newBench(t, p.url)
	hideIn(b)
	print := b.do("cut", "d1.fingerprint", db(id))
	for _, c := range []struct{ sql, shows string }{
		{`UPDATE users SET password = 'hidden-canary-new' WHERE name = 'user 7'`, `users rowid=7 column password: [redacted] is now another value`},
		{`UPDATE users SET name = 'x' WHERE name = 'user 8'`, `users rowid=8 column name: "user 8" is now "x"`},
		{`UPDATE sessions SET data = 'hidden-canary-other' WHERE token LIKE '%-9'`, `sessions token=[redacted] column data: [redacted] is now another value`},
		{`DELETE FROM sessions WHERE token LIKE '%-9'`, `sessions token=[redacted] is missing`},
		{`UPDATE places SET size = 0 WHERE country = 'c5'`, `places country="c5" name=[redacted] column size: 5 is now 0`},
		{`INSERT INTO users VALUES ('hidden-canary-mail-99', 'hidden-canary-pass', 'n')`, `users rowid=31 is extra`},
		{`DROP TABLE sessions`, `sessions a row [redacted] is missing`},
		{`DROP TABLE users`, `users rowid=1 is missing`},
		{`UPDATE open SET name = 'too'`, `open id=1 column name: "seen" is now "too"`},
	} {
		p.exec(id, c.sql)
		o := b.do("compare", "d1.compare", db(id, "against", text(t, print, "file")))
		if ok(o) || !strings.Contains(o.Summary, c.shows) {
			t.Errorf("%s: %q does not show %q", c.sql, o.Summary, c.shows)
		}
		if showsHidden(t, o) {
			t.Errorf("%s: %+v", c.sql, o)
		}
		p.exec(id, `DELETE FROM open; INSERT INTO open VALUES (1, 'seen')`)
		back(t, p, id, text(t, print, "bookmark"))
	}
	// What is kept to tell old values by holds none that is hidden.
	packed, err := os.ReadFile(filepath.Join(b.call.Dir, firedrill.PrivateFolder, "cut.fingerprint.values"))
	if err != nil {
		t.Fatal(err)
	}
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unpack.Close()
	values, err := unpack.DecodeAll(packed, nil)
	if err != nil || !strings.Contains(string(values), "user 8") || strings.Contains(string(values), hiddenWord) {
		t.Errorf("the kept values (%d bytes, %v) hold what is hidden, or nothing", len(values), err)
	}
	if info, err := os.Stat(filepath.Join(b.call.Dir, firedrill.PrivateFolder, "cut.fingerprint.values")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kept values: %v, %v", info, err)
	}
}

// back restores a database behind the API's back.
func back(t *testing.T, p *platform, id, bookmark string) {
	t.Helper()
	if _, _, err := p.store.Restore(t.Context(), id, bookmark); err != nil {
		t.Fatal(err)
	}
}

func TestRulesThatNameNoColumnAreRefused(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", plain)
	b := newBench(t, p.url)
	for _, rule := range []string{"users", ".email", "users.", ""} {
		b.call.Environment.Resources = map[string]firedrill.Resource{"primary": {Kind: "d1", Attrs: firedrill.Values{"redact": []any{rule}}}}
		b.fails(firedrill.KindUsage, "d1.fingerprint", db(id))
	}
}

func TestPatternsOfNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"*", "x", true}, {"a*", "abc", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b*c", "abc", true}, {"a*b*c", "a--b--c", true}, {"a*b*c", "ac", false}, {"a*a", "a", false}, {"a**b", "axb", true}, {"*b*", "abc", true}, {"", "x", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%q and %q: %v", c.pattern, c.name, got)
		}
	}
}

// TestHiddenValuesAreNowhereInARun runs the whole drill on hidden values and looks
// for them in everything that is recorded, and for what the run leaves behind.
func TestHiddenValuesAreNowhereInARun(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.create("shop", hidden...)
	b := newBench(t, p.url)
	program, registry := linkEdited(t, b, firedrill.ClassCI, "d1-pitr", "{kind: d1, name: shop}", `{kind: d1, name: shop, redact: [users.email, "*.password", "sessions.*", places.name]}`)
	home := t.TempDir()
	records := conductIn(t, home, program, registry)
	end, is := records[len(records)-1].Body.(firedrill.Finished)
	if !is || end.Verdict != firedrill.Passed {
		t.Errorf("%+v", end)
	}
	for _, r := range records {
		if showsHidden(t, r) {
			t.Errorf("record %d shows a hidden value: %+v", r.Seq, r.Body)
		}
	}
	prints := 0
	if err := filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == firedrill.PrivateFolder {
			t.Errorf("%s is left behind", path)
		}
		// A fingerprint keeps the keys of rows: a later recovery compares with it.
		if strings.HasSuffix(path, ".fingerprint") {
			prints++
		} else if err == nil && e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil || strings.Contains(string(data), hiddenWord) || strings.Contains(string(data), hex.EncodeToString([]byte(hiddenWord))) {
				t.Errorf("%s holds a hidden value, or cannot be read: %v", path, err)
			}
		}
		return err
	}); err != nil || prints == 0 {
		t.Errorf("%d fingerprints, %v", prints, err)
	}
}

// TestValuesStopWhereThereAreEnough fills the room for values: from there on
// differences are told without what was there before.
func TestValuesStopWhereThereAreEnough(t *testing.T) {
	t.Parallel()
	b := newBench(t, "http://127.0.0.1:1")
	w, err := newValueWriter(b.call, "x.values", redaction{})
	if err != nil {
		t.Fatal(err)
	}
	row := []fingerprint.Cell{{Type: fingerprint.Text, Bytes: []byte("kept")}}
	w.begin("t", []string{"a"})
	w.add(row)
	first, err := w.end()
	if err != nil || first == (fingerprint.Place{}) {
		t.Fatalf("%+v, %v", first, err)
	}
	size := w.at
	w.at = mostValues
	w.add(row)
	if at, err := w.end(); err != nil || at != (fingerprint.Place{}) {
		t.Errorf("behind the limit: %+v, %v", at, err)
	}
	w.at = size
	w.add(row)
	if at, err := w.end(); err != nil || at != (fingerprint.Place{}) {
		t.Errorf("after it: %+v, %v", at, err)
	}
	if err := w.f.keep(); err != nil {
		t.Fatal(err)
	}
	r, err := openValues(b.call, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if cells, _, err := r.row(first, 0); err != nil || len(cells) != 1 || string(cells[0].Bytes) != "kept" {
		t.Errorf("got %v, %v", cells, err)
	}
	if _, _, err := r.row(first, 1); firedrill.KindOf(err) != firedrill.KindCorrupt {
		t.Errorf("a row that is not there: %v", err)
	}
	if _, _, err := r.row(fingerprint.Place{Offset: 1, Length: 5}, 0); firedrill.KindOf(err) != firedrill.KindCorrupt {
		t.Errorf("a place that is none: %v", err)
	}
	if cells, _, err := r.row(fingerprint.Place{}, 0); cells != nil || err != nil {
		t.Errorf("nowhere: %v, %v", cells, err)
	}
}
