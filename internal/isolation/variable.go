package isolation

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"firedrill"
)

// owned is something of an environment that a value can lead to.
type owned struct {
	what string // in a sentence
	at   firedrill.Position
	env  string
	// said is the same without anything of the value itself.
	said string
}

// estate is what values can lead to.
type estate struct {
	audit *audit
	// live has what production owns, by id, name or Worker; others what any
	// other environment has, which no value leads astray.
	live    map[string]owned
	others  map[string]bool
	routes  []claimed
	domains map[string]bool // of which an environment has an address
}

// byID and byWorker are how an estate knows things, besides by kind and name.
const (
	byID     = "id"
	byWorker = "worker address"
)

func wordKey(sort, word string) string { return sort + "\x00" + strings.ToLower(word) }

// variables finds values that lead to what belongs to production: ids of its
// resources, its addresses, the default address of its Workers, names of its
// buckets and queues.
func (a *audit) variables() {
	e := a.estate()
	for _, u := range a.units {
		if a.envs[u.env].Production {
			continue
		}
		for _, t := range u.texts {
			o, found := e.leads(t)
			if !found {
				continue
			}
			f := a.leading(&u, t, o, u.hidden)
			a.report(f, t.name)
		}
	}
}

// leading is the finding of a value that leads to what production owns. Of a value
// that is hidden it shows nothing.
func (a *audit) leading(u *unit, t text, o owned, hidden bool) Finding {
	what := o.what
	if hidden {
		what = cmp.Or(o.said, o.what)
	}
	f := Finding{Rule: ForeignValue, Level: LevelError, At: t.at, Environment: u.env, Worker: u.worker, Kind: "variable", Resource: t.name,
		Message: fmt.Sprintf("%s of %s leads to %s", t.name, title(u.env), what)}
	if o.env == "" {
		f.Level = LevelWarning // by its name is a guess
		return f
	}
	f.Message += ", which belongs to " + title(o.env)
	f.Related = []Related{{o.at, title(o.env) + " has it here"}}
	return f
}

// estate gathers what values can lead to.
func (a *audit) estate() *estate {
	e := &estate{audit: a, live: map[string]owned{}, others: map[string]bool{}, routes: a.claims(), domains: map[string]bool{}}
	for i := range a.units {
		u := &a.units[i]
		live := a.envs[u.env].Production
		keep := func(key, what string, at firedrill.Position) {
			if !live {
				e.others[key] = true
			} else if _, known := e.live[key]; !known {
				e.live[key] = owned{what: what, at: at, env: u.env}
			}
		}
		for _, r := range u.refs {
			if r.preview || r.placeholder {
				continue
			}
			if r.id != "" {
				keep(wordKey(byID, r.id), r.is(), r.at)
			}
			if r.name != "" && !r.minor {
				keep(wordKey(r.kind, r.name), r.is(), r.at)
			}
		}
		if u.worker != "" {
			keep(wordKey(byWorker, u.worker), "Worker "+u.worker, u.workerAt)
		}
		for _, r := range u.answers {
			if live {
				e.routes = append(e.routes, claimed{u, r})
			}
		}
	}
	for _, c := range e.routes {
		e.domains[domainOf(c.host)] = true
	}
	return e
}

// leads tells what of production a variable leads to.
func (e *estate) leads(t text) (owned, bool) {
	for _, s := range speaking() {
		if o, is := e.own(wordKey(s.kind, t.value)); is && speaks(t.name, s.words) {
			return o, true
		}
	}
	for _, id := range regexp.MustCompile(`[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}`).FindAllString(t.value, -1) {
		if o, is := e.own(wordKey(byID, id)); is {
			return o, true
		}
	}
	for _, to := range addressesIn(t.value) {
		if o, is := e.address(to); is {
			return o, true
		}
	}
	return owned{}, false
}

// own gives what production has and no other environment.
func (e *estate) own(key string) (owned, bool) {
	o, is := e.live[key]
	return o, is && !e.others[key]
}

// address tells what of production is at an address: what the most specific of
// all routes is for. An address above all routes of its host is production's if
// the host is production's alone.
func (e *estate) address(to route) (owned, bool) {
	var best *claimed
	longest, live, alone := -1, (*claimed)(nil), true
	for i := range e.routes {
		c := &e.routes[i]
		if c.host != to.host {
			continue
		}
		if e.audit.envs[c.unit.env].Production {
			live = c
		} else {
			alone = false
		}
		prefix, wild := strings.CutSuffix(c.path, "*")
		if (to.path == prefix || wild && strings.HasPrefix(to.path+"/", prefix)) && len(prefix) > longest {
			best, longest = c, len(prefix)
		}
	}
	if best == nil && alone {
		best = live
	}
	if best != nil && e.audit.envs[best.unit.env].Production {
		return owned{what: "the address " + best.pattern, at: best.at, env: best.unit.env}, true
	}
	labels := strings.Split(to.host, ".")
	workersDev := strings.HasSuffix(to.host, ".workers.dev")
	if o, is := e.own(wordKey(byWorker, labels[0])); is && workersDev && len(labels) == 4 {
		return o, true
	}
	if best == nil && (workersDev || e.domains[domainOf(to.host)]) {
		for _, l := range labels[:max(0, len(labels)-2)] {
			if _, production := wordOf(l); production {
				return owned{what: to.host + ", which is production by its name", said: "an address that is production's by its name"}, true
			}
		}
	}
	return owned{}, false
}

// spoken is how variables speak of the names of a kind of resource.
type spoken struct {
	kind  string
	words []string
}

// speaking are the words by which a variable says that its value is a resource's
// name. Without one, a value that is the name of a bucket may be any word.
func speaking() []spoken {
	return []spoken{{kindDatabase, []string{"database", "db", "d1"}}, {"r2", []string{"bucket", "r2"}}, {"queue", []string{"queue"}}, {"vectorize", []string{"vectorize", "index"}},
		{"workflow", []string{"workflow"}}, {"dispatch-namespace", []string{"dispatch", "namespace"}}, {"pipeline", []string{"pipeline"}}}
}

func speaks(name string, words []string) bool {
	return slices.ContainsFunc(wordsOf(name), func(w string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return w == word || len(word) > 2 && strings.Contains(w, word) })
	})
}

// domainOf gives the part of a host under which somebody has names: the last two
// labels, or three where the last two are like co.uk.
func domainOf(host string) string {
	labels := strings.Split(host, ".")
	n := 2
	if l := len(labels); l > 2 && len(labels[l-1]) == 2 && len(labels[l-2]) <= 3 {
		n = 3
	}
	return strings.Join(labels[max(0, len(labels)-n):], ".")
}

// addressesIn finds the addresses in a value: those with a scheme, and hosts that
// stand for themselves, also in a list.
func addressesIn(value string) []route {
	var out []route
	for _, m := range regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>,;|]+`).FindAllString(value, -1) {
		if u, err := url.Parse(m); err == nil && u.Hostname() != "" {
			out = append(out, routeOf(u.Hostname()+u.EscapedPath(), false, firedrill.Position{}))
		}
	}
	bare := regexp.MustCompile(`^(//)?[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+(:\d+)?(/.*)?$`)
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t\r\n\"'<>,;|[]{}()", r) }) {
		if bare.MatchString(word) {
			out = append(out, routeOf(strings.TrimPrefix(word, "//"), false, firedrill.Position{}))
		}
	}
	return out
}
