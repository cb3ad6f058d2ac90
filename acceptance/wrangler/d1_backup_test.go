package wrangler

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill/internal/action/cloudflare"
	"firedrill/internal/backup"
	"firedrill/internal/testkit/sandboxtest"
)

// database makes a database and gives it as backups see it.
func database(t *testing.T, c *sandboxtest.Cloud, name string) *cloudflare.D1 {
	t.Helper()
	client, err := cloudflare.New(cloudflare.Config{API: c.API, Account: c.Account, Token: func(context.Context) (string, error) { return c.Token(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	d, err := client.CreateD1(t.Context(), "test", name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// at gives the environment of a wrangler that speaks to another sandbox.
func (b *bench) at(c *sandboxtest.Cloud) *bench {
	w := *b
	w.env = nil
	for _, kv := range b.env {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "CLOUDFLARE_API_BASE_URL":
			kv = name + "=" + c.API
		case "CLOUDFLARE_API_TOKEN":
			kv = name + "=" + c.Token()
		case "CLOUDFLARE_ACCOUNT_ID":
			kv = name + "=" + c.Account
		}
		w.env = append(w.env, kv)
	}
	return &w
}

// TestABackupOfADatabaseIsRestoredByWrangler loads the parts of a backup with the
// unmodified wrangler into another sandbox, and compares.
func TestABackupOfADatabaseIsRestoredByWrangler(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	from := database(t, b.cloud, "shop")
	for _, sql := range []string{
		"CREATE TABLE customers(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, boss INT REFERENCES customers(id))",
		"CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INT REFERENCES customers(id), note TEXT, paid REAL, at DATETIME)",
		"CREATE TABLE hidden(v)",
		"INSERT INTO customers VALUES(1, 'it''s; \"quoted\" -- ü', 2), (2, 'two\nlines', NULL)",
		"INSERT INTO hidden(rowid, v) VALUES(5, 9223372036854775807), (77, CAST(x'410042' AS TEXT)), (78, x'00ff'), (79, 1/3.0), (80, 9e999)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO orders SELECT i, 1 + i % 2, hex(i), i / 7.0, '2026-01-01' FROM n",
		"UPDATE sqlite_sequence SET seq = 100",
		"CREATE INDEX notes ON orders(note) WHERE note IS NOT NULL",
		"CREATE VIEW named AS SELECT name FROM customers -- a comment",
		"CREATE TRIGGER logged AFTER INSERT ON orders BEGIN INSERT INTO hidden VALUES(CASE WHEN new.id > 0 THEN 'END;' END); END",
	} {
		if err := from.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	second := sandboxtest.Start(t)
	w := b.at(second)
	for method, bound := range map[backup.Method]int64{backup.MethodSQL: 60_000, backup.MethodAuto: 0} {
		dir := filepath.Join(t.TempDir(), "backup")
		m, err := backup.WriteD1(t.Context(), from, backup.Folder(dir), backup.D1Options{Method: method,
			WriteOptions: backup.WriteOptions{Source: from.Source(), Tool: "test", Now: time.Now, MaxPartBytes: bound}})
		if err != nil {
			t.Fatal(err)
		}
		if bound > 0 && len(m.Parts) < 2 {
			t.Errorf("%d parts", len(m.Parts))
		}
		name := "copy" + string(method)
		to := database(t, second, name)
		for _, p := range m.Parts {
			w.must("", []string{"d1", "execute", name, "--remote", "--yes", "--file", filepath.Join(dir, p.File)}, "quer(y|ies)")
		}
		back, err := backup.Open(t.Context(), backup.Folder(dir))
		if err != nil {
			t.Fatal(err)
		}
		rows, err := back.CheckD1(t.Context(), to)
		if err != nil || rows != m.Database.Rows {
			t.Errorf("%d rows of %d: %v", rows, m.Database.Rows, err)
		}
	}
}
