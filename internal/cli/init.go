package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/draft"
	"firedrill/internal/isolation"
	"firedrill/internal/plan"
)

// initOptions are the flags of `init`.
type initOptions struct {
	force, strict bool
	as, name      string
}

func (a *app) initCommand() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use: "init [DIR]", Short: "Write a first firedrill.yaml from the wrangler configurations below a folder",
		Long: `Init reads every wrangler configuration (JSON, JSONC, TOML) below a folder and
writes a plan into it: environments and their classes, databases, namespaces and
Workers, the health routes that stand in the code, and the drills that apply.
Comments say what to fill in. It calls nobody.

It audits the isolation of the environments first. What one environment has of
another is left out of it and told in a comment; with --strict nothing is written.

The top level of a configuration counts as production unless something says
otherwise, and no drill runs on production: where nothing else is found, a staging
environment is proposed, to be made. --as says what the top level really is.`,
		Example: `  firedrill init
  firedrill init ./workers --strict
  firedrill init --as sandbox      for firedrill sandbox up`,
		Args: args(0, 1, "one folder"),
		RunE: func(_ *cobra.Command, dirs []string) error {
			dir := "."
			if len(dirs) > 0 {
				dir = dirs[0]
			}
			return a.init(dir, o)
		},
	}
	c.Flags().BoolVar(&o.force, "force", false, "overwrite a plan that is there")
	c.Flags().BoolVar(&o.strict, "strict", false, "write nothing if the isolation audit finds anything that counts")
	c.Flags().StringVar(&o.as, "as", "", "the `class` of top levels that no name says more about: sandbox, ci, staging or production")
	c.Flags().StringVar(&o.name, "name", "", "the plan's `name` (default: the folder's)")
	return c
}

// initDocument is what --json prints.
type initDocument struct {
	SchemaVersion int                 `json:"schema_version"`
	Plan          string              `json:"plan"`
	Environments  []string            `json:"environments"`
	Drills        []string            `json:"drills"`
	Findings      []isolation.Finding `json:"findings"`
}

func (a *app) init(dir string, o initOptions) error {
	classes := []string{"sandbox", "ci", "staging", "production"}
	if o.as != "" && !slices.Contains(classes, o.as) {
		return usage(fmt.Sprintf("there is no class %q", o.as), didYouMean(o.as, classes, "sandbox, ci, staging or production"))
	}
	target := filepath.Join(dir, planName)
	if _, err := os.Lstat(target); err == nil && !o.force {
		return usage(target+" is there already", "look at it: firedrill validate; or write it anew: firedrill init --force")
	}
	files, plans, err := a.configurations(dir)
	if err != nil {
		return err
	}
	// The plan that is to be overwritten has no say.
	plans = slices.DeleteFunc(plans, func(p isolation.Plan) bool { return p.Path == planName })
	deployments := isolation.Deployments(files)
	if len(deployments) == 0 {
		return usage("there is no Worker in a wrangler configuration below "+dir, "go to the folder that has wrangler.jsonc or wrangler.toml, or name it: firedrill init DIR; to see drills first: firedrill demo")
	}
	report := isolation.Audit(files, plans)
	if o.strict && report.Fails() {
		auditText(a.err, report, nil, nil)
		return &firedrill.Error{Op: "init", Kind: firedrill.KindGuard, Target: target, Detail: "the environments are not isolated; nothing was written", Remedy: "repair what was found, or leave out --strict"}
	}
	if o.name == "" {
		whole, err := filepath.Abs(dir)
		if err != nil {
			return &firedrill.Error{Op: "init", Kind: firedrill.KindStorage, Target: dir, Err: err}
		}
		o.name = filepath.Base(whole)
	}
	text := draft.Plan(draft.Input{Name: o.name, Deployments: deployments, Report: report, Health: healthRoutes(dir, deployments), Top: firedrill.Class(o.as)})
	c, err := a.plain()
	if err != nil {
		return err
	}
	p, err := plan.Parse(target, text, c.registry, c.library)
	if err != nil {
		return &firedrill.Error{Op: "init", Kind: firedrill.KindInternal, Target: target, Detail: "the plan that was drafted is not sound; nothing was written", Err: err}
	}
	if err := writeNew(target, text, o.force, "init"); err != nil {
		return err
	}
	return a.tellInit(p, report, text)
}

// writeNew writes a file that must not be there, unless force is given, for a command.
func writeNew(path string, data []byte, force bool, command string) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o644) //nolint:gosec // it is kept with the code, for others to read
	if errors.Is(err, fs.ErrExist) {
		return usage(path+" is there already", "write it anew: firedrill "+command+" --force")
	}
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return &firedrill.Error{Op: command, Kind: firedrill.KindStorage, Target: path, Err: err, Remedy: "name a folder that can be written to"}
	}
	return nil
}

func (a *app) tellInit(p *firedrill.Plan, report isolation.Report, text []byte) error {
	d := initDocument{SchemaVersion: 1, Plan: p.File, Environments: []string{}, Drills: []string{}, Findings: report.Findings}
	for name := range p.Environments {
		d.Environments = append(d.Environments, name)
	}
	slices.Sort(d.Environments)
	for _, drill := range p.Drills {
		d.Drills = append(d.Drills, drill.Name)
	}
	if a.global.json {
		return a.printJSON(d)
	}
	counted := int64(0)
	for _, f := range report.Findings {
		if f.Counts() {
			counted++
			a.err.Line(term.Warn, string(f.Level), f.At.String()+" "+f.Message)
		}
	}
	for _, name := range d.Environments {
		e := p.Environments[name]
		a.out.Line(term.Strong, name, fmt.Sprintf("class %s · %s", e.Class, term.Plural(int64(len(e.Resources)), "resource")))
	}
	a.out.Line(term.Plain, "drills", first(strings.Join(d.Drills, ", "), "none applies").(string))
	if counted > 0 {
		a.out.Line(term.Warn, "isolation", term.Plural(counted, "finding")+" that a drill must not meet; they stand at the head of the plan: firedrill audit isolation")
	}
	if n := strings.Count(strings.ToLower(string(text)), "fill in"); n > 0 {
		a.out.Line(term.Plain, "to fill in", fmt.Sprintf("what the comments say; search for %q in %s", "fill in", p.File))
	}
	a.out.Line(term.Plain, "next", "firedrill validate · firedrill doctor · firedrill plan "+first(firstOf(d.Drills), "DRILL").(string))
	return nil
}

// firstOf gives the first of some texts, "" if there is none.
func firstOf(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}
