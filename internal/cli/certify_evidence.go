package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/certify"
	"firedrill/internal/evidence"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/runner"
)

// mostLooked bounds how many runs of other subjects are passed over: plans that
// share a state folder may have drills of one name.
const mostLooked = 64

// gatherer collects what is known about the requirements of a rubric.
type gatherer struct {
	a      *app
	s      *station
	j      runner.Journal
	p      *firedrill.Plan
	rubric certify.Rubric
	read   map[string][]firedrill.Record // by run
	made   map[string]*firedrill.Program // by drill and environment; nil: it cannot run there
	sealed evidence.Bundles
	said   map[string][]firedrill.Remark // by run
}

// certificate computes the score of a plan from what ran, and from checks that it
// makes now.
func (a *app) certificate(ctx context.Context, s *station, p *firedrill.Plan) (certify.Rubric, certify.Result, error) {
	rubric, err := certify.RubricOf(p.Certification)
	if err != nil {
		return rubric, certify.Result{}, &firedrill.Error{Op: "certify", Kind: firedrill.KindUsage, Target: p.File, Err: err}
	}
	g := &gatherer{a: a, s: s, j: s.journal, p: p, rubric: rubric, read: map[string][]firedrill.Record{}, made: map[string]*firedrill.Program{}}
	if m, is := s.home.(interface {
		Current(ctx context.Context) (*journal.Journal, error)
	}); is {
		// A bucket is looked through once, not at every question.
		if g.j, err = m.Current(ctx); err != nil {
			return rubric, certify.Result{}, err
		}
	}
	if g.sealed, err = evidence.Sealed(s.home.Dir()); err != nil {
		return rubric, certify.Result{}, err
	}
	if g.said, err = evidence.Remarks(s.home.Dir()); err != nil {
		return rubric, certify.Result{}, err
	}
	items, err := a.prerequisites(ctx, s, p)
	if err != nil {
		return rubric, certify.Result{}, err
	}
	for _, w := range rubric.Items {
		more, err := g.items(ctx, w)
		if err != nil {
			return rubric, certify.Result{}, err
		}
		items = append(items, more...)
	}
	return rubric, certify.Evaluate(rubric, items, a.Now()), nil
}

// items gives the drills that stand for a requirement, with their runs.
func (g *gatherer) items(ctx context.Context, w certify.Wanted) ([]certify.Item, error) {
	switch {
	case w.Use == "" && len(w.Drills) == 0:
		return []certify.Item{{ID: w.ID, Absent: "this version has nothing that shows it, and the rubric names no drill for it"}}, nil
	case w.Use != "" && !slices.Contains(g.s.library.Names(), w.Use):
		return []certify.Item{{ID: w.ID, Absent: "this version has no drill " + w.Use}}, nil
	}
	var items []certify.Item
	for _, d := range g.standing(w) {
		it := certify.Item{ID: w.ID, Drill: d.Name}
		every := d.Every
		if every == "" {
			every = w.Every
		}
		var err error
		if it.Runs, it.Remark, err = g.runs(ctx, d, every); err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// standing gives the drills of the plan that stand for a requirement. One that is
// planned where nothing counts stands for it only where no other does.
func (g *gatherer) standing(w certify.Wanted) []firedrill.Drill {
	var here, elsewhere []firedrill.Drill
	for _, d := range g.p.Drills {
		if (d.Use == "" || d.Use != w.Use) && !slices.Contains(w.Drills, d.Name) {
			continue
		}
		if prog := g.program(d, ""); prog != nil && slices.Contains(g.rubric.Classes, prog.Environment.Class) {
			here = append(here, d)
		} else {
			elsewhere = append(elsewhere, d)
		}
	}
	if len(here) > 0 {
		return here
	}
	return elsewhere
}

// program gives a drill as it would run on an environment, nil if it cannot there.
// An environment "" is the plan's own choice.
func (g *gatherer) program(d firedrill.Drill, env string) *firedrill.Program {
	key := d.Name + " " + env
	prog, ok := g.made[key]
	if ok {
		return prog
	}
	prog, err := plan.Program(g.p, d.Name, env, g.s.registry, g.s.library)
	if err != nil {
		prog = nil
	} else {
		g.made[d.Name+" "+prog.Environment.Name] = prog
	}
	g.made[key] = prog
	return prog
}

// runs gives those runs of a drill that can decide. Where it only ran where nothing
// counts, it gives some of those, so that this can be said.
func (g *gatherer) runs(ctx context.Context, d firedrill.Drill, every string) (runs []certify.Run, remark string, err error) {
	var here, elsewhere []string
	for _, name := range slices.Sorted(maps.Keys(g.p.Environments)) {
		if slices.Contains(g.rubric.Classes, g.p.Environments[name].Class) {
			here = append(here, name)
		} else {
			elsewhere = append(elsewhere, name)
		}
	}
	if runs, remark, err = g.runsOn(ctx, d, every, here); err != nil || len(runs) > 0 {
		return runs, remark, err
	}
	return g.runsOn(ctx, d, every, elsewhere)
}

// runsOn gives, on each of some environments, the newest run that passed, that failed,
// that left it dirty, and the newest of all.
func (g *gatherer) runsOn(ctx context.Context, d firedrill.Drill, every string, environments []string) (runs []certify.Run, remark string, err error) {
	for _, name := range environments {
		prog := g.program(d, name)
		if prog == nil {
			continue
		}
		seen := map[string]bool{}
		var since time.Time // older runs decide nothing any more
		for _, q := range []journal.Query{{Verdict: firedrill.Passed}, {Verdict: firedrill.Failed}, {State: firedrill.Dirty}, {}} {
			q.Drill, q.Environment = d.Name, name
			run, more, err := g.newest(ctx, q, *prog, since)
			if err != nil {
				return nil, "", err
			}
			if more {
				remark = fmt.Sprintf("the last %d runs of this name were of something else; older ones were not looked at", mostLooked)
			}
			if run == nil || seen[run.ID] {
				continue
			}
			seen[run.ID] = true
			evidence, err := g.evidence(*run, every)
			if err != nil {
				return nil, "", err
			}
			runs = append(runs, evidence)
			if q.Verdict == firedrill.Passed {
				since = run.Finished
			}
		}
	}
	return runs, remark, nil
}

// newest finds the newest finished run of a query that drilled what the plan names
// now, and did not end before a moment. more tells that it gave up.
func (g *gatherer) newest(ctx context.Context, q journal.Query, prog firedrill.Program, since time.Time) (found *journal.Run, more bool, err error) {
	const page = 8
	q.Limit = page
	for range mostLooked / page {
		runs, err := g.j.Runs(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, run := range runs {
			if run.Finished.IsZero() {
				continue
			}
			if run.Finished.Before(since) {
				return nil, false, nil
			}
			fits, err := g.fits(ctx, run, prog)
			if err != nil {
				return nil, false, err
			}
			if fits {
				return &run, false, nil
			}
		}
		if len(runs) < page {
			return nil, false, nil
		}
		q.Before = runs[page-1].Started
	}
	return nil, true, nil
}

// fits tells whether a run was a drill of what the plan names now. Its name alone
// does not tell: several plans may share a state folder, and plans change.
func (g *gatherer) fits(ctx context.Context, run journal.Run, prog firedrill.Program) (bool, error) {
	records, ok := g.read[run.ID]
	if !ok {
		var err error
		if records, err = g.j.Records(ctx, run.ID); err != nil {
			return false, err
		}
		g.read[run.ID] = records
	}
	started, is := records[0].Body.(firedrill.RunStarted)
	return is && started.Program.Incident == nil && subjectOf(started.Program) == subjectOf(prog), nil
}

// subjectOf names what a program drills: which drill, on which account, with which
// resources.
func subjectOf(p firedrill.Program) string {
	api, _ := p.Environment.Settings["api"].(string)
	if api == "" {
		api = cloudflare.DefaultAPI
	}
	parts := []string{p.Use, p.Environment.Provider, strings.TrimRight(api, "/"), fmt.Sprint(p.Environment.Settings["account"])}
	for _, k := range slices.Sorted(maps.Keys(p.Inputs)) {
		if r, is := p.Inputs[k].(map[string]any); is {
			parts = append(parts, fmt.Sprintf("%s: %v %v %v", k, r["kind"], r["name"], r["id"]))
		}
	}
	return strings.Join(parts, "\n")
}

// evidence tells what a run is worth as evidence: its result is computed from its
// records, and has to be what the journal and the run's folder say.
func (g *gatherer) evidence(run journal.Run, every string) (certify.Run, error) {
	out := certify.Run{}
	r, err := g.a.describe(g.s, g.read[run.ID])
	if err != nil {
		return out, err
	}
	out.Past = past(r, g.said[r.Run])
	if out.Problem = g.contradiction(run, r); out.Problem == "" {
		if out.Problem, err = g.unverified(run, r); err != nil {
			return out, err
		}
	}
	until, err := expires(every, g.rubric.Grace, r.Finished)
	if err != nil && out.Problem == "" {
		out.Problem = "neither the drill nor the rubric says how often (every), so nobody can tell whether it is fresh"
	}
	out.Expires = until
	ok := out.Problem == ""
	out.Verified = &ok
	return out, nil
}

// unverified names what is wrong with a run's signed evidence, "" if nothing is.
func (g *gatherer) unverified(run journal.Run, r firedrill.Result) (string, error) {
	facts, problem, err := g.sealed.Check(run.ID, g.s.home.RunPath(run.ID))
	switch {
	case err != nil:
		return "", err
	case problem != "":
		return problem + ": firedrill evidence verify", nil
	case facts.Verdict != r.Verdict || facts.State != r.State || facts.Drill != r.Drill || facts.Environment != r.Environment || facts.Class != r.Class:
		return fmt.Sprintf("its sealed evidence says %s and %s, its records say %s and %s", facts.Verdict, facts.State, r.Verdict, r.State), nil
	}
	return "", nil
}

// contradiction names what does not agree about a run, "" if all does. A folder
// without a result is none: the records are what counts.
func (g *gatherer) contradiction(run journal.Run, r firedrill.Result) string {
	if r.Verdict != run.Verdict || r.State != run.State || r.Drill != run.Drill || r.Environment != run.Environment {
		return fmt.Sprintf("its records say %s and %s, the journal's list says %s and %s", r.Verdict, r.State, run.Verdict, run.State)
	}
	kept, err := readResult(g.s.home.RunPath(run.ID))
	if err != nil {
		return ""
	}
	if kept.Run != r.Run || kept.Verdict != r.Verdict || kept.State != r.State || kept.Drill != r.Drill || kept.Environment != r.Environment ||
		kept.Class != r.Class && kept.Class != "" || !kept.Finished.Equal(r.Finished) {
		return "its records and the result in its folder differ: firedrill show " + run.ID
	}
	return ""
}
