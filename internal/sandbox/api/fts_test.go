package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"firedrill/internal/sandbox/d1"
	"firedrill/internal/testkit/sandboxtest"
)

// Full-text search works through the API as on the platform: in the three ways
// to keep the content, with triggers, and after a rewind.

func TestFullTextSearchInThreeWays(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	db := c.Database("search")
	c.Query(db, `CREATE TABLE doc(id INTEGER PRIMARY KEY, title TEXT, body TEXT);
		CREATE VIRTUAL TABLE own USING fts5(title, body, tokenize = 'porter unicode61');
		CREATE VIRTUAL TABLE outside USING fts5(title, body, content='doc', content_rowid='id');
		CREATE VIRTUAL TABLE bare USING fts5(title, body, content='', contentless_delete=1);
		CREATE TRIGGER doc_added AFTER INSERT ON doc BEGIN
			INSERT INTO own(rowid, title, body) VALUES (new.id, new.title, new.body);
			INSERT INTO outside(rowid, title, body) VALUES (new.id, new.title, new.body);
			INSERT INTO bare(rowid, title, body) VALUES (new.id, new.title, new.body);
		END;
		CREATE TRIGGER doc_gone AFTER DELETE ON doc BEGIN
			DELETE FROM own WHERE rowid = old.id;
			INSERT INTO outside(outside, rowid, title, body) VALUES ('delete', old.id, old.title, old.body);
			DELETE FROM bare WHERE rowid = old.id;
		END`)
	c.Query(db, `INSERT INTO doc VALUES (1, 'fire drill', 'we practise restoring'), (2, 'recipes', 'bread and butter'), (3, 'fire', 'burns')`)
	found := func(table, what string) string {
		t.Helper()
		return fmt.Sprint(c.Query(db, `SELECT rowid AS n FROM `+table+` WHERE `+table+` MATCH ? ORDER BY bm25(`+table+`), rowid`, what))
	}
	tables := []string{"own", "outside", "bare"}
	for _, table := range tables {
		if got := found(table, "fire OR butter"); got != "[map[n:2] map[n:3] map[n:1]]" {
			t.Errorf("%s finds %s", table, got)
		}
	}
	if got := found("own", "practised"); got != "[map[n:1]]" {
		t.Errorf("the stemmer is lost: %s", got)
	}
	for _, table := range tables[:2] {
		rows := c.Query(db, `SELECT highlight(`+table+`, 0, '<b>', '</b>') AS h, snippet(`+table+`, 1, '', '', '…', 2) AS s FROM `+table+`('fire drill')`)
		if len(rows) != 1 || rows[0]["h"] != "<b>fire</b> <b>drill</b>" || rows[0]["s"] != "we practise…" {
			t.Errorf("%s highlights %v", table, rows)
		}
	}
	if rows := c.Query(db, `SELECT title FROM bare WHERE rowid = 1`); len(rows) != 1 || rows[0]["title"] != nil {
		t.Errorf("a table without content gives %v", rows)
	}
	mark := bookmark(t, c, db)
	c.Query(db, `DELETE FROM doc WHERE id = 1; INSERT INTO doc VALUES (4, 'fire', 'fire fire')`)
	for _, table := range tables {
		if got := found(table, "drill OR bread"); got != "[map[n:2]]" {
			t.Errorf("after the deletion %s finds %s", table, got)
		}
	}
	c.Must("POST", "d1/database/"+db+"/time_travel/restore?bookmark="+mark, nil)
	for _, table := range tables {
		if got := found(table, "drill OR bread"); got != "[map[n:2] map[n:1]]" && got != "[map[n:1] map[n:2]]" {
			t.Errorf("after the rewind %s finds %s", table, got)
		}
		c.Query(db, `INSERT INTO `+table+`(`+table+`) VALUES ('integrity-check')`)
	}
}

func bookmark(t *testing.T, c *sandboxtest.Cloud, db string) string {
	t.Helper()
	var mark struct{ Bookmark string }
	c.Must("GET", "d1/database/"+db+"/time_travel/bookmark", nil).Into(t, &mark)
	return mark.Bookmark
}

// query sends SQL that may be refused.
func query(t *testing.T, c *sandboxtest.Cloud, db, sql string) sandboxtest.Reply {
	t.Helper()
	body, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		t.Fatal(err)
	}
	return c.Call("POST", "d1/database/"+db+"/query", "application/json", body)
}

func TestAnIndexIsRebuiltAndChecked(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	db := c.Database("search")
	c.Query(db, `CREATE TABLE doc(id INTEGER PRIMARY KEY, body TEXT); CREATE VIRTUAL TABLE ft USING fts5(body, content='doc', content_rowid='id');
		INSERT INTO doc VALUES (1, 'alpha'), (2, 'beta')`)
	const check = `INSERT INTO ft(ft, rank) VALUES ('integrity-check', 1)`
	if r := query(t, c, db, check); r.Status != http.StatusBadRequest || r.Code() != d1.CodeQuery {
		t.Errorf("an index that lacks rows passes the check: %d %s", r.Status, r.Body)
	}
	c.Query(db, `INSERT INTO ft(ft) VALUES ('rebuild')`)
	if r := query(t, c, db, check); r.Status != http.StatusOK {
		t.Errorf("after the rebuilding: %d %s", r.Status, r.Body)
	}
	if rows := c.Query(db, `SELECT rowid AS n FROM ft('beta')`); fmt.Sprint(rows) != "[map[n:2]]" {
		t.Errorf("found %v", rows)
	}
	c.Query(db, `INSERT INTO ft(ft) VALUES ('optimize'); INSERT INTO ft(ft, rank) VALUES ('merge', 16); CREATE VIRTUAL TABLE terms USING fts5vocab(ft, row)`)
	if rows := c.Query(db, `SELECT term FROM terms ORDER BY term`); fmt.Sprint(rows) != "[map[term:alpha] map[term:beta]]" {
		t.Errorf("terms %v", rows)
	}
	c.Query(db, `DROP TABLE terms; DROP TABLE ft`)
	if rows := c.Query(db, `SELECT name FROM sqlite_schema WHERE name LIKE 'ft%'`); len(rows) != 0 {
		t.Errorf("dropping left %v", rows)
	}
}

// TestShadowTablesAreReadOnly tries to change what a full-text index keeps.
func TestShadowTablesAreReadOnly(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	db := c.Database("search")
	c.Query(db, `CREATE VIRTUAL TABLE ft USING fts5(body); INSERT INTO ft VALUES ('alpha')`)
	for _, shadow := range []string{"data", "idx", "content", "docsize", "config"} {
		if rows := c.Query(db, `SELECT count(*) AS n FROM ft_`+shadow); rows[0]["n"] == 0.0 {
			t.Errorf("ft_%s is empty: this tests nothing", shadow)
		}
		columns := c.Query(db, `SELECT name FROM pragma_table_info('ft_`+shadow+`')`)
		for _, sql := range []string{"DELETE FROM ft_%s", "UPDATE ft_%s SET %[2]s = %[2]s", "INSERT INTO ft_%s(%[2]s) VALUES (77)", "REPLACE INTO ft_%s(%[2]s) VALUES (1)", "DROP TABLE ft_%s",
			"ALTER TABLE ft_%s RENAME TO x", "ALTER TABLE ft_%s ADD COLUMN x", "CREATE TRIGGER x AFTER INSERT ON ft_%s BEGIN SELECT 1; END"} {
			text := fmt.Sprintf(sql+"%.0[2]s", shadow, columns[0]["name"])
			if r := query(t, c, db, text); r.Status != http.StatusBadRequest || r.Code() != d1.CodeQuery {
				t.Errorf("%s: %d %s", text, r.Status, r.Body)
			}
		}
	}
	// A trigger on a table of the user's is no way round it.
	c.Query(db, `CREATE TABLE mine(a)`)
	if r := query(t, c, db, `CREATE TRIGGER x AFTER INSERT ON mine BEGIN DELETE FROM ft_data; END; INSERT INTO mine VALUES (1)`); r.Status != http.StatusBadRequest {
		t.Errorf("through a trigger: %d %s", r.Status, r.Body)
	}
	if rows := c.Query(db, `SELECT rowid AS n FROM ft('alpha')`); len(rows) != 1 {
		t.Errorf("the index is harmed: %v", rows)
	}
	c.Query(db, `INSERT INTO ft(ft) VALUES ('integrity-check')`)
}

func TestOnlyFullTextModulesAreThere(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	db := c.Database("search")
	for _, module := range []string{"fts3(x)", "fts4(x)", "rtree(id, a, b)", "dbstat", "csv(filename='/etc/passwd')"} {
		if r := query(t, c, db, `CREATE VIRTUAL TABLE v USING `+module); r.Status != http.StatusBadRequest || r.Code() != d1.CodeQuery {
			t.Errorf("%s: %d %s", module, r.Status, r.Body)
		}
	}
}

func TestADatabaseWithVirtualTablesIsNotExported(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	db := c.Database("search")
	c.Query(db, `CREATE TABLE doc(id INTEGER PRIMARY KEY); INSERT INTO doc VALUES (1); CREATE VIRTUAL TABLE ft USING fts5(body)`)
	export := func(options string) sandboxtest.Reply {
		return c.Call("POST", "d1/database/"+db+"/export", "application/json", []byte(`{"output_format":"polling","dump_options":`+options+`}`))
	}
	r := export(`{}`)
	if r.Status != http.StatusBadRequest || r.Code() != d1.CodeQuery || r.Errors[0].Message != "D1 Export error: cannot export databases with Virtual Tables (fts5)" {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	// By name the other tables can be had.
	if r := export(`{"tables":["doc"]}`); r.Status != http.StatusOK {
		t.Errorf("a table beside it: %d %s", r.Status, r.Body)
	}
	if c.Query(db, `SELECT id FROM doc`)[0]["id"] != 1.0 {
		t.Error("the database does not go on after the refusal")
	}
}
