package cloudflare

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

// damageFile is what d1.damage did, for the comparison that must find it.
type damageFile struct {
	Format  int             `json:"format"`
	Rows    []damagedRow    `json:"rows"`
	Objects []damagedObject `json:"objects"`
}

type damagedRow struct {
	Table string `json:"table"`
	Key   string `json:"key"`
	How   string `json:"how"` // fingerprint.Changed or fingerprint.Missing
}

type damagedObject struct {
	Type string `json:"type"`
	Name string `json:"name"`
	How  string `json:"how"`
}

const damageFormat = 1

// place is a row by its table and key.
type place struct{ table, key string }

// damage looks for everything that was done among the differences. A row that was
// to be changed and is gone, because a cascade took it, counts as found. It may be
// looked for while others write; only equality needs the database to stand still.
func (c *comparison) damage(ctx context.Context, file string) (action.Result[compareOut], error) {
	var res action.Result[compareOut]
	done, err := loadDamage(c.call, file)
	if err != nil {
		return res, err
	}
	numbered, err := c.d.numbered(ctx, c.op)
	if err != nil {
		return res, err
	}
	bookmark, err := c.d.bookmark(ctx, c.op)
	if err != nil {
		return res, err
	}
	todo := map[place]string{}
	for _, r := range done.Rows {
		todo[place{r.Table, r.Key}] = r.How
	}
	var hits, beyond int64
	var others *othersRows
	diff, found, err := c.read(ctx, func(x *differences) func(fingerprint.RowDifference) error {
		others = &othersRows{writes: x.schema.triggerWrites(), key: x.key}
		return func(r fingerprint.RowDifference) error {
			at := place{r.Table, r.Key}
			if how, is := todo[at]; is && (r.How == how || r.How == fingerprint.Missing) {
				hits++
				delete(todo, at)
			} else if !is {
				beyond++
				others.take(r)
			}
			return x.add(r)
		}
	})
	if err != nil {
		return res, err
	}
	res.Out = summarize(diff, found.rows)
	res.Out.Found, res.Out.Beyond, res.Out.Others = hits, beyond, others.n
	res.Out.Bookmark, res.Out.Numbered, res.Out.Level = bookmark, numbered, string(c.level)
	absent := c.absent(done, todo, found)
	for _, o := range done.Objects {
		if slices.ContainsFunc(diff.Objects, func(x fingerprint.ObjectDifference) bool {
			return x.Object.Type == o.Type && x.Object.Name == o.Name && x.How == o.How
		}) {
			res.Out.Found++
			continue
		}
		absent = append(absent, o.Type+" "+o.Name)
	}
	res.Collateral = others.collateral()
	wanted := int64(len(done.Rows) + len(done.Objects))
	res.Summary = fmt.Sprintf("%s of %s found: %s and %s differ", grouped(res.Out.Found), count(wanted, "damaged thing"), count(res.Out.Differing, "row"), count(res.Out.Schema, "schema object"))
	if rest := res.Out.Beyond - others.n; rest > 0 {
		res.Summary += fmt.Sprintf(", %s by triggers and cascades", grouped(rest))
	}
	if others.n > 0 {
		res.Summary += fmt.Sprintf(", %s by others", grouped(others.n))
	}
	if len(absent) > 0 {
		res.Summary += "; not found: " + strings.Join(absent[:min(3, len(absent))], ", ")
	}
	if wanted == 0 {
		res.Summary = "nothing was damaged, so nothing can be found"
	}
	res.Checks = []firedrill.Check{c.check(wanted > 0 && len(absent) == 0 && diff.Differs(), diff, res.Summary)}
	return res, nil
}

// absent names the damaged rows that were not found different, as people may see
// them. At the level quick the rows outside the sample are not looked for.
func (c *comparison) absent(done damageFile, todo map[place]string, found *differences) []string {
	if c.level == fingerprint.Quick {
		return nil
	}
	var out []string
	for _, r := range done.Rows {
		if _, is := todo[place{r.Table, r.Key}]; !is {
			continue
		}
		key := r.Key
		if t, known := found.schema.table(r.Table); !known && len(c.hide.rules) > 0 || c.hide.any(r.Table, t.PrimaryKey) {
			key = redacted
		}
		out = append(out, r.Table+" "+key)
	}
	return out
}

func loadDamage(call firedrill.Call, file string) (damageFile, error) {
	data, err := loadPrivate(call, file)
	if err != nil {
		return damageFile{}, err
	}
	var done damageFile
	if err := json.Unmarshal(data, &done); err != nil || done.Format != damageFormat {
		return damageFile{}, &firedrill.Error{Op: "d1.compare", Kind: firedrill.KindCorrupt, Target: file, Detail: "is not a list of damage that this version reads", Err: err}
	}
	return done, nil
}

// othersRows gathers rows that no part of the drill can have written, for the
// recovery is about to undo them.
type othersRows struct {
	writes triggerWrites
	key    func(fingerprint.RowDifference) string
	n      int64
	shown  []string
}

// take looks at a row that differs and was not damaged.
func (o *othersRows) take(r fingerprint.RowDifference) {
	if r.Table == "sqlite_sequence" || o.writes.explain(r) {
		return
	}
	o.n++
	if len(o.shown) < shownDifferences {
		o.shown = append(o.shown, r.Table+" "+o.key(r)+" "+map[string]string{fingerprint.Extra: "written", fingerprint.Changed: "changed", fingerprint.Missing: "deleted"}[r.How])
	}
}

// collateral lists them.
func (o *othersRows) collateral() []string {
	if o.n == 0 {
		return nil
	}
	text := fmt.Sprintf("%s of others that the recovery undoes: %s", count(o.n, "write"), strings.Join(o.shown, ", "))
	if more := o.n - int64(len(o.shown)); more > 0 {
		text += fmt.Sprintf(", and %s more", grouped(more))
	}
	return []string{text}
}
