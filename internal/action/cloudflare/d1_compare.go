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

type compareIn struct {
	Database string `json:"database" doc:"id of the database"`
	Against  string `json:"against" doc:"output file of an earlier d1.fingerprint"`
	// Damage turns the comparison round: it must find what was done.
	Damage string `json:"damage,omitempty" doc:"output file of d1.damage: everything in it must be found different; without it nothing may differ"`
	// Residue allows what canaries cannot take back.
	Residue bool `json:"residue,omitempty" doc:"allow what writing and removing canaries leaves behind: rows of sqlite_sequence, and rows that triggers wrote into other tables. They are listed as collateral"`
}

type compareOut struct {
	Equal       bool     `json:"equal" doc:"something was compared and nothing differs"`
	Rows        int64    `json:"rows" doc:"rows that were compared"`
	Objects     int64    `json:"objects" doc:"schema entries that were compared"`
	Differing   int64    `json:"differing_rows" doc:"rows that differ"`
	Schema      int64    `json:"differing_objects" doc:"schema entries that differ"`
	Tables      []string `json:"tables" doc:"tables that differ"`
	Differences []string `json:"differences" doc:"the first differences, by table and key"`
	Found       int64    `json:"found" doc:"with damage: damaged rows and schema entries that were found different"`
	Beyond      int64    `json:"beyond" doc:"with damage: rows that differ although they were not damaged directly: what triggers and cascades did"`
	Bookmark    string   `json:"bookmark,omitempty" doc:"the point in time that was compared; none with damage, which may be looked for while others write"`
}

func (p *pack) d1Compare() firedrill.Action {
	const name = "d1.compare"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Fingerprint a database again and compare it, row by row, with an earlier fingerprint. Comparing nothing is never success. Where something differs and somebody is seen writing, it is not known whose difference it is, which is an error. With `damage` it is the other way round: every row and schema entry that was damaged must be found different."},
		func(ctx context.Context, call firedrill.Call, in compareIn) (action.Result[compareOut], error) {
			var res action.Result[compareOut]
			before, err := loadSnapshot(call, in.Against)
			if err != nil {
				return res, err
			}
			d, err := p.database(ctx, name, call, in.Database)
			if err != nil {
				return res, err
			}
			if before.Database != d.db.ID {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "database " + d.db.Name,
					Detail: "the fingerprint is of database " + before.Database, Remedy: "compare with a fingerprint of the same database"}
			}
			if in.Damage != "" {
				// Damage may be looked for while others write; only equality needs
				// the database to stand still.
				now, s, err := d.readAll(ctx, name, call)
				if err != nil {
					return res, err
				}
				return observeDamage(call, in.Damage, fingerprint.Compare(before, now), s)
			}
			now, s, err := d.fingerprint(ctx, name, call)
			if err != nil {
				return res, err
			}
			diff := fingerprint.Compare(before, now)
			if in.Residue {
				diff, res.Collateral = withoutResidue(diff, s)
			}
			res.Out = summarize(diff)
			res.Out.Bookmark = now.Bookmark
			res.Summary = equality(diff)
			res.Checks = []firedrill.Check{{OK: diff.Equal(), Compared: diff.ComparedRows, Detail: res.Summary}}
			if diff.Equal() {
				return res, nil
			}
			return res, theirs(ctx, name, call, d.c, bookmarks{d, name}, res.Summary)
		})
}

func loadSnapshot(call firedrill.Call, file string) (fingerprint.Snapshot, error) {
	data, err := load(call, file)
	if err != nil {
		return fingerprint.Snapshot{}, err
	}
	snap, err := fingerprint.Decode(data)
	if err != nil {
		return fingerprint.Snapshot{}, &firedrill.Error{Op: "read fingerprint", Kind: firedrill.KindCorrupt, Target: file, Err: err, Remedy: "run the drill again"}
	}
	return snap, nil
}

// shownDifferences bounds how many differences are listed one by one.
const shownDifferences = 20

func summarize(diff fingerprint.Difference) compareOut {
	out := compareOut{Equal: diff.Equal(), Rows: diff.ComparedRows, Objects: diff.ComparedObjects,
		Differing: int64(len(diff.Rows)), Schema: int64(len(diff.Objects) + len(diff.Columns)), Tables: []string{}, Differences: []string{}}
	for _, o := range diff.Objects {
		out.Differences = append(out.Differences, o.Object.String()+" is "+o.How)
	}
	for _, t := range diff.Columns {
		out.Differences = append(out.Differences, "table "+t+" has other columns")
		out.Tables = append(out.Tables, t)
	}
	for _, r := range diff.Rows {
		if len(out.Differences) < shownDifferences {
			out.Differences = append(out.Differences, describeRow(r))
		}
		out.Tables = append(out.Tables, r.Table)
	}
	slices.Sort(out.Tables)
	out.Tables = slices.Compact(out.Tables)
	return out
}

func describeRow(r fingerprint.RowDifference) string {
	text := r.Table + " " + r.Key
	switch {
	case r.How == fingerprint.Changed && len(r.Columns) == 1:
		return text + ": column " + r.Columns[0] + " differs"
	case r.How == fingerprint.Changed && len(r.Columns) > 1:
		return text + ": columns " + strings.Join(r.Columns, ", ") + " differ"
	}
	return text + " is " + r.How
}

// equality says in one line what was compared and what differs.
func equality(diff fingerprint.Difference) string {
	switch {
	case diff.ComparedRows == 0:
		return "nothing was compared: the database has no rows"
	case diff.Equal():
		return fmt.Sprintf("%s of %s equal", grouped(diff.ComparedRows), count(diff.ComparedRows, "row"))
	}
	var parts []string
	if n := len(diff.Rows); n > 0 {
		verb := "differ"
		if n == 1 {
			verb = "differs"
		}
		parts = append(parts, fmt.Sprintf("%s of %s %s: %s", grouped(int64(n)), count(diff.ComparedRows, "row"), verb, describeRow(diff.Rows[0])))
	}
	for i, o := range diff.Objects {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more schema entries", len(diff.Objects)-i))
			break
		}
		parts = append(parts, o.Object.String()+" is "+o.How)
	}
	for _, t := range diff.Columns {
		parts = append(parts, "table "+t+" has other columns")
	}
	return strings.Join(parts, "; ")
}

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

// writtenByOthers counts new rows in tables into which no trigger writes.
func writtenByOthers(differs map[place]string, s schema) int64 {
	targets := s.triggerTargets()
	var n int64
	for p, how := range differs {
		if how == fingerprint.Extra && !targets[strings.ToLower(p.table)] && p.table != "sqlite_sequence" {
			n++
		}
	}
	return n
}

// observeDamage looks for everything that was done among the differences. A
// row that was to be changed and is gone, because a cascade took it, counts
// as found.
func observeDamage(call firedrill.Call, file string, diff fingerprint.Difference, s schema) (action.Result[compareOut], error) {
	res := action.Result[compareOut]{Out: summarize(diff)}
	data, err := load(call, file)
	if err != nil {
		return res, err
	}
	var done damageFile
	if err := json.Unmarshal(data, &done); err != nil || done.Format != damageFormat {
		return res, &firedrill.Error{Op: "d1.compare", Kind: firedrill.KindCorrupt, Target: file, Detail: "is not a list of damage that this version reads", Err: err}
	}
	differs := map[place]string{}
	for _, r := range diff.Rows {
		differs[place{r.Table, r.Key}] = r.How
	}
	var absent []string
	for _, r := range done.Rows {
		how, found := differs[place{r.Table, r.Key}]
		if !found || (how != r.How && how != fingerprint.Missing) {
			absent = append(absent, r.Table+" "+r.Key)
			continue
		}
		res.Out.Found++
		delete(differs, place{r.Table, r.Key})
	}
	for _, o := range done.Objects {
		if slices.ContainsFunc(diff.Objects, func(x fingerprint.ObjectDifference) bool {
			return x.Object.Type == o.Type && x.Object.Name == o.Name && x.How == o.How
		}) {
			res.Out.Found++
			continue
		}
		absent = append(absent, o.Type+" "+o.Name)
	}
	res.Out.Beyond = int64(len(differs))
	if others := writtenByOthers(differs, s); others > 0 {
		res.Collateral = append(res.Collateral, fmt.Sprintf("%s that no trigger and no part of the drill wrote are undone by the recovery", count(others, "new row")))
	}
	wanted := int64(len(done.Rows) + len(done.Objects))
	ok := wanted > 0 && len(absent) == 0
	res.Summary = fmt.Sprintf("%s of %s found: %s and %s differ", grouped(res.Out.Found), count(wanted, "damaged thing"), count(res.Out.Differing, "row"), count(res.Out.Schema, "schema object"))
	if res.Out.Beyond > 0 {
		res.Summary += fmt.Sprintf(", %s by triggers and cascades", grouped(res.Out.Beyond))
	}
	if len(absent) > 0 {
		res.Summary += "; not found: " + strings.Join(absent[:min(3, len(absent))], ", ")
	}
	if wanted == 0 {
		res.Summary = "nothing was damaged, so nothing can be found"
	}
	res.Checks = []firedrill.Check{{OK: ok, Compared: diff.ComparedRows, Detail: res.Summary}}
	return res, nil
}

// withoutResidue takes off the differences that writing canaries and taking
// them away leaves behind by nature, and names them: changed or new rows of
// sqlite_sequence, and new rows in tables into which a trigger of the schema
// writes.
func withoutResidue(diff fingerprint.Difference, s schema) (fingerprint.Difference, []string) {
	written := s.triggerTargets()
	counts := map[string]int64{}
	rest := diff
	rest.Rows = nil
	for _, r := range diff.Rows {
		switch {
		case r.Table == "sqlite_sequence" && r.How != fingerprint.Missing:
			counts[r.Table]++
		case r.How == fingerprint.Extra && written[strings.ToLower(r.Table)]:
			counts[r.Table]++
		default:
			rest.Rows = append(rest.Rows, r)
		}
	}
	var kept []string
	for table, n := range counts {
		if table == "sqlite_sequence" {
			kept = append(kept, fmt.Sprintf("%s of sqlite_sequence remember the canaries' numbers", count(n, "row")))
			continue
		}
		kept = append(kept, fmt.Sprintf("%s in %s, written by triggers, stay behind", count(n, "row"), table))
	}
	slices.Sort(kept)
	return rest, kept
}
