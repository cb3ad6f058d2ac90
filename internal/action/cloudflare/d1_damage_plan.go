package cloudflare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

type planDamageIn struct {
	Database string `json:"database" doc:"id of the database"`
	Rows     int64  `json:"rows,omitempty" doc:"rows to damage at most; 400 if left out"`
}

type planDamageOut struct {
	Updates int64    `json:"updates" doc:"rows to change"`
	Deletes int64    `json:"deletes" doc:"rows to delete"`
	Schema  string   `json:"schema" doc:"the schema change"`
	Tables  []string `json:"tables" doc:"tables that will be damaged"`
	File    string   `json:"file" doc:"file that holds the statements until the run is over, for d1.damage and d1.compare"`
}

// damagePlan is what is going to be done and what must then be seen.
type damagePlan struct {
	damageFile
	Database string   `json:"database"`
	Updates  []string `json:"updates"`
	Deletes  []string `json:"deletes"`
	Schema   []string `json:"schema"`
}

func (p *pack) d1PlanDamage() firedrill.Action {
	const name = "d1.plan-damage"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(true),
		Doc: "Choose existing rows of real tables to change and to delete, and a schema change, by the run's own seed. Whether the database accepts a change is tried in batches that end in an error on purpose, so that nothing of them stays. Damages nothing yet: what it writes is the list for d1.damage and d1.compare."},
		func(ctx context.Context, call firedrill.Call, in planDamageIn) (action.Result[planDamageOut], error) {
			var res action.Result[planDamageOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			if err := mayDamage(name, call, d); err != nil {
				return res, err
			}
			s, err := d.schema(ctx, name)
			if err != nil {
				return res, err
			}
			seed := sha256.Sum256([]byte(call.Run))
			pl := damagePlanner{d: d, op: name, s: s, most: in.Rows, chance: rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed[:]), binary.BigEndian.Uint64(seed[8:])))}
			if pl.most == 0 {
				pl.most = 400
			}
			pl.most = capped(pl.most, call.Environment.Limits.Rows)
			plan, err := pl.all(ctx)
			if err != nil {
				return res, err
			}
			data, err := json.Marshal(plan)
			if err != nil {
				return res, err
			}
			res.Out = planDamageOut{Updates: pl.updates, Deletes: pl.deletes, Schema: pl.schemaChange, Tables: pl.tables, File: call.Step + ".damage.json"}
			res.Summary = fmt.Sprintf("%s to change, %s to delete; %s", grouped(pl.updates), grouped(pl.deletes), pl.schemaChange)
			// The keys and the statements may hold what the plan hides.
			return res, savePrivate(call, res.Out.File, data)
		})
}

type damagePlanner struct {
	d      *d1
	op     string
	s      schema
	most   int64
	chance *rand.Rand

	plan             damagePlan
	updates, deletes int64
	schemaChange     string
	tables           []string
}

// all chooses the damage in every table that takes some.
func (p *damagePlanner) all(ctx context.Context) (damagePlan, error) {
	p.plan = damagePlan{damageFile: damageFile{Format: damageFormat}, Database: p.d.db.ID}
	var eligible []table
	var ask []statement
	for _, t := range p.s.Tables {
		lower := strings.ToLower(t.Name)
		if t.Shadow || strings.HasPrefix(lower, "sqlite_") || lower == "d1_migrations" || (t.Rowid == "" && len(t.PrimaryKey) == 0) {
			continue
		}
		eligible = append(eligible, t)
		ask = append(ask, statement("SELECT count(*) FROM "+quoted(t.Name)))
	}
	nothing := &firedrill.Error{Op: p.op, Kind: firedrill.KindUnsupported, Target: "database " + p.d.db.Name, Detail: "has no rows that could be damaged", Remedy: "drill a database that holds data"}
	if len(ask) == 0 {
		return damagePlan{}, nothing
	}
	counts, err := p.d.run(ctx, p.op, true, ask...)
	if err != nil {
		return damagePlan{}, err
	}
	var total int64
	sizes := make([]int64, len(eligible))
	for i := range eligible {
		if len(counts[i].Rows) != 1 {
			return damagePlan{}, fmt.Errorf("counting %s gave %d rows", eligible[i].Name, len(counts[i].Rows))
		}
		if sizes[i], err = whole(counts[i].Rows[0][0]); err != nil {
			return damagePlan{}, err
		}
		total += sizes[i]
	}
	// Small tables first: what they leave goes to the large ones.
	order := make([]int, len(eligible))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[a], sizes[b]) })
	left := p.most
	for _, i := range order {
		t := eligible[i]
		share := min(left, sizes[i], max(4, p.most*sizes[i]/max(1, total)))
		if share == 0 {
			continue
		}
		if err := p.table(ctx, t, sizes[i], share); err != nil {
			return damagePlan{}, err
		}
		left = p.most - p.updates - p.deletes
	}
	if p.updates == 0 {
		return damagePlan{}, nothing
	}
	p.breakSchema(eligible)
	return p.plan, nil
}

// table chooses rows of one table: most of them to change, some to delete
// where nothing forbids that.
func (p *damagePlanner) table(ctx context.Context, t table, size, share int64) error {
	rows, err := p.choose(ctx, t, size, share)
	if err != nil || len(rows) == 0 {
		return err
	}
	remove := 0
	if len(rows) > 1 {
		remove = max(1, len(rows)/8)
	}
	// Rows that a foreign key holds are refused by the database, and stay.
	gone, changed := rows[len(rows)-remove:], rows[:len(rows)-remove]
	took := false
	for _, column := range p.columns(t) {
		some := withValue(t, column, changed)
		if len(some) == 0 {
			continue
		}
		statements := inChunks(some, func(list []keyed) string {
			return "UPDATE " + quoted(t.Name) + " SET " + quoted(column) + "=" + spoiled(column) + " WHERE " + t.among(list)
		})
		accepted, err := p.try(ctx, statements)
		if err != nil {
			return err
		}
		if accepted {
			p.plan.Updates = append(p.plan.Updates, statements...)
			p.updates += int64(len(some))
			p.note(t, some, fingerprint.Changed)
			took = true
			break
		}
	}
	if len(gone) > 0 {
		statements := inChunks(gone, func(list []keyed) string {
			return "DELETE FROM " + quoted(t.Name) + " WHERE " + t.among(list)
		})
		accepted, err := p.try(ctx, statements)
		if err != nil {
			return err
		}
		if accepted {
			p.plan.Deletes = append(p.plan.Deletes, statements...)
			p.deletes += int64(len(gone))
			p.note(t, gone, fingerprint.Missing)
			took = true
		}
	}
	if took {
		p.tables = append(p.tables, t.Name)
	}
	return nil
}

func (p *damagePlanner) note(t table, rows []keyed, how string) {
	for _, r := range rows {
		p.plan.Rows = append(p.plan.Rows, damagedRow{t.Name, r.Key, how})
	}
}

// choose takes the first rows of a table, which applications like to show,
// the last ones, and stretches from in between by chance.
func (p *damagePlanner) choose(ctx context.Context, t table, size, share int64) ([]keyed, error) {
	const stretches = 4
	var out []keyed
	seen := map[string]bool{}
	take := func(offset, n int64) error {
		if n <= 0 {
			return nil
		}
		rows, _, err := p.d.page(ctx, p.op, t, "", nil, int(n), int(offset))
		for _, r := range rows {
			if !seen[r.Key] {
				seen[r.Key] = true
				out = append(out, r)
			}
		}
		return err
	}
	if share >= size || share < 2*stretches {
		return out, take(0, share)
	}
	each := share / stretches
	offsets := []int64{0, size - each}
	for range stretches - 2 {
		offsets = append(offsets, p.chance.Int64N(size-each+1))
	}
	for _, o := range offsets {
		if err := take(o, each); err != nil {
			return nil, err
		}
	}
	// Deletions are taken from the end of the list: by chance, not by place.
	rest := out[min(2, len(out)):]
	p.chance.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return out, nil
}

// columns gives the columns that may be changed, the most promising first:
// no key, not unique, in no foreign key; those in no CHECK before the others.
func (p *damagePlanner) columns(t table) []string {
	var free, checked []string
	for _, c := range t.Columns {
		same := func(n string) bool { return strings.EqualFold(n, c.Name) }
		bound := c.Generated || slices.ContainsFunc(t.Unique, func(u []string) bool { return slices.ContainsFunc(u, same) })
		for _, k := range p.s.foreign {
			bound = bound || (k.Table == t.Name && slices.ContainsFunc(k.From, same))
			bound = bound || (strings.EqualFold(k.Parent, t.Name) && slices.ContainsFunc(p.s.parentColumns(k), same))
		}
		switch {
		case bound:
		case regexp.MustCompile(`(?is)CHECK\s*\(.*\b` + regexp.QuoteMeta(c.Name) + `\b`).MatchString(t.SQL):
			checked = append(checked, c.Name)
		default:
			free = append(free, c.Name)
		}
	}
	// Texts are what people and probes read.
	slices.SortStableFunc(free, func(a, b string) int {
		x, _ := t.column(a)
		y, _ := t.column(b)
		return rank(x) - rank(y)
	})
	return append(free, checked...)
}

func rank(c column) int {
	typ := strings.ToUpper(c.Type)
	switch {
	case strings.Contains(typ, "TEXT"), strings.Contains(typ, "CHAR"):
		return 0
	case strings.Contains(typ, "INT"):
		return 1
	}
	return 2
}

// withValue gives the rows whose column holds a value.
func withValue(t table, column string, rows []keyed) []keyed {
	var out []keyed
	for _, r := range rows {
		if c := t.cells(r, []string{column}); len(c) == 1 && c[0].Type != fingerprint.Null {
			out = append(out, r)
		}
	}
	return out
}

// spoiled gives the expression for another value of the same type.
func spoiled(column string) string {
	q := quoted(column)
	return "CASE typeof(" + q + ") WHEN 'integer' THEN CASE WHEN " + q + ">0 THEN " + q + "-1 ELSE " + q + "+1 END" +
		" WHEN 'real' THEN CASE WHEN " + q + "=0.5 THEN 1.5 ELSE 0.5 END" +
		" WHEN 'text' THEN 'firedrill-damage-'||" + q +
		" ELSE CAST('firedrill-damage-'||hex(" + q + ") AS BLOB) END"
}

// among gives the condition that finds these rows and no others.
func (t table) among(rows []keyed) string {
	order := t.order()
	var values []string
	for _, r := range rows {
		var parts []string
		for _, c := range r.Position {
			parts = append(parts, literal(c))
		}
		v := strings.Join(parts, ",")
		if len(order) > 1 {
			v = "(" + v + ")"
		}
		values = append(values, v)
	}
	if len(order) == 1 {
		return order[0] + " IN (" + strings.Join(values, ",") + ")"
	}
	return "(" + strings.Join(order, ",") + ") IN (VALUES " + strings.Join(values, ",") + ")"
}

// inChunks makes statements for at most 100 rows each.
func inChunks(rows []keyed, make func([]keyed) string) []string {
	var out []string
	for list := range slices.Chunk(rows, 100) {
		out = append(out, make(list))
	}
	return out
}

// tryMark is what the last statement of a trial fails with.
const tryMark = "malformed JSON"

// try tells whether the database accepts the statements, after everything
// that was chosen before. The batch ends in an error on purpose, so that
// nothing of it stays.
func (p *damagePlanner) try(ctx context.Context, statements []string) (bool, error) {
	var batch []statement
	for _, list := range [][]string{p.plan.Updates, p.plan.Deletes, statements} {
		for _, s := range list {
			batch = append(batch, statement(s))
		}
	}
	batch = append(batch, `SELECT json('nothing of this batch may stay')`)
	_, err := p.d.run(ctx, p.op, false, batch...)
	switch {
	case err == nil:
		return false, &firedrill.Error{Op: p.op, Kind: firedrill.KindUnknown, Target: "database " + p.d.db.Name,
			Detail: "a batch that must fail was accepted: rows may have been changed", Remedy: "restore the database to the point in time before the run"}
	case firedrill.KindOf(err) != firedrill.KindInvalid:
		return false, err
	}
	return strings.Contains(err.Error(), tryMark), nil
}

// breakSchema chooses a schema change: an index goes, else a trigger goes,
// else a table gets a column.
func (p *damagePlanner) breakSchema(tables []table) {
	for _, kind := range []string{"index", "trigger"} {
		var some []object
		for _, o := range p.s.Objects {
			if o.Type == kind && !o.Auto && !strings.HasPrefix(strings.ToLower(o.Name), "sqlite_") {
				some = append(some, o)
			}
		}
		if len(some) == 0 {
			continue
		}
		o := some[p.chance.IntN(len(some))]
		p.plan.Schema = []string{"DROP " + strings.ToUpper(kind) + " " + quoted(o.Name)}
		p.plan.Objects = []damagedObject{{kind, o.Name, fingerprint.Missing}}
		p.schemaChange = kind + " " + o.Name + " dropped"
		return
	}
	t := tables[p.chance.IntN(len(tables))]
	p.plan.Schema = []string{"ALTER TABLE " + quoted(t.Name) + " ADD COLUMN firedrill_damage TEXT"}
	p.plan.Objects = []damagedObject{{"table", t.Name, fingerprint.Changed}}
	p.schemaChange = "column firedrill_damage added to " + t.Name
}
