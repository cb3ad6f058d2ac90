package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"firedrill/internal/cli/term"
	"firedrill/internal/sandbox"
)

func (a *app) sandboxStatus(ctx context.Context, o sandboxOptions) error {
	dir, err := a.sandboxDir(o)
	if err != nil {
		return err
	}
	e, err := sandbox.Running(dir)
	if err != nil {
		return sandboxError(err)
	}
	st, err := e.Ask(ctx)
	if err != nil {
		return sandboxError(err)
	}
	if a.global.json {
		// The token is left out: what is printed ends up in logs.
		return a.printJSON(struct {
			API     string `json:"api"`
			Front   string `json:"front"`
			Account string `json:"account"`
			State   string `json:"state"`
			sandbox.Status
		}{e.API, e.Front, e.Account, dir, st})
	}
	a.printEndpoint(fmt.Sprintf("runs as process %d since %s", e.PID, e.Started.Local().Format("15:04:05")), e)
	a.out.Line(term.Plain, "  state", dir)
	a.printStatus(st)
	return nil
}

func (a *app) printStatus(st sandbox.Status) {
	line := func(label, format string, args ...any) {
		a.out.Line(term.Plain, "  "+label, fmt.Sprintf(format, args...))
	}
	for _, w := range st.Workers {
		var versions []string
		for _, v := range w.Versions {
			text := fmt.Sprintf("version %d", v.Number)
			if v.Percentage < 100 {
				text += fmt.Sprintf(" at %g %%", v.Percentage)
			}
			versions = append(versions, text)
		}
		line("worker", "%s   %s, deployed %s   %s", w.Name, strings.Join(versions, " and "), term.Ago(a.Now().Sub(w.Deployed)), w.URL)
	}
	for _, p := range st.Processes {
		switch {
		case p.PID == 0:
			a.out.Line(term.Bad, "  workerd", "DOWN: "+strings.Join(p.Workers, ", ")+"; it is being started again, see workers.log")
		case p.Restarts > 0:
			line("workerd", "process %d runs %s; it ended by itself %s", p.PID, strings.Join(p.Workers, ", "), term.Plural(int64(p.Restarts), "time"))
		default:
			line("workerd", "process %d runs %s", p.PID, strings.Join(p.Workers, ", "))
		}
	}
	for _, d := range st.Databases {
		line("database", "%s   %s   %s", d.Name, d.ID, sizeText(d.Size))
	}
	for _, n := range st.KV {
		line("KV", "%s   %s   %s", n.Name, n.ID, sizeText(n.Size))
	}
	for _, b := range st.Buckets {
		line("bucket", "%s", b)
	}
	for _, o := range st.Objects {
		line("objects", "%s of %s   %s   %s", o.Class, o.Worker, o.ID, term.Plural(int64(o.Objects), "object"))
	}
	for _, host := range slices.Sorted(maps.Keys(st.Hosts)) {
		line("host", "%s leads to %s", host, st.Hosts[host])
	}
	for _, s := range st.Stubs {
		a.out.Line(term.Bad, "  stub", fmt.Sprintf("%s of %s is a stub of %s: every call on it is refused", s.Binding, s.Worker, s.Type))
	}
	if st.Quotas {
		line("quotas", "counted")
	}
	if st.KVLag > 0 {
		line("KV lag", "%s", term.Seconds(st.KVLag))
	}
	if !st.Encryption {
		line("secrets", "not encrypted at rest; --secret-key does it")
	}
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
