package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"firedrill/internal/saboteur"
)

// databaseLies are about Time Travel.
func databaseLies() []saboteur.Lie {
	lies := []saboteur.Lie{
		{Name: "wrong-moment", Sentence: "a recovery goes back to another moment than the one that was asked for", Tells: in(wrongMoment, D1PITR)},
		{Name: "other-target", Sentence: "a recovery goes to another database, namespace or Worker", Tells: in(otherDatabase, D1PITR)},
		{Name: "bookmark-from-future", Sentence: "bookmarks point to the future, and a restore to one leaves all as it is", Tells: in(futureBookmark, D1PITR)},
		{Name: "finishes-later", Sentence: "a recovery is answered with success before it is done, and done when nobody looks any more", Tells: in(rowsLater, D1PITR)},
	}
	// Each defect is done to what a true restore brought back. proof is a query
	// that gives 1 while it is there: a lie that did not take is none.
	for _, d := range []struct{ name, sentence, sql, proof string }{
		{"never-finishes", "a recovery is answered with success before it is done, and never done",
			"DELETE FROM archive WHERE id > 20", "SELECT count(*) = 20 FROM archive"},
		{"loses-row", "a restore loses one row", "DELETE FROM archive WHERE id = 7", "SELECT count(*) = 0 FROM archive WHERE id = 7"},
		{"loses-index", "a restore loses one index", "DROP INDEX archive_by_label", "SELECT count(*) = 0 FROM sqlite_schema WHERE name = 'archive_by_label'"},
		{"loses-trigger", "a restore loses one trigger", "DROP TRIGGER accounts_logged", "SELECT count(*) = 0 FROM sqlite_schema WHERE name = 'accounts_logged'"},
		{"loses-sequence", "a restore forgets which numbers an AUTOINCREMENT has given out",
			"DELETE FROM sqlite_sequence WHERE name = 'accounts'", "SELECT count(*) = 0 FROM sqlite_sequence WHERE name = 'accounts'"},
		{"flips-byte", "a restore changes one byte of a binary value",
			"UPDATE archive SET body = CAST('body 9' AS BLOB) || x'00ff81' WHERE id = 9", "SELECT hex(body) LIKE '%81' FROM archive WHERE id = 9"},
		{"rounds-integer", "a restore rounds one integer beyond 2^53",
			"UPDATE archive SET amount = 9007199254740992 + 2 * id WHERE id = 11", "SELECT amount = 9007199254741014 FROM archive WHERE id = 11"},
		{"null-becomes-empty", "a restore makes an empty text of one NULL", "UPDATE archive SET note = '' WHERE id = 8", "SELECT note = '' FROM archive WHERE id = 8"},
	} {
		lies = append(lies, saboteur.Lie{Name: d.name, Sentence: d.sentence, Tells: in(afterRecovery(func(ctx context.Context, c *scene) error {
			return c.spoil(ctx, d.sql, d.proof)
		}), D1PITR)})
	}
	return lies
}

// spoil changes the database behind and makes sure that it is changed.
func (c *scene) spoil(ctx context.Context, sql, proof string) error {
	if err := c.sql(ctx, sql); err != nil {
		return err
	}
	is, err := c.holds(ctx, proof)
	if err == nil && !is {
		err = fmt.Errorf("%q changed nothing: %s", sql, proof)
	}
	return err
}

// wrongMoment restores to the moment before the drill began, when its canaries
// were not there.
func wrongMoment(ctx context.Context, c *scene) (saboteur.Script, error) {
	before, err := c.bookmark(ctx)
	if err != nil {
		return saboteur.Script{}, err
	}
	return atRecovery(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		c.Tell()
		x.URL.RawQuery = "bookmark=" + before
		return x.Forward(ctx)
	}), nil
}

// otherDatabase restores a database that nobody asked about.
func otherDatabase(ctx context.Context, c *scene) (saboteur.Script, error) {
	var other struct{ UUID string }
	if err := c.Ask(ctx, http.MethodPost, path(c.Stage, "d1/database"), map[string]string{"name": c.Things[name] + "-other"}, &other); err != nil {
		return saboteur.Script{}, err
	}
	at := path(c.Stage, "d1/database/", other.UUID, "/time_travel/")
	return atRecovery(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		var b struct{ Bookmark string }
		if err := c.Ask(ctx, http.MethodGet, at+"bookmark", nil, &b); err != nil {
			return nil, err
		}
		if err := c.Ask(ctx, http.MethodPost, at+"restore?bookmark="+b.Bookmark, nil, nil); err != nil {
			return nil, err
		}
		return c.pretend(ctx, x)
	}), nil
}

// futureBookmark adds to each bookmark so many transactions that no drill gets
// there.
func futureBookmark(_ context.Context, c *scene) (saboteur.Script, error) {
	future := func(bookmark string) (string, error) {
		high, rest, _ := strings.Cut(bookmark, "-")
		n, err := strconv.ParseUint(high, 16, 32)
		return fmt.Sprintf("%08x-%s", n+1, rest), err
	}
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		restores := c.isRecovery(x)
		if !restores && !strings.HasSuffix(x.URL.Path, "/time_travel/bookmark") {
			return x.Forward(ctx)
		}
		if restores {
			if _, err := c.pretend(ctx, x); err != nil {
				return nil, err
			}
		}
		now, err := c.bookmark(ctx)
		if err != nil {
			return nil, err
		}
		if now, err = future(now); err != nil {
			return nil, err
		}
		return success(map[string]string{"bookmark": now, "previous_bookmark": now})
	}}, nil
}

// rowsLater holds half of a table back until firedrill clears up after itself.
func rowsLater(_ context.Context, c *scene) (saboteur.Script, error) {
	var mu sync.Mutex
	held := false
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		if c.isRecovery(x) {
			a, err := x.Forward(ctx)
			if err != nil || a.Status != http.StatusOK {
				return a, err
			}
			mu.Lock()
			defer mu.Unlock()
			held = true
			c.Tell()
			return a, c.spoil(ctx, "CREATE TABLE _firedrill_held AS SELECT * FROM archive WHERE id > 20; DELETE FROM archive WHERE id > 20", "SELECT count(*) = 20 FROM archive")
		}
		if strings.Contains(string(x.Body), "DROP TABLE") {
			mu.Lock()
			defer mu.Unlock()
			if held {
				held = false
				if err := c.spoil(ctx, "INSERT INTO archive SELECT * FROM _firedrill_held; DROP TABLE _firedrill_held", "SELECT count(*) >= 40 FROM archive"); err != nil {
					return nil, err
				}
			}
		}
		return x.Forward(ctx)
	}}, nil
}
