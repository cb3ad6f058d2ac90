package cloudflare

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// ownPrefix begins the names of tables that firedrill makes for itself. They
// are left out of fingerprints.
const ownPrefix = "_firedrill_"

// schema is what is in a database: everything that sqlite_schema lists, and
// the shape of every table.
type schema struct {
	Objects []object
	Tables  []table // ordinary tables that hold rows, sorted by name
	Virtual []string
	foreign []foreignKey
}

// object is an entry of sqlite_schema.
type object struct {
	Type, Name, Table, SQL string
	Auto                   bool // an index that a constraint made: it has no SQL
}

// table is the shape of a table.
type table struct {
	Name       string
	Columns    []column
	PrimaryKey []string // column names in the order of the key
	Rowid      string   // a name by which the rowid can be read; "" if there is none
	RowidAlias string   // the column that is the rowid, "" if none
	Collations []string // of a primary key without rowid, column by column
	Shadow     bool     // belongs to a virtual table
	SQL        string
	Unique     [][]string // column lists of unique indexes, the primary key's included
}

type column struct {
	Name      string
	Type      string // as declared
	NotNull   bool
	Default   bool
	Generated bool
}

// foreignKey is a reference from one table to another.
type foreignKey struct {
	Table, Parent    string
	From, To         []string
	OnDelete, Update string
}

func (t table) names() []string {
	var names []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	return names
}

func (t table) column(name string) (column, bool) {
	for _, c := range t.Columns {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return column{}, false
}

func (s schema) table(name string) (table, bool) {
	for _, t := range s.Tables {
		if strings.EqualFold(t.Name, name) {
			return t, true
		}
	}
	return table{}, false
}

// quoted gives an SQL identifier.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// excluded tells whether a name is the platform's or firedrill's own.
func excluded(name string) bool {
	n := strings.ToLower(name)
	return strings.HasPrefix(n, "_cf_") || strings.HasPrefix(n, ownPrefix)
}

// hexText reads a text that was sent as hexadecimal digits.
func hexText(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("a text was expected, not %T", v)
	}
	b, err := hex.DecodeString(s)
	return string(b), err
}

// whole reads an integer of the schema; they are all small.
func whole(v any) (int64, error) {
	switch v := v.(type) {
	case json.Number:
		return strconv.ParseInt(string(v), 10, 64)
	case string:
		return strconv.ParseInt(v, 10, 64)
	}
	return 0, fmt.Errorf("an integer was expected, not %T", v)
}

// schema reads the schema through three batches: the list, then the shape of
// every table, then the columns of the indexes.
func (d *d1) schema(ctx context.Context, op string) (schema, error) {
	var s schema
	broken := func(err error) (schema, error) {
		return schema{}, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "schema of database " + d.db.Name, Detail: "cannot be understood", Err: err}
	}
	sets, err := d.run(ctx, op, true,
		`SELECT type, hex(name), hex(tbl_name), hex(coalesce(sql,'')), sql IS NULL FROM sqlite_schema ORDER BY rowid`, `PRAGMA table_list`)
	if err != nil {
		return schema{}, err
	}
	for _, row := range sets[0].Rows {
		o, err := readObject(row)
		if err != nil {
			return broken(err)
		}
		if !excluded(o.Name) && !excluded(o.Table) {
			s.Objects = append(s.Objects, o)
		}
	}
	kinds, without, err := tableKinds(sets[1])
	if err != nil {
		return broken(err)
	}
	var ask []statement
	var tables []object
	for _, o := range s.Objects {
		if o.Type != "table" {
			continue
		}
		switch kinds[o.Name] {
		case "virtual":
			s.Virtual = append(s.Virtual, o.Name)
		case "table", "shadow":
			tables = append(tables, o)
			q := quoted(o.Name)
			ask = append(ask, statement("PRAGMA table_xinfo("+q+")"), statement("PRAGMA foreign_key_list("+q+")"), statement("PRAGMA index_list("+q+")"))
		default:
			return broken(fmt.Errorf("table %q is of unknown kind %q", o.Name, kinds[o.Name]))
		}
	}
	slices.Sort(s.Virtual)
	if len(ask) == 0 {
		return s, nil
	}
	shapes, err := d.run(ctx, op, true, ask...)
	if err != nil {
		return schema{}, err
	}
	for i, o := range tables {
		t, err := readTable(o, shapes[3*i], shapes[3*i+2])
		if err != nil {
			return broken(err)
		}
		t.Shadow = kinds[o.Name] == "shadow"
		if without[o.Name] {
			t.Rowid, t.RowidAlias = "", ""
		}
		keys, err := readForeignKeys(o.Name, shapes[3*i+1])
		if err != nil {
			return broken(err)
		}
		s.foreign = append(s.foreign, keys...)
		s.Tables = append(s.Tables, t)
	}
	if err := d.uniques(ctx, op, &s, tables, shapes); err != nil {
		return schema{}, err
	}
	slices.SortFunc(s.Tables, func(a, b table) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

func readObject(row []any) (object, error) {
	if len(row) != 5 {
		return object{}, fmt.Errorf("an entry has %d fields", len(row))
	}
	var o object
	var ok bool
	if o.Type, ok = row[0].(string); !ok {
		return o, fmt.Errorf("an entry has no type")
	}
	for i, p := range []*string{&o.Name, &o.Table, &o.SQL} {
		text, err := hexText(row[i+1])
		if err != nil {
			return o, err
		}
		*p = text
	}
	auto, err := whole(row[4])
	o.Auto = auto == 1
	return o, err
}

// at finds columns of a pragma's answer by name: their order may change.
func at(s set, names ...string) ([]int, error) {
	var out []int
	for _, n := range names {
		i := slices.Index(s.Columns, n)
		if i < 0 {
			return nil, fmt.Errorf("the answer has no column %q", n)
		}
		out = append(out, i)
	}
	return out, nil
}

func tableKinds(s set) (kinds map[string]string, withoutRowid map[string]bool, err error) {
	i, err := at(s, "name", "type", "wr")
	if err != nil {
		return nil, nil, err
	}
	kinds, withoutRowid = map[string]string{}, map[string]bool{}
	for _, row := range s.Rows {
		name, _ := row[i[0]].(string)
		kind, _ := row[i[1]].(string)
		wr, err := whole(row[i[2]])
		if err != nil {
			return nil, nil, err
		}
		kinds[name], withoutRowid[name] = kind, wr == 1
	}
	return kinds, withoutRowid, nil
}

func readTable(o object, s, indexes set) (table, error) {
	i, err := at(s, "name", "type", "notnull", "dflt_value", "pk", "hidden")
	if err != nil {
		return table{}, err
	}
	t := table{Name: o.Name, SQL: o.SQL}
	key := map[int64]string{}
	for _, row := range s.Rows {
		name, ok := row[i[0]].(string)
		if !ok {
			return t, fmt.Errorf("a column of table %q has no name", o.Name)
		}
		typ, _ := row[i[1]].(string)
		notNull, err1 := whole(row[i[2]])
		pk, err2 := whole(row[i[4]])
		hidden, err3 := whole(row[i[5]])
		if err1 != nil || err2 != nil || err3 != nil {
			return t, fmt.Errorf("column %q of table %q cannot be understood", name, o.Name)
		}
		t.Columns = append(t.Columns, column{Name: name, Type: typ, NotNull: notNull == 1, Default: row[i[3]] != nil, Generated: hidden == 2 || hidden == 3})
		if pk > 0 {
			key[pk] = name
		}
	}
	if len(t.Columns) == 0 {
		return t, fmt.Errorf("table %q has no columns", o.Name)
	}
	for n := int64(1); n <= int64(len(key)); n++ {
		t.PrimaryKey = append(t.PrimaryKey, key[n])
	}
	for _, alias := range []string{"rowid", "_rowid_", "oid"} {
		if _, shadowed := t.column(alias); !shadowed {
			t.Rowid = alias
			break
		}
	}
	if len(t.PrimaryKey) == 1 {
		// A key of the type INTEGER is the rowid, unless SQLite keeps an index for
		// it: INTEGER PRIMARY KEY DESC is another column.
		c, _ := t.column(t.PrimaryKey[0])
		indexed, err := keyIndexed(indexes)
		if err != nil {
			return t, err
		}
		if strings.EqualFold(c.Type, "INTEGER") && !indexed {
			t.RowidAlias = c.Name
			t.Rowid = quoted(c.Name)
		}
	}
	return t, nil
}

// keyIndexed tells whether one of a table's indexes is that of its primary key.
func keyIndexed(indexes set) (bool, error) {
	i, err := at(indexes, "origin")
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(indexes.Rows, func(row []any) bool { return row[i[0]] == "pk" }), nil
}

func readForeignKeys(name string, s set) ([]foreignKey, error) {
	i, err := at(s, "id", "seq", "table", "from", "to", "on_delete", "on_update")
	if err != nil {
		return nil, err
	}
	byID := map[int64]*foreignKey{}
	var order []int64
	for _, row := range s.Rows {
		id, err := whole(row[i[0]])
		if err != nil {
			return nil, err
		}
		k := byID[id]
		if k == nil {
			k = &foreignKey{Table: name}
			byID[id] = k
			order = append(order, id)
		}
		k.Parent, _ = row[i[2]].(string)
		from, _ := row[i[3]].(string)
		to, _ := row[i[4]].(string) // NULL: the parent's primary key
		k.From = append(k.From, from)
		k.To = append(k.To, to)
		k.OnDelete, _ = row[i[5]].(string)
		k.Update, _ = row[i[6]].(string)
	}
	var keys []foreignKey
	for _, id := range order {
		keys = append(keys, *byID[id])
	}
	return keys, nil
}

// uniques reads which columns the unique indexes of the tables hold.
func (d *d1) uniques(ctx context.Context, op string, s *schema, tables []object, shapes []set) error {
	var ask []statement
	var where []int // the table that each question is about
	var keys []bool // whether it is about the index of a primary key
	for n := range tables {
		i, err := at(shapes[3*n+2], "name", "unique", "origin")
		if err != nil {
			return &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "schema of database " + d.db.Name, Err: err}
		}
		for _, row := range shapes[3*n+2].Rows {
			if u, _ := whole(row[i[1]]); u != 1 {
				continue
			}
			index, _ := row[i[0]].(string)
			ask = append(ask, statement("PRAGMA index_xinfo("+quoted(index)+")"))
			where = append(where, n)
			keys = append(keys, row[i[2]] == "pk")
		}
	}
	for n := range s.Tables {
		if len(s.Tables[n].PrimaryKey) > 0 {
			s.Tables[n].Unique = append(s.Tables[n].Unique, s.Tables[n].PrimaryKey)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	infos, err := d.run(ctx, op, true, ask...)
	if err != nil {
		return err
	}
	for k, info := range infos {
		columns, collations, err := indexed(info)
		if err != nil {
			return &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "schema of database " + d.db.Name, Err: err}
		}
		for n := range s.Tables {
			t := &s.Tables[n]
			if t.Name != tables[where[k]].Name || len(columns) == 0 {
				continue
			}
			t.Unique = append(t.Unique, columns)
			if keys[k] && t.Rowid == "" {
				t.Collations = collations
			}
		}
	}
	return nil
}

// indexed reads the columns of an index, in its order, and their collations. What
// is no column of the table, but an expression, is left out.
func indexed(info set) (columns, collations []string, err error) {
	i, err := at(info, "name", "coll", "key")
	if err != nil {
		return nil, nil, err
	}
	for _, row := range info.Rows {
		key, err := whole(row[i[2]])
		if err != nil {
			return nil, nil, err
		}
		name, named := row[i[0]].(string)
		collation, _ := row[i[1]].(string)
		if key == 1 && named {
			columns, collations = append(columns, name), append(collations, collation)
		}
	}
	return columns, collations, nil
}

// objects gives the schema's entries for a fingerprint.
func (s schema) objects() []fingerprint.Object {
	var out []fingerprint.Object
	for _, o := range s.Objects {
		out = append(out, fingerprint.Object{Type: o.Type, Name: o.Name, Table: o.Table, Digest: fingerprint.HashText(o.SQL)})
	}
	return out
}

// parentColumns gives the columns that a foreign key refers to; where it
// names none it means the parent's primary key.
func (s schema) parentColumns(k foreignKey) []string {
	if len(k.To) > 0 && k.To[0] != "" {
		return k.To
	}
	if p, ok := s.table(k.Parent); ok {
		return p.PrimaryKey
	}
	return nil
}
