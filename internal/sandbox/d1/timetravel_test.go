package d1

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// content is everything that a database holds, as text: every object of the
// schema and every row, in a fixed order.
func content(t *testing.T, s *Store, id string) string {
	t.Helper()
	db, _, err := s.open(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	var b strings.Builder
	dumpTable := func(sql string) []string {
		tab, err := db.ownTable(context.Background(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		var names []string
		for _, r := range tab.rows {
			fmt.Fprintf(&b, "%q\n", r)
			if n, ok := r[0].(string); ok {
				names = append(names, n)
			}
		}
		return names
	}
	dumpTable(`SELECT name, type, tbl_name, sql FROM sqlite_schema ORDER BY type, name`)
	for _, n := range dumpTable(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`) {
		fmt.Fprintf(&b, "-- %s\n", n)
		dumpTable(`SELECT * FROM ` + quoteName(n) + ` ORDER BY 1, 2`)
	}
	check, err := db.ownTable(context.Background(), `PRAGMA integrity_check`)
	if err != nil || check.rows[0][0] != "ok" {
		t.Fatalf("integrity: %v %v", check.rows, err)
	}
	return b.String()
}

// vacuum does what users may not, to prove that the page history survives it.
func vacuum(t *testing.T, s *Store, id string) {
	t.Helper()
	db, _, err := s.open(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.gate.open = true
	defer func() { db.gate.open = false }()
	plain, conn, err := connect(context.Background(), db.dir+"/"+mainFile, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(context.Background(), "VACUUM"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := plain.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.settle(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestRewindGivesTheIdenticalContent goes back and forth between random
// states of a database whose schema and size change all the time.
func TestRewindGivesTheIdenticalContent(t *testing.T) {
	t.Parallel()
	rounds := 2
	if os.Getenv("FIREDRILL_SOAK") != "" {
		rounds = 60
	}
	for round := range rounds {
		t.Run(fmt.Sprint("seed ", round), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(round), 7))
			dir := t.TempDir()
			s := openStore(t, dir)
			id := create(t, s, "w")
			exec(t, s, id, `CREATE TABLE t0(k INTEGER PRIMARY KEY, v TEXT, b BLOB); CREATE INDEX i0 ON t0(v)`)
			states := map[string]string{}
			var marks []string
			note := func() {
				m := mark(t, s, id)
				c := content(t, s, id)
				if old, ok := states[m]; ok && old != c {
					t.Fatalf("one bookmark, two states: %s", m)
				}
				states[m] = c
				marks = append(marks, m)
			}
			note()
			for i := range 60 {
				change(t, s, id, rng, i)
				note()
				switch rng.IntN(6) {
				case 0, 1:
					back := marks[rng.IntN(len(marks))]
					if _, _, err := s.Restore(context.Background(), id, back); err != nil {
						t.Fatal(err)
					}
					if got := content(t, s, id); got != states[back] {
						t.Fatalf("step %d: after the rewind to %s:\n%.2000s\nwant\n%.2000s", i, back, got, states[back])
					}
					note()
				case 2:
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = openStore(t, dir)
				}
			}
		})
	}
}

func change(t *testing.T, s *Store, id string, rng *rand.Rand, i int) {
	t.Helper()
	switch rng.IntN(9) {
	case 0:
		exec(t, s, id, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS x%d(a PRIMARY KEY, b) WITHOUT ROWID`, i%4))
	case 1:
		exec(t, s, id, fmt.Sprintf(`DROP TABLE IF EXISTS x%d`, i%4))
	case 2:
		exec(t, s, id, fmt.Sprintf(`ALTER TABLE t0 ADD COLUMN c%d DEFAULT %d`, i, i))
	case 3:
		exec(t, s, id, `DELETE FROM t0 WHERE k % 3 = 0`)
	case 4:
		vacuum(t, s, id)
	case 5:
		exec(t, s, id, `DROP INDEX IF EXISTS i0`)
		exec(t, s, id, `CREATE INDEX i0 ON t0(v, b)`)
	default:
		exec(t, s, id, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
			INSERT INTO t0(v, b) SELECT 'v' || (i * %d), zeroblob(i %% 700) FROM n`, 1+rng.IntN(400), i+1))
	}
}

// TestARewindWritesOnlyWhatDiffers counts the pages that a rewind writes.
func TestARewindWritesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	id := create(t, s, "count")
	exec(t, s, id, `CREATE TABLE t(k INTEGER PRIMARY KEY, v TEXT)`)
	exec(t, s, id, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 50000) INSERT INTO t SELECT i, printf('%0100d', i) FROM n`)
	back := mark(t, s, id)
	for i := range 40 { // the same few pages many times, and one change that is taken back
		exec(t, s, id, `UPDATE t SET v = ? WHERE k IN (100, 20000, 40000)`, fmt.Sprint("damage ", i))
		exec(t, s, id, `UPDATE t SET v = 'x' WHERE k = 30000; UPDATE t SET v = printf('%0100d', k) WHERE k = 30000`)
	}
	db, _, err := s.open(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	db.mu.Lock()
	err = db.checkpoint(context.Background(), "TRUNCATE")
	db.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	before := db.history.Frames()
	if _, _, err := s.Restore(context.Background(), id, back); err != nil {
		t.Fatal(err)
	}
	written := db.history.Frames()
	if before != 0 && written > before {
		written -= before
	}
	// Three leaves differ, and page 1 whose counters every commit changes.
	if written < 3 || written > 5 {
		t.Errorf("the rewind wrote %d pages, 3 differ", written)
	}
	if n := exec(t, s, id, `SELECT count(*) FROM t WHERE v <> printf('%0100d', k)`)[0].Rows[0][0]; n != int64(0) {
		t.Errorf("%v rows differ", n)
	}
}

func TestTimesLeadToBookmarks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	clock := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	s, err := Open(ctx, Options{Dir: t.TempDir(), Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := create(t, s, "times")
	exec(t, s, id, `CREATE TABLE t(a)`)
	first := mark(t, s, id)
	clock = clock.Add(time.Minute)
	exec(t, s, id, `INSERT INTO t VALUES (1)`)
	clock = clock.Add(-time.Hour) // a clock that goes backward must not reorder history
	exec(t, s, id, `INSERT INTO t VALUES (2)`)
	got, err := s.BookmarkAt(ctx, id, time.Date(2026, 11, 24, 10, 0, 30, 0, time.UTC))
	if err != nil || got != first {
		t.Errorf("half a minute in: %s, %v, want %s", got, err, first)
	}
	if got, _ := s.BookmarkAt(ctx, id, time.Date(2026, 11, 24, 11, 0, 0, 0, time.UTC)); got != mark(t, s, id) {
		t.Errorf("later: %s, want %s", got, mark(t, s, id))
	}
}
