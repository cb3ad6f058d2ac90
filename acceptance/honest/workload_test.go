package honest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// workload is what a drill finds: a database, a namespace, and an application that
// shows all of both, but for what others write.
type workload struct {
	schema []string // SQL that makes and fills the database
	tables []table
	pairs  []map[string]any
	routes string // the source of the application
}

// table is what the application has to know of one.
type table struct {
	Name  string `json:"name"`
	Query string `json:"query"` // gives its rows exactly, as text
}

// othersTable and othersPrefix are where others write. No route shows them.
const (
	othersTable  = "others"
	othersPrefix = "others/"
)

// newWorkload makes a workload by chance.
func newWorkload(chance *rand.Rand) workload {
	w := workload{schema: []string{"CREATE TABLE " + othersTable + " (id INTEGER PRIMARY KEY, at TEXT NOT NULL)"}}
	for i := range 1 + chance.IntN(5) {
		w.addTable(chance, i)
	}
	w.addPairs(chance)
	names, err := json.Marshal(w.tables)
	if err != nil {
		panic(err) // it is text
	}
	w.routes = strings.NewReplacer("/*TABLES*/[]", string(names), "/*OTHERS*/", othersPrefix).Replace(application)
	return w
}

// addTable makes a table with columns, keys, indexes, triggers and rows by chance.
func (w *workload) addTable(chance *rand.Rand, i int) {
	name := fmt.Sprintf([]string{"t%d", "order %d", "Größe_%d", "select_%d"}[chance.IntN(4)], i)
	quoted := `"` + name + `"`
	key := []string{"id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT", "id TEXT PRIMARY KEY NOT NULL", ""}[chance.IntN(4)]
	kinds := []string{"TEXT", "INTEGER", "REAL", "BLOB", ""}
	var columns, defs []string
	if key != "" {
		columns, defs = append(columns, "id"), append(defs, key)
	}
	for c := range 1 + chance.IntN(6) {
		def := fmt.Sprintf("c%d %s", c, kinds[chance.IntN(len(kinds))])
		switch chance.IntN(4) {
		case 0:
			def += " NOT NULL"
		case 1:
			def += " DEFAULT 'x'"
		}
		columns, defs = append(columns, fmt.Sprintf("c%d", c)), append(defs, def)
	}
	end := ""
	if strings.Contains(key, "TEXT") && chance.IntN(2) == 0 {
		end = " WITHOUT ROWID"
	}
	w.schema = append(w.schema, "CREATE TABLE "+quoted+" ("+strings.Join(defs, ", ")+")"+end)
	rows := 1 + chance.IntN(150)
	for from := 0; from < rows; from += 25 {
		var values []string
		for r := from; r < min(rows, from+25); r++ {
			var cells []string
			for c := range columns {
				if c == 0 && key != "" {
					cells = append(cells, map[bool]string{true: fmt.Sprintf("'key %d'", r), false: fmt.Sprint(r*3 + 1)}[strings.Contains(key, "TEXT")])
					continue
				}
				cells = append(cells, cell(chance, !strings.Contains(defs[c], "NOT NULL")))
			}
			values = append(values, "("+strings.Join(cells, ",")+")")
		}
		w.schema = append(w.schema, "INSERT INTO "+quoted+" ("+strings.Join(columns, ",")+") VALUES "+strings.Join(values, ","))
	}
	last := columns[len(columns)-1]
	if chance.IntN(2) == 0 {
		w.schema = append(w.schema, fmt.Sprintf("CREATE INDEX %q ON %s (%s)", name+" by", quoted, last))
	}
	if chance.IntN(3) == 0 {
		w.schema = append(w.schema, fmt.Sprintf("CREATE VIEW %q AS SELECT %s FROM %s", name+" seen", last, quoted))
	}
	if chance.IntN(3) == 0 {
		w.schema = append(w.schema, fmt.Sprintf("CREATE TABLE %q (n INTEGER PRIMARY KEY, what TEXT)", name+" log"),
			fmt.Sprintf("CREATE TRIGGER %q AFTER UPDATE ON %s BEGIN INSERT INTO %q (what) VALUES ('changed'); END", name+" logs", quoted, name+" log"))
	}
	exact := make([]string, len(columns))
	for c, column := range columns {
		exact[c] = "quote(" + column + ")" // integers beyond 2^53 as they are
	}
	w.tables = append(w.tables, table{name, "SELECT " + strings.Join(exact, "||','||") + " AS line FROM " + quoted + " ORDER BY 1"})
}

// cell is a value by chance, as a literal.
func cell(chance *rand.Rand, null bool) string {
	switch n := chance.IntN(8); {
	case n == 0 && null:
		return "NULL"
	case n == 1:
		return fmt.Sprint(chance.Int64())
	case n == 2:
		return fmt.Sprint(9007199254740993 + 2*chance.Int64N(1000))
	case n == 3:
		return fmt.Sprintf("%.17e", (chance.Float64()-0.5)*1e6)
	case n == 4:
		return fmt.Sprintf("x'%x'", bytesOf(chance))
	case n == 5:
		return "''"
	}
	return fmt.Sprintf("'it''s text %d ü 🔥'", chance.IntN(1000))
}

func bytesOf(chance *rand.Rand) []byte {
	b := make([]byte, 1+chance.IntN(40))
	for i := range b {
		b[i] = byte(chance.IntN(256))
	}
	return b
}

// addPairs makes the keys of the namespace.
func (w *workload) addPairs(chance *rand.Rand) {
	for i := range 10 + chance.IntN(50) {
		p := map[string]any{"key": fmt.Sprintf([]string{"a/%03d", "Key %03d", "ü%03d", "%03d?&=/"}[chance.IntN(4)], i), "value": fmt.Sprintf("value %d", i)}
		switch chance.IntN(4) {
		case 0:
			p["value"], p["base64"] = base64.StdEncoding.EncodeToString(bytesOf(chance)), true
		case 1:
			p["value"] = ""
		}
		if chance.IntN(3) == 0 {
			p["metadata"] = map[string]any{"n": i, "none": nil, "list": []int{1, 2}}
		}
		if chance.IntN(3) == 0 {
			p["expiration"] = time.Now().Add(time.Duration(2+chance.IntN(100)) * 24 * time.Hour).Unix()
		}
		w.pairs = append(w.pairs, p)
	}
}

// application shows every table and every key.
const application = `
const TABLES = /*TABLES*/[];
const hex = (data) => Array.from(new Uint8Array(data), (b) => b.toString(16).padStart(2, "0")).join("");
const routes = {
  async "/health"({ DB, KV, SECRET }) {
    await DB.prepare("SELECT 1").first();
    await KV.list({ limit: 1 });
    return { status: "healthy", secret: SECRET.length };
  },
  async "/rows"({ DB }) {
    const all = {};
    for (const t of TABLES) all[t.name] = (await DB.prepare(t.query).all()).results.map((r) => r.line);
    return { ok: true, all };
  },
  async "/keys"({ KV }) {
    const all = [];
    for (const k of (await KV.list()).keys) {
      if (k.name.startsWith("/*OTHERS*/") || k.name.startsWith("__firedrill/")) continue;
      const value = await KV.get(k.name, "arrayBuffer");
      all.push([k.name, value && hex(value), k.metadata ?? null]);
    }
    return { ok: true, all };
  },
};
export default {
  async fetch(request, env) {
    const route = routes[new URL(request.url).pathname];
    if (!route) return new Response("not found", { status: 404 });
    try {
      return Response.json(await route(env));
    } catch (error) {
      return Response.json({ error: String(error.message ?? error) }, { status: 500 });
    }
  },
};
`
