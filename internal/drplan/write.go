package drplan

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"firedrill/internal/draft"
)

// page is the text that grows.
type page struct{ bytes.Buffer }

func (p *page) line(depth int, format string, args ...any) {
	fmt.Fprintf(p, strings.Repeat("  ", depth)+format+"\n", args...)
}

// write writes the plan. It passes `firedrill validate`.
func (p planned) write(document string, findings int) []byte {
	w := &page{}
	w.line(0, "# The drills of %s, read by firedrill import from:", draft.OneLine(cmp.Or(p.name, "a plan document")))
	w.line(0, "#   %s", draft.OneLine(document))
	if findings > 0 {
		w.line(0, "# %d places of it cannot work as they are written: firedrill import %s --lint", findings, draft.OneLine(document))
	}
	w.line(0, "# Fill in what is marked, then: firedrill validate, firedrill doctor, firedrill audit isolation")
	w.line(0, "version: 1")
	w.line(0, "name: %s", draft.Slug(cmp.Or(p.name, "drills")))
	w.line(0, "environments:")
	w.line(1, "%s:", p.environment)
	w.line(2, "class: staging # drills damage a scratch copy here, and ask before they begin")
	w.line(2, "cloudflare:")
	w.line(3, "# account: 0123456789abcdef0123456789abcdef   # fill in: wrangler whoami")
	w.line(3, "token: {env: CLOUDFLARE_API_TOKEN} # where the token stands; never the token itself")
	if len(p.resources) > 0 {
		w.line(2, "resources:")
	} else {
		w.line(2, "# fill in: the document names no resource")
	}
	for _, x := range p.resources {
		w.resource(x, true)
	}
	if len(p.production) > 0 {
		w.line(1, "production:")
		w.line(2, "class: production # by its names; everything in it is protected")
		w.line(2, "resources:")
		for _, x := range p.production {
			w.resource(x, false)
		}
	} else {
		w.line(1, "# fill in: what production has, so that no drill can reach it")
		w.line(1, "# production:")
		w.line(1, "#   class: production")
		w.line(1, "#   resources:")
		w.line(1, "#     primary: {kind: d1, name: …}")
	}
	w.drills(p.drills, p.environment)
	return w.Bytes()
}

func (w *page) resource(x resource, drilled bool) {
	fields := []string{"kind: " + x.kind}
	if x.name != "" {
		fields = append(fields, "name: "+draft.Quote(x.name))
	}
	if x.id != "" {
		fields = append(fields, "id: "+draft.Quote(x.id))
	}
	told := fmt.Sprintf(" # line %d", x.line)
	if x.title != "" {
		told += ": " + draft.OneLine(x.title)
	}
	if x.url == "" || !drilled {
		w.line(3, "%s: {%s}%s", x.key, strings.Join(fields, ", "), told)
		if x.kind == "worker" && drilled {
			w.line(3, "# fill in: no address of %s is known. With url and probes, a drill can see how it answers", x.key)
		}
		return
	}
	w.line(3, "%s:%s", x.key, told)
	w.line(4, "kind: %s", x.kind)
	w.line(4, "name: %s", draft.Quote(x.name))
	w.line(4, "url: %s", draft.Quote(x.url))
	w.line(4, "probes:")
	w.line(5, "# Fill in what a healthy answer holds, for example json: {status: healthy} or")
	w.line(5, "# contains: ok. Where no answer is checked, no drill can pass.")
	for _, path := range x.paths {
		w.line(5, "- {path: %s, status: 200}", draft.Quote(path))
	}
}

func (w *page) drills(all []plannedDrill, environment string) {
	begun := false
	for _, d := range all {
		if d.lacks == "" && !begun {
			w.line(0, "# rto: how long the recovery may take. rpo: how much may be lost. firedrill drill show NAME")
			w.line(0, "# tells what a drill does. unattended: true lets --yes stand for typing the environment's name.")
			w.line(0, "drills:")
			begun = true
		}
	}
	if !begun {
		w.line(0, "# No drill can run yet: fill in what is missing, and see firedrill drill list")
	}
	for _, d := range all {
		fields := []string{"on: " + environment}
		if d.use != "" {
			fields = append(fields, "use: "+d.use)
		}
		if len(d.with) > 0 {
			fields = append(fields, "with: {"+strings.Join(d.with, ", ")+"}")
		}
		if d.every != "" {
			fields = append(fields, "every: "+d.every)
		}
		if d.rto > 0 {
			fields = append(fields, "rto: "+short(d.rto))
		}
		if d.rpo > 0 {
			fields = append(fields, "rpo: "+short(d.rpo))
		}
		text := fmt.Sprintf("%s: {%s}", d.name, strings.Join(fields, ", "))
		switch {
		case d.lacks != "":
			w.line(1, "# fill in: %s (line %d): %s", draft.OneLine(d.title), d.line, draft.OneLine(d.lacks))
			w.line(1, "# %s", text)
		default:
			w.line(1, "%s # line %d", text, d.line)
		}
	}
}

// short writes a target as plans have it: "15m", "2h".
func short(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= u.of && d%u.of == 0 {
			return fmt.Sprintf("%d%s", d/u.of, u.name)
		}
	}
	return d.String()
}
