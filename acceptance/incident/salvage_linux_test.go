package incident

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/cli"
)

// TestAPersonChoosesOnATerminal is shown what differs on production, and asked: once
// the answer is no.
func TestAPersonChoosesOnATerminal(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.production()
	to := p.bookmark()
	p.cloud.Query(p.db, "INSERT INTO rows VALUES (500, 'kept', 1)")
	good := p.rows()
	p.cloud.Query(p.db, "DELETE FROM rows WHERE id < 100")
	p.cloud.Query(p.db, "UPDATE rows SET name = 'BAD' WHERE id = 150")
	bad := p.rows()
	for _, c := range []struct {
		typed, rows string
		told        []string
		status      int
	}{
		{"live\nno\n", bad, []string{"99 gone, 1 changed, 1 new · 100 rows to be as then", `gone id=1 id: 1; name: "row 1"; n: 7`, `name: "row 150", now "BAD"`, `now new id=500`, "goes back to the point as a whole"}, firedrill.ExitOK},
		{"live\nyes\nlive\n", good, []string{"writers go on: as it was asked for", "afterwards: firedrill recover --undo RUN"}, firedrill.ExitOK},
	} {
		person, program := terminal(t)
		if _, err := person.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		status := cli.Run(cli.Process{Args: append([]string{"recover", "d1-pitr", "--env", "live", "--to", to, "--salvage", "--no-quiesce"}, p.args...), Stdin: program, Stdout: &stdout, Stderr: &stderr,
			Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"})
		said := strings.Join(strings.Fields(stderr.String()), " ")
		for _, want := range c.told {
			if !strings.Contains(said, want) {
				t.Errorf("%q typed: it did not say %q\n%s", c.typed, want, &stderr)
			}
		}
		if status != c.status || p.rows() != c.rows {
			t.Errorf("%q typed: status %d\n%s%s\n%.1000s", c.typed, status, &stdout, &stderr, p.rows())
		}
	}
	if left, err := filepath.Glob(filepath.Join(p.dir, "home", "salvage-*")); err != nil || len(left) > 0 {
		t.Errorf("a list is left: %v %v", left, err)
	}
}
