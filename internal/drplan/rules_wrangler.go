package drplan

import (
	"regexp"
	"slices"
	"strings"
)

// noSuchCommand finds commands that wrangler has not.
func noSuchCommand(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			if missing, _ := c.exists(); missing != "" {
				f := found(c.line, "%s does not exist in wrangler %s", missing, Wrangler)
				if strings.Contains(missing, "time-travel") {
					f.Remedy = "wrangler d1 time-travel info NAME --json gives the bookmark"
				}
				all = append(all, f)
			}
		}
	}
	return all
}

// refusedArgument finds arguments that wrangler's commands refuse.
func refusedArgument(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			_, refused := c.exists()
			if refused == "" {
				continue
			}
			f := found(c.line, "%s", refused)
			switch {
			case c.is("rollback"):
				f.Remedy = "wrangler rollback VERSION_ID --name WORKER"
			case c.is("deployments"), c.is("versions"):
				f.Remedy = "name the Worker with --name WORKER"
			}
			all = append(all, f)
		}
	}
	return all
}

// actsLocally tells whether a call works on this machine unless it is told otherwise.
func actsLocally(c command) bool {
	for _, path := range [][]string{{"d1", "execute"}, {"d1", "export"}, {"d1", "migrations", "apply"}, {"d1", "migrations", "list"}, {"kv", "key"}, {"kv", "bulk"}} {
		if !c.is(path...) {
			continue
		}
		_, remote := c.option("--remote")
		_, local := c.option("--local")
		return !remote && !local
	}
	return false
}

// localByDefault finds commands that work on a store of this machine.
func localByDefault(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, group := range []string{"d1", "kv"} {
			calls := u.all(func(c command) bool { return c.is(group) && actsLocally(c) && !c.inline })
			if len(calls) > 0 {
				args, _ := calls[0].wrangler()
				all = append(all, found(calls[0].line, "wrangler %s without --remote works on an empty store of this machine, and says that all went well%s", strings.Join(args[:2], " "), alsoAt(calls)))
			}
		}
	}
	return all
}

// piped gives the arguments of the jq that a call is piped into.
func (u unit) piped(c command) string {
	for _, o := range u.calls {
		if c.pipeline != 0 && o.pipeline == c.pipeline && o.pos > c.pos && len(o.words) > 0 && o.words[0] == "jq" {
			return strings.Join(o.words[1:], " ")
		}
	}
	return ""
}

var (
	firstOfAll = regexp.MustCompile(`\.?\[0\]|\bfirst\b`)
	ordered    = regexp.MustCompile(`sort_by|max_by|min_by|group_by|reverse`)
)

// oldestDeployment finds the first of a list whose first is the oldest.
func oldestDeployment(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			if filter := u.piped(c); c.is("deployments", "list") && firstOfAll.MatchString(filter) && !ordered.MatchString(filter) {
				all = append(all, found(c.line, "%s of deployments list is the oldest that is listed, not the one that serves", firstOfAll.FindString(filter)))
			}
		}
	}
	return all
}

var idOfDeployment = regexp.MustCompile(`(?:^|[^_a-z])\.id\b`)

// deploymentIsNoVersion finds ids of deployments where versions are asked for.
func deploymentIsNoVersion(r *reading) (all []Finding) {
	for _, u := range r.units {
		for _, c := range u.calls {
			filter := u.piped(c)
			if !c.is("deployments") || c.into == "" || !idOfDeployment.MatchString(filter) || strings.Contains(filter, "version") {
				continue
			}
			use, ok := u.first(c.pos, func(o command) bool {
				return (o.is("rollback") || o.is("versions", "deploy") || o.is("versions", "view")) && slices.ContainsFunc(o.words, func(w string) bool { return strings.Contains(w, "$"+c.into) })
			})
			if ok {
				all = append(all, found(use.line, "$%s is the id of a deployment (line %d); this takes the id of a version", c.into, c.line))
			}
		}
	}
	return all
}

var (
	migrates  = regexp.MustCompile(`(?i)\bmigrations?\b`)
	deploys   = regexp.MustCompile(`(?i)\bdeploy`)
	rollsBack = regexp.MustCompile(`(?i)\broll(?:s|ing|ed)?[ -]?back\b`)
	objects   = regexp.MustCompile(`(?i:durable objects?)|\bDOs?\b`)
)

// rollbackAcrossMigration finds a rollback behind a migration of objects.
func rollbackAcrossMigration(r *reading) (all []Finding) {
	for _, u := range r.drills() {
		if !objects.MatchString(u.title) && r.says(u, objects) == 0 {
			continue
		}
		migrated := 0
		for _, line := range u.lines {
			text := r.lineText(line)
			switch {
			case migrates.MatchString(text) && deploys.MatchString(text) && migrated == 0:
				migrated = line
			case migrated > 0 && rollsBack.MatchString(text) && !strings.Contains(strings.ToLower(text), "refuse"):
				all = append(all, found(line, "a rollback across the migration of line %d is refused by the platform", migrated))
				migrated = -1 << 30
			}
		}
	}
	return all
}

// errorHidden finds calls whose failure is hidden.
func errorHidden(r *reading) (all []Finding) {
	for _, u := range r.units {
		calls := u.all(func(c command) bool {
			_, w := c.wrangler()
			return c.hushed && (w || len(c.words) > 0 && c.words[0] == "curl")
		})
		if len(calls) > 0 {
			all = append(all, found(calls[0].line, "a failure of %s is hidden here, and what follows takes it for success%s", firstWords(calls[0]), alsoAt(calls)))
		}
	}
	return all
}

// firstWords is a call in short.
func firstWords(c command) string {
	var short []string
	for _, w := range c.words {
		if strings.HasPrefix(w, "-") || strings.Contains(w, "$") || len(short) == 4 {
			break
		}
		short = append(short, w)
	}
	return strings.Join(short, " ")
}

// errorPagePasses finds curl that looks at no status.
func errorPagePasses(r *reading) (all []Finding) {
	for _, u := range r.units {
		calls := u.all(func(c command) bool { return c.words[0] == "curl" && !c.inline && !looksAtStatus(c) })
		if len(calls) > 0 {
			all = append(all, found(calls[0].line, "curl exits 0 on an error page, so this verifies nothing%s", alsoAt(calls)))
		}
	}
	return all
}

func looksAtStatus(c command) bool {
	for _, w := range c.words[1:] {
		short := strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "--")
		if short && strings.ContainsAny(w, "fwIi") || strings.HasPrefix(w, "--fail") || w == "--write-out" || w == "--head" || w == "--include" {
			return true
		}
	}
	return false
}
