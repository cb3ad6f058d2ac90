package cloudflare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"firedrill"
	"firedrill/internal/salvage"
)

// salvaging is a database between a good moment and now.
type salvagingBench struct {
	*bench
	id, then, now string
	against, file string // what was found, and what differs
	choose        firedrill.Values
}

// salvage goes to the good moment and back, as the playbook does.
func (b *bench) salvage(id, then string) *salvagingBench {
	b.t.Helper()
	s := &salvagingBench{bench: b, id: id, then: then}
	found := b.do("found", "d1.found", db(id, "every", true))
	s.now, s.against = text(b.t, found, "bookmark"), text(b.t, found, "against")
	b.do("there", "d1.restore", db(id, "bookmark", then))
	s.file = text(b.t, b.do("then", "d1.salvage-read", db(id, "against", s.against)), "file")
	b.do("back", "d1.restore", db(id, "bookmark", s.now))
	if same := b.do("same", "d1.compare", db(id, "against", s.against)); !ok(same) {
		b.t.Fatalf("it is not back: %+v", same)
	}
	s.choose = db(id, "name", "shop", "drill", "d1-pitr", "then", then, "now", s.now, "differences", s.file)
	return s
}

// list lists what differs, filled in by rules.
func (s *salvagingBench) list(rules string) string {
	s.t.Helper()
	file := filepath.Join(s.call.Dir, "rows.jsonl")
	in := maps.Clone(s.choose)
	in["rules"], in["list"] = rules, file
	s.do("choose", "d1.salvage-choose", in)
	return file
}

// with are the inputs of a choice that a file makes.
func (s *salvagingBench) with(file string) firedrill.Values {
	s.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	in := maps.Clone(s.choose)
	in["choices"], in["digest"] = file, hex.EncodeToString(sum[:])
	return in
}

// apply takes a file of choices and gives what came of it, up to the check.
func (s *salvagingBench) apply(file string) (applied, check firedrill.Outcome, err error) {
	s.t.Helper()
	s.do("choose", "d1.salvage-choose", s.with(file))
	bookmark := text(s.t, s.do("mark", "d1.bookmark", db(s.id)), "bookmark")
	in := db(s.id, "chosen", "choose.chosen", "against", s.against)
	if before := s.do("before", "d1.salvage-check", in); ok(before) {
		s.t.Errorf("nothing is applied, and it is as chosen: %+v", before)
	}
	do := maps.Clone(in)
	do["bookmark"] = bookmark
	if applied, err = s.try("apply", "d1.salvage-apply", do); err != nil {
		return applied, check, err
	}
	check, err = s.try("chosen", "d1.salvage-check", in)
	return applied, check, err
}

// edit lets a function change the rows of a list.
func (s *salvagingBench) edit(file string, change func(*salvage.Row)) string {
	s.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	var rows []salvage.Row
	h, err := salvage.Read(bytes.NewReader(data), func(r salvage.Row) error {
		change(&r)
		rows = append(rows, r)
		return nil
	})
	var out bytes.Buffer
	if err == nil {
		err = salvage.Write(&out, h)
	}
	for _, r := range rows {
		if err == nil {
			err = salvage.Write(&out, r)
		}
	}
	if err == nil {
		err = os.WriteFile(file, out.Bytes(), 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return file
}

// TestSalvageOnAHostileSchema brings everything back by rows, with whatever is allowed
// in a database, and no trigger fires.
func TestSalvageOnAHostileSchema(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", hostile...)
	b := newBench(t, p.url)
	good := b.do("good", "d1.fingerprint", db(id))
	for _, sql := range []string{
		`DELETE FROM users WHERE tenant_id = 1`, // the trigger writes into the log
		`UPDATE users SET email = 'other' WHERE tenant_id = 2`,
		`UPDATE tenants SET plan = 'free', big = 1, logo = 'text', ratio = 0.0 WHERE id < 3`,
		`DELETE FROM tenants WHERE id = 3`,
		`INSERT INTO tenants VALUES (5000, 'stranger', 'pro', 1, x'', 2)`,
		`UPDATE "we""ird tablé 'x'" SET "c""d" = 7 WHERE "a b" = 1`,
		`DELETE FROM "we""ird tablé 'x'" WHERE "select" = 'Z'`,
		`UPDATE "order" SET value = rowid, rowid = NULL`,
		`DELETE FROM "order" WHERE _rowid_ = 3`,
		`UPDATE gen SET a = 11 WHERE id = 1`, `DELETE FROM gen WHERE id = 2`,
		`UPDATE strict SET y = 7.0`,
	} {
		p.exec(id, sql)
	}
	s := b.salvage(id, text(t, good, "bookmark"))
	applied, check, err := s.apply(s.list(`{"drop_new":true}`))
	if err != nil || !ok(check) || applied.Outputs["batches"] != int64(1) {
		t.Fatalf("%v %+v %+v", err, applied, check)
	}
	// The log has given numbers out and does not take them back.
	if same := b.do("compare", "d1.compare", db(id, "against", text(t, good, "file"), "residue", true)); !ok(same) {
		t.Errorf("%+v", same.Outputs["differences"])
	}
	// What was applied and whose answer was lost is not applied again.
	again, err := b.try("again", "d1.salvage-apply", db(id, "chosen", "choose.chosen", "against", s.against, "bookmark", s.now))
	if err != nil || again.Outputs["batches"] != int64(0) {
		t.Errorf("%v %+v", err, again)
	}
	// Nor is it taken for applied where somebody wrote.
	p.exec(id, `UPDATE strict SET y = 8`)
	if err := b.fails(firedrill.KindConflict, "d1.salvage-apply", db(id, "chosen", "choose.chosen", "against", s.against, "bookmark", s.now)); !strings.Contains(err.Error(), "not as it was chosen") {
		t.Error(err)
	}
	if check := b.do("differs", "d1.salvage-check", db(id, "chosen", "choose.chosen", "against", s.against)); ok(check) || !strings.Contains(check.Summary, "strict id=1") {
		t.Errorf("%+v", check)
	}
}

// TestValuesThatWereExchangedComeBack although no two rows may have one.
func TestValuesThatWereExchangedComeBack(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", `CREATE TABLE codes (id INTEGER PRIMARY KEY, code INTEGER UNIQUE)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 50) INSERT INTO codes SELECT i, i FROM n`)
	b := newBench(t, p.url)
	good := b.do("good", "d1.fingerprint", db(id))
	p.exec(id, `UPDATE codes SET code = -code`)
	p.exec(id, `UPDATE codes SET code = 51 + code`)
	s := b.salvage(id, text(t, good, "bookmark"))
	if _, check, err := s.apply(s.list("")); err != nil || !ok(check) {
		t.Fatalf("%v %+v", err, check)
	}
	if same := b.do("compare", "d1.compare", db(id, "against", text(t, good, "file"))); !ok(same) {
		t.Errorf("%+v", same)
	}
}

// TestMoreThanOneBatch brings back more rows than one batch takes, and says so.
func TestMoreThanOneBatch(t *testing.T) {
	t.Parallel()
	if os.Getenv("FIREDRILL_SOAK") == "" {
		t.Skip("megabytes; set FIREDRILL_SOAK=1")
	}
	p := newPlatform(t)
	id := p.create("shop", `CREATE TABLE pages (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT, big BLOB)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 600) INSERT INTO pages SELECT i, hex(randomblob(900)), CASE WHEN i % 300 = 0 THEN randomblob(300000) END FROM n`)
	p.exec(id, `UPDATE sqlite_sequence SET seq = 700`)
	b := newBench(t, p.url)
	good := b.do("good", "d1.fingerprint", db(id))
	p.exec(id, `DELETE FROM pages WHERE id > 200`) // 700 were given out by then
	p.exec(id, `UPDATE pages SET body = 'BAD', big = NULL`)
	p.exec(id, `DELETE FROM sqlite_sequence`)
	s := b.salvage(id, text(t, good, "bookmark"))
	applied, check, err := s.apply(s.list(""))
	if n, _ := applied.Outputs["batches"].(int64); err != nil || !ok(check) || n < 2 || len(applied.Notes) == 0 {
		t.Fatalf("%v %+v %+v", err, applied, check)
	}
	if same := b.do("compare", "d1.compare", db(id, "against", text(t, good, "file"), "residue", true)); !ok(same) {
		t.Errorf("%+v", same)
	}
	if got := b.do("seq", "d1.query", firedrill.Values{"database": id, "sql": "SELECT seq FROM sqlite_sequence"}).Outputs["rows"]; !strings.Contains(fmt.Sprint(got), "700") {
		t.Errorf("numbers go on after %v", got)
	}
}

// relatives is a schema in which rows refer to each other.
var relatives = []string{
	`CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE)`,
	`CREATE TABLE kept (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id) ON DELETE CASCADE)`,
	`CREATE TABLE loose (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id) ON DELETE SET NULL)`,
	`CREATE TABLE plain (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id))`,
	`INSERT INTO parents VALUES (1, 'one'), (2, 'two')`,
	`INSERT INTO kept VALUES (1, 1)`,
}

// TestChoicesThatDoNotFitAreRefused: nothing is applied, and it is said why; or the
// check finds what a foreign key did beside. A sample, or all with FIREDRILL_SOAK=1.
func TestChoicesThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after   []string // SQL after the good moment
		rules   string
		edit    func(*salvage.Row)
		listing bool // it is refused already
		kind    firedrill.Kind
		want    string
	}{
		"a foreign key would delete what stays":     {after: []string{`INSERT INTO parents VALUES (9, 'new')`, `INSERT INTO kept VALUES (9, 9)`}, rules: `{"restore":["parents:9"]}`, kind: firedrill.KindInvalid, want: "rows that were not chosen; nothing was applied"},
		"a foreign key would change what stays":     {after: []string{`INSERT INTO parents VALUES (9, 'new')`, `INSERT INTO loose VALUES (9, 9)`}, rules: `{"restore":["parents:9"]}`, want: "not as they should be: loose id=9"},
		"a foreign key would lead nowhere":          {after: []string{`INSERT INTO parents VALUES (9, 'new')`, `INSERT INTO plain VALUES (9, 9)`}, rules: `{"restore":["parents:9"]}`, kind: firedrill.KindInvalid, want: "nothing was applied"},
		"a child without its parent":                {after: []string{`DELETE FROM parents WHERE id = 1`}, rules: `{"restore":["kept"]}`, kind: firedrill.KindInvalid, want: "nothing was applied"},
		"a value that somebody else has":            {after: []string{`UPDATE parents SET name = 'x' WHERE id = 2`, `INSERT INTO parents VALUES (3, 'two')`}, rules: ``, kind: firedrill.KindInvalid, want: "nothing was applied"},
		"a table that is defined otherwise":         {after: []string{`ALTER TABLE plain ADD COLUMN x`, `DELETE FROM kept`}, kind: firedrill.KindUnsupported, want: "defined otherwise now"},
		"a table that is gone":                      {after: []string{`DROP TABLE plain`, `DELETE FROM kept`}, kind: firedrill.KindUnsupported, want: "was there then and is not now"},
		"a table that is gone and asked for":        {after: []string{`DROP TABLE plain`}, rules: `{"restore":["plain"]}`, listing: true, kind: firedrill.KindUnsupported, want: "was there then"},
		"a table that does not exist":               {after: []string{`DELETE FROM kept`}, rules: `{"keep":["keptt"]}`, listing: true, kind: firedrill.KindUsage, want: "names no table"},
		"a key that does not differ":                {after: []string{`DELETE FROM kept`}, rules: `{"keep":["kept:77"]}`, listing: true, kind: firedrill.KindUsage, want: "no row that differs is kept:77"},
		"nothing is chosen":                         {after: []string{`DELETE FROM kept`}, rules: `{"keep":["kept"]}`, kind: firedrill.KindUsage, want: "nothing to apply"},
		"a row that is not as it was listed":        {after: []string{`DELETE FROM kept`}, edit: func(r *salvage.Row) { r.ID = "00" }, kind: firedrill.KindConflict, want: "not as it was listed"},
		"virtual tables have parts that fit others": {after: []string{`INSERT INTO search VALUES ('more')`}, kind: firedrill.KindUnsupported, want: "belongs to a virtual table"},
	} {
		sample := []string{"a foreign key would delete what stays", "a foreign key would change what stays", "a table that is defined otherwise", "a row that is not as it was listed", "a key that does not differ"}
		if os.Getenv("FIREDRILL_SOAK") == "" && !slices.Contains(sample, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			id := p.create("shop", relatives...)
			if strings.HasPrefix(name, "virtual") {
				p.exec(id, `CREATE VIRTUAL TABLE search USING fts5(body)`)
			}
			b := newBench(t, p.url)
			then := text(t, b.do("good", "d1.bookmark", db(id)), "bookmark")
			for _, sql := range c.after {
				p.exec(id, sql)
			}
			s := b.salvage(id, then)
			if c.listing {
				in := maps.Clone(s.choose)
				in["rules"] = c.rules
				if err := b.fails(c.kind, "d1.salvage-choose", in); !strings.Contains(err.Error(), c.want) {
					t.Error(err)
				}
				return
			}
			file := s.list(c.rules)
			if c.edit != nil {
				s.edit(file, c.edit)
			}
			_, err := b.try("choose", "d1.salvage-choose", s.with(file))
			var check firedrill.Outcome
			if err == nil {
				_, check, err = s.apply(file)
			}
			if firedrill.KindOf(err) != c.kind && (c.kind != "" || err != nil) || !strings.Contains(fmt.Sprint(err, check.Summary), c.want) || err == nil && ok(check) {
				t.Fatalf("%v (%s) %+v", err, firedrill.KindOf(err), check)
			}
			if same := b.do("same", "d1.compare", db(id, "against", s.against, "empty", true)); c.kind != "" && !ok(same) {
				t.Errorf("something was applied: %+v", same.Outputs["differences"])
			}
		})
	}
}

// TestAParentChangesBackUnderItsChildren, which a foreign key would take along if it
// were deleted and made again.
func TestAParentChangesBackUnderItsChildren(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", relatives...)
	b := newBench(t, p.url)
	good := b.do("good", "d1.fingerprint", db(id))
	p.exec(id, `UPDATE parents SET name = 'BAD ' || id`)
	s := b.salvage(id, text(t, good, "bookmark"))
	if _, check, err := s.apply(s.list("")); err != nil || !ok(check) {
		t.Fatalf("%v %+v", err, check)
	}
	if same := b.do("compare", "d1.compare", db(id, "against", text(t, good, "file"))); !ok(same) {
		t.Errorf("%+v", same)
	}
}

// TestWhatCannotBeChosenStaysWhereThatIsSaid applies the rest, and names it.
func TestWhatCannotBeChosenStaysWhereThatIsSaid(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(relatives, `CREATE INDEX by_parent ON kept (parent)`)...)
	b := newBench(t, p.url)
	then := text(t, b.do("good", "d1.bookmark", db(id)), "bookmark")
	for _, sql := range []string{`ALTER TABLE plain ADD COLUMN x`, `DELETE FROM kept`, `DROP INDEX by_parent`} {
		p.exec(id, sql)
	}
	s := b.salvage(id, then)
	file := s.list(`{"keep":["plain"]}`)
	// What is written after the list stays, and so does what the file does not name.
	if choice := b.do("choose", "d1.salvage-choose", s.with(file)); fmt.Sprint(choice.Outputs["refused"]) != "[plain]" || !strings.Contains(fmt.Sprint(choice.Collateral), "index by_parent of table kept is gone") {
		t.Errorf("%+v", choice)
	}
	in := s.with(file)
	in["digest"] = "00"
	if err := b.fails(firedrill.KindConflict, "d1.salvage-choose", in); !strings.Contains(err.Error(), "edited since") {
		t.Error(err)
	}
	if _, check, err := s.apply(file); err != nil || !ok(check) {
		t.Errorf("%v %+v", err, check)
	}
}

// TestTheListHidesWhatThePlanHides looks for a hidden value in everything that stays.
func TestTheListHidesWhatThePlanHides(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", `CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, plan TEXT)`, `INSERT INTO users VALUES (1, 'secret-then', 'pro'), (2, 'secret-gone', 'pro')`)
	b := newBench(t, p.url)
	b.call.Environment.Resources = map[string]firedrill.Resource{"primary": {Key: "primary", Kind: "d1", Attrs: firedrill.Values{"redact": []any{"users.email"}}}}
	then := text(t, b.do("good", "d1.bookmark", db(id)), "bookmark")
	p.exec(id, `UPDATE users SET email = 'secret-now', plan = 'free' WHERE id = 1`)
	p.exec(id, `DELETE FROM users WHERE id = 2`)
	s := b.salvage(id, then)
	file := s.list("")
	data, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(data), "secret") || !strings.Contains(string(data), redacted) || !strings.Contains(string(data), "pro") {
		t.Errorf("%v\n%s", err, data)
	}
	if _, check, err := s.apply(file); err != nil || !ok(check) {
		t.Errorf("%v %+v", err, check)
	}
	got := b.do("rows", "d1.query", firedrill.Values{"database": id, "sql": "SELECT email FROM users ORDER BY id"})
	if out, _ := json.Marshal(got.Outputs["rows"]); !strings.Contains(string(out), "secret-then") || !strings.Contains(string(out), "secret-gone") {
		t.Errorf("%s", out)
	}
}
