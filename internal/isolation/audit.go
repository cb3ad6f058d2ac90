package isolation

import (
	"path"
	"slices"

	"firedrill"
)

// File is a configuration of wrangler, by a path for people and its content.
type File struct {
	Path string
	Data []byte
}

// Plan is a firedrill.yaml by a path for people; Err is why it cannot be read.
type Plan struct {
	Path string
	Plan *firedrill.Plan
	Err  error
}

// Report is what an audit found.
type Report struct {
	Files        []string      `json:"files"`
	Environments []Environment `json:"environments"`
	Accounts     []Seen        `json:"accounts,omitempty"` // that were asked
	Findings     []Finding     `json:"findings"`
}

// Fails tells whether anything counts.
func (r Report) Fails() bool { return slices.ContainsFunc(r.Findings, Finding.Counts) }

// Audit reads configurations and plans, and finds what one environment has of
// another. Files of variables count where a configuration lies beside them. What
// accounts hold, where they were asked, is held against the files. Environments of one name belong together, in whichever file they
// stand. The top level of a configuration is production, unless a name or another
// environment says otherwise; a plan's classes count before everything else.
func Audit(files []File, plans []Plan, accounts ...Account) Report {
	a := &audit{envs: map[string]Environment{}}
	report := Report{Files: []string{}, Environments: []Environment{}, Findings: []Finding{}}
	classes := map[string]bool{} // of the plans' environments: production or not
	for _, p := range plans {
		if p.Err != nil {
			a.unreadablePlan(p)
			continue
		}
		for name, e := range p.Plan.Environments {
			classes[name] = e.Class == firedrill.ClassProduction
		}
	}
	var variables []File
	for _, f := range files {
		if IsEnvFile(path.Base(f.Path)) {
			variables = append(variables, f)
			continue
		}
		root, err := parse(f.Path, f.Data)
		if err == nil && generated(root) {
			continue
		}
		report.Files = append(report.Files, f.Path)
		if err != nil {
			a.unreadable(err.at, err.detail, "")
			continue
		}
		us := units(f.Path, root)
		a.add(us, place(us, classes))
	}
	for _, f := range variables {
		if beside(files, f) {
			report.Files = append(report.Files, f.Path)
			u, e := envUnit(f)
			a.add([]unit{u}, []Environment{e})
		}
	}
	a.unify()
	for _, p := range plans {
		report.Files = append(report.Files, p.Path)
		if p.Err == nil {
			a.addPlan(*p.Plan)
		}
	}
	a.resolve()
	a.hold(accounts)
	a.sharing()
	a.workers()
	a.addresses()
	a.variables()
	a.placeholders()
	a.drops()
	a.twins()
	a.unreadBindings()
	for _, acc := range accounts {
		a.live(acc)
		report.Accounts = append(report.Accounts, acc.seen())
	}
	report.Findings = append(report.Findings, sorted(a.found)...)
	for _, name := range a.names {
		report.Environments = append(report.Environments, a.envs[name])
	}
	return report
}

// audit is one in progress.
type audit struct {
	units []unit
	envs  map[string]Environment
	names []string // of the environments, in the order in which they were heard of
	found []Finding
}

// apart tells whether two environments must share nothing: they are different,
// and not both production.
func (a *audit) apart(x, y string) bool {
	return x != y && (!a.envs[x].Production || !a.envs[y].Production)
}

// level of a finding between two environments.
func (a *audit) level(x, y string) Level {
	if a.envs[x].Production || a.envs[y].Production {
		return LevelError
	}
	return LevelWarning
}

// title names an environment in a sentence.
func title(env string) string {
	switch env {
	case topLevel:
		return "production (the top level)"
	case besides:
		return "the top level"
	}
	return env
}

// report adds a finding; where is its place in the configuration.
func (a *audit) report(f Finding, where string) {
	f.identify(where)
	a.found = append(a.found, f)
}
