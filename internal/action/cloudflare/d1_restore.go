package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

type restoreIn struct {
	Database string `json:"database" doc:"id of the database"`
	Bookmark string `json:"bookmark" doc:"point in time to return to"`
	Name     string `json:"name,omitempty" doc:"name of the database, for the command that a person would type"`
	// Looked and Numbered tell of writes that nobody has listed.
	Looked   string `json:"looked,omitempty" doc:"output bookmark of the d1.compare that looked at the damage: what was written since is undone unseen, and named as collateral"`
	Numbered int64  `json:"numbered,omitempty" doc:"its output numbered"`
}

type restoreOut struct {
	Bookmark string `json:"bookmark" doc:"the database's point in time after the restore"`
	Previous string `json:"previous" doc:"point in time before the restore: restoring to it undoes the restore"`
	Moved    bool   `json:"moved" doc:"the database's point in time moved on; false: the platform says that nothing had to change"`
}

func (p *pack) d1Restore() firedrill.Action {
	const name = "d1.restore"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claim(true), Timeout: 15 * time.Minute,
		Doc: "Return a database to a point in time, in place. Everybody's later writes are undone. Its answer is believed only as far as the database's own bookmark bears it out; whether the data is back is for d1.compare to tell. Where the platform's limit of 10 restores in 10 minutes is reached, it waits and says so.",
		Repair: func(in firedrill.Values) string {
			db, _ := in["name"].(string)
			if db == "" {
				db, _ = in["database"].(string)
			}
			bookmark, _ := in["bookmark"].(string)
			return fmt.Sprintf("npx wrangler d1 time-travel restore %s --bookmark=%s", shellWord(db), shellWord(bookmark))
		}},
		func(ctx context.Context, call firedrill.Call, in restoreIn) (action.Result[restoreOut], error) {
			var res action.Result[restoreOut]
			if in.Bookmark == "" {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "database " + in.Database, Detail: "no bookmark is given"}
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			if in.Looked != "" {
				if res.Collateral, err = d.unseen(ctx, name, in.Looked, in.Numbered); err != nil {
					// The recovery does not wait for what only tells about it.
					res.Collateral = []string{"what others wrote between the look at the damage and the restore is undone and could not be looked at: " + err.Error()}
				}
			}
			out, took, err := p.restore(ctx, name, call, d, in.Bookmark)
			if err != nil {
				return res, err
			}
			res.Out = out
			res.Summary = fmt.Sprintf("back at the bookmark after %s", took.Round(time.Millisecond))
			if !out.Moved {
				res.Summary = "the platform says that nothing had to change"
			}
			return res, nil
		})
}

// restore rewinds a database and makes sure that something moved.
func (p *pack) restore(ctx context.Context, op string, call firedrill.Call, d *d1, to string) (restoreOut, time.Duration, error) {
	began := call.Now()
	before, err := d.bookmark(ctx, op)
	if err != nil {
		return restoreOut{}, 0, err
	}
	req := d.request(op, http.MethodPost, "time_travel", "restore")
	req.Query = url.Values{"bookmark": {to}}
	var resp Response
	for {
		if err := p.waitForRestore(ctx, op, call, d); err != nil {
			return restoreOut{}, 0, err
		}
		if err := p.restores.Add(d.db.ID, call.Now().Wall); err != nil {
			return restoreOut{}, 0, err
		}
		resp, err = d.c.Do(ctx, req)
		if firedrill.KindOf(err) != firedrill.KindLimited {
			break
		}
		call.Progress(firedrill.Progress{Text: "the platform allows no further restore now; waiting 30 s"})
		if serr := d.c.Sleep(ctx, 30*time.Second); serr != nil {
			return restoreOut{}, 0, err
		}
	}
	if err != nil {
		return restoreOut{}, 0, err
	}
	took, _ := call.Now().Since(began)
	var answer struct {
		Bookmark string `json:"bookmark"`
		Previous string `json:"previous_bookmark"`
	}
	if err := resp.Decode(req, &answer); err != nil {
		return restoreOut{}, 0, err
	}
	after, err := d.bookmark(ctx, op)
	if err != nil {
		return restoreOut{}, 0, err
	}
	// Bookmarks are ordered like their texts, and a restore is itself a change.
	// Only where the database already is as it is to be, as after a restore
	// whose answer was lost, nothing moves; then the answer must say so too.
	moved := after > before
	stood := after == before && answer.Bookmark == before && answer.Previous == before
	if answer.Bookmark == "" || answer.Previous == "" || after < answer.Bookmark || !moved && !stood {
		return restoreOut{}, 0, &firedrill.Error{Op: op, Kind: firedrill.KindUnknown, Target: "database " + d.db.Name,
			Detail: fmt.Sprintf("answered that it is restored, but its bookmark went from %s to %s", before, after), Remedy: "compare the data before relying on it"}
	}
	return restoreOut{Bookmark: after, Previous: answer.Previous, Moved: moved}, took, nil
}

// limited tells whether restores are limited where a call goes: not in a
// sandbox.
func limited(call firedrill.Call) bool { return call.Environment.Class != firedrill.ClassSandbox }

// waitForRestore waits until our own count allows another restore.
func (p *pack) waitForRestore(ctx context.Context, op string, call firedrill.Call, d *d1) error {
	for limited(call) {
		now := call.Now().Wall
		done, err := p.restores.Since(d.db.ID, now.Add(-restoreWindow))
		if err != nil {
			return err
		}
		if len(done) < restoresAllowed {
			return nil
		}
		wait := done[len(done)-restoresAllowed].Add(restoreWindow).Sub(now) + time.Second
		call.Progress(firedrill.Progress{Text: fmt.Sprintf("%d restores in ten minutes are used up; waiting %s", restoresAllowed, wait.Round(time.Second))})
		if err := d.c.Sleep(ctx, wait); err != nil {
			return &firedrill.Error{Op: op, Kind: firedrill.KindLimited, Target: "database " + d.db.Name,
				Detail: "10 restores in ten minutes are used up", Remedy: fmt.Sprintf("wait %s, then repeat", wait.Round(time.Second)), Err: err}
		}
	}
	return nil
}

// shellWord quotes a word for a shell where it needs it.
func shellWord(s string) string {
	plain := s != ""
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			plain = false
		}
	}
	if plain {
		return s
	}
	quoted := "'"
	for _, r := range s {
		if r == '\'' {
			quoted += `'\''`
			continue
		}
		quoted += string(r)
	}
	return quoted + "'"
}
