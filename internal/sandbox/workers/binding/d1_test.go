package binding

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"firedrill/internal/sandbox/d1"
)

// answers is a database server that knows one answer.
type answers struct {
	got     []d1.Statement
	results []d1.Result
	err     error
}

func (a *answers) Query(_ context.Context, _ string, batch []d1.Statement) ([]d1.Result, string, error) {
	a.got = batch
	return a.results, "bookmark-1", a.err
}
func (a *answers) Get(context.Context, string) (d1.Database, error) { return d1.Database{}, nil }

func serve(t *testing.T, a *answers, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	D1{DB: a}.ServeBinding(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)), "id")
	return w
}

func TestParametersKeepTheirTypes(t *testing.T) {
	t.Parallel()
	a := &answers{results: []d1.Result{{}}}
	serve(t, a, "/query", `{"sql":"x","params":[null,true,false,"ü\u0000",1,-0.5,1e3,9223372036854775807,92233720368547758080,[0,255],[]]}`)
	want := []any{nil, int64(1), int64(0), "ü\x00", int64(1), -0.5, 1000.0, int64(math.MaxInt64), 92233720368547758080.0, []byte{0, 255}, []byte{}}
	if len(a.got) != 1 || !reflect.DeepEqual(a.got[0].Params, want) {
		t.Errorf("%#v", a.got)
	}
}

func TestCellsAreWrittenAsD1Does(t *testing.T) {
	t.Parallel()
	a := &answers{results: []d1.Result{{Columns: []string{"a", "a"}, Rows: [][]any{
		{nil, int64(math.MaxInt64)}, {[]byte{0, 9}, "<&>\u2028"}, {math.Inf(1), 0.5},
	}}}}
	w := serve(t, a, "/query?resultsFormat=ROWS_AND_COLUMNS", `{"sql":"x"}`)
	if want := `{"success":true,"results":{"columns":["a","a"],"rows":[[null,9223372036854775807],[[0,9],"<&>\u2028"],[null,0.5]]},"meta":{`; !strings.HasPrefix(w.Body.String(), want) {
		t.Errorf("%s", w.Body)
	}
	if !json.Valid(w.Body.Bytes()) || w.Header().Get("x-cf-d1-session-commit-token") != "bookmark-1" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	w = serve(t, a, "/execute?resultsFormat=NONE", `[{"sql":"x"}]`)
	if !strings.HasPrefix(w.Body.String(), `[{"success":true,"results":[],"meta":{`) {
		t.Errorf("%s", w.Body)
	}
}

func TestRefusalsAreOneErrorObject(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a          *answers
		path, body string
		want       string
	}{
		"sql":       {&answers{err: errors.New("no such table: x: SQLITE_ERROR")}, "/query", `[{"sql":"x"}]`, "no such table: x: SQLITE_ERROR"},
		"dump":      {&answers{}, "/dump", ``, "dump is not supported by the sandbox"},
		"json":      {&answers{}, "/query", `{`, "malformed request"},
		"none":      {&answers{}, "/query", `[]`, "no SQL statements"},
		"object":    {&answers{}, "/query", `{"sql":"x","params":[{}]}`, "parameter 1: an object"},
		"blob":      {&answers{}, "/query", `{"sql":"x","params":[[256]]}`, "parameter 1: a BLOB"},
		"too few":   {&answers{}, "/query", `{"sql":"x"}`, "1 statements gave 0 results"},
		"endless":   {&answers{}, "/query", `{"sql":"x","params":[1e999]}`, "number out of range"},
		"two":       {&answers{}, "/query", `{"sql":"SELECT 1; SELECT ';'"}`, "one SQL statement, not 2"},
		"half blob": {&answers{}, "/query", `{"sql":"x","params":[[1,null]]}`, "a BLOB is"},
	} {
		w := serve(t, c.a, c.path, c.body)
		var got struct {
			Success bool
			Error   string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Success || !strings.Contains(got.Error, c.want) || w.Code < 400 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestExecMayHoldSeveralStatementsALine(t *testing.T) {
	t.Parallel()
	a := &answers{results: []d1.Result{{Meta: d1.Meta{Changes: 1}}, {Meta: d1.Meta{Changes: 2}}, {Meta: d1.Meta{Changes: 4}}}}
	w := serve(t, a, "/execute?resultsFormat=NONE", `[{"sql":"INSERT 1; INSERT 2;"},{"sql":"INSERT 3"}]`)
	var got []struct{ Meta struct{ Changes int } }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 2 || got[0].Meta.Changes != 3 || got[1].Meta.Changes != 4 {
		t.Errorf("%s", w.Body)
	}
}

func TestAnUnknownKindIsRefused(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(HeaderKind, "kv")
	route(map[string]Backend{KindD1: D1{}}).ServeHTTP(w, r)
	if w.Code != 501 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Whatever a client sends is a batch or an error; what is a batch keeps its
// statements.
func FuzzParseD1(f *testing.F) {
	f.Add([]byte(`{"sql":"SELECT ?","params":[1,"a",null,[1,2]]}`))
	f.Add([]byte(`[{"sql":"a"},{"sql":"b","params":[]}]`))
	f.Add([]byte(` [ ] `))
	f.Add([]byte(`{"params":[-0,1.5e300,true]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		batch, single, err := parseD1(body)
		if err != nil {
			return
		}
		if len(batch) == 0 || single && len(batch) != 1 {
			t.Fatalf("%d statements, single %v", len(batch), single)
		}
		res := d1.Result{Columns: []string{"c"}}
		for _, st := range batch {
			for _, p := range st.Params {
				res.Rows = append(res.Rows, []any{p})
			}
		}
		var out bytes.Buffer
		if err := writeD1Result(&out, res, true); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) {
			t.Fatalf("not JSON: %s", out.Bytes())
		}
	})
}
