package cloudflare

import (
	"fmt"
	"slices"
	"strings"

	"firedrill"
)

// redacted stands where a value is that a rule of the plan hides.
const redacted = "[redacted]"

// redaction is what the plan says about values that nobody is to read. Its rules
// are those of all resources of a kind in the environment: a scratch copy has the
// values of the database that it was made from.
type redaction struct{ rules []rule }

// rule hides columns of tables, or keys of namespaces.
type rule struct{ table, column string }

// columnRules are the rules of the environment's databases: `table.column`, where *
// stands for any letters.
func columnRules(op string, env firedrill.Environment) (redaction, error) {
	var out redaction
	for _, text := range attrRules(env, "d1") {
		dot := strings.LastIndexByte(text, '.')
		if dot <= 0 || dot == len(text)-1 {
			return redaction{}, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "redact: " + text,
				Detail: "names no column of a table", Remedy: "write for example users.email, *.password or sessions.*"}
		}
		out.rules = append(out.rules, rule{strings.ToLower(text[:dot]), strings.ToLower(text[dot+1:])})
	}
	return out, nil
}

// attrRules gives what resources of a kind say under `redact`.
func attrRules(env firedrill.Environment, kind string) []string {
	var out []string
	for _, r := range env.Resources {
		if r.Kind != kind {
			continue
		}
		var attrs struct {
			Redact []string `json:"redact"`
		}
		list := r.Attrs["redact"]
		if list == nil || (firedrill.Values{"redact": list}).Into(&attrs) != nil {
			continue // the plan's own check has refused what is no list of texts
		}
		out = append(out, attrs.Redact...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// hides tells whether a column's values are hidden.
func (r redaction) hides(table, column string) bool {
	table, column = strings.ToLower(table), strings.ToLower(column)
	return slices.ContainsFunc(r.rules, func(x rule) bool { return matches(x.table, table) && matches(x.column, column) })
}

// any tells whether one of some columns is hidden.
func (r redaction) any(table string, columns []string) bool {
	return slices.ContainsFunc(columns, func(c string) bool { return r.hides(table, c) })
}

// matches tells whether a name fits a pattern in which * stands for any letters.
func matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, found := strings.CutPrefix(name, parts[0])
	if !found {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, p)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// keyRules are the rules of the environment's KV namespaces: patterns of keys.
type keyRules []string

func namespaceRules(env firedrill.Environment) keyRules { return attrRules(env, "kv") }

// hides tells whether a key's name and value are hidden.
func (r keyRules) hides(key string) bool {
	return slices.ContainsFunc(r, func(p string) bool { return matches(p, key) })
}

// name gives a key as people may see it.
func (r keyRules) name(key string) string {
	if r.hides(key) {
		return "a key " + redacted
	}
	return fmt.Sprintf("key %q", key)
}

// plain gives a key alone.
func (r keyRules) plain(key string) string {
	if r.hides(key) {
		return redacted
	}
	return key
}
