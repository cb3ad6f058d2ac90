package cloudflare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"firedrill/internal/saboteur"
)

// scene follows a run from its requests: when it damages, and which request is
// the recovery that a lie is about.
type scene struct {
	*saboteur.Stage
	drill string

	mu         sync.Mutex
	damaged    bool     // from just before the damage on
	recovering bool     // from just before the recovery on
	overwrote  []string // keys that the damage overwrote
	good       map[string]*saboteur.Answer
}

func newScene(s *saboteur.Stage, drill string) *scene {
	return &scene{Stage: s, drill: drill, good: map[string]*saboteur.Answer{}}
}

// changesRows knows SQL that changes or deletes rows of the application, as the
// damage does. Before it rows are only added.
var changesRows = regexp.MustCompile(`(?:UPDATE|DELETE FROM) [\\"]*(?:accounts|archive|events)\b`)

// below tells what of a request's path follows the account.
func below(x *saboteur.Exchange) string {
	_, rest, _ := strings.Cut(x.URL.Path, "/accounts/")
	_, rest, _ = strings.Cut(rest, "/")
	return rest
}

// isRecovery takes note of a request and tells whether it is the recovery. What a
// request is follows from what it does, not from how many came before.
func (c *scene) isRecovery(x *saboteur.Exchange) bool {
	p := below(x)
	c.mu.Lock()
	defer c.mu.Unlock()
	is := false
	switch {
	case x.Method == http.MethodGet:
	case c.drill == D1PITR:
		is = strings.HasSuffix(p, "/time_travel/restore")
	case c.drill == KVBackup && strings.HasSuffix(p, "/bulk/delete"):
		c.damaged = c.damaged || !bytes.Contains(x.Body, []byte(`"`+ownKeys))
	case c.drill == KVBackup && strings.HasSuffix(p, "/bulk"):
		all := decodePairs(x.Body)
		if bytes.Contains(x.Body, []byte(`"damaged by `)) {
			c.damaged = true
			for _, p := range all {
				if !strings.HasPrefix(p.Key, ownKeys) {
					c.overwrote = append(c.overwrote, p.Key)
				}
			}
			return false
		}
		is = c.damaged && len(all) > 5 // fewer are firedrill's own
	case c.drill == WorkerRollback && strings.HasSuffix(p, "/deployments"):
		is = c.damaged // what is deployed first is the disaster
		c.damaged = true
	}
	c.recovering = c.recovering || is
	return is
}

// forward forwards a request, and takes note if it damages a database: one that is
// refused does not.
func (c *scene) forward(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
	if c.drill != D1PITR || c.isDamaged() || !changesRows.Match(x.Body) {
		return x.Forward(ctx)
	}
	c.setDamaged(true) // before it is, so that no page of afterwards counts as a healthy one
	a, err := x.Forward(ctx)
	c.setDamaged(err != nil || a.Status == http.StatusOK)
	return a, err
}

func (c *scene) setDamaged(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.damaged = is
}

// ownKeys begins the keys that firedrill writes for itself.
const ownKeys = "__firedrill/"

func decodePairs(body []byte) []pair {
	var all []pair
	if json.Unmarshal(body, &all) != nil {
		return nil // no bulk write of pairs
	}
	return all
}

func (c *scene) isRecovering() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recovering
}

// isDamaged tells whether all is well no more.
func (c *scene) isDamaged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.damaged
}

// pretend answers a recovery with success, and does nothing.
func (c *scene) pretend(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
	c.Tell()
	switch c.drill {
	case D1PITR:
		// The database has to move on, as it does when it is restored: a database
		// whose bookmark stands still is no lie that anybody would believe.
		if err := c.sql(ctx, "UPDATE archive SET note = note WHERE id = 1"); err != nil {
			return nil, err
		}
		now, err := c.bookmark(ctx)
		if err != nil {
			return nil, err
		}
		return success(map[string]string{"bookmark": now, "previous_bookmark": now, "message": "restored"})
	case KVBackup:
		return success(map[string]any{"successful_key_count": len(decodePairs(x.Body)), "unsuccessful_keys": []string{}})
	}
	var asked map[string]any
	if err := json.Unmarshal(x.Body, &asked); err != nil {
		return nil, err
	}
	asked["id"], asked["created_on"] = claimedID, farFuture
	return success(asked)
}

func success(result any) (*saboteur.Answer, error) {
	return saboteur.JSON(http.StatusOK, map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": result})
}

// sql runs SQL on the database behind.
func (c *scene) sql(ctx context.Context, text string) error {
	return c.Ask(ctx, http.MethodPost, path(c.Stage, "d1/database/", c.Things[database], "/query"), map[string]string{"sql": text}, nil)
}

// holds tells whether a query on the database behind gives one 1.
func (c *scene) holds(ctx context.Context, query string) (bool, error) {
	var sets []struct {
		Results struct {
			Rows [][]any `json:"rows"`
		} `json:"results"`
	}
	err := c.Ask(ctx, http.MethodPost, path(c.Stage, "d1/database/", c.Things[database], "/raw"), map[string]string{"sql": query}, &sets)
	return err == nil && len(sets) == 1 && len(sets[0].Results.Rows) == 1 && fmt.Sprint(sets[0].Results.Rows[0]) == "[1]", err
}

// bookmark gives the true bookmark of the database.
func (c *scene) bookmark(ctx context.Context) (string, error) {
	var b struct{ Bookmark string }
	err := c.Ask(ctx, http.MethodGet, path(c.Stage, "d1/database/", c.Things[database], "/time_travel/bookmark"), nil, &b)
	return b.Bookmark, err
}

// remember keeps what the service answers while all is well: the last of it, which
// is what a drill compares with.
func (c *scene) remember(x *saboteur.Exchange, a *saboteur.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.damaged && a.Status == http.StatusOK {
		c.good[x.URL.Path] = a
	}
}

// healthy gives what the service answered when all was well; nil: nobody asked.
func (c *scene) healthy(p string) *saboteur.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.good[p]
}

// share is a part of a deployment.
type share struct {
	Version    string  `json:"version_id"`
	Percentage float64 `json:"percentage"`
}

// split reads which versions a request is to deploy.
func split(x *saboteur.Exchange) ([]share, error) {
	var asked struct{ Versions []share }
	err := json.Unmarshal(x.Body, &asked)
	return asked.Versions, err
}

// values is the path of a namespace.
func values(s *saboteur.Stage, id string, rest ...string) string {
	return path(s, append([]string{"storage/kv/namespaces/", id}, rest...)...)
}

// remove deletes a key behind.
func (c *scene) remove(ctx context.Context, key string) error {
	return c.Ask(ctx, http.MethodDelete, values(c.Stage, c.Things[namespace], "/values/", url.PathEscape(key)), nil, nil)
}

// put writes a key behind.
func (c *scene) put(ctx context.Context, p ...pair) error {
	return putPairs(ctx, c.Stage, c.Things[namespace], p)
}

// get reads a key behind.
func (c *scene) get(ctx context.Context, key string) (pair, error) {
	return value(ctx, c.Stage, c.Things[namespace], key)
}
