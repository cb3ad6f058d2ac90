package cloudflare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

// canaryFile is the rows to write, parents before children.
type canaryFile struct {
	Format   int      `json:"format"`
	Database string   `json:"database"`
	Rows     []canary `json:"rows"`
}

const canaryFormat = 1

// canary is one row that firedrill writes into a real table. What a row holds
// is known before it is written, so that it can be told from a row of the
// application even when a run was interrupted.
type canary struct {
	Table   string   `json:"table"`
	Rowid   string   `json:"rowid,omitempty"` // encoded; of tables whose rowid has no column of its own
	Columns []string `json:"columns"`
	Cells   []string `json:"cells"` // encoded like the platform gives them
	// Marks are the columns whose values no other row has, the rowid aside.
	Marks []string `json:"marks"`
}

type planCanariesIn struct {
	Database string `json:"database" doc:"id of the database"`
}

type planCanariesOut struct {
	Rows    int64    `json:"rows" doc:"canary rows that were planned"`
	Tables  []string `json:"tables" doc:"tables that get one"`
	Skipped []string `json:"skipped" doc:"tables that get none, and why"`
	File    string   `json:"file" doc:"file in the run's folder that holds the rows"`
}

func (p *pack) d1PlanCanaries() firedrill.Action {
	const name = "d1.plan-canaries"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Derive canary rows from the live schema, one for each table, and write nothing yet. A row takes after an existing one, so that it meets checks and formats; keys and unique columns get values of their own; foreign keys refer to the parents' canaries. Tables without a row to take after get values by type, CHECK lists and defaults."},
		func(ctx context.Context, call firedrill.Call, in planCanariesIn) (action.Result[planCanariesOut], error) {
			var res action.Result[planCanariesOut]
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			s, err := d.schema(ctx, name)
			if err != nil {
				return res, err
			}
			plan := canaryPlanner{d: d, op: name, s: s, seed: call.Run, planned: map[string]fresh{}}
			file, err := plan.all(ctx)
			if err != nil {
				return res, err
			}
			res.Out = planCanariesOut{Rows: int64(len(file.Rows)), Tables: []string{}, Skipped: append([]string{}, plan.skipped...), File: call.Step + ".canaries.json"}
			for _, c := range file.Rows {
				res.Out.Tables = append(res.Out.Tables, c.Table)
			}
			if len(file.Rows) == 0 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUnsupported, Target: "database " + d.db.Name,
					Detail: "no table can take a canary row: " + strings.Join(plan.skipped, "; "), Remedy: "drill a database that has tables"}
			}
			for _, s := range plan.skipped {
				res.Collateral = append(res.Collateral, "no canary in "+s)
			}
			return res, saveCanaries(call, res.Out.File, file)
		})
}

// saveCanaries keeps canaries until the run is over: they are made of rows of the
// database, so that they may hold what the plan hides.
func saveCanaries(call firedrill.Call, name string, file canaryFile) error {
	data, err := json.Marshal(file)
	if err != nil {
		return err
	}
	return savePrivate(call, name, data)
}

func loadCanaries(call firedrill.Call, name string) (canaryFile, error) {
	data, err := loadPrivate(call, name)
	if err != nil {
		return canaryFile{}, err
	}
	var file canaryFile
	if err := json.Unmarshal(data, &file); err != nil || file.Format != canaryFormat {
		return canaryFile{}, &firedrill.Error{Op: "read canaries", Kind: firedrill.KindCorrupt, Target: name, Detail: "is not a list of canaries that this version reads", Err: err}
	}
	for _, c := range file.Rows {
		if len(c.Cells) != len(c.Columns) || len(c.Cells) == 0 {
			return canaryFile{}, &firedrill.Error{Op: "read canaries", Kind: firedrill.KindCorrupt, Target: name, Detail: "a canary of table " + c.Table + " is not whole"}
		}
	}
	return file, nil
}

// encodeCell writes a cell as [parseCell] reads it.
func encodeCell(c fingerprint.Cell) string {
	switch c.Type {
	case fingerprint.Text, fingerprint.Blob:
		return string(c.Type) + hex.EncodeToString(c.Bytes)
	case fingerprint.Integer, fingerprint.Real:
		return string(c.Type) + c.String()
	}
	return string(fingerprint.Null)
}

// fresh is what is known of a planned canary while others are planned.
type fresh struct{ values map[string]fingerprint.Cell } // by column, lower case

type canaryPlanner struct {
	d       *d1
	op      string
	s       schema
	seed    string
	planned map[string]fresh // by table, lower case
	visited map[string]bool
	skipped []string
	file    canaryFile
}

// all plans a canary for every table, parents first.
func (p *canaryPlanner) all(ctx context.Context) (canaryFile, error) {
	p.file = canaryFile{Format: canaryFormat, Database: p.d.db.ID}
	p.visited = map[string]bool{}
	for _, t := range p.s.Tables {
		if err := p.visit(ctx, t); err != nil {
			return canaryFile{}, err
		}
	}
	for _, v := range p.s.Virtual {
		p.skipped = append(p.skipped, "virtual table "+v+": it is filled through its own functions")
	}
	return p.file, nil
}

func (p *canaryPlanner) visit(ctx context.Context, t table) error {
	key := strings.ToLower(t.Name)
	if p.visited[key] {
		return nil
	}
	p.visited[key] = true
	for _, k := range p.s.foreign {
		if k.Table == t.Name {
			if parent, ok := p.s.table(k.Parent); ok {
				if err := p.visit(ctx, parent); err != nil {
					return err
				}
			}
		}
	}
	switch {
	case t.Shadow, strings.HasPrefix(key, "sqlite_"):
		return nil // kept by SQLite itself
	case key == "d1_migrations":
		return nil // a row there would be taken for a migration
	}
	reason, err := p.table(ctx, t)
	if err != nil {
		return err
	}
	if reason != "" {
		p.skipped = append(p.skipped, t.Name+": "+reason)
	}
	return nil
}

// table plans the canary of one table, or gives the reason why there is none.
func (p *canaryPlanner) table(ctx context.Context, t table) (reason string, err error) {
	if t.Rowid == "" && len(t.PrimaryKey) == 0 {
		return "its rows cannot be told apart", nil
	}
	rows, _, err := p.d.page(ctx, p.op, t, "", nil, 1, 0)
	if err != nil {
		return "", err
	}
	values := map[string]fingerprint.Cell{}
	if len(rows) == 1 {
		for i, c := range t.Columns {
			if !c.Generated {
				values[strings.ToLower(c.Name)] = rows[0].Cells[i]
			}
		}
	} else {
		p.invent(t, values)
	}
	own := map[string]bool{} // columns whose value no other row has
	for _, k := range p.s.foreign {
		if k.Table != t.Name {
			continue
		}
		if reason := p.refer(t, k, len(rows) == 1, values, own); reason != "" {
			return reason, nil
		}
	}
	var next fingerprint.Cell
	if t.Rowid != "" {
		if next, err = p.next(ctx, t, t.Rowid); err != nil {
			return "", err
		}
		if t.RowidAlias != "" && !own[strings.ToLower(t.RowidAlias)] {
			values[strings.ToLower(t.RowidAlias)] = next
			own[strings.ToLower(t.RowidAlias)] = true
		}
	}
	for _, unique := range t.Unique {
		if reason, err := p.distinguish(ctx, t, unique, values, own); reason != "" || err != nil {
			return reason, err
		}
	}
	c := canary{Table: t.Name}
	for _, col := range t.Columns {
		lower := strings.ToLower(col.Name)
		v, given := values[lower]
		if !given || col.Generated {
			continue
		}
		c.Columns = append(c.Columns, col.Name)
		c.Cells = append(c.Cells, encodeCell(v))
		if own[lower] && !strings.EqualFold(col.Name, t.RowidAlias) {
			c.Marks = append(c.Marks, col.Name)
		}
	}
	if len(c.Columns) == 0 {
		return "all its columns are generated", nil
	}
	if t.Rowid != "" && t.RowidAlias == "" {
		c.Rowid = encodeCell(next)
	}
	p.file.Rows = append(p.file.Rows, c)
	p.planned[strings.ToLower(t.Name)] = fresh{values}
	return "", nil
}

// refer makes the columns of a foreign key refer to the parent's canary. Where
// there is none they keep what an existing row refers to, or NULL.
func (p *canaryPlanner) refer(t table, k foreignKey, existing bool, values map[string]fingerprint.Cell, own map[string]bool) (reason string) {
	to := p.s.parentColumns(k)
	parent, planned := p.planned[strings.ToLower(k.Parent)]
	if planned && len(to) == len(k.From) && !strings.EqualFold(k.Parent, t.Name) {
		cells := make([]fingerprint.Cell, len(to))
		complete := true
		for i, column := range to {
			c, ok := parent.values[strings.ToLower(column)]
			cells[i], complete = c, complete && ok && c.Type != fingerprint.Null
		}
		if complete {
			for i, from := range k.From {
				values[strings.ToLower(from)] = cells[i]
				own[strings.ToLower(from)] = true
			}
			return ""
		}
	}
	if existing {
		return ""
	}
	for _, from := range k.From {
		if c, ok := t.column(from); ok && c.NotNull {
			return "it has no rows, and " + k.Parent + ", to which it must refer, has no canary"
		}
		values[strings.ToLower(from)] = fingerprint.Cell{Type: fingerprint.Null}
	}
	return ""
}

// distinguish gives one column of a unique set a value that no row has, unless
// one has it already.
func (p *canaryPlanner) distinguish(ctx context.Context, t table, unique []string, values map[string]fingerprint.Cell, own map[string]bool) (reason string, err error) {
	referring := map[string]bool{}
	for _, k := range p.s.foreign {
		if k.Table == t.Name {
			for _, f := range k.From {
				referring[strings.ToLower(f)] = true
			}
		}
	}
	chosen := ""
	for _, name := range unique {
		lower := strings.ToLower(name)
		v, known := values[lower]
		switch {
		case own[lower]:
			return "", nil
		case !known, referring[lower], v.Type == fingerprint.Null:
			continue
		case chosen == "" || v.Type == fingerprint.Text:
			chosen = name
		}
	}
	if chosen == "" {
		for _, name := range unique {
			if v, ok := values[strings.ToLower(name)]; ok && v.Type == fingerprint.Null {
				return "", nil // NULL differs from every NULL
			}
		}
		if slices.ContainsFunc(unique, func(n string) bool { c, _ := t.column(n); return c.Generated }) {
			return "", nil // follows from columns that differ; the database will tell
		}
		return "no new value can be made for its unique columns " + strings.Join(unique, ", "), nil
	}
	lower := strings.ToLower(chosen)
	switch v := values[lower]; v.Type {
	case fingerprint.Text:
		values[lower] = fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(p.text(t.Name, string(v.Bytes)))}
	case fingerprint.Blob:
		sum := p.hash(t.Name)
		n := len(v.Bytes)
		if n < 8 || n > len(sum) {
			n = 16
		}
		values[lower] = fingerprint.Cell{Type: fingerprint.Blob, Bytes: sum[:n]}
	default:
		if values[lower], err = p.next(ctx, t, quoted(chosen)); err != nil {
			return "", err
		}
	}
	own[lower] = true
	return "", nil
}

// next gives a number one above the greatest of a column.
func (p *canaryPlanner) next(ctx context.Context, t table, column string) (fingerprint.Cell, error) {
	q := "SELECT " + cellSQL("m") + " FROM (SELECT max(" + column + ") AS m FROM " + quoted(t.Name) + " WHERE typeof(" + column + ") IN ('integer','real'))"
	sets, err := p.d.run(ctx, p.op, true, statement(q))
	if err != nil {
		return fingerprint.Cell{}, err
	}
	if len(sets[0].Rows) == 1 {
		if s, ok := sets[0].Rows[0][0].(string); ok {
			c, _, err := parseCell(s)
			switch {
			case err != nil:
			case c.Type == fingerprint.Null:
				return fingerprint.Cell{Type: fingerprint.Integer, Int: 1}, nil
			case c.Type == fingerprint.Integer && c.Int < 1<<63-1:
				return fingerprint.Cell{Type: fingerprint.Integer, Int: c.Int + 1}, nil
			case c.Type == fingerprint.Real && c.Real+1 > c.Real:
				return fingerprint.Cell{Type: fingerprint.Real, Real: c.Real + 1}, nil
			}
		}
	}
	return fingerprint.Cell{}, &firedrill.Error{Op: p.op, Kind: firedrill.KindUnsupported, Target: "table " + t.Name, Detail: "has no number left above the greatest of " + column}
}

func (p *canaryPlanner) hash(table string) []byte {
	sum := sha256.Sum256([]byte(p.seed + "\x00" + table))
	return sum[:]
}

var hexID = regexp.MustCompile(`^[0-9a-fA-F-]{16,64}$`)

// text makes a text of its own that takes after an existing one: an id of
// hexadecimal digits keeps its form, anything else gets a prefix.
func (p *canaryPlanner) text(table, like string) string {
	digits := hex.EncodeToString(p.hash(table))
	if !hexID.MatchString(like) {
		return "firedrill-canary-" + digits[:8] + "-" + like
	}
	out, n := []byte(like), 0
	for i, c := range out {
		switch {
		case c == '-':
		case len(out) == 36 && (i == 14 || i == 19):
			n++ // the version and variant of a UUID stay
		default:
			out[i] = digits[n%len(digits)]
			n++
		}
	}
	if strings.ToUpper(like) == like {
		return strings.ToUpper(string(out))
	}
	return string(out)
}

// invent gives values by declared type for a table without rows.
func (p *canaryPlanner) invent(t table, values map[string]fingerprint.Cell) {
	for _, c := range t.Columns {
		inKey := slices.ContainsFunc(t.PrimaryKey, func(k string) bool { return strings.EqualFold(k, c.Name) })
		if c.Generated || (!inKey && (c.Default || !c.NotNull)) {
			continue
		}
		values[strings.ToLower(c.Name)] = inventCell(t.SQL, c, "firedrill-canary-"+hex.EncodeToString(p.hash(t.Name))[:8])
	}
}

// inventCell gives a value that a column's type and the plain forms of CHECK
// (a list of values, json_valid) let pass.
func inventCell(sql string, c column, text string) fingerprint.Cell {
	name := `["\x60\[]?` + regexp.QuoteMeta(c.Name) + `["\x60\]]?`
	if m := regexp.MustCompile(`(?is)` + name + `\s+IN\s*\(\s*(?:'((?:[^']|'')*)'|(-?\d+))`).FindStringSubmatch(sql); m != nil {
		if m[2] != "" {
			cell, _, err := parseCell("i" + m[2])
			if err == nil {
				return cell
			}
		}
		return fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(strings.ReplaceAll(m[1], "''", "'"))}
	}
	if regexp.MustCompile(`(?is)json_valid\s*\(\s*` + name).MatchString(sql) {
		return fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte("{}")}
	}
	typ := strings.ToUpper(c.Type)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(typ, w) })
	}
	switch { // the order in which SQLite decides affinity
	case has("INT"):
		return fingerprint.Cell{Type: fingerprint.Integer, Int: 1}
	case has("CHAR", "CLOB", "TEXT"):
		return fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(text)}
	case has("BLOB"):
		return fingerprint.Cell{Type: fingerprint.Blob, Bytes: []byte(text)}
	case has("REAL", "FLOAT", "DOUBLE"):
		return fingerprint.Cell{Type: fingerprint.Real, Real: 1.5}
	case has("DATE", "TIME"):
		return fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte("2000-01-01T00:00:00Z")}
	case typ == "" || typ == "ANY":
		return fingerprint.Cell{Type: fingerprint.Text, Bytes: []byte(text)}
	}
	return fingerprint.Cell{Type: fingerprint.Integer, Int: 1}
}
