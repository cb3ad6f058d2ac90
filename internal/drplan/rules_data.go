package drplan

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	inserts = regexp.MustCompile(`(?i)\binsert\b`)
	selects = regexp.MustCompile(`(?i)\bselect\b`)
	literal = regexp.MustCompile(`'([^'$]{3,})'`)
)

func restoresDatabase(c command) bool { return c.is("d1", "time-travel", "restore") }

// sql gives what a call has a database execute.
func sql(c command) string {
	if !c.is("d1", "execute") {
		return ""
	}
	text, _ := c.option("--command")
	return text
}

// shared gives a text that two statements have.
func shared(a, b string) string {
	for _, m := range literal.FindAllStringSubmatch(a, -1) {
		if strings.Contains(b, m[1]) {
			return m[1]
		}
	}
	return ""
}

// bookmarkBeforeRow finds a row that the restore removes and that is looked for after it.
func bookmarkBeforeRow(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			point := c.is("d1", "time-travel") && !restoresDatabase(c) || len(c.words) > 0 && c.words[0] == "date"
			if !point || c.into == "" {
				continue
			}
			back, ok := u.first(c.pos, func(o command) bool {
				to, _ := o.option("--bookmark", "--timestamp")
				return restoresDatabase(o) && to == "$"+c.into
			})
			if !ok {
				continue
			}
			for _, row := range u.calls {
				if row.pos < c.pos || row.pos > back.pos || !inserts.MatchString(sql(row)) {
					continue
				}
				look, ok := u.first(back.pos, func(o command) bool { return selects.MatchString(sql(o)) && shared(sql(row), sql(o)) != "" })
				if ok {
					all = append(all, found(c.line, "$%s is taken before the row of line %d is inserted, so the restore of line %d removes the row that line %d looks for", c.into, row.line, back.line, look.line))
					break
				}
			}
		}
	}
	return all
}

// bookmarkInASentence finds sentences that are taken for a bookmark.
func bookmarkInASentence(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			_, asJSON := c.option("--json")
			if c.is("d1", "time-travel", "info") && c.into != "" && c.pipeline == 0 && !asJSON {
				all = append(all, found(c.line, "$%s holds the sentences that time-travel info prints, not the bookmark in them", c.into))
			}
		}
	}
	return all
}

// savesKeys and its like tell what a call does with a namespace.
func savesKeys(c command) bool {
	return c.is("kv", "key", "list") || c.is("kv", "bulk", "get")
}

func restoresKeys(c command) bool {
	return c.is("kv", "bulk", "put") || c.is("kv", "key", "put") && c.looped
}

// rowNotInBackup finds keys and rows that are written after the backup and looked for
// after the restore.
func rowNotInBackup(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			switch {
			case c.is("kv", "key", "put") && !c.looped:
				key := firstOf(c.arguments())
				if key == "" || strings.Contains(key, "$(") {
					continue
				}
				before, saved := last(u, c.pos, savesKeys)
				back, restored := u.first(c.pos, restoresKeys)
				if !saved || !restored {
					continue
				}
				if again, ok := u.first(c.pos, savesKeys); ok && again.pos < back.pos {
					continue // there is a newer backup
				}
				look, ok := u.first(back.pos, func(o command) bool { return o.is("kv", "key", "get") && firstOf(o.arguments()) == key })
				if ok {
					all = append(all, found(c.line, "key %s is written after the backup of line %d, so the restore of line %d cannot bring it back for line %d", key, before.line, back.line, look.line))
				}
			case inserts.MatchString(sql(c)):
				saves := func(o command) bool { return o.is("d1", "export") }
				before, saved := last(u, c.pos, saves)
				back, restored := u.first(c.pos, func(o command) bool { _, file := o.option("--file"); return o.is("d1", "execute") && file })
				if !saved || !restored {
					continue
				}
				if again, ok := u.first(c.pos, saves); ok && again.pos < back.pos {
					continue
				}
				if look, ok := u.first(back.pos, func(o command) bool { return selects.MatchString(sql(o)) && shared(sql(c), sql(o)) != "" }); ok {
					all = append(all, found(c.line, "the row is inserted after the export of line %d, so the import of line %d cannot bring it back for line %d", before.line, back.line, look.line))
				}
			}
		}
	}
	return all
}

func firstOf(words []string) string {
	if len(words) > 0 {
		return words[0]
	}
	return ""
}

// last gives the last call before a position that passes.
func last(u unit, before int, passes func(command) bool) (found command, ok bool) {
	for _, c := range u.calls {
		if c.pos < before && passes(c) {
			found, ok = c, true
		}
	}
	return found, ok
}

var quotedField = regexp.MustCompile(`":\s*"?\$[A-Za-z_({]`)

// jsonByEcho finds JSON that is put together from variables.
func jsonByEcho(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			if (c.words[0] == "echo" || c.words[0] == "printf") && slices.ContainsFunc(c.words[1:], quotedField.MatchString) {
				all = append(all, found(c.line, "%s writes JSON without escaping: the first quote, backslash or line end in a value breaks it", c.words[0]))
			}
		}
	}
	return all
}

// keysSplit finds loops over names of keys that the shell splits.
func keysSplit(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			if c.is("kv", "key", "list") && c.items {
				all = append(all, found(c.line, "for splits the names of keys at spaces, so a key with one is never backed up"))
			}
		}
	}
	return all
}

// valueInVariable finds values of keys in variables.
func valueInVariable(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			if c.is("kv", "key", "get") && c.into != "" && c.looped {
				all = append(all, found(c.line, "a value in $%s loses NUL bytes and line ends, and a missing key exits 0 and is kept as the text Value not found", c.into))
			}
		}
	}
	return all
}

// metadataLost finds restores key by key that give back values alone.
func metadataLost(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			_, meta := c.option("--metadata")
			_, expires := c.option("--expiration", "--ttl")
			if c.is("kv", "key", "put") && c.looped && (!meta || !expires) {
				all = append(all, found(c.line, "keys are written back without their expiration and metadata"))
			}
		}
	}
	return all
}

// newKeysStay finds restores that delete nothing.
func newKeysStay(r *reading) (all []Finding) {
	for _, u := range r.units {
		back, restored := u.first(-1, restoresKeys)
		if _, saved := u.first(-1, savesKeys); !saved || !restored {
			continue
		}
		if _, deleted := u.first(back.pos, func(c command) bool { return c.is("kv", "key", "delete") || c.is("kv", "bulk", "delete") }); deleted {
			continue
		}
		if before, deleted := last(u, back.pos, func(c command) bool { return c.is("kv", "bulk", "delete") }); deleted && before.pos > 0 {
			continue // it is emptied first
		}
		all = append(all, found(back.line, "the restore only writes: keys that were created after the backup stay"))
	}
	return all
}

var listsKeys = regexp.MustCompile(`/storage/kv/namespaces/[^/]+/keys\b`)

// onePageOnly finds lists of the API of which only the first page is read.
func onePageOnly(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			paged := slices.ContainsFunc(u.calls, func(o command) bool { return strings.Contains(strings.Join(o.words, " "), "cursor") })
			if c.words[0] == "curl" && slices.ContainsFunc(c.words, listsKeys.MatchString) && !paged {
				all = append(all, found(c.line, "this gives 1,000 keys at most, and the others are never backed up"))
			}
		}
	}
	return all
}

// readEatsBackslashes finds read without -r.
func readEatsBackslashes(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			raw := slices.ContainsFunc(c.words, func(w string) bool { return strings.HasPrefix(w, "-") && strings.Contains(w, "r") })
			if c.words[0] == "read" && c.looped && !raw {
				all = append(all, found(c.line, "read without -r eats the backslashes of the JSON that it reads"))
			}
		}
	}
	return all
}

// aKey is how long a key takes where wrangler is started for it: its --version alone
// takes a second.
const aKey = time.Second
