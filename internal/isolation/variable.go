package isolation

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"firedrill"
)

// owned is something of production that a value can lead to.
type owned struct {
	what string // in a sentence
	at   firedrill.Position
	env  string
}

// variables finds values that lead to what belongs to production: ids of its
// resources, its addresses, the default address of its Workers, names of its
// buckets and queues.
func (a *audit) variables() {
	ids, hosts, workers, names := map[string]owned{}, map[string]owned{}, map[string]owned{}, map[string]owned{}
	others := map[string]bool{} // what other environments have, too
	for _, u := range a.units {
		live := a.envs[u.env].Production
		keep := func(into map[string]owned, key string, what string, at firedrill.Position) {
			key = strings.ToLower(key)
			if !live {
				others[key] = true
			} else if _, known := into[key]; !known && key != "" {
				into[key] = owned{what, at, u.env}
			}
		}
		for _, r := range u.refs {
			if r.preview || placeholder(r.id) && r.id != "" {
				continue
			}
			if len(r.id) >= 16 {
				keep(ids, r.id, r.is(), r.at)
			}
			if r.id == "" && r.kind != kindWorker && !r.minor {
				keep(names, r.name, r.is(), r.at)
			}
		}
		for _, r := range u.routes {
			if !r.inherited && !strings.Contains(r.host(), "*") {
				keep(hosts, r.host(), "the address "+r.host(), r.at)
			}
		}
		if u.worker != "" {
			keep(workers, u.worker, "Worker "+u.worker, u.workerAt)
		}
	}
	for _, u := range a.units {
		if a.envs[u.env].Production {
			continue
		}
		for _, t := range u.texts {
			o, what, found := leads(t.value, ids, hosts, workers, names)
			if !found || others[strings.ToLower(what)] {
				continue
			}
			f := Finding{Rule: ForeignValue, Level: LevelError, At: t.at, Environment: u.env, Worker: u.worker, Kind: "variable", Resource: t.name,
				Message: fmt.Sprintf("%s of %s leads to %s", t.name, a.title(u.env), o.what)}
			if o.env != "" {
				f.Message += ", which belongs to " + a.title(o.env)
				f.Related = []Related{{o.at, a.title(o.env) + " has it here"}}
			}
			a.report(f, t.name)
		}
	}
}

// leads tells what of production a value leads to, and by which word of it.
func leads(value string, ids, hosts, workers, names map[string]owned) (owned, string, bool) {
	if o, is := names[strings.ToLower(value)]; is {
		return o, value, true
	}
	for _, word := range regexp.MustCompile(`[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}`).FindAllString(value, -1) {
		if o, is := ids[strings.ToLower(word)]; is {
			return o, word, true
		}
	}
	for _, host := range hostsIn(value) {
		if o, is := hosts[host]; is {
			return o, host, true
		}
		labels := strings.Split(host, ".")
		if o, is := workers[labels[0]]; is && strings.HasSuffix(host, ".workers.dev") {
			return o, labels[0], true
		}
		for _, l := range labels[:max(0, len(labels)-2)] {
			if _, production := wordOf(l); production {
				return owned{what: host + ", which is production by its name"}, host, true
			}
		}
	}
	return owned{}, "", false
}

// hostsIn finds the hosts of the addresses in a value, and a value that is a host.
func hostsIn(value string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>,;]+`).FindAllString(value, -1) {
		if u, err := url.Parse(m); err == nil && u.Hostname() != "" {
			out = append(out, strings.ToLower(u.Hostname()))
		}
	}
	if regexp.MustCompile(`^[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+$`).MatchString(value) {
		out = append(out, strings.ToLower(value))
	}
	return out
}
