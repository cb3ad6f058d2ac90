package journal

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// ran appends a run from start to end.
func ran(t testing.TB, j *Journal, id, drill string, at time.Time, v firedrill.Verdict, state firedrill.EnvironmentState) {
	t.Helper()
	records := []firedrill.Record{started(id, drill, at)}
	if v != "" {
		records = append(records, firedrill.Record{Seq: 2, At: firedrill.Stamp{Wall: at.Add(time.Minute)}, Body: firedrill.Finished{Verdict: v, ReasonCode: firedrill.ReasonOK, Environment: state}})
	}
	if err := j.Append(context.Background(), id, records); err != nil {
		t.Fatal(err)
	}
}

func TestQueriesNarrow(t *testing.T) {
	t.Parallel()
	j := open(t, filepath.Join(t.TempDir(), "j.db"))
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return at.AddDate(0, 0, n) }
	ran(t, j, "a", "d1", day(0), firedrill.Passed, firedrill.Restored)
	ran(t, j, "b", "d1", day(1), firedrill.Failed, firedrill.Dirty)
	ran(t, j, "c", "d1", day(2), firedrill.Passed, firedrill.Restored)
	ran(t, j, "d", "kv", day(3), firedrill.Passed, firedrill.Restored)
	ran(t, j, "e", "d1", day(4), "", "")
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{}, "edcba"},
		{Query{Drill: "d1"}, "ecba"},
		{Query{Drill: "d1", Verdict: firedrill.Passed}, "ca"},
		{Query{Drill: "d1", Environment: "e", Verdict: firedrill.Passed, Limit: 1}, "c"},
		{Query{Drill: "d1", Environment: "elsewhere", Verdict: firedrill.Passed}, ""},
		{Query{Drill: "d1", Verdict: firedrill.Passed, Before: day(2)}, "a"},
		{Query{Before: day(2), Limit: 1}, "b"},
		{Query{State: firedrill.Dirty}, "b"},
		{Query{State: firedrill.Restored}, "dca"},
		{Query{Unfinished: true}, "e"},
	} {
		runs, err := j.Runs(context.Background(), c.q)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range runs {
			got += r.ID
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
}

// TestQueriesReadWhatTheyNeed: SQLite looks each of them up in an index that has the
// rows in their order, also in a journal that was made before there were indexes.
func TestQueriesReadWhatTheyNeed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j.db")
	old, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec(schema + fmt.Sprintf("PRAGMA user_version = %d;", format)); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	j := open(t, path)
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{Limit: 50}, "runs_by_start"},
		{Query{Unfinished: true}, "runs_open"},
		{Query{Drill: "d", Limit: 1}, "runs_by_drill (drill=?)"},
		{Query{Drill: "d", Before: time.Unix(1, 0), Limit: 8}, "runs_by_drill (drill=? AND started<?)"},
		{Query{Drill: "d", Environment: "e", Verdict: firedrill.Passed, Limit: 8}, "runs_by_verdict (drill=? AND environment=? AND verdict=?)"},
		{Query{Drill: "d", Environment: "e", Verdict: firedrill.Failed, Before: time.Unix(1, 0), Limit: 8}, "runs_by_verdict (drill=? AND environment=? AND verdict=? AND started<?)"},
		{Query{Drill: "d", Environment: "e", State: firedrill.Dirty, Limit: 8}, "runs_dirty (drill=? AND environment=?)"},
	} {
		text, args := c.q.sql()
		rows, err := j.db.Query("EXPLAIN QUERY PLAN "+text, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		all := strings.Join(plan, "; ")
		if !strings.Contains(all, "USING INDEX "+c.want) || strings.Contains(all, "TEMP B-TREE") {
			t.Errorf("%+v: %s", c.q, all)
		}
	}
}
