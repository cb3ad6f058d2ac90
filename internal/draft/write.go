package draft

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"firedrill"
	"firedrill/internal/isolation"
)

// sandboxAPI and sandboxAccount are those of `firedrill sandbox up`.
const (
	sandboxAPI     = "http://127.0.0.1:8787/client/v4"
	sandboxAccount = "f17ed411f17ed411f17ed411f17ed411"
)

// Plan writes the plan. It passes `firedrill validate`.
func Plan(in Input) []byte {
	p := &page{}
	envs := gather(in)
	drills := drillsOf(envs)
	p.line(0, "# The drills of %s, drafted by firedrill init from:", OneLine(in.Name))
	for _, f := range in.Report.Files {
		p.line(0, "#   %s", OneLine(f))
	}
	p.line(0, "# Fill in what is marked, then: firedrill validate, firedrill doctor, firedrill plan %s", firstName(drills))
	p.findings(in.Report.Findings)
	p.line(0, "version: 1")
	p.line(0, "name: %s", Slug(in.Name))
	p.line(0, "environments:")
	for _, e := range envs {
		p.environment(e)
	}
	p.drills(drills, envs)
	return p.Bytes()
}

// page is the text that grows.
type page struct{ bytes.Buffer }

func (p *page) line(depth int, format string, args ...any) {
	fmt.Fprintf(p, strings.Repeat("  ", depth)+format+"\n", args...)
}

func (p *page) findings(all []isolation.Finding) {
	told := false
	for _, f := range all {
		if !f.Counts() {
			continue
		}
		if !told {
			p.line(0, "#\n# What one environment has of another (firedrill audit isolation). Repair it before a\n# drill runs; until then it is left out below:")
			told = true
		}
		p.line(0, "#   %s %s %s: %s", f.Level, OneLine(f.At.String()), f.Rule, OneLine(f.Message))
	}
}

func (p *page) environment(e environment) {
	if e.proposed {
		p.line(1, "# Nothing but production was found, and no drill runs there. This environment is a\n  # proposal: make it (env.staging in wrangler's configurations), or, if what was found\n  # is not production, write the plan again: firedrill init --force --as staging")
	}
	p.line(1, "%s:", e.name)
	p.line(2, "class: %s # %s", e.class, OneLine(e.why))
	if e.drilled() && e.class == firedrill.ClassStaging {
		p.line(2, "# Drills damage a scratch copy here. If nobody else writes during a drill, they can damage\n    # the data itself, which proves more:\n    # exclusive: true")
	}
	switch {
	case e.local:
		p.line(2, "cloudflare:")
		p.line(3, "api: %s # firedrill sandbox up", sandboxAPI)
		p.line(3, "account: %s # of every sandbox", sandboxAccount)
		p.line(3, "token: {env: CLOUDFLARE_API_TOKEN} # firedrill sandbox env")
	case e.drilled():
		p.line(2, "cloudflare:")
		if e.account != "" {
			p.line(3, "account: %s", Quote(e.account))
		} else {
			p.line(3, "# account: 0123456789abcdef0123456789abcdef   # fill in: wrangler whoami")
		}
		p.line(3, "token: {env: CLOUDFLARE_API_TOKEN} # where the token stands; never the token itself")
	case e.account != "":
		p.line(2, "cloudflare: {account: %s}", Quote(e.account))
	}
	if len(e.resources) > 0 {
		p.line(2, "resources:")
	}
	for _, r := range e.resources {
		p.resource(e, r)
	}
	for _, n := range e.notes {
		p.line(3, "# %s", OneLine(n))
	}
}

func (p *page) resource(e environment, r resource) {
	if r.url == "" {
		fields := []string{"kind: " + r.kind}
		if r.name != "" {
			fields = append(fields, "name: "+Quote(r.name))
		}
		if r.id != "" && (!e.local || r.name == "") { // a sandbox makes ids from names
			fields = append(fields, "id: "+Quote(r.id))
		}
		p.line(3, "%s: {%s}", r.key, strings.Join(fields, ", "))
		if r.kind == "worker" && e.drilled() {
			p.line(3, "# fill in: no address of %s is known. With url and probes, a drill can see how it answers", r.key)
		}
		return
	}
	hint := ""
	if r.hint != "" {
		hint = " # " + r.hint
	}
	p.line(3, "%s:", r.key)
	p.line(4, "kind: %s", r.kind)
	p.line(4, "name: %s", Quote(r.name))
	p.line(4, "url: %s%s", Quote(r.url), hint)
	if r.health.Path == "" {
		p.line(4, "# fill in: no health route was seen in the code. One that depends on the data shows most")
		p.line(4, "# probes: [{path: /health, status: 200}]")
		return
	}
	p.line(4, "probes:")
	p.line(5, "# It stands in %s. Fill in what a healthy answer holds, for example", OneLine(r.health.At))
	p.line(5, "# json: {status: healthy} or contains: ok. Where no answer is checked, no drill can pass.")
	if r.below != "" && !strings.HasPrefix(r.health.Path, r.below) {
		p.line(5, "# fill in: the route takes only what is below %s", OneLine(r.below))
	}
	p.line(5, "- {path: %s, status: 200}", Quote(r.health.Path))
}

// drill is one of the plan.
type drill struct {
	name, text string
	lacks      string // what has to be filled in before it can run; "" for nothing
}

// drillsOf gives the drills that apply to the first environment that may be
// drilled, with the frequencies and targets that are usual for them.
func drillsOf(envs []environment) []drill {
	i := slices.IndexFunc(envs, environment.drilled)
	if i < 0 {
		return nil
	}
	e := envs[i]
	var out []drill
	add := func(kind, name, use, input, targets string) {
		var all []resource
		for _, r := range e.resources {
			if r.kind == kind && (kind != "worker" || r.url != "") {
				all = append(all, r)
			}
		}
		for _, r := range all {
			with := input + ": " + r.key
			lacks := ""
			switch {
			case kind == "worker" && r.health.Path == "":
				lacks = "give " + r.key + " a probe of the route that the bad version fails"
			case kind == "worker" && r.health.Path != "/health":
				with += ", path: " + Quote(r.health.Path)
			}
			n := name
			if len(all) > 1 && (lacks != "" || !only(all, r)) {
				n += "-" + r.key
			}
			out = append(out, drill{n, fmt.Sprintf("{on: %s, use: %s, with: {%s}, %s}", e.name, use, with, targets), lacks})
		}
	}
	add("d1", "d1-pitr", "d1-pitr", "database", "every: quarterly, rto: 15m, rpo: 30m")
	add("worker", "worker-rollback", "worker-rollback", "worker", "every: monthly, rto: 5m")
	add("kv", "kv-restore", "kv-backup-restore", "namespace", "every: quarterly, rto: 30m")
	return out
}

// only tells whether a Worker is the only one with a route to drill.
func only(all []resource, r resource) bool {
	return !slices.ContainsFunc(all, func(o resource) bool { return o.key != r.key && (o.kind != "worker" || o.health.Path != "") })
}

func (p *page) drills(all []drill, envs []environment) {
	if !slices.ContainsFunc(all, func(d drill) bool { return d.lacks == "" }) {
		for _, d := range all {
			p.line(0, "# %s: %s # fill in: %s", d.name, d.text, d.lacks)
		}
		p.line(0, "# No drill applies yet: add what is missing above, then see firedrill drill list")
		return
	}
	others := 0
	for _, e := range envs {
		if e.drilled() {
			others++
		}
	}
	p.line(0, "# rto: how long the recovery may take. rpo: how much may be lost. firedrill drill show NAME")
	p.line(0, "# tells what a drill does. unattended: true lets --yes stand for typing the environment's name.")
	if others > 1 {
		p.line(0, "# --env NAME runs a drill on another environment that has the same resources.")
	}
	p.line(0, "drills:")
	for _, d := range all {
		if d.lacks != "" {
			p.line(1, "# %s: %s # fill in: %s", d.name, d.text, d.lacks)
			continue
		}
		p.line(1, "%s: %s", d.name, d.text)
	}
}

func firstName(all []drill) string {
	if i := slices.IndexFunc(all, func(d drill) bool { return d.lacks == "" }); i >= 0 {
		return all[i].name
	}
	return "DRILL"
}

// plain is what needs no quotes in a flow of YAML and is read as a text there.
var plain = regexp.MustCompile(`^(https?://)?[A-Za-z/][A-Za-z0-9._/-]*(:[0-9]+)?$`)

// Quote writes a text as YAML.
func Quote(text string) string {
	if plain.MatchString(text) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(text)) {
		return text
	}
	return strconv.Quote(text)
}

// OneLine keeps a comment a comment.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
