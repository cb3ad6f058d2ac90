package cli

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/certify"
	"firedrill/internal/drplan"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
)

// certified gives the score as a document tells it.
func (a *app) certified(ctx context.Context, s *station, p *firedrill.Plan) (*drplan.Certification, error) {
	_, res, err := a.certificate(ctx, s, p)
	if err != nil {
		return nil, err
	}
	c := &drplan.Certification{Score: res.Score.Float(), Of: res.Of.Float()}
	if res.Level != certify.LevelNone {
		c.Level = titled(res.Level)
	}
	hardened := drplan.Item{ID: "baseline", Title: "hardening", Baseline: true, Points: res.Baseline.Points.Float(), Shown: res.Baseline.Counts}
	var missing []string
	for _, l := range res.Baseline.Needs {
		if !l.Counts {
			missing = append(missing, l.Title+": "+l.Decides().Why)
		}
	}
	if !hardened.Shown {
		hardened.Why = strings.Join(missing, "; ")
	}
	c.Items = append(c.Items, hardened)
	for _, l := range res.Items {
		e := l.Decides()
		it := drplan.Item{ID: l.ID, Title: l.Title, Drill: e.Drill, Points: l.Points.Float(), Shown: l.Counts, At: e.At}
		if !l.Counts {
			it.Why = e.Why
		}
		c.Items = append(c.Items, it)
	}
	return c, nil
}

// titled writes the name of a level as documents do: Data-Safe.
func titled(level string) string {
	parts := strings.Split(level, "-")
	for i, p := range parts {
		if p != "" {
			parts[i] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "-")
}

// someRuns is how many of a drill's runs are read at first. Mostly one of them passed;
// where none did, all are read.
const someRuns = 20

// documentFacts gathers what is known about each drill on its environment; the score
// is not part of it.
func (a *app) documentFacts(ctx context.Context, s *station, p *firedrill.Plan) (facts drplan.Facts, err error) {
	list, err := a.duties(ctx, s, p)
	if err != nil {
		return facts, err
	}
	for i, d := range p.Drills {
		prog, err := plan.Program(p, d.Name, a.global.env, s.registry, s.library)
		if err != nil {
			return facts, err
		}
		passed := func(p firedrill.Past) bool { return p.Verdict == firedrill.Passed }
		q := journal.Query{Drill: d.Name, Environment: prog.Environment.Name, Limit: someRuns}
		pasts, err := a.drilled(ctx, s, q)
		if err == nil && !slices.ContainsFunc(pasts, passed) {
			q.Limit = 0
			pasts, err = a.drilled(ctx, s, q)
		}
		if err != nil {
			return facts, err
		}
		doc := drplan.Drill{Name: d.Name, Title: prog.Title, Use: d.Use, Names: drilledNames(d, prog.Environment)}
		if len(pasts) > 0 {
			doc.Last = &pasts[0]
			details, err := pointsOf(ctx, s, pasts[0].Run)
			if err != nil {
				return facts, err
			}
			doc.Entries = []drplan.Entry{{Past: pasts[0], Details: details}}
		}
		if i := slices.IndexFunc(pasts, passed); i >= 0 {
			doc.Passed = &pasts[i]
		}
		if stands := list[i].stands; !stands.Due.IsZero() {
			due := stands.Due.In(list[i].table.Zone())
			doc.Due, doc.Overdue = &due, stands.Overdue
		}
		facts.Drills = append(facts.Drills, doc)
	}
	return facts, nil
}

// drilled gives the finished runs of a query that were drills, the newest first.
func (a *app) drilled(ctx context.Context, s *station, q journal.Query) ([]firedrill.Past, error) {
	pasts, err := a.pasts(ctx, s, q)
	return slices.DeleteFunc(pasts, func(p firedrill.Past) bool { return p.Incident }), err
}

// drilledNames are names by which people speak of what a drill works on: those of the
// plan and those of the platform.
func drilledNames(d firedrill.Drill, env firedrill.Environment) []string {
	names := []string{}
	for _, v := range d.Inputs {
		key, ok := v.(string)
		r, known := env.Resources[key]
		if !ok || !known {
			continue
		}
		names = append(names, key)
		if name, ok := r.Attrs["name"].(string); ok && name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// pointsOf gives what a run returned to: the bookmark, the versions, the backup.
func pointsOf(ctx context.Context, s *station, run string) ([]drplan.Detail, error) {
	records, err := s.journal.Records(ctx, run)
	if err != nil {
		return nil, err
	}
	var details []drplan.Detail
	recovers := map[string]bool{}
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.RunStarted:
			for _, step := range b.Program.Steps {
				recovers[step.ID] = step.Phase == firedrill.Recover
			}
		case firedrill.Intended:
			if !recovers[b.Step] || b.Role != firedrill.RoleDo {
				continue
			}
			for _, k := range []struct{ input, label string }{{"bookmark", "Bookmark"}, {"split", "Version"}, {"backup", "Backup"}} {
				v, ok := b.Resolved.Inputs[k.input].(string)
				if !ok || v == "" || slices.ContainsFunc(details, func(d drplan.Detail) bool { return d.Label == k.label }) {
					continue
				}
				if k.input == "backup" {
					v = filepath.Base(v) // where it stands on this machine is nobody's business
				}
				details = append(details, drplan.Detail{Label: k.label, Value: v})
			}
		}
	}
	return details, nil
}
