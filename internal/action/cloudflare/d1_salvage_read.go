package cloudflare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/fingerprint"
	"firedrill/internal/salvage"
)

const (
	// mostSalvaged is how many rows may differ for their choice to make sense, and how
	// much their values may weigh in memory, in bytes.
	mostSalvaged      = 200_000
	mostSalvagedBytes = 64 << 20
)

// salvageRow is a row that differs between the good moment and now.
type salvageRow struct {
	salvage.Row
	Value    string `json:"value,omitempty"` // of a key of one column, as people type it
	Position []byte `json:"position"`        // cells
	Cells    []byte `json:"cells,omitempty"` // at the good moment
}

// salvageObject is an entry of the schema that differs.
type salvageObject struct {
	Type, Name, Table string
	How               string // gone, changed, new
}

// salvageFile is all that differs. It holds everybody's data and is gone when the run
// is over.
type salvageFile struct {
	Rows    []salvageRow
	Objects []salvageObject
	// Sequences are the numbers of sqlite_sequence at the good moment that are others now.
	Sequences map[string]int64
}

type salvageReadIn struct {
	Database string `json:"database" doc:"id of the database, which is at the good moment"`
	Against  string `json:"against" doc:"output against of d1.found: the state now, every row"`
}

type salvageReadOut struct {
	File    string `json:"file" doc:"private file that holds what differs; gone when the run is over"`
	Rows    int64  `json:"rows" doc:"rows that differ in tables that are the same"`
	Objects int64  `json:"objects" doc:"schema entries that differ"`
}

func (p *pack) d1SalvageRead() firedrill.Action {
	const name = "d1.salvage-read"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Claims: claim(false),
		Doc: "Read a database that was taken to a good moment for a while, and keep of each row that differs from the state now how it is then. Rows of a table whose schema differs are passed over: d1.salvage-choose refuses it."},
		func(ctx context.Context, call firedrill.Call, in salvageReadIn) (action.Result[salvageReadOut], error) {
			var res action.Result[salvageReadOut]
			c, err := p.comparison(ctx, name, call, compareIn{Database: in.Database, Against: in.Against, Level: string(fingerprint.Full)})
			if err != nil {
				return res, err
			}
			var out salvageFile
			if err := c.d.still(ctx, name, call, func(string) error {
				out, err = c.salvage(ctx)
				return err
			}); err != nil {
				return res, err
			}
			data, err := json.Marshal(out)
			if err != nil {
				return res, err
			}
			res.Out = salvageReadOut{call.Step + ".salvage", int64(len(out.Rows)), int64(len(out.Objects))}
			res.Summary = fmt.Sprintf("%s differ", count(len(out.Rows), "row"))
			if len(out.Objects) > 0 {
				res.Summary += ", " + count(len(out.Objects), "schema entry")
			}
			return res, savePrivate(call, res.Out.File, data)
		})
}

// salvage reads what differs. The old state of the comparison is the one now, the new
// one is the good moment.
func (c *comparison) salvage(ctx context.Context) (salvageFile, error) {
	out := salvageFile{Rows: []salvageRow{}, Sequences: map[string]int64{}}
	now, err := c.objects()
	if err != nil {
		return out, err
	}
	weight := 0
	diff, found, err := c.read(ctx, func(x *differences) func(fingerprint.RowDifference) error {
		same := sameTables(now, x.schema.objects())
		return func(r fingerprint.RowDifference) error {
			switch {
			case r.Table == "sqlite_sequence":
				if r.Row != nil && r.Row[0].Type == fingerprint.Text && r.Row[1].Type == fingerprint.Integer {
					out.Sequences[string(r.Row[0].Bytes)] = r.Row[1].Int
				}
				return nil
			case strings.HasPrefix(strings.ToLower(r.Table), "sqlite_") || !same[r.Table]:
				return nil
			}
			row, err := x.salvaged(r)
			if err != nil {
				return err
			}
			out.Rows = append(out.Rows, row)
			if weight += len(row.Cells); len(out.Rows) > mostSalvaged || weight > mostSalvagedBytes {
				return &firedrill.Error{Op: c.op, Kind: firedrill.KindUnsupported, Target: "database " + c.d.db.Name,
					Detail: fmt.Sprintf("more than %s or %d MB of them differ, which nobody chooses from", count(int64(mostSalvaged), "row"), mostSalvagedBytes>>20), Remedy: "recover the whole database: leave --salvage out"}
			}
			return nil
		}
	})
	if err == nil {
		err = c.d.counted(ctx, c.op, found.read)
	}
	seen := map[string]string{fingerprint.Missing: salvage.New, fingerprint.Extra: salvage.Gone, fingerprint.Changed: salvage.Changed}
	for _, o := range diff.Objects {
		out.Objects = append(out.Objects, salvageObject{o.Object.Type, o.Object.Name, o.Object.Table, seen[o.How]})
	}
	return out, err
}

// objects gives the schema of the old state.
func (c *comparison) objects() ([]fingerprint.Object, error) {
	f, old, err := openFingerprint(c.call, c.against)
	if err != nil {
		return nil, err
	}
	return old.Header().Objects, f.Close()
}

// sameTables are the tables that are in both schemas, defined by the same words.
func sameTables(a, b []fingerprint.Object) map[string]bool {
	same := map[string]bool{}
	for _, o := range a {
		if o.Type == "table" && slices.Contains(b, o) {
			same[o.Name] = true
		}
	}
	return same
}

// salvaged makes a row of a difference.
func (x *differences) salvaged(r fingerprint.RowDifference) (salvageRow, error) {
	c, err := x.change(r)
	if err != nil {
		return salvageRow{}, err
	}
	how := map[string]string{fingerprint.Missing: salvage.New, fingerprint.Extra: salvage.Gone, fingerprint.Changed: salvage.Changed}[r.How]
	out := salvageRow{Row: salvage.Row{Table: r.Table, Key: c.Key, How: how}, Position: appendCells(r.Position), Cells: appendCells(r.Row)}
	for _, col := range c.Columns { // before is now, after is then
		out.Columns = append(out.Columns, salvage.Column{Column: col.Column, Then: col.After, Now: col.Before})
	}
	if t, _ := x.schema.table(r.Table); len(t.PrimaryKey) <= 1 && !x.hide.any(r.Table, t.PrimaryKey) {
		_, out.Value, _ = strings.Cut(c.Key, "=")
		if text, err := strconv.Unquote(out.Value); err == nil {
			out.Value = text
		}
	}
	// A choice is for what the row is then and now, and for nothing else.
	sum := sha256.Sum256(slices.Concat([]byte(r.Table), []byte{0}, out.Position, []byte{0}, out.Cells, r.Hash[:]))
	out.ID = hex.EncodeToString(sum[:16])
	return out, nil
}

func appendCells(cells []fingerprint.Cell) []byte {
	var b []byte
	for _, c := range cells {
		b = c.Append(b)
	}
	return b
}

// loadSalvage reads what d1.salvage-read or d1.salvage-choose wrote.
func loadSalvage[T any](call firedrill.Call, file string) (T, error) {
	var out T
	data, err := loadPrivate(call, file)
	if err == nil {
		if err = json.Unmarshal(data, &out); err != nil {
			err = &firedrill.Error{Op: "read artefact", Kind: firedrill.KindCorrupt, Target: file, Detail: "is not what an earlier step wrote", Err: err}
		}
	}
	return out, err
}
