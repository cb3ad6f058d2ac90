package drplan

import "regexp"

var (
	loses       = regexp.MustCompile(`(?i)\b(?:complete|total|entire|full|whole)\b.{0,30}\b(?:loss|outage|destruction)\b|\b(?:lose|loss of|losing) (?:the )?(?:complete|entire|whole|all)|\b(?:delete|destroy|drop|remove)s?\b.{0,30}\b(?:databases?|d1|account|environment)\b`)
	travels     = regexp.MustCompile(`(?i)time[ -]?travel`)
	restores    = regexp.MustCompile(`(?i)\b(?:restor|recover)`)
	deletesCode = regexp.MustCompile(`(?i)\b(?:delete|destroy|remove)s?\b.{0,30}\bworkers?\b`)
	creates     = regexp.MustCompile(`(?i)\b(?:re-?creat|creat|rebuild)\w*\b.{0,40}\b(?:kv|namespaces?|d1|databases?|buckets?|queues?)\b`)
	namesIDs    = regexp.MustCompile(`(?i)\b(?:ids?|bindings?|configurations?|configs?|wrangler\.(?:toml|jsonc?))\b`)
	secrets     = regexp.MustCompile(`(?i)\bsecrets?\b`)
)

// timeTravelOfTheDeleted finds restores by Time Travel after everything is gone.
func timeTravelOfTheDeleted(r *reading) (all []Finding) {
	for _, u := range r.units {
		gone := r.says(u, loses)
		if gone == 0 {
			if c, ok := u.first(-1, func(c command) bool { return c.is("d1", "delete") }); ok {
				gone = c.line
			}
		}
		if gone == 0 {
			continue
		}
		for _, line := range u.lines {
			if text := r.lineText(line); travels.MatchString(text) && restores.MatchString(text) && !negated.MatchString(text) {
				all = append(all, found(line, "Time Travel dies with its database: after line %d there is nothing to travel in", gone))
				break
			}
		}
		if c, ok := u.first(-1, restoresDatabase); ok && r.says(u, loses) == 0 {
			all = append(all, found(c.line, "Time Travel dies with its database: after line %d there is nothing to travel in", gone))
		}
	}
	return all
}

// negated is a sentence that warns of something.
var negated = regexp.MustCompile(`(?i)\b(?:not|never|cannot|no|dies|gone|without)\b`)

// deletesWorkers gives the line in which a unit deletes Workers; 0 if it does not.
func (r *reading) deletesWorkers(u unit) int {
	if c, ok := u.first(-1, func(c command) bool { return c.is("delete") }); ok {
		return c.line
	}
	if !u.drill {
		return 0 // sentences of other sections tell, and do nothing
	}
	for _, line := range u.lines {
		if text := r.lineText(line); deletesCode.MatchString(text) && !negated.MatchString(text) {
			return line
		}
	}
	return 0
}

// objectsDie finds Workers that are deleted, where the document has objects and the
// unit says nothing about them.
func objectsDie(r *reading) (all []Finding) {
	whole := unit{lines: r.plainLines(span{0, len(r.body)})}
	for _, u := range r.units {
		if line := r.deletesWorkers(u); line > 0 && r.says(whole, objects) > 0 && r.says(u, objects) == 0 {
			all = append(all, found(line, "deleting Workers deletes their Durable Objects and all they hold; nothing here brings it back"))
		}
	}
	return all
}

// secretsDie finds Workers that are deleted, where the unit says nothing about secrets.
func secretsDie(r *reading) (all []Finding) {
	for _, u := range r.units {
		if line := r.deletesWorkers(u); line > 0 && r.says(u, secrets) == 0 && len(u.all(func(c command) bool { return c.is("secret") })) == 0 {
			all = append(all, found(line, "deleting Workers deletes their secrets, and nothing here sets them again"))
		}
	}
	return all
}

// idsChange finds what is created anew, where the unit says nothing about ids.
func idsChange(r *reading) (all []Finding) {
	for _, u := range r.units {
		line := 0
		if u.drill {
			line = r.says(u, creates)
		}
		if c, ok := u.first(-1, func(c command) bool { return c.is("kv", "namespace", "create") || c.is("d1", "create") }); ok && line == 0 {
			if _, updated := c.option("--update-config"); !updated {
				line = c.line
			}
		}
		if line > 0 && r.says(u, namesIDs) == 0 {
			all = append(all, found(line, "what is created anew has another id, and the configuration still has the old one"))
		}
	}
	return all
}
