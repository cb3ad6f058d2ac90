package cloudflare

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
	"firedrill/internal/salvage"
)

// salvageChosen is what is applied: rows that are to be as they were then.
type salvageChosen struct {
	Rows []salvageRow
	// Sequences are the numbers that sqlite_sequence has to hold afterwards, of tables
	// into which rows come back.
	Sequences map[string]int64
}

type salvageChooseIn struct {
	Database    string `json:"database" doc:"id of the database, as it is now"`
	Name        string `json:"name" doc:"its name"`
	Drill       string `json:"drill,omitempty" doc:"name of the drill, for the list"`
	Then        string `json:"then" doc:"the good moment, as a bookmark"`
	Now         string `json:"now" doc:"bookmark of the state now"`
	Differences string `json:"differences" doc:"output file of d1.salvage-read"`
	Rules       string `json:"rules,omitempty" doc:"how the list is filled in, as JSON: keep and restore are lists of TABLE or TABLE:KEY,KEY; with drop_new rows go that are new"`
	List        string `json:"list,omitempty" doc:"file to write the list into"`
	Choices     string `json:"choices,omitempty" doc:"or file of choices, which somebody may have edited"`
	Digest      string `json:"digest,omitempty" doc:"its SHA-256 when the run began"`
}

type salvageChooseOut struct {
	File      string   `json:"file" doc:"private file that holds the rows to be as they were; gone when the run is over"`
	Differing int64    `json:"differing" doc:"rows that differ"`
	Then      int64    `json:"then" doc:"rows that are to be as they were then"`
	Now       int64    `json:"now" doc:"rows that stay as they are"`
	Unlisted  int64    `json:"unlisted" doc:"rows of those that stay because they were not in the list: somebody has written them since"`
	Refused   []string `json:"refused" doc:"tables whose rows cannot be chosen"`
}

func (p *pack) d1SalvageChoose() firedrill.Action {
	const name = "d1.salvage-choose"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Settle which rows that differ between a good moment and now are to be as they were: list them, filled in by rules, or take the choices that somebody made in such a list. A choice of a row that has changed since it was listed is refused; so is a table that is defined otherwise now, unless it is to stay as it is."},
		func(ctx context.Context, call firedrill.Call, in salvageChooseIn) (action.Result[salvageChooseOut], error) {
			var res action.Result[salvageChooseOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			c := choosing{d: d, op: name, call: call, in: in}
			if c.schema, err = d.schema(ctx, name); err != nil {
				return res, err
			}
			if c.file, err = loadSalvage[salvageFile](call, in.Differences); err != nil {
				return res, err
			}
			c.refused = c.refusals()
			if in.Choices != "" {
				err = c.take(&res)
			} else {
				err = c.list(&res)
			}
			if err != nil {
				return res, err
			}
			chosen, err := c.chosen(ctx)
			if err != nil {
				return res, err
			}
			data, err := json.Marshal(chosen)
			if err != nil {
				return res, err
			}
			res.Out.File, res.Out.Refused = call.Step+".chosen", []string{}
			res.Out.Differing, res.Out.Then = int64(len(c.file.Rows)), int64(len(chosen.Rows))
			res.Out.Now = res.Out.Differing - res.Out.Then
			res.Summary = fmt.Sprintf("%s of %s as they were then", grouped(res.Out.Then), count(res.Out.Differing, "row"))
			for _, r := range c.refused {
				res.Out.Refused = append(res.Out.Refused, r.Table)
				res.Collateral = append(res.Collateral, "table "+r.Table+" stays as it is: "+r.Refused)
			}
			for _, o := range c.file.Objects {
				if o.Type != "table" {
					res.Collateral = append(res.Collateral, fmt.Sprintf("%s %s of table %s is %s since then and stays so: only rows are salvaged", o.Type, o.Name, o.Table, o.How))
				}
			}
			return res, savePrivate(call, res.Out.File, data)
		})
}

// choosing settles what becomes of the rows that differ.
type choosing struct {
	d       *d1
	op      string
	call    firedrill.Call
	in      salvageChooseIn
	schema  schema // as it is now
	file    salvageFile
	refused []salvage.Row
}

func (c *choosing) refuse(kind firedrill.Kind, detail, remedy string) error {
	return &firedrill.Error{Op: c.op, Kind: kind, Target: "database " + c.in.Name, Detail: detail, Remedy: remedy}
}

// refusals are the tables whose rows cannot be chosen.
func (c *choosing) refusals() []salvage.Row {
	var out []salvage.Row
	add := func(table, why, remedy string) {
		if !slices.ContainsFunc(out, func(r salvage.Row) bool { return r.Table == table }) {
			out = append(out, salvage.Row{Table: table, Refused: why, Remedy: remedy})
		}
	}
	for _, o := range c.file.Objects {
		switch {
		case o.Type != "table" || strings.HasPrefix(strings.ToLower(o.Name), "sqlite_"):
		case o.How == salvage.Gone:
			add(o.Name, "it was there then and is not now", "create it as it was, then list again; or let it be: keep it")
		case o.How == salvage.Changed:
			add(o.Name, "it is defined otherwise now than then", "define it as it was, then list again; or let it be: keep it")
		}
	}
	for _, r := range c.file.Rows {
		if t, _ := c.schema.table(r.Table); t.Shadow {
			add(r.Table, "it belongs to a virtual table, whose parts have to fit each other", "let it be: keep it, and rebuild the virtual table afterwards")
		}
	}
	return out
}

// passed tells whether a table's rows cannot be chosen.
func (c *choosing) passed(table string) bool {
	return slices.ContainsFunc(c.refused, func(r salvage.Row) bool { return r.Table == table })
}

// list fills the list in and writes it.
func (c *choosing) list(res *action.Result[salvageChooseOut]) error {
	var rules salvage.Rules
	if c.in.Rules != "" {
		if err := json.Unmarshal([]byte(c.in.Rules), &rules); err != nil {
			return c.refuse(firedrill.KindUsage, "the rules cannot be read: "+err.Error(), "")
		}
	}
	var tables []string
	for _, t := range c.schema.Tables {
		if !strings.HasPrefix(strings.ToLower(t.Name), "sqlite_") {
			tables = append(tables, t.Name)
		}
	}
	for _, r := range c.refused {
		if !slices.Contains(tables, r.Table) {
			tables = append(tables, r.Table)
		}
	}
	chooser, err := rules.Chooser(tables)
	if err != nil {
		return c.refuse(firedrill.KindUsage, err.Error(), "name tables and keys as they are listed")
	}
	for i := range c.refused {
		r := &c.refused[i]
		if chooser.Restores(r.Table) {
			return c.refuse(firedrill.KindUnsupported, "table "+r.Table+" cannot be as it was then: "+r.Refused, r.Remedy)
		}
		if chooser.Stays(r.Table) {
			r.Take = salvage.Now
		}
	}
	for i := range c.file.Rows {
		r := &c.file.Rows[i]
		if c.passed(r.Table) {
			r.Take = salvage.Now
		} else if r.Take, err = chooser.Take(r.Table, r.Key, r.Value, r.How); err != nil {
			return c.refuse(firedrill.KindUsage, err.Error(), "name it once")
		}
	}
	if key := chooser.Unmet(); key != "" {
		return c.refuse(firedrill.KindUsage, "no row that differs is "+key, "name keys as they are listed, the first column without its name: TABLE:812")
	}
	if c.in.List == "" {
		return nil
	}
	res.Notes = []string{"the rows that differ are listed in " + c.in.List}
	return c.write()
}

// write writes the list.
func (c *choosing) write() error {
	f, err := draftAt(c.in.List)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = salvage.Write(w, salvage.Header{Format: salvage.Format, Version: salvage.Version, Run: c.call.Run, Drill: c.in.Drill, Environment: c.call.Environment.Name,
		Database: c.d.db.ID, Name: c.in.Name, Then: c.in.Then, Now: c.in.Now})
	for _, r := range c.refused {
		if err == nil {
			err = salvage.Write(w, r)
		}
	}
	for _, r := range c.file.Rows {
		if err == nil && !c.passed(r.Table) {
			err = salvage.Write(w, r.Row)
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		f.drop()
		return f.failed(err)
	}
	return f.keep()
}

// take takes the choices that somebody made.
func (c *choosing) take(res *action.Result[salvageChooseOut]) error {
	data, err := os.ReadFile(c.in.Choices)
	if err != nil {
		return &firedrill.Error{Op: c.op, Kind: firedrill.KindStorage, Target: c.in.Choices, Detail: "the choices cannot be read", Err: err}
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != c.in.Digest {
		return c.refuse(firedrill.KindConflict, "the choices were edited since the run began", "begin again with the file as it is")
	}
	takes, stays := map[string]salvage.Row{}, map[string]bool{}
	h, err := salvage.Read(bytes.NewReader(data), func(r salvage.Row) error {
		if r.Refused != "" {
			stays[r.Table] = r.Take == salvage.Now
			return nil
		}
		takes[r.ID] = r
		return nil
	})
	if err != nil {
		return &firedrill.Error{Op: c.op, Kind: firedrill.KindUsage, Target: c.in.Choices, Err: err, Remedy: "edit only what follows take, or list again"}
	}
	if h.Database != c.d.db.ID || h.Then != c.in.Then {
		return c.refuse(firedrill.KindUsage, "the choices are for database "+h.Name+" and bookmark "+h.Then, "list again")
	}
	for _, r := range c.refused {
		if !stays[r.Table] {
			return c.refuse(firedrill.KindUnsupported, "table "+r.Table+" cannot be as it was then: "+r.Refused, r.Remedy+` (--keep `+r.Table+`, or "take":"now" in the file)`)
		}
	}
	for i := range c.file.Rows {
		r := &c.file.Rows[i]
		listed, is := takes[r.ID]
		delete(takes, r.ID)
		switch {
		case c.passed(r.Table):
			r.Take = salvage.Now
		case !is:
			r.Take = salvage.Now
			res.Out.Unlisted++
		default:
			r.Take = listed.Take
		}
	}
	for _, r := range takes {
		if r.Take == salvage.Then {
			return c.refuse(firedrill.KindConflict, fmt.Sprintf("table %s %s is not as it was listed: somebody has written it since", r.Table, r.Key), "list again, and choose again")
		}
	}
	if n := res.Out.Unlisted; n > 0 {
		res.Collateral = []string{count(n, "row") + " that differ were written after the list was made, and stay as they are"}
	}
	return nil
}

// chosen gathers what is to be applied.
func (c *choosing) chosen(ctx context.Context) (salvageChosen, error) {
	out := salvageChosen{Rows: []salvageRow{}, Sequences: map[string]int64{}}
	highest := map[string]int64{}
	for _, r := range c.file.Rows {
		if r.Take != salvage.Then {
			continue
		}
		r.Columns = nil
		out.Rows = append(out.Rows, r)
		t, _ := c.schema.table(r.Table)
		if r.How != salvage.New && t.counts() {
			at, err := fingerprint.ReadCells(r.Position)
			if err != nil || len(at) != 1 {
				return out, c.refuse(firedrill.KindCorrupt, "a row of table "+r.Table+" has no rowid", "")
			}
			highest[t.Name] = max(highest[t.Name], at[0].Int)
		}
	}
	if c.in.Choices != "" && len(out.Rows) == 0 {
		return out, c.refuse(firedrill.KindUsage, "no row is chosen to be as it was then, so that there is nothing to apply", `write "take":"then" where a row is to come back`)
	}
	if len(highest) == 0 {
		return out, nil
	}
	now, err := c.d.sequences(ctx, c.op)
	for table, n := range highest {
		// A number that was given out is not given out again.
		out.Sequences[table] = max(n, now[table], c.file.Sequences[table])
	}
	return out, err
}

// counts tells whether a table numbers its rows and never gives a number out twice.
func (t table) counts() bool {
	return t.RowidAlias != "" && slices.Contains(tokens(t.SQL), "autoincrement")
}

// sequences reads the highest number that each such table has given out.
func (d *d1) sequences(ctx context.Context, op string) (map[string]int64, error) {
	got, err := d.texts(ctx, op, "SELECT hex(name), CAST(CAST(seq AS INTEGER) AS TEXT) FROM sqlite_sequence WHERE name IS NOT NULL AND seq IS NOT NULL")
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for i := range got.len() {
		name, err := hexText(string(got.row(i)[0]))
		if err != nil {
			return nil, err
		}
		if out[name], err = whole(string(got.row(i)[1])); err != nil {
			return nil, err
		}
	}
	return out, nil
}
