package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/packages/pagination"

	"firedrill/internal/testkit/sandboxtest"
)

func TestD1Queries(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s, id := t.Context(), d1.NewDatabaseService(options(t, c)...), c.Database("shop")
	single := func(sql string, params ...string) d1.DatabaseQueryParams {
		return fill[d1.DatabaseQueryParams](t, c.Account, map[string]any{"Body": fill[d1.DatabaseQueryParamsBodyD1SingleQuery](t, "", map[string]any{"Sql": sql, "Params": params})})
	}
	free := func(body d1.DatabaseQueryParamsBody) d1.DatabaseQueryParams {
		return fill[d1.DatabaseQueryParams](t, c.Account, map[string]any{"Body": body})
	}
	res := must[*pagination.SinglePage[d1.QueryResult]](t)(s.Query(ctx, id, single("CREATE TABLE t(a INTEGER, b TEXT, c REAL, d BLOB); INSERT INTO t VALUES (1, 'x', 1.5, x'00ff'), (NULL, NULL, NULL, NULL); SELECT * FROM t")))
	expect(t, "results", len(res.Result), 3)
	audit(t, res.Result)
	expect(t, "a row", res.Result[2].Results[0], map[string]any{"a": 1.0, "b": "x", "c": 1.5, "d": []any{0.0, 255.0}})
	expect(t, "a row of NULL", res.Result[2].Results[1], map[string]any{"a": nil, "b": nil, "c": nil, "d": nil})
	if m := res.Result[1].Meta; m.Changes != 2 || !m.ChangedDB || m.LastRowID != 2 || !m.ServedByPrimary || m.SizeAfter == 0 {
		t.Errorf("meta of an INSERT %+v", m)
	}
	if m := res.Result[2].Meta; m.ChangedDB || m.Changes != 0 {
		t.Errorf("meta of a SELECT %+v", m)
	}
	// The other form of a body takes any value, not only texts.
	any1 := must[*pagination.SinglePage[d1.QueryResult]](t)(s.Query(ctx, id, free(fill[d1.DatabaseQueryParamsBody](t, "", map[string]any{
		"Sql": "SELECT typeof(?) AS a, typeof(?) AS b, typeof(?) AS c, typeof(?) AS d", "Params": []any{1, "x", nil, 1.5}}))))
	expect(t, "types", any1.Result[0].Results[0], map[string]any{"a": "integer", "b": "text", "c": "null", "d": "real"})
	walked := all(t, s.QueryAutoPaging(ctx, id, single("SELECT 1 AS n; SELECT 2 AS n")), func(r d1.QueryResult) string { return r.JSON.RawJSON() })
	expect(t, "results by the pager", len(walked), 2)
	raw := all(t, s.RawAutoPaging(ctx, id, fill[d1.DatabaseRawParams](t, c.Account, map[string]any{
		"Body": fill[d1.DatabaseRawParamsBodyD1SingleQuery](t, "", map[string]any{"Sql": "SELECT 1 AS n, 2 AS n; SELECT a FROM t WHERE 0"})})),
		func(r d1.DatabaseRawResponse) string { return strings.Join(r.Results.Columns, " ") })
	expect(t, "columns, also of the same name and of no row", raw, []string{"n n", "a"})

	// A body is one unit: what comes before a mistake is not done either.
	batch := func(sqls ...string) d1.DatabaseQueryParams {
		var list []d1.DatabaseQueryParamsBodyMultipleQueriesBatch
		for _, sql := range sqls {
			list = append(list, fill[d1.DatabaseQueryParamsBodyMultipleQueriesBatch](t, "", map[string]any{"Sql": sql}))
		}
		return fill[d1.DatabaseQueryParams](t, c.Account, map[string]any{"Body": fill[d1.DatabaseQueryParamsBodyMultipleQueries](t, "", map[string]any{"Batch": list})})
	}
	for name, tt := range map[string]struct {
		params d1.DatabaseQueryParams
		code   int
		says   string
	}{
		"a batch with a mistake":      {batch("DELETE FROM t", "SELECT * FROM nope"), 7500, "no such table: nope: SQLITE_ERROR"},
		"statements with a mistake":   {single("DELETE FROM t; INSERT INTO nope VALUES (1)"), 7500, "no such table: nope: SQLITE_ERROR"},
		"a broken constraint":         {single("DELETE FROM t; CREATE TABLE u(a UNIQUE); INSERT INTO u VALUES (1), (1)"), 7500, "UNIQUE constraint failed: u.a: SQLITE_CONSTRAINT"},
		"a transaction of one's own":  {single("BEGIN; DELETE FROM t; COMMIT"), 7500, ""},
		"ATTACH":                      {single("ATTACH 'other' AS o"), 7500, ""},
		"too few parameters":          {single("SELECT ?, ?", "1"), 7500, ""},
		"a hundred and one of them":   {single("SELECT 1", make([]string, 101)...), 7500, ""},
		"no statement":                {single(""), 7400, ""},
		"a batch of nothing":          {batch(), 7400, ""},
		"a statement of 100 001 byte": {single("SELECT '" + strings.Repeat("x", 100_001-9) + "'"), 7500, ""},
	} {
		_, err := s.Query(ctx, id, tt.params)
		if err == nil {
			t.Errorf("%s succeeds", name)
			continue
		}
		if got, code := status(t, err); got != http.StatusBadRequest || code != tt.code || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: want 400, %d and %q: %.300v", name, tt.code, tt.says, err)
		}
	}
	expect(t, "rows after refused changes", len(c.Query(id, "SELECT * FROM t")), 2)
}
