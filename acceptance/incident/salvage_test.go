package incident

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/salvage"
)

// tenants makes a database with all that makes rows hard to put back: numbers that are
// not given out twice, keys of every kind, foreign keys that follow, values that JSON
// does not have, a column that is computed and a trigger that writes.
func (p *place) tenants() {
	p.t.Helper()
	for _, sql := range []string{
		"DROP TRIGGER IF EXISTS log", "DROP TABLE IF EXISTS tags", "DROP TABLE IF EXISTS projects", "DROP TABLE IF EXISTS tenants", "DROP TABLE IF EXISTS audit", "DROP TABLE IF EXISTS files",
		"CREATE TABLE tenants (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, plan)",
		"CREATE TABLE projects (id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE, title TEXT, size INTEGER GENERATED ALWAYS AS (length(title)) STORED)",
		"CREATE TABLE tags (project INTEGER, tag TEXT COLLATE NOCASE, n REAL, PRIMARY KEY (project, tag)) WITHOUT ROWID",
		"CREATE TABLE files (path TEXT PRIMARY KEY, body BLOB, tenant INTEGER REFERENCES tenants (id) ON DELETE SET NULL)",
		"CREATE TABLE audit (what TEXT, at INTEGER)",
		"CREATE TRIGGER log AFTER UPDATE ON tenants BEGIN INSERT INTO audit VALUES (NEW.name, (SELECT count(*) FROM audit)); END",
		"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) INSERT INTO tenants (id, name, plan) SELECT i, 'tenant ' || i, CASE i % 4 WHEN 0 THEN 'pro' WHEN 1 THEN 9007199254740993 + i WHEN 2 THEN NULL ELSE i / 7.0 END FROM c",
		"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) INSERT INTO projects (id, tenant, title) SELECT i * 10 + k, i, 'title ' || i || char(10) || k FROM c, (SELECT 1 AS k UNION SELECT 2)",
		"INSERT INTO tags SELECT id, 'Tag', id / 3.0 FROM projects",
		"INSERT INTO files (rowid, path, body, tenant) SELECT 1000 - id, 'f' || id, CASE id % 2 WHEN 0 THEN CAST('text' || char(0) || 'more' AS TEXT) ELSE x'00ff80' END, id FROM tenants",
	} {
		p.cloud.Query(p.db, sql)
	}
}

// exact is everything that the database holds, with types, to the last digit.
func (p *place) exact() string {
	p.t.Helper()
	var all []string
	for _, t := range []string{"SELECT name AS a, sql AS b FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
		"SELECT name AS a, seq AS b FROM sqlite_sequence ORDER BY name",
		"SELECT id || name AS a, typeof(plan) || quote(plan) AS b FROM tenants ORDER BY id",
		"SELECT id || '/' || tenant AS a, quote(title) || size AS b FROM projects ORDER BY id",
		"SELECT project || tag AS a, typeof(n) || quote(n) AS b FROM tags ORDER BY project",
		"SELECT rowid || path AS a, typeof(body) || hex(body) || quote(tenant) AS b FROM files ORDER BY rowid",
		"SELECT rowid || what AS a, at AS b FROM audit ORDER BY rowid"} {
		for _, row := range p.cloud.Query(p.db, t) {
			all = append(all, fmt.Sprint(row["a"], "|", row["b"]))
		}
	}
	return strings.Join(all, "\n")
}

// firstBad is the tenant with whom the disaster begins; the good writes are of those
// before.
const firstBad = 41

// goodWrites is what people wrote after the point.
func (p *place) goodWrites(r *rand.Rand) {
	p.t.Helper()
	id := func() int { return 1 + r.IntN(firstBad-1) }
	for _, sql := range []string{
		fmt.Sprintf("UPDATE tenants SET plan = 'paid', name = name || ' Ltd' WHERE id = %d", id()),
		fmt.Sprintf("UPDATE projects SET title = 'better' WHERE tenant = %d", id()),
		fmt.Sprintf("DELETE FROM tags WHERE project / 10 = %d", id()),
		fmt.Sprintf("DELETE FROM tenants WHERE id = %d", id()),
		fmt.Sprintf("INSERT INTO tenants (name, plan) VALUES ('new %d', 1.5), ('newer', NULL)", r.IntN(1000)),
		fmt.Sprintf("INSERT INTO projects (id, tenant, title) SELECT 5000 + id, id, 'of the new' FROM tenants WHERE id = %d OR name = 'newer'", id()),
		"INSERT INTO files VALUES ('g1', x'01', NULL)",
	} {
		p.cloud.Query(p.db, sql)
	}
}

// badWrites is the disaster.
func (p *place) badWrites(r *rand.Rand) {
	p.t.Helper()
	all := []string{
		fmt.Sprintf("DELETE FROM tenants WHERE id BETWEEN %d AND 100 AND id %% %d = 0", firstBad, 2+r.IntN(4)), // cascades
		fmt.Sprintf("UPDATE tenants SET name = 'BAD ' || id, plan = 0 WHERE id BETWEEN %d AND 100", firstBad+r.IntN(50)),
		fmt.Sprintf("UPDATE projects SET title = 'BAD' WHERE tenant BETWEEN %d AND 100", firstBad+r.IntN(50)),
		fmt.Sprintf("DELETE FROM projects WHERE tenant BETWEEN %d AND 100 AND id %% 3 = %d", firstBad, r.IntN(3)),
		fmt.Sprintf("UPDATE tags SET n = 1, tag = 'tAG' WHERE project BETWEEN %d0 AND 1009", firstBad+r.IntN(50)),
		fmt.Sprintf("DELETE FROM files WHERE tenant BETWEEN %d AND 100", firstBad+r.IntN(50)),
		fmt.Sprintf("INSERT INTO files VALUES ('f41/BAD%d', 'stray', NULL)", r.IntN(9)),
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, sql := range all[:2+r.IntN(len(all)-1)] {
		p.cloud.Query(p.db, sql)
	}
}

// damaged tells whether a row is one of those that the disaster wrote.
func damaged(row salvage.Row) bool {
	var n int
	text := strings.NewReplacer("id=", "", "project=", "", "path=", "", `"`, "", "f", "").Replace(row.Key)
	switch row.Table {
	case "tenants", "files":
		_, _ = fmt.Sscan(text, &n)
		return n >= firstBad && n <= 100 || strings.Contains(row.Key, "BAD")
	case "projects", "tags":
		_, _ = fmt.Sscan(text, &n)
		return n/10 >= firstBad && n/10 <= 100
	}
	return strings.Contains(fmt.Sprint(row.Columns), "BAD") // of the log
}

// choose edits a list as a person would.
func (p *place) choose(file string, then func(salvage.Row) bool) (chosen int) {
	p.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	var out bytes.Buffer
	var rows []salvage.Row
	h, err := salvage.Read(bytes.NewReader(data), func(r salvage.Row) error {
		r.Take = salvage.Now
		if then(r) {
			r.Take = salvage.Then
			chosen++
		}
		rows = append(rows, r)
		return nil
	})
	if err == nil {
		err = salvage.Write(&out, h)
	}
	for _, r := range rows {
		if err == nil {
			err = salvage.Write(&out, r)
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(file, out.String())
	return chosen
}

// list lists what differs, which changes nothing.
func (p *place) list(to string, more ...string) string {
	p.t.Helper()
	file := filepath.Join(p.dir, "rows.jsonl")
	r, status, told := p.result(append([]string{"recover", "d1-pitr", "--to", to, "--salvage", "--no-quiesce", "--plan-out", file}, more...)...)
	if status != firedrill.ExitOK || r.Verdict != firedrill.NotRecovered || r.ReasonCode != firedrill.ReasonListed || r.State != firedrill.Restored {
		p.t.Fatalf("status %d, %s %s %v\n%s", status, r.Verdict, r.ReasonCode, r.Reasons, told)
	}
	return file
}

// TestRowsAreSalvagedAmongGoodWrites: after a random disaster among good writes the
// damaged rows are as they were, the good writes are there, and nothing else differs;
// and that can be undone.
func TestRowsAreSalvagedAmongGoodWrites(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	for i := range rounds(1, 50) {
		p.tenants()
		to := p.bookmark()
		p.goodWrites(r)
		want := p.exact()
		p.badWrites(r)
		now := p.exact()
		file := p.list(to)
		if got := p.exact(); got != now {
			t.Fatalf("round %d: listing changed something:\n%.3000s", i, got)
		}
		if p.choose(file, damaged) == 0 {
			continue
		}
		run := p.recover("recover", "d1-pitr", "--salvage", "--no-quiesce", "--choices", file)
		if got := p.exact(); got != want {
			t.Fatalf("round %d:\n%s", i, unlike(got, want))
		}
		p.recover("recover", "--undo", run.Run)
		if got := p.exact(); got != now {
			t.Fatalf("round %d: undone:\n%s", i, unlike(got, now))
		}
	}
}

// unlike shows the lines in which two states differ.
func unlike(got, want string) string {
	var out []string
	for sign, pair := range map[string][2]string{"+": {got, want}, "-": {want, got}} {
		for line := range strings.SplitSeq(pair[0], "\n") {
			if !strings.Contains("\n"+pair[1]+"\n", "\n"+line+"\n") {
				out = append(out, sign+line)
			}
		}
	}
	return strings.Join(out, "\n")
}

// TestAKilledSalvageEndsAsFoundOrAsChosen kills the real program at a random moment and
// lets another process finish it, which says how it ended.
func TestAKilledSalvageEndsAsFoundOrAsChosen(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 4))
	resumed := 0
	for i := 0; resumed < rounds(1, 50) && i < 200; i++ {
		p.tenants()
		to := p.bookmark()
		p.goodWrites(r)
		want := p.exact()
		p.badWrites(r)
		now := p.exact()
		file := p.list(to)
		p.choose(file, damaged)
		// In a sample it is to meet the run.
		after := time.Duration(rounds(300, 0)+r.IntN(rounds(600, 1800))) * time.Millisecond
		interrupted := p.killed(after, "recover", "d1-pitr", "--salvage", "--no-quiesce", "--choices", file)
		if interrupted == "" {
			if got := p.exact(); got != now && got != want {
				t.Fatalf("round %d: neither before nor after:\n%s", i, unlike(got, want))
			}
			continue
		}
		resumed++
		run, code, told := p.result("resume", interrupted)
		got := p.exact()
		switch {
		case run.Verdict == firedrill.Recovered && got == want:
		case run.Verdict == firedrill.NotRecovered && run.State == firedrill.Restored && got == now:
		default:
			t.Fatalf("round %d: status %d, %s %s %v\n%s\n%s", i, code, run.Verdict, run.State, run.Reasons, unlike(got, want), told)
		}
	}
	if resumed == 0 {
		t.Error("no run was ever interrupted")
	}
}

// TestSalvageIsRefusedWhereItCannotBe sends nothing that changes anything.
func TestSalvageIsRefusedWhereItCannotBe(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	to := p.bookmark()
	p.cloud.Query(p.db, "DELETE FROM rows WHERE id < 10")
	before := p.bookmark()
	file := filepath.Join(p.dir, "rows.jsonl")
	other := filepath.Join(p.dir, "other.jsonl")
	p.write(other, `{"firedrill":"salvage","version":1,"run":"r","drill":"kv","environment":"e","database":"id","name":"shop","then":"b","now":"b"}`)
	for _, c := range []struct {
		args   string
		status int
		want   string
	}{
		{"recover d1-pitr --to " + to + " --keep rows", firedrill.ExitUsage, "--keep is for --salvage"},
		{"recover d1-pitr --to " + to + " --salvage", firedrill.ExitUsage, "write it into a file: --plan-out"},
		{"recover d1-pitr --salvage --plan-out " + file, firedrill.ExitUsage, "not said what to return to"},
		{"recover d1-pitr --to " + to + " --salvage --plan-out " + file, firedrill.ExitGuard, "does not say how its writers are stopped"},
		{"recover d1-pitr --to " + to + " --salvage --choices " + file, firedrill.ExitUsage, "--to has nothing to add"},
		{"recover d1-pitr --salvage --keep rows --choices " + file, firedrill.ExitUsage, "--keep has nothing to add"},
		{"recover d1-pitr --salvage --choices " + file, firedrill.ExitUsage, "the choices cannot be read"},
		{"recover d1-pitr --salvage --choices " + other, firedrill.ExitUsage, "are for drill kv"},
		{"recover --undo X --salvage", firedrill.ExitUsage, "salvages nothing"},
		{"recover kv --to x --salvage --plan-out " + file, firedrill.ExitUsage, "no database whose rows"},
		{"recover worker-rollback --to latest-good --no-quiesce", firedrill.KindNotFound.Exit(), "no run in the journal"},
		{"recover nope --to " + to + " --salvage --plan-out " + file, firedrill.ExitUsage, `no drill "nope"`},
	} {
		status, out, told := p.run(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(strings.Join(strings.Fields(told), " "), c.want) {
			t.Errorf("%s: status %d, want %d and %q\n%s%s", c.args, status, c.status, c.want, out, told)
		}
	}
	if now := p.bookmark(); now != before {
		t.Errorf("something was changed: from %s to %s", before, now)
	}
	p.list(to)
	var history struct{ Runs []struct{ Run string } }
	_, out, _ := p.run("history", "--json")
	if err := json.Unmarshal([]byte(out), &history); err != nil || len(history.Runs) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	if status, _, told := p.run("recover", "--undo", history.Runs[0].Run); status != firedrill.ExitUsage || !strings.Contains(told, "only listed what differs") {
		t.Errorf("status %d: %s", status, told)
	}
	// A second look after somebody has written a row that was listed.
	p.cloud.Query(p.db, "INSERT INTO rows VALUES (3, 'back by hand', 1)")
	r, status, _ := p.result("recover", "d1-pitr", "--salvage", "--no-quiesce", "--choices", file)
	if status == firedrill.ExitOK || r.Verdict != firedrill.NotRecovered || r.State != firedrill.Restored || !strings.Contains(strings.Join(r.Reasons, " "), "not as it was listed") {
		t.Errorf("status %d: %+v", status, r)
	}
	if rows := p.cloud.Query(p.db, "SELECT name FROM rows WHERE id < 10"); len(rows) != 1 {
		t.Errorf("%v", rows)
	}
}
