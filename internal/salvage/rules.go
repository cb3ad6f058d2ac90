package salvage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rules fill in a list before anybody edits it. Without any, rows that are gone come
// back, rows that have changed change back, and new rows stay: what was written after
// the good moment and is not in the way of it is kept.
type Rules struct {
	// Keep names rows that stay as they are now; Restore names those that are to be as
	// they were then, all others staying. Each is TABLE or TABLE:KEY,KEY. A key counts
	// before a table.
	Keep    []string `json:"keep,omitempty"`
	Restore []string `json:"restore,omitempty"`
	// DropNew lets new rows go, too.
	DropNew bool `json:"drop_new,omitempty"`
}

// Chooser applies rules, and knows which of them met nothing.
type Chooser struct {
	keep, restore []selector
	only          bool // restore names what returns; all else stays
	dropNew       bool
}

// selector is a table, or some of its rows.
type selector struct {
	text  string
	table string
	keys  map[string]bool // those not met yet are false; nil: all rows
}

// Chooser reads the rules. tables are those that the database has: another one is
// refused.
func (r Rules) Chooser(tables []string) (*Chooser, error) {
	c := &Chooser{only: len(r.Restore) > 0, dropNew: r.DropNew}
	for _, list := range []struct {
		texts []string
		into  *[]selector
	}{{r.Keep, &c.keep}, {r.Restore, &c.restore}} {
		for _, text := range list.texts {
			s, err := parseSelector(text, tables)
			if err != nil {
				return nil, err
			}
			*list.into = append(*list.into, s)
		}
	}
	for _, k := range c.keep {
		for _, s := range c.restore {
			if k.table == s.table && k.keys == nil && s.keys == nil {
				return nil, fmt.Errorf("table %s is to be kept and restored", k.table)
			}
		}
	}
	return c, nil
}

// parseSelector reads TABLE or TABLE:KEY,KEY. The longest table that fits counts, as
// a name may hold a colon.
func parseSelector(text string, tables []string) (selector, error) {
	s := selector{text: text}
	for _, t := range tables {
		rest, fits := strings.CutPrefix(strings.ToLower(text), strings.ToLower(t))
		if fits && (rest == "" || rest[0] == ':') && len(t) > len(s.table) {
			s.table = t
		}
	}
	if s.table == "" {
		return s, fmt.Errorf("%q names no table of the database: %s", text, strings.Join(tables, ", "))
	}
	if rest := text[len(s.table):]; rest != "" {
		s.keys = map[string]bool{}
		for key := range strings.SplitSeq(rest[1:], ",") {
			if key == "" {
				return s, fmt.Errorf("%q names an empty key", text)
			}
			s.keys[key] = false
		}
	}
	return s, nil
}

// Take says what is to become of a row. value is its key where that is one column,
// as people type it: 812, or the text without quotes; "" for others.
func (c *Chooser) Take(table, key, value, how string) (string, error) {
	keepTable, keepKey := met(c.keep, table, key, value)
	backTable, backKey := met(c.restore, table, key, value)
	switch {
	case keepKey && backKey:
		return "", fmt.Errorf("row %s of table %s is to be kept and restored", key, table)
	case keepKey:
		return Now, nil
	case backKey: // named by its key, so that it goes where it is new
		return Then, nil
	case keepTable || c.only && !backTable || how == New && !c.dropNew:
		return Now, nil
	}
	return Then, nil
}

// Stays tells whether it was said that a whole table is to stay as it is.
func (c *Chooser) Stays(table string) bool {
	all, _ := met(c.keep, table, "", "")
	return all || c.only && !c.Restores(table)
}

// Restores tells whether something of a table is asked for.
func (c *Chooser) Restores(table string) bool {
	return slices.ContainsFunc(c.restore, func(s selector) bool { return s.table == table })
}

// met tells whether selectors hold the table, or the very row.
func met(list []selector, table, key, value string) (whole, row bool) {
	for _, s := range list {
		switch {
		case s.table != table:
		case s.keys == nil:
			whole = true
		default:
			for _, k := range []string{key, value} {
				if _, is := s.keys[k]; is && k != "" {
					s.keys[k], row = true, true
				}
			}
		}
	}
	return whole, row
}

// Unmet gives a key that no row has had, "" if there is none.
func (c *Chooser) Unmet() string {
	for _, s := range slices.Concat(c.keep, c.restore) {
		for key, seen := range s.keys {
			if !seen {
				return s.table + ":" + key
			}
		}
	}
	return ""
}

// Tally counts the rows of a table that differ, and those that are to be as they were.
type Tally struct {
	Table              string
	Gone, Changed, New int64
	Then               int64 // of all of them
	Refused            string
}

// String says it for people: "12 gone, 3 changed, 1 new".
func (t Tally) String() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{t.Gone, Gone}, {t.Changed, Changed}, {t.New, New}} {
		if p.n > 0 {
			parts = append(parts, strconv.FormatInt(p.n, 10)+" "+p.what)
		}
	}
	if len(parts) == 0 {
		return "nothing differs"
	}
	return strings.Join(parts, ", ")
}

// Summary counts rows by table, in the order in which the tables come.
type Summary []Tally

// Add counts a row.
func (s *Summary) Add(r Row) {
	i := slices.IndexFunc(*s, func(t Tally) bool { return t.Table == r.Table })
	if i < 0 {
		i = len(*s)
		*s = append(*s, Tally{Table: r.Table})
	}
	t := &(*s)[i]
	switch r.How {
	case Gone:
		t.Gone++
	case Changed:
		t.Changed++
	case New:
		t.New++
	}
	if r.Refused != "" {
		t.Refused = r.Refused
	}
	if r.Take == Then {
		t.Then++
	}
}
