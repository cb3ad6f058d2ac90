package cloudflare

import (
	"context"
	"fmt"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
)

type compareIn struct {
	Database string `json:"database" doc:"id of the database"`
	Against  string `json:"against" doc:"output file of an earlier d1.fingerprint"`
	Level    string `json:"level,omitempty" doc:"full: every row; quick: schema, numbers of rows, outermost keys and a sample, which proves nothing. That of the fingerprint if left out"`
	// Damage turns the comparison round: it must find what was done.
	Damage string `json:"damage,omitempty" doc:"output file of d1.damage: everything in it must be found different; without it nothing may differ"`
	// Residue allows what canaries cannot take back.
	Residue bool `json:"residue,omitempty" doc:"allow what writing and removing canaries leaves behind: rows of sqlite_sequence, and rows that triggers wrote into other tables. They are listed as collateral"`
	// Empty is for bringing back a disaster that emptied the database.
	Empty bool `json:"empty,omitempty" doc:"a database without rows may be what is expected: that none is there, in the fingerprint and in the database, is then what was compared"`
}

type compareOut struct {
	Equal       bool               `json:"equal" doc:"something was compared and nothing differs"`
	Level       string             `json:"level" doc:"full or quick"`
	Rows        int64              `json:"rows" doc:"rows that were compared"`
	Objects     int64              `json:"objects" doc:"schema entries that were compared"`
	Differing   int64              `json:"differing_rows" doc:"rows that differ"`
	Schema      int64              `json:"differing_objects" doc:"schema entries that differ"`
	Tables      []string           `json:"tables" doc:"tables that differ"`
	Differences []string           `json:"differences" doc:"the first differences, by table and key"`
	Changes     []firedrill.Values `json:"changes" doc:"the same, taken apart: table, key, how, and for each column that differs column, before, after, note. Long values are cut, those that the plan hides are [redacted]"`
	Found       int64              `json:"found" doc:"with damage: damaged rows and schema entries that were found different"`
	Beyond      int64              `json:"beyond" doc:"with damage: rows that differ although they were not damaged directly: what triggers, cascades and others did"`
	Others      int64              `json:"others" doc:"with damage: those of them that no part of the drill can have written"`
	Bookmark    string             `json:"bookmark" doc:"the point in time that was compared; with damage, which may be looked for while others write, the point in time before"`
	Numbered    int64              `json:"numbered" doc:"with damage: the highest number that a sentinel had written by then"`
}

func (p *pack) d1Compare() firedrill.Action {
	const name = "d1.compare"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Read a database again and compare it, row by row, with an earlier fingerprint. Comparing nothing is never success. Where something differs and somebody is seen writing, it is not known whose difference it is, which is an error. With `damage` it is the other way round: every row and schema entry that was damaged must be found different."},
		func(ctx context.Context, call firedrill.Call, in compareIn) (action.Result[compareOut], error) {
			var res action.Result[compareOut]
			c, err := p.comparison(ctx, name, call, in)
			if err != nil {
				return res, err
			}
			if in.Damage != "" {
				return c.damage(ctx, in.Damage)
			}
			return c.equal(ctx, in.Residue)
		})
}

// comparison is one comparison of a database with an earlier fingerprint.
type comparison struct {
	d       *d1
	op      string
	call    firedrill.Call
	against string
	level   fingerprint.Level
	hide    redaction
	empty   bool // no rows are as expected where the fingerprint has none
}

func (p *pack) comparison(ctx context.Context, op string, call firedrill.Call, in compareIn) (*comparison, error) {
	level, err := levelOf(op, in.Level)
	if err != nil {
		return nil, err
	}
	hide, err := columnRules(op, call.Environment)
	if err != nil {
		return nil, err
	}
	f, before, err := openFingerprint(call, in.Against)
	if err != nil {
		return nil, err
	}
	_ = f.Close() // it was only read
	d, err := p.database(ctx, op, call, in.Database)
	if err != nil {
		return nil, err
	}
	if from := before.Header().Database; from != d.db.ID {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "database " + d.db.Name,
			Detail: "the fingerprint is of database " + from, Remedy: "compare with a fingerprint of the same database"}
	}
	switch was := before.Header().Level; {
	case in.Level == "":
		level = was
	case level == fingerprint.Full && was != fingerprint.Full:
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "fingerprint " + in.Against,
			Detail: "is of level quick: it does not hold every row", Remedy: "take it at level full, or compare at level quick"}
	}
	return &comparison{d, op, call, in.Against, level, hide, in.Empty}, nil
}

// read reads the database and shows every row that differs to visit, which is made
// anew for each reading.
func (c *comparison) read(ctx context.Context, begin func(*differences) func(fingerprint.RowDifference) error) (fingerprint.Difference, *differences, error) {
	s, err := c.d.schema(ctx, c.op)
	if err != nil {
		return fingerprint.Difference{}, nil, err
	}
	values, err := openValues(c.call, c.against)
	if err != nil {
		return fingerprint.Difference{}, nil, err
	}
	defer values.close()
	found := &differences{schema: s, hide: c.hide, values: values}
	visit := begin(found)
	if c.level == fingerprint.Quick {
		diff, err := c.d.compareSample(ctx, c.op, c.call, c.against, s, visit)
		return diff, found, err
	}
	diff, read, err := c.d.compareRows(ctx, c.op, c.call, c.against, s, visit)
	found.read = read
	return diff, found, err
}

// compareRows compares a database with a fingerprint row by row, in one pass over
// both. read is how many rows of each table the database gave.
func (d *d1) compareRows(ctx context.Context, op string, call firedrill.Call, file string, s schema, visit func(fingerprint.RowDifference) error) (diff fingerprint.Difference, read []tally, err error) {
	f, old, err := openFingerprint(call, file)
	if err != nil {
		return diff, nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var own error                    // of visit, which is not the fingerprint's
	c, err := fingerprint.NewComparison(old, s.objects(), func(r fingerprint.RowDifference) error {
		own = visit(r)
		return own
	})
	failed := func(err error) (fingerprint.Difference, []tally, error) {
		if own != nil {
			return fingerprint.Difference{}, nil, own
		}
		return fingerprint.Difference{}, nil, changedFingerprint(file, err)
	}
	if err != nil {
		return failed(err)
	}
	var done int64
	var cells []fingerprint.Cell
	for _, t := range s.Tables {
		if err := d.readable(op, t); err != nil {
			return diff, nil, err
		}
		if err := c.Begin(t.shape()); err != nil {
			return failed(err)
		}
		read = append(read, tally{table: t.Name})
		var taking error // of the comparison, not of the reading
		err := d.eachRow(ctx, op, t, "", func(k keyed) error {
			read[len(read)-1].rows++
			if done++; done%1000 == 0 {
				call.Progress(firedrill.Progress{Text: "comparing rows of " + t.Name, Done: done})
			}
			row := t.rowOf(k, cells)
			cells = row.Cells
			taking = c.Row(row, k.Position)
			return taking
		})
		if taking != nil {
			return failed(taking)
		}
		if err != nil {
			return diff, nil, err
		}
	}
	if diff, err = c.Finish(); err != nil {
		return failed(err)
	}
	return diff, read, nil
}

// equal demands that nothing differs, but for the residue of canaries where that is
// allowed.
func (c *comparison) equal(ctx context.Context, residue bool) (action.Result[compareOut], error) {
	var res action.Result[compareOut]
	err := c.d.still(ctx, c.op, c.call, func(bookmark string) error {
		var left *residueOf
		diff, found, err := c.read(ctx, func(x *differences) func(fingerprint.RowDifference) error {
			left = newResidue(x.schema)
			return func(r fingerprint.RowDifference) error {
				if residue && left.takes(r) {
					return nil
				}
				left.rest(r)
				return x.add(r)
			}
		})
		if err == nil && c.level == fingerprint.Full {
			err = c.d.counted(ctx, c.op, found.read)
		}
		if err != nil {
			return err
		}
		res = action.Result[compareOut]{}
		if residue {
			diff, res.Collateral = left.without(diff)
		}
		res.Out = summarize(diff, found.rows)
		res.Out.Bookmark, res.Out.Level = bookmark, string(c.level)
		res.Summary = equality(diff, c.level, found.rows)
		res.Checks = []firedrill.Check{c.check(diff.Equal(), diff, res.Summary)}
		if c.empty && diff.ComparedRows == 0 && !diff.Differs() {
			res.Out.Equal, res.Summary = true, "no rows, as then"
			res.Checks = []firedrill.Check{{OK: true, Compared: 1, Detail: res.Summary, Partial: c.level == fingerprint.Quick}}
		}
		return nil
	})
	if err != nil || res.Out.Equal {
		return res, err
	}
	return res, theirs(ctx, c.op, c.call, c.d.c, bookmarks{c.d, c.op}, res.Summary)
}

// check is the comparison as the result shows it. At the level quick it is a partial
// one.
func (c *comparison) check(ok bool, diff fingerprint.Difference, detail string) firedrill.Check {
	return firedrill.Check{OK: ok, Compared: diff.ComparedRows, Detail: detail, Partial: c.level == fingerprint.Quick}
}

// residueOf sorts out the differences that writing canaries and taking them away
// leaves behind by nature: changed or new rows of sqlite_sequence, and new rows in
// tables into which a trigger of the schema writes.
type residueOf struct {
	writes triggerWrites
	counts map[string]int64
	other  map[string]bool // tables that differ beyond that
	taken  fingerprint.Difference
}

func newResidue(s schema) *residueOf {
	return &residueOf{writes: s.triggerWrites(), counts: map[string]int64{}, other: map[string]bool{}}
}

// takes tells whether a difference is residue, and counts it.
func (x *residueOf) takes(r fingerprint.RowDifference) bool {
	sequence := r.Table == "sqlite_sequence" && r.How != fingerprint.Missing
	triggered := r.How == fingerprint.Extra && x.writes.inserts(r.Table)
	if !sequence && !triggered {
		return false
	}
	x.counts[r.Table]++
	if r.How == fingerprint.Changed {
		x.taken.Changed++
	} else {
		x.taken.Extra++
	}
	return true
}

func (x *residueOf) rest(r fingerprint.RowDifference) { x.other[r.Table] = true }

// without takes the residue off a difference and names it.
func (x *residueOf) without(diff fingerprint.Difference) (fingerprint.Difference, []string) {
	diff.Changed -= x.taken.Changed
	diff.Extra -= x.taken.Extra
	var counts []fingerprint.CountDifference
	for _, c := range diff.Counts {
		if more := c.After - c.Before; more >= 0 && (c.Table == "sqlite_sequence" || x.writes.inserts(c.Table)) {
			x.counts[c.Table] = max(x.counts[c.Table], more)
			continue
		}
		counts = append(counts, c)
		x.other[c.Table] = true
	}
	diff.Counts = counts
	for _, t := range diff.Columns {
		x.other[t] = true
	}
	diff.Tables = sortedKeys(x.other)
	var kept []string
	for _, table := range sortedKeys(x.counts) {
		n := x.counts[table]
		if table == "sqlite_sequence" {
			kept = append(kept, fmt.Sprintf("%s of sqlite_sequence remember the canaries' numbers", count(n, "row")))
			continue
		}
		kept = append(kept, fmt.Sprintf("%s in %s, written by triggers, stay behind", count(n, "row"), table))
	}
	return diff, kept
}
