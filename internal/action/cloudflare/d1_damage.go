package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"

	"firedrill"
	"firedrill/internal/action"
)

type damageIn struct {
	Database string `json:"database" doc:"id of the database"`
	Plan     string `json:"plan" doc:"output file of d1.plan-damage"`
}

type damageOut struct {
	Updated int64  `json:"updated" doc:"rows that were changed, as the database counts"`
	Deleted int64  `json:"deleted" doc:"rows that were deleted, as the database counts"`
	Schema  int64  `json:"schema" doc:"schema changes"`
	File    string `json:"file" doc:"file that lists until the run is over what must be seen, for d1.compare"`
}

func (p *pack) d1Damage() firedrill.Action {
	const name = "d1.damage"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Damages, Replay: firedrill.Never, Claims: claim(true),
		Doc: "The disaster: change and delete the chosen rows of real tables and change the schema, in one atomic batch. Never repeated; an answer that is lost leaves the outcome unknown. What triggers and cascades add shows in the comparison that follows."},
		func(ctx context.Context, call firedrill.Call, in damageIn) (action.Result[damageOut], error) {
			var res action.Result[damageOut]
			data, err := loadPrivate(call, in.Plan)
			if err != nil {
				return res, err
			}
			var plan damagePlan
			if err := json.Unmarshal(data, &plan); err != nil || plan.Format != damageFormat || len(plan.Updates) == 0 || len(plan.Schema) == 0 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindCorrupt, Target: in.Plan, Detail: "is not a plan of damage that this version reads", Err: err}
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			if plan.Database != d.db.ID {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindGuard, Target: "database " + d.db.Name, Detail: "the damage was planned for database " + plan.Database}
			}
			if err := mayDamage(name, call, d); err != nil {
				return res, err
			}
			most := call.Environment.Limits.Rows
			if err := withinCap(name, "database "+d.db.Name, "rows", int64(len(plan.Rows)), most); err != nil {
				return res, err
			}
			var batch []statement
			for _, list := range [][]string{plan.Updates, plan.Deletes, plan.Schema} {
				for _, s := range list {
					batch = append(batch, statement(s))
				}
			}
			sets, err := d.run(ctx, name, false, batch...)
			if err != nil {
				return res, err
			}
			for i, s := range sets {
				switch {
				case i < len(plan.Updates):
					res.Out.Updated += s.Changes
				case i < len(plan.Updates)+len(plan.Deletes):
					res.Out.Deleted += s.Changes
				}
			}
			res.Out.Schema, res.Out.File = int64(len(plan.Schema)), in.Plan
			res.Summary = fmt.Sprintf("%s changed, %s deleted, %s", count(res.Out.Updated, "row"), grouped(res.Out.Deleted), schemaWords(plan))
			return res, withinCap(name, "database "+d.db.Name, "rows", res.Out.Updated+res.Out.Deleted, most)
		})
}

// mayDamage refuses damage to data that others work with: outside of
// exclusive environments, sandboxes and CI only scratch databases are damaged.
func mayDamage(op string, call firedrill.Call, d *d1) error {
	if call.Environment.InPlace() || checkScratchName(op, d.db.Name) == nil {
		return nil
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "database " + d.db.Name,
		Detail: "others write in environment " + call.Environment.Name + ", so its own data is not damaged", Remedy: "work on a scratch copy, or say in the plan that it is exclusive: true"}
}

func schemaWords(plan damagePlan) string {
	if len(plan.Objects) == 1 {
		switch o := plan.Objects[0]; o.Type {
		case "index", "trigger":
			return "1 " + o.Type + " dropped"
		}
		return "1 column added"
	}
	return count(len(plan.Schema), "schema change")
}
