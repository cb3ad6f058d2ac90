package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/drplan"
	"firedrill/internal/plan"
)

// importOptions are the flags of `import`.
type importOptions struct {
	output, format string
	force, lint    bool
}

func (a *app) importCommand() *cobra.Command {
	var o importOptions
	formats := []string{"text", "json", "sarif"}
	c := &cobra.Command{
		Use: "import FILE", Short: "Read a plan document (Markdown) into a firedrill.yaml, and list what in it cannot work",
		Long: `Import reads a disaster-recovery plan in Markdown into a firedrill.yaml: drills,
frequencies, targets, and the databases, namespaces, Workers and addresses that its
commands name. Comments say what to fill in, and in which line something stands. It
calls nobody, and never overwrites a plan without --force.

It also lists what in the document cannot work as it is written, with line, reason
and remedy: commands that wrangler has not, a bookmark before the row that it should
protect, a test row that is not in the backup, Time Travel of a deleted database, a
score that never decays, and more.

With --lint no plan is written: exit status 1 if anything is found.`,
		Example: `  firedrill import DR_DRILL_PLAN.md
  firedrill import DR_DRILL_PLAN.md -o drills/firedrill.yaml
  firedrill import DR_DRILL_PLAN.md --lint --format sarif > plan.sarif`,
		Args: args(1, 1, "one document"),
		RunE: func(_ *cobra.Command, files []string) error {
			if a.global.json {
				o.format = "json"
			}
			if !slices.Contains(formats, o.format) {
				return usage(fmt.Sprintf("there is no format %q", o.format), didYouMean(o.format, formats, "text, json or sarif"))
			}
			return a.importDocument(files[0], o)
		},
	}
	c.Flags().StringVarP(&o.output, "output", "o", "", "the plan's `FILE` (default: that of --plan, or firedrill.yaml here)")
	c.Flags().BoolVar(&o.force, "force", false, "overwrite a plan that is there")
	c.Flags().BoolVar(&o.lint, "lint", false, "write no plan, list what cannot work: exit status 1 if anything cannot")
	c.Flags().StringVar(&o.format, "format", "text", "`how` to print what is found: text, json, sarif")
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return formats, cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.RegisterFlagCompletionFunc("format", complete); err != nil {
		panic(err) // the flag is there: it was made above
	}
	return c
}

// importedDocument is what --json prints.
type importedDocument struct {
	SchemaVersion int              `json:"schema_version"`
	File          string           `json:"file"`
	Plan          *string          `json:"plan"` // null with --lint
	Drills        []string         `json:"drills"`
	Open          []string         `json:"open"` // what the document does not say
	Findings      []drplan.Finding `json:"findings"`
}

func (a *app) importDocument(file string, o importOptions) error {
	data, _, err := readDocument(file)
	if err != nil {
		return err
	}
	if o.lint {
		findings, err := drplan.Findings(file, data)
		if err != nil {
			return err
		}
		if err := a.tellImport(file, "", drplan.Imported{Findings: findings}, o); err != nil {
			return err
		}
		if len(findings) > 0 {
			return exitStatus(firedrill.ExitFailed)
		}
		return nil
	}
	target := cmp.Or(o.output, a.global.plan, planName)
	if _, err := os.Lstat(target); err == nil && !o.force {
		return usage(target+" is there already", "name another with -o FILE, write it anew with --force, or only look at the document with --lint")
	}
	c, err := a.plain()
	if err != nil {
		return err
	}
	in, err := drplan.Import(file, data, c.library.Names())
	if err != nil {
		return err
	}
	if _, err := plan.Parse(target, in.Plan, c.registry, c.library); err != nil {
		return &firedrill.Error{Op: "import", Kind: firedrill.KindInternal, Target: target, Detail: "the plan that was read is not sound; nothing was written", Err: err}
	}
	if err := writeNew(target, in.Plan, o.force, "import"); err != nil {
		return err
	}
	return a.tellImport(file, target, in, o)
}

func (a *app) tellImport(file, target string, in drplan.Imported, o importOptions) error {
	switch o.format {
	case "json":
		d := importedDocument{SchemaVersion: 1, File: file, Drills: append([]string{}, in.Drills...), Open: append([]string{}, in.Open...), Findings: append([]drplan.Finding{}, in.Findings...)}
		if target != "" {
			d.Plan = &target
		}
		return a.printJSON(d)
	case "sarif":
		return importSARIF(a.Stdout, filepath.ToSlash(file), in.Findings, version())
	}
	for _, f := range in.Findings {
		a.out.Line(term.Bad, "cannot work", fmt.Sprintf("%s:%d %s", file, f.Line, f.Rule))
		a.out.Line(term.Plain, "", f.Message)
		a.out.Line(term.Plain, "", f.Remedy)
	}
	if len(in.Findings) > 0 {
		a.out.Blank()
		a.out.Line(term.Plain, "found", term.Plural(int64(len(in.Findings)), "place")+" that cannot work as written")
	} else {
		a.out.Line(term.Good, "found", "nothing that cannot work as written")
	}
	if target == "" {
		return nil
	}
	for _, open := range in.Open {
		a.out.Line(term.Plain, "to fill in", open)
	}
	a.out.Line(term.Plain, "drills", first(strings.Join(in.Drills, ", "), "none can run yet").(string))
	a.out.Line(term.Plain, "plan", target+", with comments that say what to fill in")
	a.out.Line(term.Plain, "next", "firedrill validate · firedrill audit isolation · firedrill plan "+first(firstOf(in.Drills), "DRILL").(string))
	return nil
}
