package cloudflare

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"firedrill/internal/saboteur"
)

// namespaceLies are about restores of KV namespaces and about reading them.
func namespaceLies() []saboteur.Lie {
	// altered writes a key behind as a function makes it of what is there.
	altered := func(key string, change func(p *pair)) func(context.Context, *scene) error {
		return func(ctx context.Context, c *scene) error {
			p, err := c.get(ctx, key)
			if err != nil {
				return err
			}
			before := fmt.Sprint(p)
			if change(&p); fmt.Sprint(p) == before {
				return fmt.Errorf("key %s has nothing to change", key)
			}
			return c.put(ctx, p)
		}
	}
	text := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	metadata := func(old, now string) func(*pair) {
		return func(p *pair) { p.Metadata = json.RawMessage(strings.Replace(string(p.Metadata), old, now, 1)) }
	}
	lies := []saboteur.Lie{
		{Name: "wrong-moment", Tells: in(afterRecovery(altered(keyOne, func(p *pair) { p.Value = text("an older value") })), KVBackup)},
		{Name: "other-target", Tells: in(otherNamespace, KVBackup)},
		{Name: "never-finishes", Tells: in(keysWithheld, KVBackup)},
		{Name: "finishes-later", Tells: in(keyLater, KVBackup)},
		{Name: "flips-byte", Tells: in(afterRecovery(altered(keyBytes, func(p *pair) { p.Value = base64.StdEncoding.EncodeToString([]byte{0, 1, 0xfe, 0xff, 0x81}) })), KVBackup)},
		{Name: "rounds-integer", Tells: in(afterRecovery(altered(keyDescribed, metadata("9007199254740993", "9007199254740992"))), KVBackup)},
		{Name: "null-becomes-empty", Tells: in(afterRecovery(altered(keyDescribed, metadata("null", `""`))), KVBackup)},
		{Name: "drops-metadata", Sentence: "a restore drops the metadata of one key", Tells: in(afterRecovery(altered(keyDescribed, func(p *pair) { p.Metadata = nil })), KVBackup)},
		{Name: "drops-expiration", Sentence: "a restore makes one key live for ever", Tells: in(afterRecovery(altered(keyExpiring, func(p *pair) { p.Expiration = 0 })), KVBackup)},
		{Name: "drops-key", Sentence: "a restore drops one key of ten thousand",
			Tells: among(needTen, afterRecovery(func(ctx context.Context, c *scene) error { return c.remove(ctx, "unseen/many/07777") }))},
		{Name: "resurrects-key", Sentence: "a restore brings a key back that was deleted before the backup",
			Tells: in(afterRecovery(func(ctx context.Context, c *scene) error { return c.put(ctx, pair{Key: keyDeleted, Value: "once"}) }), KVBackup)},
		{Name: "swaps-values", Sentence: "a restore gives two keys each other's values",
			Tells: in(afterRecovery(func(ctx context.Context, c *scene) error {
				return c.put(ctx, pair{Key: keyOne, Value: "value of the other"}, pair{Key: keyOther, Value: "value of one"})
			}), KVBackup)},
		{Name: "truncates-value", Sentence: "a restore cuts a value off at 1 MiB",
			Tells: among(needLarge, afterRecovery(altered(keyLarge, func(p *pair) {
				if data, err := base64.StdEncoding.DecodeString(p.Value); err == nil && len(data) > 1<<20 {
					p.Value = base64.StdEncoding.EncodeToString(data[:1<<20])
				}
			})))},
		{Name: "reads-stay-stale", Sentence: "the service shows what was restored, and the API goes on reading what was there before, for longer than the settle window", Tells: in(staleReads, KVBackup)},
		{Name: "list-misses-page", Tells: among(needThousands, pageMissing)},
		{Name: "list-repeats-page", Tells: among(needThousands, pageTwice)},
		{Name: "backup-altered", Sentence: "a file of the backup is altered after its manifest was written", Tells: in(backupAltered, KVBackup)},
		{Name: "delete-deletes-nothing", Tells: in(keysStay, KVBackup)},
	}
	return lies
}

// otherNamespace restores into a namespace that nobody asked about.
func otherNamespace(ctx context.Context, c *scene) (saboteur.Script, error) {
	var other struct{ ID string }
	if err := c.Ask(ctx, http.MethodPost, path(c.Stage, "storage/kv/namespaces"), map[string]string{"title": c.Things[name] + "-other"}, &other); err != nil {
		return saboteur.Script{}, err
	}
	return atRecovery(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		c.Tell()
		x.URL.Path = strings.Replace(x.URL.Path, c.Things[namespace], other.ID, 1)
		x.URL.RawPath = ""
		return x.Forward(ctx)
	}), nil
}

// keysWithheld writes all but the last key that was overwritten, and counts it.
func keysWithheld(_ context.Context, c *scene) (saboteur.Script, error) {
	return atRecovery(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		all := decodePairs(x.Body)
		c.mu.Lock()
		last := c.overwrote[len(c.overwrote)-1]
		c.mu.Unlock()
		some := slices.DeleteFunc(slices.Clone(all), func(p pair) bool { return p.Key == last })
		if len(some) == len(all) {
			return nil, errors.New("the restore does not write what was overwritten")
		}
		if err := putPairs(ctx, c.Stage, c.Things[namespace], some); err != nil {
			return nil, err
		}
		c.Tell()
		return success(map[string]any{"successful_key_count": len(all), "unsuccessful_keys": []string{}})
	}), nil
}

// keyLater holds a key back until firedrill clears up after itself.
func keyLater(_ context.Context, c *scene) (saboteur.Script, error) {
	var mu sync.Mutex
	var held *pair
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case c.isRecovery(x):
			a, err := x.Forward(ctx)
			if err != nil || a.Status != http.StatusOK {
				return a, err
			}
			p, err := c.get(ctx, keyOne)
			if err != nil {
				return nil, err
			}
			held = &p
			c.Tell()
			return a, c.remove(ctx, keyOne)
		case held != nil && isDeleteOf(x, "canary/"):
			if err := c.put(ctx, *held); err != nil {
				return nil, err
			}
			held = nil
		}
		return x.Forward(ctx)
	}}, nil
}

// staleReads keeps what the API reads as it was before the restore. What the
// service answers shows the restore all the same.
func staleReads(_ context.Context, c *scene) (saboteur.Script, error) {
	return saboteur.Script{API: nothing(c), Front: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		if good := c.healthy(x.URL.Path); good != nil && c.isRecovering() {
			return good, nil
		}
		a, err := x.Forward(ctx)
		if err == nil {
			c.remember(x, a)
		}
		return a, err
	}}, nil
}

// pages changes how a whole list of keys is read, page by page. next is asked
// with the cursor of a page and gives the cursor of which page to show in its
// place.
func pages(c *scene, change func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, bool, error)) saboteur.Script {
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		if x.Method != http.MethodGet || !strings.HasSuffix(below(x), "/keys") || x.URL.Query().Get("prefix") != "" {
			return x.Forward(ctx)
		}
		a, told, err := change(ctx, x)
		if told {
			c.Tell()
		}
		return a, err
	}}
}

// list is an answer to a list of keys.
type list struct {
	Success    bool              `json:"success"`
	Errors     []any             `json:"errors"`
	Messages   []any             `json:"messages"`
	Result     []json.RawMessage `json:"result"`
	ResultInfo struct {
		Count   int    `json:"count"`
		Cursor  string `json:"cursor"`
		Cursors struct {
			After string `json:"after"`
		} `json:"cursors"`
	} `json:"result_info"`
}

// pageMissing passes the second page over.
func pageMissing(_ context.Context, c *scene) (saboteur.Script, error) {
	return pages(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, bool, error) {
		a, err := x.Forward(ctx)
		if err != nil || x.URL.Query().Get("cursor") != "" {
			return a, false, err
		}
		var first, second list
		if err := json.Unmarshal(a.Body, &first); err != nil || first.ResultInfo.Cursor == "" {
			return a, false, err
		}
		x.URL.RawQuery += "&cursor=" + url.QueryEscape(first.ResultInfo.Cursor)
		b, err := x.Forward(ctx)
		if err != nil {
			return nil, false, err
		}
		if err := json.Unmarshal(b.Body, &second); err != nil {
			return nil, false, err
		}
		first.ResultInfo.Cursor, first.ResultInfo.Cursors.After = second.ResultInfo.Cursor, second.ResultInfo.Cursor
		lie, err := saboteur.JSON(http.StatusOK, first)
		return lie, true, err
	}), nil
}

// pageTwice shows the first page in the place of the second, before the third.
func pageTwice(_ context.Context, c *scene) (saboteur.Script, error) {
	return pages(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, bool, error) {
		q := x.URL.Query()
		if q.Get("cursor") == "" {
			a, err := x.Forward(ctx)
			if err != nil {
				return nil, false, err
			}
			var first list
			if err := json.Unmarshal(a.Body, &first); err != nil || first.ResultInfo.Cursor == "" {
				return a, false, err
			}
			again := "again:" + first.ResultInfo.Cursor
			first.ResultInfo.Cursor, first.ResultInfo.Cursors.After = again, again
			lie, err := saboteur.JSON(http.StatusOK, first)
			return lie, false, err
		}
		cursor, again := strings.CutPrefix(q.Get("cursor"), "again:")
		if !again {
			a, err := x.Forward(ctx)
			return a, false, err
		}
		q.Del("cursor")
		x.URL.RawQuery = q.Encode()
		a, err := x.Forward(ctx)
		if err != nil {
			return nil, false, err
		}
		var first list
		if err := json.Unmarshal(a.Body, &first); err != nil {
			return nil, false, err
		}
		first.ResultInfo.Cursor, first.ResultInfo.Cursors.After = cursor, cursor
		lie, err := saboteur.JSON(http.StatusOK, first)
		return lie, true, err
	}), nil
}

// backupAltered changes a value in the file of the backup once the namespace is
// damaged, when nothing else could put it back.
func backupAltered(_ context.Context, c *scene) (saboteur.Script, error) {
	var once sync.Once
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		c.isRecovery(x)
		var err error
		if c.isDamaged() {
			once.Do(func() { err = c.alterBackup() })
		}
		if err != nil {
			return nil, err
		}
		return x.Forward(ctx)
	}}, nil
}

func (c *scene) alterBackup() error {
	files, err := filepath.Glob(filepath.Join(c.Home, "runs", "*", "backup", "kv-*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("the run's backup is not found below %s", c.Home)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	altered := strings.Replace(string(data), "value of one", "value of two", 1)
	if altered == string(data) {
		return fmt.Errorf("%s does not hold what is to be altered", files[0])
	}
	c.Tell()
	return os.WriteFile(files[0], []byte(altered), 0o600)
}

// keysStay answers deletions of the restore with success, and deletes nothing.
func keysStay(_ context.Context, c *scene) (saboteur.Script, error) {
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		c.isRecovery(x)
		if c.isRecovering() && isDeleteOf(x, "stranger/") {
			c.Tell()
			return deletedNothing(x)
		}
		return x.Forward(ctx)
	}}, nil
}
