package drplan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// named is a comment with which a row or heading names its drill.
var named = regexp.MustCompile(`<!--\s*firedrill:([A-Za-z0-9_-]+)\s*-->`)

// plainTitle is a title without the comment that names its drill.
func plainTitle(title string) string { return strings.TrimSpace(comment.ReplaceAllString(title, "")) }

// useOf gives the built-in drill that a title speaks about, "" where it speaks about
// none or several.
func useOf(title string) string {
	w := words(title)
	var found []string
	add := func(use string, is bool) {
		if is {
			found = append(found, use)
		}
	}
	add("d1-pitr", hasAny(w, "d1", "pitr", "database", "sql") || mention(w, "point in time") || mention(w, "time travel"))
	add("worker-rollback", hasAny(w, "rollback", "rollbacks") || mention(w, "roll back"))
	add("kv-backup-restore", hasAny(w, "kv") || mention(w, "key value"))
	add("do-state-recovery", hasAny(w, "durable", "do") && (hasAny(w, "object", "objects", "state", "recovery", "persistence", "storage") || mention(w, "do drill")))
	add("full-failover", hasAny(w, "failover") || hasAny(w, "full", "complete", "total") && hasAny(w, "service", "rebuild", "loss"))
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// find gives the drill that a title means, or says why none can be told.
func (f Facts) find(title string) (drill *Drill, why string) {
	if m := named.FindStringSubmatch(title); m != nil {
		names := []string{}
		for i, d := range f.Drills {
			if d.Name == m[1] {
				return &f.Drills[i], ""
			}
			names = append(names, d.Name)
		}
		return nil, strings.TrimSuffix(fmt.Sprintf("the plan has no drill %q; %s", m[1], didYouMean(m[1], names)), "; ")
	}
	for _, of := range []func(Drill) bool{
		func(d Drill) bool { return joined(d.Name) == joined(title) },
		func(d Drill) bool { return joined(d.Title) == joined(title) },
		func(d Drill) bool { return d.Use != "" && joined(d.Use) == joined(title) },
		func(d Drill) bool { return d.Use != "" && d.Use == useOf(title) },
		func(d Drill) bool { return d.Use == "" && hasAll(words(title), words(d.Name)...) },
	} {
		if drill, why, some := f.only(title, of); some {
			return drill, why
		}
	}
	return nil, "no drill of the plan is known by this title; name it: <!-- firedrill:DRILL -->"
}

// only gives the one drill that passes; of several the one whose resources the title
// names.
func (f Facts) only(title string, passes func(Drill) bool) (drill *Drill, why string, some bool) {
	var fits, closer []*Drill
	names := []string{}
	for i, d := range f.Drills {
		if !passes(d) {
			continue
		}
		fits, names = append(fits, &f.Drills[i]), append(names, d.Name)
		if slices.ContainsFunc(d.Names, func(n string) bool { return hasAll(words(title), words(n)...) }) {
			closer = append(closer, &f.Drills[i])
		}
	}
	switch {
	case len(fits) == 0:
		return nil, "", false
	case len(fits) == 1:
		return fits[0], "", true
	case len(closer) == 1:
		return closer[0], "", true
	}
	return nil, "it fits " + strings.Join(names, " and ") + "; name one: <!-- firedrill:" + names[0] + " -->", true
}
