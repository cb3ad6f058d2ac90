package cloudflare

import (
	"strings"

	"firedrill/internal/fingerprint"
)

// triggerWrites says into which tables, in lower case, something in the schema
// writes when somebody writes elsewhere: a trigger, or a foreign key that follows.
// Words that only look like it count too: it may hold a table too many, and must
// not miss one.
type triggerWrites struct{ inserted, updated, deleted map[string]bool }

// inserts tells whether rows of a table can come from triggers.
func (w triggerWrites) inserts(table string) bool { return w.inserted[strings.ToLower(table)] }

// explain tells whether a difference can be the work of triggers and cascades.
func (w triggerWrites) explain(r fingerprint.RowDifference) bool {
	table := strings.ToLower(r.Table)
	switch r.How {
	case fingerprint.Extra:
		return w.inserted[table]
	case fingerprint.Missing:
		return w.deleted[table]
	}
	return w.updated[table]
}

func (s schema) triggerWrites() triggerWrites {
	out := triggerWrites{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, o := range s.Objects {
		if o.Type == "trigger" {
			out.read(tokens(o.SQL))
		}
	}
	follows := func(rule string) bool {
		return !strings.EqualFold(rule, "NO ACTION") && !strings.EqualFold(rule, "RESTRICT")
	}
	for _, k := range s.foreign {
		table := strings.ToLower(k.Table)
		if strings.EqualFold(k.OnDelete, "CASCADE") {
			out.deleted[table] = true
		} else if follows(k.OnDelete) {
			out.updated[table] = true
		}
		if follows(k.Update) {
			out.updated[table] = true
		}
	}
	return out
}

// read looks through the words of a trigger.
func (w triggerWrites) read(words []string) {
	// name gives the table at a place; a schema's name may stand in front.
	name := func(i int) (string, bool) {
		if i+2 < len(words) && words[i+1] == "." {
			i += 2
		}
		if i >= len(words) {
			return "", false
		}
		return words[i], true
	}
	// into finds the table of INSERT [OR x] INTO name, DELETE FROM name.
	into := func(i int, word string) (string, bool) {
		for j := i + 1; j < len(words) && j < i+4; j++ {
			if words[j] == word {
				return name(j + 1)
			}
		}
		return "", false
	}
	for i, word := range words {
		switch word {
		case "insert", "replace":
			if table, found := into(i, "into"); found {
				// A row with the same key may be changed or go.
				w.inserted[table], w.updated[table], w.deleted[table] = true, true, true
			}
		case "delete":
			if table, found := into(i, "from"); found {
				w.deleted[table] = true
			}
		case "update":
			j := i + 1
			if j+1 < len(words) && words[j] == "or" {
				j += 2
			}
			if table, found := name(j); found {
				w.updated[table], w.deleted[table] = true, true
			}
		}
	}
}

// tokens splits SQL into words in lower case. Names lose their quotes, texts
// become one empty word, comments vanish, anything else is one sign a word.
func tokens(sql string) []string {
	var out []string
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '-' && strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexByte(sql[i:], '\n')
			if end < 0 {
				return out
			}
			i += end + 1
		case c == '/' && strings.HasPrefix(sql[i:], "/*"):
			end := strings.Index(sql[i+2:], "*/")
			if end < 0 {
				return out
			}
			i += end + 4
		case c == '\'' || c == '"' || c == '`' || c == '[':
			word, n := quotedToken(sql[i:])
			if c == '\'' {
				word = ""
			}
			out = append(out, strings.ToLower(word))
			i += n
		case isWord(c):
			n := i
			for n < len(sql) && isWord(sql[n]) {
				n++
			}
			out = append(out, strings.ToLower(sql[i:n]))
			i = n
		case c <= ' ':
			i++
		default:
			out = append(out, string(c))
			i++
		}
	}
	return out
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quotedToken reads a quoted name or text; a quote inside is written twice.
func quotedToken(s string) (word string, length int) {
	closing := s[0]
	if closing == '[' {
		closing = ']'
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != closing {
			b.WriteByte(s[i])
			continue
		}
		if closing != ']' && i+1 < len(s) && s[i+1] == closing {
			b.WriteByte(closing)
			i++
			continue
		}
		return b.String(), i + 1
	}
	return b.String(), len(s)
}
