package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/certify"
	"firedrill/internal/cli/term"
	"firedrill/internal/isolation"
)

// prerequisites looks at what the baseline needs. It looks now, each time, so that
// nothing of it can be out of date.
func (a *app) prerequisites(p *firedrill.Plan) ([]certify.Item, error) {
	says := p.Certification
	if says == nil {
		says = &firedrill.Certification{}
	}
	audit, err := a.isolated(p, says.Isolation)
	if err != nil {
		return nil, err
	}
	return []certify.Item{
		{ID: certify.NeedIsolation, Check: audit},
		a.documented(says.Documents),
		{ID: certify.NeedSecrets, Absent: "this version does not look for secrets"},
	}, nil
}

// documented tells whether the recovery documents of the plan are current.
func (a *app) documented(files []string) certify.Item {
	it := certify.Item{ID: certify.NeedDocuments}
	if len(files) == 0 {
		it.Check = &certify.Check{At: a.Now(), Detail: "the plan names no recovery document", Remedy: "name them in the plan: certification: {documents: [FILE]}"}
		return it
	}
	it.Absent = "this version cannot tell whether " + strings.Join(files, ", ") + " is current"
	return it
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
