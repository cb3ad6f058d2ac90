package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/packages/pagination"

	"firedrill/internal/testkit/sandboxtest"
)

func TestD1(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), d1.NewDatabaseService(options(t, c)...)
	db := must[*d1.D1](t)(s.New(ctx, fill[d1.DatabaseNewParams](t, c.Account, map[string]any{"Name": "shop", "PrimaryLocationHint": "weur"})))
	expect(t, "name", db.Name, "shop")
	for i := range 24 {
		c.Database(fmt.Sprintf("db%02d", i))
	}
	names := all(t, s.ListAutoPaging(ctx, fill[d1.DatabaseListParams](t, c.Account, map[string]any{"PerPage": 10.0})), func(d d1.DatabaseListResponse) string { return d.Name })
	expect(t, "databases in pages of ten", len(names), 25)
	found := all(t, s.ListAutoPaging(ctx, fill[d1.DatabaseListParams](t, c.Account, map[string]any{"Name": "shop"})), func(d d1.DatabaseListResponse) string { return d.UUID })
	expect(t, "found by name", found, []string{db.UUID})
	get := func() *d1.D1 {
		return must[*d1.D1](t)(s.Get(ctx, db.UUID, fill[d1.DatabaseGetParams](t, c.Account, nil)))
	}
	expect(t, "get", get().UUID, db.UUID)
	must[*d1.D1](t)(s.Edit(ctx, db.UUID, fill[d1.DatabaseEditParams](t, c.Account, map[string]any{
		"ReadReplication": fill[d1.DatabaseEditParamsReadReplication](t, "", map[string]any{"Mode": "auto"})})))
	expect(t, "read replication", get().ReadReplication.Mode, "auto")
	must[*d1.D1](t)(s.Update(ctx, db.UUID, fill[d1.DatabaseUpdateParams](t, c.Account, map[string]any{
		"ReadReplication": fill[d1.DatabaseUpdateParamsReadReplication](t, "", map[string]any{"Mode": "disabled"})})))
	expect(t, "read replication", get().ReadReplication.Mode, "disabled")

	query := func(body d1.DatabaseQueryParamsBodyUnion) []d1.QueryResult {
		t.Helper()
		page, err := s.Query(ctx, db.UUID, fill[d1.DatabaseQueryParams](t, c.Account, map[string]any{"Body": body}))
		if err != nil {
			t.Fatal(err)
		}
		return page.Result
	}
	single := func(sql string, params ...string) d1.DatabaseQueryParamsBodyUnion {
		return fill[d1.DatabaseQueryParamsBodyD1SingleQuery](t, "", map[string]any{"Sql": sql, "Params": params})
	}
	query(single("CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT)"))
	// The SDK sends every parameter as a string.
	query(single("INSERT INTO items VALUES (?, ?)", "1", "one"))
	batch := []d1.DatabaseQueryParamsBodyMultipleQueriesBatch{
		fill[d1.DatabaseQueryParamsBodyMultipleQueriesBatch](t, "", map[string]any{"Sql": "INSERT INTO items VALUES (?, ?)", "Params": []string{"2", "two"}}),
		fill[d1.DatabaseQueryParamsBodyMultipleQueriesBatch](t, "", map[string]any{"Sql": "SELECT count(*) AS n FROM items"}),
	}
	res := query(fill[d1.DatabaseQueryParamsBodyMultipleQueries](t, "", map[string]any{"Batch": batch}))
	expect(t, "results of a batch", len(res), 2)
	expect(t, "count", res[1].Results[0], map[string]any{"n": 2.0})
	if m := res[0].Meta; !m.ChangedDB || m.Changes != 1 || m.LastRowID != 2 || m.SizeAfter == 0 {
		t.Errorf("meta %+v", m)
	}
	raw, err := s.Raw(ctx, db.UUID, fill[d1.DatabaseRawParams](t, c.Account, map[string]any{
		"Body": fill[d1.DatabaseRawParamsBodyD1SingleQuery](t, "", map[string]any{"Sql": "SELECT * FROM items ORDER BY id"})}))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "columns", raw.Result[0].Results.Columns, []string{"id", "name"})
	expect(t, "rows", raw.Result[0].Results.Rows, "[[1 one] [2 two]]")

	mark := must[*d1.DatabaseTimeTravelGetBookmarkResponse](t)(s.TimeTravel.GetBookmark(ctx, db.UUID, fill[d1.DatabaseTimeTravelGetBookmarkParams](t, c.Account, nil)))
	before := time.Now().UTC().Truncate(time.Second).Add(time.Second) // the SDK sends whole seconds
	time.Sleep(time.Until(before) + 5*time.Millisecond)
	query(single("DELETE FROM items"))
	at := must[*d1.DatabaseTimeTravelGetBookmarkResponse](t)(s.TimeTravel.GetBookmark(ctx, db.UUID, fill[d1.DatabaseTimeTravelGetBookmarkParams](t, c.Account, map[string]any{"Timestamp": before})))
	expect(t, "bookmark at a time", at.Bookmark, mark.Bookmark)
	back := must[*d1.DatabaseTimeTravelRestoreResponse](t)(s.TimeTravel.Restore(ctx, db.UUID, fill[d1.DatabaseTimeTravelRestoreParams](t, c.Account, map[string]any{"Bookmark": mark.Bookmark})))
	if back.Bookmark <= back.PreviousBookmark || back.PreviousBookmark <= mark.Bookmark {
		t.Errorf("restore %+v, from %s", back, mark.Bookmark)
	}
	expect(t, "rows after the restore", query(single("SELECT count(*) AS n FROM items"))[0].Results[0], map[string]any{"n": 2.0})

	_, err = s.Query(ctx, db.UUID, fill[d1.DatabaseQueryParams](t, c.Account, map[string]any{"Body": single("SELECT * FROM nope")}))
	refused(t, err, http.StatusBadRequest, 7500)
	_, err = s.New(ctx, fill[d1.DatabaseNewParams](t, c.Account, map[string]any{"Name": "shop"}))
	refused(t, err, http.StatusBadRequest, 7502)
	if _, err := s.Delete(ctx, db.UUID, fill[d1.DatabaseDeleteParams](t, c.Account, nil)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(ctx, db.UUID, fill[d1.DatabaseGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 7404)
	_, err = s.Get(ctx, db.UUID, fill[d1.DatabaseGetParams](t, "00000000000000000000000000000000", nil))
	refused(t, err, http.StatusForbidden, 7403)
}

func TestD1Databases(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), d1.NewDatabaseService(options(t, c)...)
	for _, name := range []string{"", "slash/y", strings.Repeat("n", 300)} {
		if _, err := s.New(ctx, fill[d1.DatabaseNewParams](t, c.Account, map[string]any{"Name": name})); err == nil {
			t.Errorf("the name %.20q is taken", name)
		} else {
			refused(t, err, http.StatusBadRequest, 7400)
		}
	}
	eu := must[*d1.D1](t)(s.New(ctx, fill[d1.DatabaseNewParams](t, c.Account, map[string]any{"Name": "eu", "Jurisdiction": "eu",
		"ReadReplication": fill[d1.DatabaseNewParamsReadReplication](t, "", map[string]any{"Mode": "auto"})})))
	expect(t, "jurisdiction", eu.Jurisdiction, "eu")
	expect(t, "read replication", eu.ReadReplication.Mode, "auto")
	expect(t, "version", eu.Version, "production")
	if age := time.Since(eu.CreatedAt); age < 0 || age > time.Hour {
		t.Errorf("made at %s", eu.CreatedAt)
	}
	byName := must[*d1.D1](t)(s.Get(ctx, "eu", fill[d1.DatabaseGetParams](t, c.Account, nil)))
	expect(t, "found by its name", byName.UUID, eu.UUID)
	some := must[*d1.D1](t)(s.Get(ctx, eu.UUID, fill[d1.DatabaseGetParams](t, c.Account, map[string]any{"Fields": []d1.DatabaseGetParamsField{"uuid", "name"}})))
	expect(t, "of two fields asked for", some.UUID+" "+some.Name, eu.UUID+" eu")
	differs(t, "a field that was not asked for", "production", "", some.Version)
	past := must[*pagination.V4PagePaginationArray[d1.DatabaseListResponse]](t)(s.List(ctx, fill[d1.DatabaseListParams](t, c.Account, map[string]any{"Page": 99.0})))
	expect(t, "a page past the end", len(past.Result), 0)
	_, err := s.Edit(ctx, eu.UUID, fill[d1.DatabaseEditParams](t, c.Account, map[string]any{
		"ReadReplication": fill[d1.DatabaseEditParamsReadReplication](t, "", map[string]any{"Mode": "sometimes"})}))
	refused(t, err, http.StatusBadRequest, 7400)
}
