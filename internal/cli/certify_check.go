package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/certify"
	"firedrill/internal/cli/term"
	"firedrill/internal/drplan"
	"firedrill/internal/isolation"
)

// prerequisites looks at what the baseline needs. It looks now, each time, so that
// nothing of it can be out of date.
func (a *app) prerequisites(ctx context.Context, s *station, p *firedrill.Plan) ([]certify.Item, error) {
	says := p.Certification
	if says == nil {
		says = &firedrill.Certification{}
	}
	audit, err := a.isolated(p, says.Isolation)
	if err != nil {
		return nil, err
	}
	documents, err := a.documented(ctx, s, p, says.Documents)
	if err != nil {
		return nil, err
	}
	return []certify.Item{
		{ID: certify.NeedIsolation, Check: audit},
		{ID: certify.NeedDocuments, Check: documents},
		{ID: certify.NeedSecrets, Absent: "this version does not look for secrets"},
	}, nil
}

// documented tells whether the recovery documents of the plan say what ran last. The
// score in them is left out: it would depend on itself.
func (a *app) documented(ctx context.Context, s *station, p *firedrill.Plan, files []string) (*certify.Check, error) {
	check := &certify.Check{At: a.Now()}
	if len(files) == 0 {
		check.Detail, check.Remedy = "the plan names no recovery document", "name them in the plan: certification: {documents: [FILE]}"
		return check, nil
	}
	facts, err := a.documentFacts(ctx, s, p)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		file := filepath.Join(filepath.Dir(p.File), filepath.FromSlash(name))
		check.Remedy = "firedrill docs update " + file
		data, _, err := readDocument(file)
		if err != nil {
			check.Detail = name + " cannot be read: " + err.Error()
			return check, nil //nolint:nilerr // the check says it
		}
		u, err := drplan.Update(file, data, facts)
		if err != nil {
			check.Detail = err.Error()
			return check, nil //nolint:nilerr // the check says it
		}
		if len(u.Changes) > 0 {
			check.Detail = fmt.Sprintf("%s:%d is stale: %s", name, max(1, u.Changes[0].Line), u.Changes[0].What)
			return check, nil
		}
	}
	check.OK, check.Remedy = true, ""
	check.Detail = fmt.Sprintf("%s current", strings.Join(files, ", "))
	return check, nil
}

// isolated makes the isolation audit. A folder without a configuration of wrangler
// is not clean: nothing was looked at.
func (a *app) isolated(p *firedrill.Plan, in firedrill.IsolationCheck) (*certify.Check, error) {
	base := filepath.Dir(p.File)
	dir := filepath.Join(base, filepath.FromSlash(in.Folder))
	check := &certify.Check{At: a.Now(), Remedy: "firedrill audit isolation " + dir}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		check.Detail, check.Remedy = "there is no folder "+dir, "name it in the plan: certification: {isolation: {folder: DIR}}"
		return check, nil //nolint:nilerr // the check says it
	}
	files, plans, err := a.configurations(dir, p)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		check.Detail, check.Remedy = "there is no wrangler configuration below "+dir, "name their folder in the plan: certification: {isolation: {folder: DIR}}"
		return check, nil
	}
	r := isolation.Audit(files, plans)
	accepted := ""
	if in.Baseline != "" {
		o := auditOptions{baseline: filepath.Join(base, filepath.FromSlash(in.Baseline))}
		b, err := o.readBaseline()
		if err != nil {
			return nil, err
		}
		b.Apply(&r, a.Now())
		check.Remedy += " --baseline " + o.baseline
		if n := acceptedIn(r); n > 0 {
			accepted = ", " + term.Plural(n, "finding") + " accepted"
		}
	}
	check.OK = !r.Fails()
	check.Detail = fmt.Sprintf("the audit of %s in %s found something", term.Plural(int64(len(r.Environments)), "environment"), term.Plural(int64(len(r.Files)), "file"))
	if check.OK {
		check.Detail = fmt.Sprintf("%s in %s looked at%s", term.Plural(int64(len(r.Environments)), "environment"), term.Plural(int64(len(r.Files)), "file"), accepted)
		check.Remedy = ""
	}
	return check, nil
}

func acceptedIn(r isolation.Report) (n int64) {
	for _, f := range r.Findings {
		if f.Accepted != nil {
			n++
		}
	}
	return n
}

// onDay writes a moment as people plan with it.
func onDay(at time.Time) string { return at.Local().Format(time.DateOnly) }
