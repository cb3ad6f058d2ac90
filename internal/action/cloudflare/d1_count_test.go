package cloudflare

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"firedrill"
)

// TestRowsThatAreLeftOutOrRepeatedAreMissed: every reading gives the same rows, so
// comparing two of them finds nothing.
func TestRowsThatAreLeftOutOrRepeatedAreMissed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("app", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
	b := newBench(t, p.url)
	in := firedrill.Values{"database": id}
	b.do("honest", "d1.fingerprint", in)
	for want, change := range map[string]func([]any) []any{
		"has 3 rows":         func(rows []any) []any { return rows[:2] },
		"comes out of order": func(rows []any) []any { return append(rows, rows[1]) },
	} {
		p.bending(func(w http.ResponseWriter, r *http.Request) bool { return p.bendRows(w, r, change) })
		err := b.fails(firedrill.KindCorrupt, "d1.fingerprint", in)
		if !strings.Contains(err.Error(), "table t") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestARowThatIsHiddenFromEveryReadingIsMissed: it came after the fingerprint, so
// that what can be read is what was there before.
func TestARowThatIsHiddenFromEveryReadingIsMissed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("app", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
	b := newBench(t, p.url)
	before := b.do("before", "d1.fingerprint", firedrill.Values{"database": id})
	p.exec(id, "INSERT INTO t VALUES (4, 'd')")
	p.bending(func(w http.ResponseWriter, r *http.Request) bool {
		return p.bendRows(w, r, func(rows []any) []any { return rows[:3] })
	})
	err := b.fails(firedrill.KindCorrupt, "d1.compare", firedrill.Values{"database": id, "against": before.Outputs["file"]})
	if !strings.Contains(err.Error(), "has 4 rows and gave 3 to read") {
		t.Error(err)
	}
}

// bendRows changes the rows that a query for those of table t gives.
func (p *platform) bendRows(w http.ResponseWriter, r *http.Request, change func([]any) []any) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !strings.Contains(string(body), `FROM \"t\"`) || !strings.Contains(string(body), "ORDER BY") {
		return false
	}
	rec := httptest.NewRecorder()
	p.inner.ServeHTTP(rec, r)
	var all struct {
		Result []struct {
			Results struct {
				Columns []any `json:"columns"`
				Rows    []any `json:"rows"`
			} `json:"results"`
			Meta    any  `json:"meta"`
			Success bool `json:"success"`
		} `json:"result"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil {
		p.t.Errorf("%v in %s", err, rec.Body)
	}
	all.Result[0].Results.Rows = change(all.Result[0].Results.Rows)
	answer(w, all.Result)
	return true
}
