package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"firedrill"
)

// TestACopyIsMadeWhileOthersWrite: they change rows in every pause between two
// requests, and all others are exact.
func TestACopyIsMadeWhileOthersWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lose bool // the copy loses a row that nobody wrote to
		want string
	}{"others write": {}, "others write and a row is lost": {true, "the copy is not exact"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			id := p.create("app", "CREATE TABLE steady (id INTEGER PRIMARY KEY, v TEXT)", "CREATE TABLE busy (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER)",
				"INSERT INTO steady VALUES (1, 'a'), (2, 'b'), (3, 'c')", "INSERT INTO busy (n) VALUES (0)")
			const scratch = scratchPrefix + "1"
			writes := 0
			p.bending(func(_ http.ResponseWriter, r *http.Request) bool {
				switch {
				case strings.Contains(r.URL.Path, id):
					writes++
					p.exec(id, "UPDATE busy SET n = n + 1 WHERE id = 1; INSERT INTO busy (n) VALUES (1)")
				case c.lose && strings.HasSuffix(r.URL.Path, "/time_travel/bookmark"): // of the copy: it is made and about to be read
					p.exec(p.byName(scratch), "DELETE FROM steady WHERE id = 2")
				}
				return false
			})
			b := newBench(t, p.url)
			out, err := b.try("copy", "d1.copy", firedrill.Values{"database": id, "name": scratch})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%+v %v", out, err)
				}
				return
			}
			if err != nil || len(out.Collateral) != 1 || !strings.Contains(out.Collateral[0], "others wrote") || writes < 10 {
				t.Fatalf("%+v %v after %d writes", out, err, writes)
			}
			p.bending(nil)
			rows := b.do("look", "d1.query", firedrill.Values{"database": p.byName(scratch), "sql": "SELECT group_concat(id || v) AS all_of FROM steady"})
			if text := fmt.Sprint(rows.Outputs["rows"]); !strings.Contains(text, "1a,2b,3c") {
				t.Errorf("the copy holds %s", text)
			}
		})
	}
}

// byName gives the id of a database.
func (p *platform) byName(name string) string {
	all, err := p.store.List(context.Background())
	if err != nil {
		p.t.Error(err)
	}
	for _, d := range all {
		if d.Name == name {
			return d.ID
		}
	}
	p.t.Errorf("there is no database %s", name)
	return ""
}
