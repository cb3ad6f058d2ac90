package conformance

import (
	"crypto/md5" //nolint:gosec // the platform's protocol compares uploads by MD5
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/d1"

	"firedrill/internal/testkit/sandboxtest"
)

// The SDK has the calls of an import and an export, and leaves to its caller
// the upload, the download and the polling in between.

func importSQL(t *testing.T, c *sandboxtest.Cloud, database, sql string) (*d1.DatabaseImportResponse, error) {
	t.Helper()
	s := d1.NewDatabaseService(options(t, c)...)
	sum := md5.Sum([]byte(sql)) //nolint:gosec // see the import
	etag := hex.EncodeToString(sum[:])
	call := func(body d1.DatabaseImportParamsBodyUnion) (*d1.DatabaseImportResponse, error) {
		p := fill[d1.DatabaseImportParams](t, c.Account, nil)
		p.Body = body
		return s.Import(t.Context(), database, p)
	}
	begun := must[*d1.DatabaseImportResponse](t)(call(fill[d1.DatabaseImportParamsBodyInit](t, "", map[string]any{"Action": "init", "Etag": etag})))
	if begun.UploadURL == "" || begun.Filename == "" {
		t.Fatalf("import began with %s", begun.JSON.RawJSON())
	}
	up := request(t, c, http.MethodPut, begun.UploadURL, sql)
	expect(t, "upload", up.Status, http.StatusOK)
	expect(t, "MD5 of the upload", strings.Trim(up.Header.Get("ETag"), `"`), etag)
	return call(fill[d1.DatabaseImportParamsBodyIngest](t, "", map[string]any{"Action": "ingest", "Etag": etag, "Filename": begun.Filename}))
}

func exportSQL(t *testing.T, c *sandboxtest.Cloud, database string, dump map[string]any) string {
	t.Helper()
	s := d1.NewDatabaseService(options(t, c)...)
	got := must[*d1.DatabaseExportResponse](t)(s.Export(t.Context(), database, fill[d1.DatabaseExportParams](t, c.Account, map[string]any{
		"OutputFormat": "polling", "DumpOptions": fill[d1.DatabaseExportParamsDumpOptions](t, "", dump)})))
	if !got.Success || got.Type != d1.DatabaseExportResponseTypeExport || got.Status != d1.DatabaseExportResponseStatusComplete || got.AtBookmark == "" {
		t.Fatalf("export %s", got.JSON.RawJSON())
	}
	down := request(t, c, http.MethodGet, got.Result.SignedURL, "")
	expect(t, "download", down.Status, http.StatusOK)
	return string(down.Body)
}

// request goes to an address that carries its own right: without a token.
func request(t *testing.T, c *sandboxtest.Cloud, method, url, body string) sandboxtest.Reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(req)
}

func TestD1ImportAndExport(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	id := c.Database("shop")
	const sql = `CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, price REAL, raw BLOB);
CREATE INDEX by_name ON items(name);
INSERT INTO items VALUES (1, 'it''s', 1.5, x'00ff'), (2, NULL, -0.25, NULL);
CREATE TABLE empty(x);`
	done := must[*d1.DatabaseImportResponse](t)(importSQL(t, c, id, sql))
	if !done.Success || done.Type != d1.DatabaseImportResponseTypeImport || done.Status != d1.DatabaseImportResponseStatusComplete {
		t.Fatalf("import %s", done.JSON.RawJSON())
	}
	expect(t, "statements", done.Result.NumQueries, 4)
	mark := must[*d1.DatabaseTimeTravelGetBookmarkResponse](t)(d1.NewDatabaseTimeTravelService(options(t, c)...).GetBookmark(t.Context(), id, fill[d1.DatabaseTimeTravelGetBookmarkParams](t, c.Account, nil)))
	expect(t, "bookmark after the import", done.Result.FinalBookmark, mark.Bookmark)
	if done.Result.Meta.SizeAfter == 0 {
		t.Error("a database of size 0 after an import")
	}

	// What an export says must make the same database again.
	dump := exportSQL(t, c, id, nil)
	again := c.Database("again")
	must[*d1.DatabaseImportResponse](t)(importSQL(t, c, again, dump))
	for _, q := range []string{"SELECT id, name, price, hex(raw) AS raw, typeof(raw) AS kind FROM items ORDER BY id", "SELECT type, name, sql FROM sqlite_master ORDER BY name", "SELECT count(*) FROM empty"} {
		expect(t, q, c.Query(again, q), c.Query(id, q))
	}
	if n := len(c.Query(again, "SELECT * FROM items")); n != 2 {
		t.Errorf("%d rows came through, want 2", n)
	}
	if part := exportSQL(t, c, id, map[string]any{"NoData": true}); strings.Contains(part, "INSERT INTO") || !strings.Contains(part, "CREATE TABLE") {
		t.Errorf("an export without data: %s", part)
	}
	if part := exportSQL(t, c, id, map[string]any{"NoSchema": true}); !strings.Contains(part, "INSERT INTO") || strings.Contains(part, "CREATE TABLE") {
		t.Errorf("an export without schema: %s", part)
	}
	if part := exportSQL(t, c, id, map[string]any{"Tables": []string{"empty"}}); strings.Contains(part, "items") || !strings.Contains(part, "empty") {
		t.Errorf("an export of one table: %s", part)
	}
}

func TestD1ImportIsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s, id := t.Context(), d1.NewDatabaseService(options(t, c)...), c.Database("shop")
	_, err := importSQL(t, c, id, "CREATE TABLE half(x); INSERT INTO half VALUES (1); INSERT INTO nope VALUES (1);")
	refused(t, err, http.StatusBadRequest, 7500)
	expect(t, "tables after a failed import", len(c.Query(id, "SELECT name FROM sqlite_master WHERE name = 'half'")), 0)

	call := func(body d1.DatabaseImportParamsBodyUnion) (*d1.DatabaseImportResponse, error) {
		p := fill[d1.DatabaseImportParams](t, c.Account, nil)
		p.Body = body
		return s.Import(ctx, id, p)
	}
	etag := strings.Repeat("0", 32)
	begun := must[*d1.DatabaseImportResponse](t)(call(fill[d1.DatabaseImportParamsBodyInit](t, "", map[string]any{"Action": "init", "Etag": etag})))
	_, err = call(fill[d1.DatabaseImportParamsBodyIngest](t, "", map[string]any{"Action": "ingest", "Etag": etag, "Filename": begun.Filename}))
	refused(t, err, http.StatusBadRequest, 7400) // nothing was uploaded
	expect(t, "upload of another content", request(t, c, http.MethodPut, begun.UploadURL, "SELECT 1").Status, http.StatusBadRequest)
	_, err = call(fill[d1.DatabaseImportParamsBodyInit](t, "", map[string]any{"Action": "init", "Etag": "short"}))
	refused(t, err, http.StatusBadRequest, 7400)
	idle := must[*d1.DatabaseImportResponse](t)(call(fill[d1.DatabaseImportParamsBodyPoll](t, "", map[string]any{"Action": "poll", "CurrentBookmark": "x"})))
	if idle.Success || idle.Error == "" {
		t.Errorf("polling for no import says %s", idle.JSON.RawJSON())
	}
}
