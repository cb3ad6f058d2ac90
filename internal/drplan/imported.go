package drplan

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"firedrill/internal/draft"
)

// Imported is what a document says about drills.
type Imported struct {
	Plan     []byte   // firedrill.yaml
	Drills   []string // that the plan has
	Open     []string // what the document does not say, one sentence each
	Findings []Finding
}

// Import reads a document into a plan. name stands for it in errors and comments; uses
// are the built-in drills that there are. A document without drills is refused.
func Import(name string, data []byte, uses []string) (Imported, error) {
	r, err := readPlan(name, data)
	if err != nil {
		return Imported{}, err
	}
	p := r.planned(uses)
	if len(p.drills) == 0 && len(p.resources) == 0 {
		return Imported{}, refuse(name, 0, "no drill and no resource is recognised in it", "give the schedule the columns Drill and Frequency, and each drill a heading: ## Drill 1: D1 Point-in-Time Recovery")
	}
	out := Imported{Findings: r.findings()}
	out.Plan = p.write(name, len(out.Findings))
	for _, d := range p.drills {
		if d.lacks == "" {
			out.Drills = append(out.Drills, d.name)
		} else {
			out.Open = append(out.Open, d.title+": "+d.lacks)
		}
	}
	out.Open = append(out.Open, p.open...)
	return out, nil
}

// planned is a plan that is read out of a document.
type planned struct {
	name        string
	environment string
	resources   []resource // of the environment that is drilled
	production  []resource
	drills      []plannedDrill
	open        []string
	values      map[string]assigned // variables of the document
}

// resource is one that the document names.
type resource struct {
	key, kind      string
	name, id, url  string
	paths          []string // of its addresses that the document looks at
	line           int      // where it is named first
	binding, title string   // that the document gives an id
}

// plannedDrill is a drill of the document.
type plannedDrill struct {
	title, name, use string
	line             int
	with             []string // name: key
	every            string
	rto, rpo         time.Duration
	lacks            string // why it is only a comment; "" for nothing
}

var (
	titleOne     = regexp.MustCompile(`(?i)\b(?:disaster|recovery|dr|drills?|plan|the|of|for|and|runbook|document)\b`)
	onPlace      = regexp.MustCompile(`(?i)\b(?:against|on|in|environment:?|env)\s+\**([a-z][a-z0-9-]*)\**(?:\s+environment)?`)
	isProduction = regexp.MustCompile(`(?i)(?:^|[-_.])(?:prod|production|prd|live)(?:$|[-_.])`)
)

// planned reads environment, resources and drills.
func (r *reading) planned(uses []string) planned {
	p := planned{environment: r.environment(), values: map[string]assigned{}}
	for _, s := range r.sets {
		p.values[s.name] = s
	}
	if len(r.headings) > 0 && r.headings[0].level == 1 {
		p.name = strings.Join(strings.Fields(titleOne.ReplaceAllString(plainTitle(r.headings[0].text), " ")), " ")
	}
	for _, x := range r.resources(p.values) {
		if isProduction.MatchString(cmp.Or(x.name, x.title)) {
			p.production = append(p.production, x)
		} else {
			p.resources = append(p.resources, x)
		}
	}
	prefix := key(p.resources, p.environment)
	key(p.production, "production")
	p.name = cmp.Or(p.name, strings.TrimSuffix(prefix, "-"))
	p.drills = r.plannedDrills(&p, uses)
	return p
}

// environment is the one that the document drills: the one it says, or that the names
// of its resources and its commands end with. Production is never taken.
func (r *reading) environment() string {
	count := map[string]int{}
	for _, u := range r.units {
		for _, c := range u.calls {
			if e, ok := c.option("--env", "-e"); ok {
				count[e]++
			}
		}
	}
	for _, line := range r.plainLines(span{0, len(r.body)}) {
		for _, m := range onPlace.FindAllStringSubmatch(r.lineText(line), -1) {
			if e := strings.ToLower(m[1]); slices.Contains([]string{"staging", "stage", "test", "dev", "sandbox", "qa", "uat", "preprod"}, e) {
				count[e]++
			}
		}
	}
	best := "staging"
	for e, n := range count {
		if draft.Slug(e) == e && !isProduction.MatchString(e) && (n > count[best] || n == count[best] && e < best) {
			best = e
		}
	}
	return best
}

// resources gives what the commands of the document name.
func (r *reading) resources(values map[string]assigned) []resource {
	var all []resource
	add := func(x resource) {
		if i := slices.IndexFunc(all, func(o resource) bool { return o.kind == x.kind && o.name == x.name && o.id == x.id }); i < 0 {
			all = append(all, x)
		}
	}
	for _, u := range r.units {
		for _, c := range u.calls {
			if name := firstOf(c.arguments()); c.is("d1") && !c.is("d1", "list") && literalName.MatchString(name) {
				add(resource{kind: "d1", name: name, line: c.line})
			}
			if id, ok := c.option("--namespace-id"); ok && c.is("kv") {
				x := resource{kind: "kv", id: id, line: c.line}
				if s, isVar := values[strings.TrimPrefix(id, "$")]; isVar && strings.HasPrefix(id, "$") {
					x.id, x.title, x.line = s.value, s.comment, s.line
				}
				if hexID.MatchString(x.id) {
					x.binding, _, _ = strings.Cut(x.title, " ")
					add(x)
				}
			}
			for _, name := range workersOf(c) {
				if literalName.MatchString(name) {
					add(resource{kind: "worker", name: name, line: c.line})
				}
			}
		}
	}
	r.addresses(all)
	return all
}

// literalName is a name and no variable, gap or id.
var literalName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// workersOf gives the names of Workers that a call has, also where wrangler refuses them.
func workersOf(c command) []string {
	var names []string
	if c.is("deployments") || c.is("versions") || c.is("rollback") || c.is("tail") || c.is("delete") || c.is("deploy") || c.is("secret") {
		if n, ok := c.option("--name"); ok {
			names = append(names, n)
		}
	}
	if c.is("deployments", "list") || c.is("deployments", "status") || c.is("rollback") || c.is("versions", "list") {
		names = append(names, firstOf(c.arguments()))
	}
	return names
}

// addresses gives Workers the addresses that the document calls: one whose host has
// the Worker's name, or the end of it.
func (r *reading) addresses(all []resource) {
	for _, u := range r.units {
		for _, c := range u.calls {
			if c.words[0] != "curl" {
				continue
			}
			for _, w := range c.words[1:] {
				to, err := url.Parse(w)
				if err != nil || to.Scheme != "https" && to.Scheme != "http" || to.Host == "" || strings.ContainsAny(w, "$(…") {
					continue
				}
				label, _, _ := strings.Cut(to.Hostname(), ".")
				best := -1
				for i, x := range all {
					if x.kind == "worker" && (x.name == label || strings.HasSuffix(x.name, "-"+label)) && (best < 0 || len(x.name) < len(all[best].name)) {
						best = i
					}
				}
				if best < 0 || all[best].url != "" && all[best].url != to.Scheme+"://"+to.Host {
					continue
				}
				all[best].url = to.Scheme + "://" + to.Host
				if path := cmp.Or(to.Path, "/"); !slices.Contains(all[best].paths, path) {
					all[best].paths = append(all[best].paths, path)
				}
			}
		}
	}
}

// key gives resources the names by which the plan knows them: without what all of them
// begin with, which it gives, and without the environment at the end.
func key(all []resource, environment string) (prefix string) {
	for i, x := range all {
		head, _, cut := strings.Cut(x.name, "-")
		if x.name != "" && (!cut || prefix != "" && prefix != head+"-") {
			prefix = ""
			break
		}
		if x.name != "" && (i == 0 || prefix == "") {
			prefix = head + "-"
		}
	}
	taken := map[string]bool{}
	for i, x := range all {
		key := strings.TrimPrefix(x.name, prefix)
		for _, end := range []string{"-" + environment, "-prod", "-prd", "-live"} {
			key = strings.TrimSuffix(key, end)
		}
		key = draft.Slug(cmp.Or(key, x.binding, x.kind))
		if taken[key] {
			key += "-" + x.kind
		}
		for base, n := key, 2; taken[key]; n++ {
			key = fmt.Sprintf("%s-%d", base, n)
		}
		taken[key], all[i].key = true, key
	}
	return prefix
}

// plannedDrills gives the drills of the schedule and of the headings, each once.
func (r *reading) plannedDrills(p *planned, uses []string) []plannedDrill {
	var all []plannedDrill
	for _, t := range r.tables {
		columns, err := r.columns(t, scheduleColumns())
		at, named := columns["the drill"]
		often, timed := columns["the frequency"]
		if err != nil || !named || !timed {
			continue
		}
		for _, row := range t.rows[1:] {
			if at >= len(row.cells) || r.cell(row.cells[at]) == "" {
				continue
			}
			title := plainTitle(r.cell(row.cells[at]))
			d := plannedDrill{title: title, use: useOf(title), line: row.line}
			if often < len(row.cells) {
				if d.every = frequency(r.cell(row.cells[often])); d.every == "" {
					p.open = append(p.open, title+": the frequency "+r.cell(row.cells[often])+" is none that a plan knows")
				}
			}
			all = append(all, d)
		}
	}
	for _, u := range r.drills() {
		i := slices.IndexFunc(all, func(d plannedDrill) bool { return d.title == u.title })
		if i < 0 {
			i = slices.IndexFunc(all, func(d plannedDrill) bool { return d.use != "" && d.use == u.use && d.with == nil })
		}
		if i < 0 {
			all, i = append(all, plannedDrill{title: u.title, use: u.use, line: u.line}), len(all)
		}
		d := &all[i]
		if d.rto == 0 {
			d.rto, _ = r.target(u, timeTarget)
		}
		if d.rpo == 0 {
			d.rpo, _ = r.target(u, lossTarget)
		}
		p.inputs(d, u)
	}
	names := map[string]bool{}
	for i := range all {
		d := &all[i]
		if d.with == nil {
			p.inputs(d, unit{})
		}
		d.name = draft.Slug(cmp.Or(map[string]string{"kv-backup-restore": "kv-restore", "do-state-recovery": "do-recovery", "full-failover": "failover"}[d.use], d.use, d.title))
		if names[d.name] {
			d.name = draft.Slug(d.title)
		}
		for base, n := d.name, 2; names[d.name]; n++ {
			d.name = fmt.Sprintf("%s-%d", base, n)
		}
		names[d.name] = true
		switch {
		case d.use == "":
			d.lacks = "no built-in drill does this; write steps of its own (docs/formats/plan.md)"
		case !slices.Contains(uses, d.use):
			d.lacks = "there is no built-in drill " + d.use + " yet"
		}
	}
	return all
}

// inputs finds what a drill works on: what its commands name, or the only one of its kind.
func (p *planned) inputs(d *plannedDrill, u unit) {
	input, kind := "", ""
	switch d.use {
	case "d1-pitr":
		input, kind = "database", "d1"
	case "worker-rollback":
		input, kind = "worker", "worker"
	case "kv-backup-restore":
		input, kind = "namespace", "kv"
	default:
		if d.use != "" {
			d.lacks = "firedrill drill show " + d.use + " tells what it needs"
		}
		return
	}
	var fits, named []resource
	for _, x := range p.resources {
		if x.kind != kind {
			continue
		}
		fits = append(fits, x)
		if slices.ContainsFunc(u.calls, func(c command) bool { return p.mentions(c, x) }) {
			named = append(named, x)
		}
	}
	if len(named) > 0 {
		fits = named
	}
	switch {
	case len(fits) == 0:
		d.lacks = "the document names no " + map[string]string{"d1": "database", "kv": "namespace", "worker": "Worker"}[kind]
		return
	case kind == "worker" && len(fits[0].paths) == 0:
		d.lacks = "give " + fits[0].key + " an address and a probe of the route that a bad version fails"
		return
	}
	if len(fits) > 1 {
		p.open = append(p.open, d.title+": it fits several, of which "+fits[0].key+" is drilled")
	}
	d.lacks = ""
	d.with = []string{input + ": " + fits[0].key}
	if kind == "worker" && !slices.Contains(fits[0].paths, "/health") {
		d.with = append(d.with, "path: "+draft.Quote(fits[0].paths[0]))
	}
}

// mentions tells whether a call names a resource.
func (p *planned) mentions(c command, x resource) bool {
	return slices.ContainsFunc(c.words, func(w string) bool {
		if s, is := p.values[strings.TrimPrefix(w, "$")]; is && strings.HasPrefix(w, "$") {
			w = s.value
		}
		return x.name != "" && w == x.name || x.id != "" && strings.Contains(w, x.id)
	})
}

// frequency gives the word of a plan for one of a document; "" for none.
func frequency(text string) string {
	w := joined(text)
	for _, f := range []struct {
		every string
		said  []string
	}{
		{"weekly", []string{"weekly", "every week", "once a week", "1 week", "7 days"}},
		{"monthly", []string{"monthly", "every month", "once a month", "1 month", "30 days"}},
		{"quarterly", []string{"quarterly", "every quarter", "once a quarter", "every 3 months", "3 months", "90 days"}},
		{"semi-annual", []string{"semi annual", "semi annually", "semiannual", "semiannually", "biannual", "biannually", "half yearly", "every 6 months", "6 months", "twice a year"}},
		{"annual", []string{"annual", "annually", "yearly", "every year", "once a year", "12 months"}},
	} {
		if slices.Contains(f.said, w) {
			return f.every
		}
	}
	return ""
}
