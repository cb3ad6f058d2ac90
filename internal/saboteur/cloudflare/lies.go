package cloudflare

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/saboteur"
)

// Lies are all lies, in the order in which they are shown.
func Lies() []saboteur.Lie {
	all := slices.Concat(recoveryLies(), databaseLies(), workerLies(), namespaceLies(), serviceLies(), apiLies())
	// One name is one lie, whatever it does in each drill.
	var merged []saboteur.Lie
	for _, l := range all {
		i := slices.IndexFunc(merged, func(m saboteur.Lie) bool { return m.Name == l.Name })
		if i < 0 {
			merged = append(merged, l)
			continue
		}
		merged[i].Sentence = cmp.Or(merged[i].Sentence, l.Sentence)
		maps.Copy(merged[i].Tells, l.Tells)
	}
	return merged
}

// plot makes the script of a run that a scene follows.
type plot func(ctx context.Context, c *scene) (saboteur.Script, error)

// in gives how a lie is told in some drills.
func in(p plot, drills ...string) map[string]saboteur.Telling {
	tells := map[string]saboteur.Telling{}
	for _, d := range drills {
		tells[d] = saboteur.Telling{Tell: func(ctx context.Context, s *saboteur.Stage) (saboteur.Script, error) { return p(ctx, newScene(s, d)) }}
	}
	return tells
}

// among gives how a lie is told in a namespace that holds more than usual. Its
// probes are not asked to show the damage, which falls mostly on keys that no route
// shows.
func among(need string, p plot) map[string]saboteur.Telling {
	t := in(p, KVBackup)[KVBackup]
	t.Needs, t.With = []string{need}, firedrill.Values{"shown": false}
	return map[string]saboteur.Telling{KVBackup: t}
}

// atRecovery is the script that answers recoveries in its own way.
func atRecovery(c *scene, answer saboteur.Hook) saboteur.Script {
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		if c.isRecovery(x) {
			return answer(ctx, x)
		}
		return x.Forward(ctx)
	}}
}

// afterRecovery lets a recovery happen and then spoils what it did.
func afterRecovery(spoil func(ctx context.Context, c *scene) error) plot {
	return func(_ context.Context, c *scene) (saboteur.Script, error) {
		return atRecovery(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
			a, err := x.Forward(ctx)
			if err != nil || a.Status != http.StatusOK {
				return a, err
			}
			if err := spoil(ctx, c); err != nil {
				return nil, err
			}
			c.Tell()
			return a, nil
		}), nil
	}
}

// nothing lets no part of a recovery happen, and says that all did.
func nothing(c *scene) saboteur.Hook {
	return func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		switch {
		case c.isRecovery(x):
			return c.pretend(ctx, x)
		case isDeleteOf(x, "stranger/") && c.isRecovering():
			return deletedNothing(x)
		}
		return c.forward(ctx, x)
	}
}

// isDeleteOf tells whether a bulk delete names a key of firedrill's own.
func isDeleteOf(x *saboteur.Exchange, what string) bool {
	return strings.HasSuffix(x.URL.Path, "/bulk/delete") && strings.Contains(string(x.Body), `"`+ownKeys+what)
}

func deletedNothing(x *saboteur.Exchange) (*saboteur.Answer, error) {
	var keys []string
	if err := json.Unmarshal(x.Body, &keys); err != nil {
		return nil, err
	}
	return success(map[string]any{"successful_key_count": len(keys), "unsuccessful_keys": []string{}})
}

// recoveryLies are about recoveries of every kind.
func recoveryLies() []saboteur.Lie {
	return []saboteur.Lie{
		{Name: "recovery-does-nothing", Sentence: "a restore answers success and does nothing",
			Tells: in(func(_ context.Context, c *scene) (saboteur.Script, error) {
				return saboteur.Script{API: nothing(c)}, nil
			}, D1PITR, KVBackup)},
		{Name: "success-after-error", Sentence: "a recovery takes effect after it was answered with an error",
			Tells: in(func(_ context.Context, c *scene) (saboteur.Script, error) {
				return atRecovery(c, func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
					if _, err := x.Forward(ctx); err != nil {
						return nil, err
					}
					c.Tell()
					return saboteur.JSON(http.StatusInternalServerError, map[string]any{"success": false, "errors": []any{map[string]any{"code": 10001, "message": "internal error"}}, "result": nil})
				}), nil
			}, D1PITR, KVBackup, WorkerRollback)},
		{Name: "errors-under-200", Sentence: "a recovery that failed is answered with status 200, and the error stands in the body",
			Tells: in(func(_ context.Context, c *scene) (saboteur.Script, error) {
				return atRecovery(c, func(context.Context, *saboteur.Exchange) (*saboteur.Answer, error) {
					c.Tell()
					return saboteur.JSON(http.StatusOK, map[string]any{"success": false, "errors": []any{map[string]any{"code": 10001, "message": "not now"}}, "messages": []any{}, "result": nil})
				}), nil
			}, D1PITR, KVBackup, WorkerRollback)},
	}
}

// healthyCopy begins the paths of a copy of the service where nothing is damaged.
const healthyCopy = "/healthy-copy"

// serviceLies are told to probes: the recovery does nothing, and the service
// says that all is well.
func serviceLies() []saboteur.Lie {
	every := []string{D1PITR, KVBackup, WorkerRollback}
	// instead answers probes from a moment on with something made of what was true
	// when all was well.
	instead := func(from func(c *scene) bool, tell func(x *saboteur.Exchange, good *saboteur.Answer) *saboteur.Answer) plot {
		return func(_ context.Context, c *scene) (saboteur.Script, error) {
			return saboteur.Script{API: nothing(c), Front: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
				if original, is := strings.CutPrefix(x.URL.Path, healthyCopy); is && c.healthy(original) != nil {
					return c.healthy(original), nil
				}
				a, err := x.Forward(ctx)
				if err != nil {
					return nil, err
				}
				c.remember(x, a)
				good := c.healthy(x.URL.Path)
				if good == nil || !from(c) {
					return a, nil
				}
				if string(a.Body) != string(good.Body) {
					c.Tell()
				}
				return tell(x, good), nil
			}}, nil
		}
	}
	as := func(_ *saboteur.Exchange, good *saboteur.Answer) *saboteur.Answer { return good }
	redirect := func(x *saboteur.Exchange, _ *saboteur.Answer) *saboteur.Answer {
		return &saboteur.Answer{Status: http.StatusFound, Header: http.Header{"Location": {healthyCopy + x.URL.Path}}}
	}
	return []saboteur.Lie{
		{Name: "health-says-ok", Sentence: "the recovery does nothing, and from then on every page says that all is well", Tells: in(instead((*scene).isRecovering, as), every...)},
		{Name: "health-is-cached", Sentence: "pages come from a cache that was filled before the disaster", Tells: in(instead((*scene).isDamaged, as), every...)},
		{Name: "probe-is-redirected", Sentence: "the recovery does nothing, and pages redirect to a healthy copy", Tells: in(instead((*scene).isRecovering, redirect), every...)},
	}
}

// month is how far a clock jumps: beyond the expirations of canaries and of data.
const month = 31 * 24 * time.Hour

// apiLies are about the API and the machine around a recovery.
func apiLies() []saboteur.Lie {
	return []saboteur.Lie{
		{Name: "clock-jumps", Sentence: "the machine's clock jumps ahead by a month between damage and recovery", Tells: in(clockJumps, D1PITR, KVBackup, WorkerRollback)},
		{Name: "list-misses-page", Sentence: "a list leaves a part out, the same one every time", Tells: in(rows(func(all []any) []any { return all[:20] }), D1PITR)},
		{Name: "list-misses-page", Tells: in(newestMissing, WorkerRollback)},
		{Name: "list-repeats-page", Sentence: "a list gives a part twice", Tells: in(rows(func(all []any) []any { return append(slices.Clone(all), all...) }), D1PITR)},
		{Name: "delete-deletes-nothing", Sentence: "what is deleted after the recovery stays", Tells: in(rowsStay, D1PITR)},
	}
}

// clockJumps moves the wall clock, and leaves the monotonic one alone.
func clockJumps(_ context.Context, c *scene) (saboteur.Script, error) {
	var mu sync.Mutex
	jumped := false
	jump := func() {
		mu.Lock()
		defer mu.Unlock()
		jumped = true
	}
	return saboteur.Script{
		API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
			if c.isRecovery(x) {
				jump()
			}
			return x.Forward(ctx)
		},
		Clock: func(at firedrill.Stamp) firedrill.Stamp {
			mu.Lock()
			defer mu.Unlock()
			if jumped {
				c.Tell()
				at.Wall = at.Wall.Add(month)
			}
			return at
		},
	}, nil
}

// rows changes which rows a query about archive gives, if they are many: what gives
// a few, as counting does, is told the truth.
func rows(change func([]any) []any) plot {
	return func(_ context.Context, c *scene) (saboteur.Script, error) {
		return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
			a, err := x.Forward(ctx)
			if err != nil || x.Method != http.MethodPost || !strings.Contains(below(x), "d1/database/") || !strings.Contains(string(x.Body), "archive") {
				return a, err
			}
			var envelope map[string]any
			if json.Unmarshal(a.Body, &envelope) != nil {
				return a, nil //nolint:nilerr // no rows, no lie
			}
			sets, _ := envelope["result"].([]any)
			for _, s := range sets {
				set, _ := s.(map[string]any)
				results, _ := set["results"].(map[string]any)
				all, _ := results["rows"].([]any)
				if len(all) > 20 {
					results["rows"] = change(all)
					c.Tell()
				}
			}
			return saboteur.JSON(a.Status, envelope)
		}}, nil
	}
}

// newestMissing shows no deployment before there is a newer one.
func newestMissing(_ context.Context, c *scene) (saboteur.Script, error) {
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		a, err := x.Forward(ctx)
		if err != nil || x.Method != http.MethodGet || !strings.HasSuffix(below(x), "/deployments") {
			return a, err
		}
		return changeList(a, "deployments", func(all []any) []any {
			if len(all) < 2 {
				return all
			}
			c.Tell()
			return all[1:]
		})
	}}, nil
}

// rowsStay answers deletions with success after the recovery, and deletes
// nothing.
func rowsStay(_ context.Context, c *scene) (saboteur.Script, error) {
	return saboteur.Script{API: func(ctx context.Context, x *saboteur.Exchange) (*saboteur.Answer, error) {
		if c.isRecovery(x) || !c.isRecovering() || !strings.HasSuffix(x.URL.Path, "/raw") {
			return x.Forward(ctx)
		}
		var batch struct {
			Batch []map[string]any `json:"batch"`
		}
		if err := json.Unmarshal(x.Body, &batch); err != nil {
			return nil, err
		}
		kept := 0
		for _, statement := range batch.Batch {
			if text, _ := statement["sql"].(string); strings.HasPrefix(text, "DELETE") || strings.HasPrefix(text, "DROP") {
				statement["sql"] = "SELECT 1 WHERE 0"
				delete(statement, "params")
				kept++
			}
		}
		if kept == 0 {
			return x.Forward(ctx)
		}
		c.Tell()
		var err error
		if x.Body, err = json.Marshal(batch); err != nil {
			return nil, err
		}
		return x.Forward(ctx)
	}}, nil
}
