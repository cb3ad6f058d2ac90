package cloudflare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"firedrill"
	"firedrill/internal/action"
)

// scratchPrefix begins the name of every database that firedrill makes, and
// of every database that it deletes.
const scratchPrefix = "firedrill-scratch-"

type scratchIn struct {
	Database string `json:"database" doc:"id of the database that will be copied"`
}

type scratchOut struct {
	Name string `json:"name" doc:"name for a scratch database: the same for every attempt of this run"`
}

func (p *pack) d1ScratchName() firedrill.Action {
	const name = "d1.scratch-name"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Choose the name of a scratch database for this run. It is chosen before the database is made, so that it can be deleted whatever happens."},
		func(_ context.Context, call firedrill.Call, in scratchIn) (action.Result[scratchOut], error) {
			return action.Result[scratchOut]{Out: scratchOut{Name: scratchName(call.Run, in.Database)}}, nil
		})
}

// scratchName is the same for every attempt of a run.
func scratchName(run, id string) string {
	sum := sha256.Sum256([]byte(run + "\x00" + id))
	return scratchPrefix + hex.EncodeToString(sum[:6])
}

type targetIn struct {
	Database string `json:"database" doc:"id of the database that the plan names"`
	Scratch  string `json:"scratch" doc:"name for a scratch copy, from d1.scratch-name"`
	Copy     bool   `json:"copy" doc:"true: work on an exact copy; false: work on the database itself"`
}

type targetOut struct {
	ID     string `json:"id" doc:"id of the database to work on"`
	Name   string `json:"name" doc:"its name"`
	Copied bool   `json:"copied" doc:"it is a scratch copy"`
}

func (p *pack) d1Target() firedrill.Action {
	const name = "d1.target"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent,
		Doc: "Settle which database a drill works on: the one that the plan names, where nobody else writes, or an exact scratch copy of it. On an environment that is neither exclusive nor a sandbox, working on the database itself is refused.",
		Claims: func(in firedrill.Values) []firedrill.Claim {
			n, _ := in["scratch"].(string)
			return append(claim(false)(in), firedrill.Claim{Resource: "d1-name:" + n, Write: true})
		}},
		func(ctx context.Context, call firedrill.Call, in targetIn) (action.Result[targetOut], error) {
			var res action.Result[targetOut]
			if in.Copy {
				out, note, err := p.copy(ctx, name, call, copyIn{Database: in.Database, Name: in.Scratch})
				if err != nil {
					return res, err
				}
				res.Collateral = notes(note)
				res.Out = targetOut{out.ID, out.Name, true}
				res.Summary = fmt.Sprintf("%s copied to %s", count(out.Rows, "row"), out.Name)
				return res, nil
			}
			if !call.Environment.InPlace() {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindGuard, Target: "environment " + call.Environment.Name,
					Detail: "others write there, so its own data is not damaged", Remedy: "work on a scratch copy, or say in the plan that it is exclusive: true"}
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			res.Out = targetOut{d.db.ID, d.db.Name, false}
			return res, nil
		})
}

type createIn struct {
	Name string `json:"name" doc:"name of the new database; begins with firedrill-scratch-"`
}

type createOut struct {
	ID   string `json:"id" doc:"id of the new database"`
	Name string `json:"name" doc:"its name"`
}

// claimName makes the claim of an action on a database by its name.
func claimName(in firedrill.Values) []firedrill.Claim {
	n, _ := in["name"].(string)
	return []firedrill.Claim{{Resource: "d1-name:" + n, Write: true}}
}

func (p *pack) d1Create() firedrill.Action {
	const name = "d1.create"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimName,
		Doc: "Make an empty scratch database. If it exists already, from an attempt that was interrupted, that one is taken."},
		func(ctx context.Context, call firedrill.Call, in createIn) (action.Result[createOut], error) {
			var res action.Result[createOut]
			c, err := p.client(call)
			if err != nil {
				return res, err
			}
			d, err := c.scratch(ctx, name, in.Name, notify(call))
			if err != nil {
				return res, err
			}
			res.Out = createOut{d.db.ID, d.db.Name}
			res.Summary = "database " + d.db.Name + " is there"
			return res, nil
		})
}

func checkScratchName(op, name string) error {
	if !strings.HasPrefix(name, scratchPrefix) || len(name) == len(scratchPrefix) {
		return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "database " + name,
			Detail: "is not a scratch database", Remedy: "only databases whose names begin with " + scratchPrefix + " are made and deleted"}
	}
	return nil
}

// scratch finds or makes a scratch database.
func (c *Client) scratch(ctx context.Context, op, name string, tell func(string)) (*d1, error) {
	if err := checkScratchName(op, name); err != nil {
		return nil, err
	}
	d, err := c.databaseByName(ctx, op, name, tell)
	if firedrill.KindOf(err) != firedrill.KindNotFound {
		return d, err
	}
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return nil, err
	}
	req := Request{Op: op, Target: "database " + name, Method: http.MethodPost, Path: c.AccountPath("d1", "database"), Body: body, Ids: []ID{{"d1", name}}, Notify: tell}
	resp, err := c.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	var db Database
	if err := resp.Decode(req, &db); err != nil {
		return nil, err
	}
	if db.Name != name || db.ID == "" {
		return nil, unreadable(req, fmt.Sprintf("asked for a database %s, answered with %q", name, db.Name))
	}
	c.remember(db)
	return &d1{c, db, tell}, nil
}

type deleteIn struct {
	Name string `json:"name" doc:"name of the scratch database; begins with firedrill-scratch-"`
}

type deleteOut struct {
	Existed bool `json:"existed" doc:"there was such a database"`
}

func (p *pack) d1Delete() firedrill.Action {
	const name = "d1.delete"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimName,
		Doc: "Delete a scratch database that firedrill made. Any other name is refused. A database that is not there counts as deleted; afterwards it is looked for again.",
		Repair: func(in firedrill.Values) string {
			n, _ := in["name"].(string)
			return "npx wrangler d1 delete " + shellWord(n)
		}},
		func(ctx context.Context, call firedrill.Call, in deleteIn) (action.Result[deleteOut], error) {
			var res action.Result[deleteOut]
			if err := checkScratchName(name, in.Name); err != nil {
				return res, err
			}
			c, err := p.client(call)
			if err != nil {
				return res, err
			}
			d, err := c.databaseByName(ctx, name, in.Name, notify(call))
			if firedrill.KindOf(err) == firedrill.KindNotFound {
				res.Checks = []firedrill.Check{{OK: true, Compared: 1, Detail: "database " + in.Name + " does not exist"}}
				return res, nil
			}
			if err != nil {
				return res, err
			}
			req := d.request(name, http.MethodDelete)
			req.Safe = true
			if _, err := c.Do(ctx, req); err != nil && firedrill.KindOf(err) != firedrill.KindNotFound {
				return res, err
			}
			c.forget(d.db.ID)
			if _, err := c.databaseByName(ctx, name, in.Name, notify(call)); firedrill.KindOf(err) != firedrill.KindNotFound {
				if err == nil {
					err = &firedrill.Error{Op: name, Kind: firedrill.KindUnknown, Target: "database " + in.Name, Detail: "was deleted and is still listed", Remedy: "delete it by hand"}
				}
				return res, err
			}
			res.Out.Existed = true
			res.Summary = "database " + in.Name + " deleted"
			res.Checks = []firedrill.Check{{OK: true, Compared: 1, Detail: res.Summary + " and not listed any more"}}
			return res, nil
		})
}

type absentIn struct {
	Name string `json:"name" doc:"name of a database"`
}

func (p *pack) d1Absent() firedrill.Action {
	const name = "d1.absent"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Check that the account has no database of this name."},
		func(ctx context.Context, call firedrill.Call, in absentIn) (action.Result[struct{}], error) {
			var res action.Result[struct{}]
			c, err := p.client(call)
			if err != nil {
				return res, err
			}
			_, err = c.databaseByName(ctx, name, in.Name, notify(call))
			gone := firedrill.KindOf(err) == firedrill.KindNotFound
			if err != nil && !gone {
				return res, err
			}
			res.Summary = "database " + in.Name + " does not exist"
			if !gone {
				res.Summary = "database " + in.Name + " is still there"
			}
			res.Checks = []firedrill.Check{{OK: gone, Compared: 1, Detail: res.Summary}}
			return res, nil
		})
}
