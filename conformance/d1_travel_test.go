package conformance

import (
	"net/http"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/d1"

	"firedrill/internal/testkit/sandboxtest"
)

func TestD1TimeTravel(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s, id := t.Context(), d1.NewDatabaseTimeTravelService(options(t, c)...), c.Database("shop")
	bookmark := func(fields map[string]any) (*d1.DatabaseTimeTravelGetBookmarkResponse, error) {
		return s.GetBookmark(ctx, id, fill[d1.DatabaseTimeTravelGetBookmarkParams](t, c.Account, fields))
	}
	now := func() string {
		t.Helper()
		return must[*d1.DatabaseTimeTravelGetBookmarkResponse](t)(bookmark(nil)).Bookmark
	}
	restore := func(fields map[string]any) (*d1.DatabaseTimeTravelRestoreResponse, error) {
		return s.Restore(ctx, id, fill[d1.DatabaseTimeTravelRestoreParams](t, c.Account, fields))
	}
	c.Query(id, "CREATE TABLE items(id INTEGER PRIMARY KEY)")
	c.Query(id, "INSERT INTO items VALUES (1)")
	good := now()
	second := time.Now().UTC().Truncate(time.Second).Add(time.Second) // the SDK sends whole seconds
	time.Sleep(time.Until(second) + 5*time.Millisecond)
	c.Query(id, "DROP TABLE items")
	bad := now()
	if bad <= good {
		t.Errorf("the bookmark after a write, %s, is not behind the one before, %s", bad, good)
	}

	back := must[*d1.DatabaseTimeTravelRestoreResponse](t)(restore(map[string]any{"Timestamp": second}))
	expect(t, "bookmark before the restore", back.PreviousBookmark, bad)
	expect(t, "bookmark after the restore", now(), back.Bookmark)
	if back.Bookmark <= bad || back.Message == "" {
		t.Errorf("restore %s", back.JSON.RawJSON())
	}
	expect(t, "rows", len(c.Query(id, "SELECT * FROM items")), 1)

	undone := must[*d1.DatabaseTimeTravelRestoreResponse](t)(restore(map[string]any{"Bookmark": back.PreviousBookmark}))
	if undone.Bookmark <= back.Bookmark {
		t.Errorf("a restore rewound the bookmarks: %s after %s", undone.Bookmark, back.Bookmark)
	}
	expect(t, "tables after the undo", len(c.Query(id, "SELECT name FROM sqlite_master WHERE name = 'items'")), 0)

	for name, fields := range map[string]map[string]any{
		"neither bookmark nor time":      nil,
		"no bookmark":                    {"Bookmark": "yesterday"},
		"a bookmark of the future":       {"Bookmark": "ffffffff" + undone.Bookmark[8:]},
		"a bookmark of another database": {"Bookmark": must[*d1.DatabaseTimeTravelGetBookmarkResponse](t)(s.GetBookmark(ctx, c.Database("other"), fill[d1.DatabaseTimeTravelGetBookmarkParams](t, c.Account, nil))).Bookmark},
		"a time before the database":     {"Timestamp": time.Now().Add(-time.Hour)},
	} {
		if _, err := restore(fields); err == nil {
			t.Errorf("a restore to %s succeeds", name)
		} else {
			refused(t, err, http.StatusBadRequest, 7400)
		}
	}
	_, err := bookmark(map[string]any{"Timestamp": time.Now().Add(-time.Hour)})
	refused(t, err, http.StatusBadRequest, 7400)
	expect(t, "bookmark after refused restores", now(), undone.Bookmark)
}
