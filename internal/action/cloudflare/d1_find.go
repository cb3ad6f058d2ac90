package cloudflare

import (
	"context"
	"fmt"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

type findIn struct {
	Resource firedrill.Values `json:"resource" doc:"a database of the plan: its name, its id, or both"`
}

// attr gives a text attribute of a resource, "" if it has none.
func attr(resource firedrill.Values, name string) string {
	s, _ := resource[name].(string)
	return s
}

type findOut struct {
	ID      string   `json:"id" doc:"id of the database"`
	Name    string   `json:"name" doc:"name of the database"`
	Size    int64    `json:"size" doc:"bytes, as the platform says"`
	Tables  int64    `json:"tables" doc:"tables that hold rows, without the platform's own and firedrill's"`
	Virtual []string `json:"virtual" doc:"virtual tables: their content is seen through the tables they keep"`
}

func (p *pack) d1Find() firedrill.Action {
	const name = "d1.find"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Find a database of the plan by its id or name, and read its schema. If it names both, they must belong together."},
		func(ctx context.Context, call firedrill.Call, in findIn) (action.Result[findOut], error) {
			var res action.Result[findOut]
			c, err := p.client(call)
			if err != nil {
				return res, err
			}
			ref, called := attr(in.Resource, "id"), attr(in.Resource, "name")
			if ref == "" {
				ref = called
			}
			if kind := attr(in.Resource, "kind"); kind != "" && kind != "d1" {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "resource " + attr(in.Resource, "key"),
					Detail: "is of kind " + kind + ", not d1", Remedy: "name a database of the plan"}
			}
			d, err := c.database(ctx, name, ref, notify(call))
			if err != nil {
				return res, err
			}
			if called != "" && called != d.db.Name {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: "database " + d.db.ID,
					Detail: fmt.Sprintf("is called %q, the plan says %q", d.db.Name, called), Remedy: "correct the name or the id in the plan"}
			}
			if d.db.Version != "" && d.db.Version != "production" {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUnsupported, Target: "database " + d.db.Name,
					Detail: "is of version " + d.db.Version + " and has no Time Travel", Remedy: "move its data to a new database"}
			}
			s, err := d.schema(ctx, name)
			if err != nil {
				return res, err
			}
			res.Out = findOut{ID: d.db.ID, Name: d.db.Name, Size: d.db.Size, Tables: int64(len(s.Tables)), Virtual: append([]string{}, s.Virtual...)}
			res.Summary = fmt.Sprintf("database %s has %s", d.db.Name, count(len(s.Tables), "table"))
			return res, nil
		})
}

type budgetIn struct {
	Database string `json:"database" doc:"id of the database"`
	Need     int64  `json:"need,omitempty" doc:"restores that must be left; 2 if left out: the recovery, and one to undo it"`
}

type budgetOut struct {
	Left int64 `json:"left" doc:"restores left in the present ten minutes, by firedrill's own count"`
}

func (p *pack) d1RestoreBudget() firedrill.Action {
	const name = "d1.restore-budget"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Check that enough restores are left before anything is damaged. The platform allows 10 of a database in 10 minutes and does not tell how many are left, so firedrill counts its own; restores by others are not seen. An environment of class sandbox has no such limit."},
		func(_ context.Context, call firedrill.Call, in budgetIn) (action.Result[budgetOut], error) {
			var res action.Result[budgetOut]
			if !limited(call) {
				res.Out.Left = restoresAllowed
				return res, nil
			}
			now := call.Now().Wall
			done, err := p.restores.Since(in.Database, now.Add(-restoreWindow))
			if err != nil {
				return res, err
			}
			need := in.Need
			if need == 0 {
				need = 2
			}
			res.Out.Left = max(0, restoresAllowed-int64(len(done)))
			if res.Out.Left < need {
				free := done[int64(len(done))-(restoresAllowed-need)-1].Add(restoreWindow)
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindLimited, Target: "database " + in.Database,
					Detail: fmt.Sprintf("%d restores are left of %d in ten minutes, %d are needed", res.Out.Left, restoresAllowed, need),
					Remedy: fmt.Sprintf("wait %s, then run again", free.Sub(now).Round(time.Second))}
			}
			res.Summary = fmt.Sprintf("%d of %d restores left", res.Out.Left, restoresAllowed)
			return res, nil
		})
}

type bookmarkIn struct {
	Database string `json:"database" doc:"id of the database"`
}

type bookmarkOut struct {
	Bookmark string `json:"bookmark" doc:"the database's present point in time"`
}

func (p *pack) d1Bookmark() firedrill.Action {
	const name = "d1.bookmark"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Read the database's present point in time, to which d1.restore can return."},
		func(ctx context.Context, call firedrill.Call, in bookmarkIn) (action.Result[bookmarkOut], error) {
			var res action.Result[bookmarkOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			b, err := d.bookmark(ctx, name)
			res.Out.Bookmark = b
			res.Summary = "bookmark " + b
			return res, err
		})
}

// database gives the database that a call names.
func (p *pack) database(ctx context.Context, op string, call firedrill.Call, ref string) (*d1, error) {
	c, err := p.client(call)
	if err != nil {
		return nil, err
	}
	return c.database(ctx, op, ref, notify(call))
}
