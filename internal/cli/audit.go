package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/isolation"
	"firedrill/internal/plan"
)

func (a *app) auditCommand() *cobra.Command {
	c := &cobra.Command{Use: "audit", Short: "Find what could make a drill reach too far", RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(a.auditIsolationCommand())
	return c
}

// auditOptions are the flags of `audit isolation`.
type auditOptions struct {
	format, output   string
	baseline, accept string
	until            string
	live             bool
}

func (a *app) auditIsolationCommand() *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use: "isolation [DIR]", Short: "Find what one environment has of another",
		Long: `Audit isolation reads every wrangler configuration (JSON, JSONC, TOML) and every
firedrill.yaml below a folder, resolves each environment as wrangler does, and
finds resources of production in other environments: databases, namespaces,
buckets, queues, Workers, objects, routes, and variables that lead there. It also
tells of ids that are placeholders and of bindings that an environment lost,
because they are not inherited. Files of variables beside a configuration (.dev.vars,
.env) are read, too; their values are never shown.

With --live it also asks the accounts that plans name, and changes nothing there:
what Workers are really bound to, which databases, namespaces, buckets, queues, routes
and custom domains exist. It finds Workers that are deployed on what belongs to another
environment or otherwise than their configuration says, ids that the account does not
have, and Workers that no file names. What the token may not read or the API does not
have is told as not looked at. An account of production alone is asked with --env.

The top level of a configuration counts as production unless a name says
otherwise: of the file (wrangler.staging.toml), the folder or the Worker, or an
environment that is called production. Classes in a firedrill.yaml count before
all guesses.

Exit status 1 if anything is found that is not accepted by the baseline; notes
do not count.`,
		Example: `  firedrill audit isolation
  firedrill audit isolation --live
  firedrill audit isolation --live --env production
  firedrill audit isolation ./workers --format sarif -o isolation.sarif
  firedrill audit isolation --baseline isolation.json --accept "shared on purpose, see ADR 12" --until 2026-12-31`,
		Args: args(0, 1, "one folder"),
		RunE: func(c *cobra.Command, dirs []string) error {
			dir := "."
			if len(dirs) > 0 {
				dir = dirs[0]
			}
			return a.auditIsolation(c.Context(), dir, o)
		},
	}
	c.Flags().BoolVar(&o.live, "live", false, "ask the accounts that the plans name, too; only reads")
	c.Flags().StringVar(&o.format, "format", "text", "`how` to print it: text, json, sarif")
	c.Flags().StringVarP(&o.output, "output", "o", "", "write to this `FILE`, not to standard output")
	c.Flags().StringVar(&o.baseline, "baseline", "", "`FILE` of accepted findings")
	c.Flags().StringVar(&o.accept, "accept", "", "accept what is found, for this `REASON`, and write it to the baseline")
	c.Flags().StringVar(&o.until, "until", "", "with --accept: the last `DAY` for which it is accepted (2026-12-31)")
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"text", "json", "sarif"}, cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.RegisterFlagCompletionFunc("format", complete); err != nil {
		panic(err) // the flag is there: it was made above
	}
	return c
}

func (a *app) auditIsolation(ctx context.Context, dir string, o auditOptions) error {
	if a.global.json {
		o.format = "json"
	}
	if !slices.Contains([]string{"text", "json", "sarif"}, o.format) {
		return usage(fmt.Sprintf("there is no format %q", o.format), didYouMean(o.format, []string{"text", "json", "sarif"}, "text, json or sarif"))
	}
	until, err := o.day(a.Now())
	if err != nil {
		return err
	}
	files, plans, err := a.configurations(dir)
	if err != nil {
		return err
	}
	if len(plans) == 0 && !slices.ContainsFunc(files, func(f isolation.File) bool { return isolation.IsConfig(path.Base(f.Path)) }) {
		return usage("there is no wrangler configuration and no firedrill.yaml below "+dir, "name the folder: firedrill audit isolation DIR")
	}
	var accounts []isolation.Account
	if o.live {
		if accounts, err = a.accounts(ctx, plans); err != nil {
			return err
		}
	}
	r := isolation.Audit(files, plans, accounts...)
	var expired, unused []isolation.Acceptance
	if o.baseline != "" {
		b, err := o.readBaseline()
		if err != nil {
			return err
		}
		expired, unused = b.Apply(&r, a.Now())
	}
	if o.accept != "" {
		return a.acceptFindings(r, o, until)
	}
	if err := a.printAudit(r, o, expired, unused); err != nil {
		return err
	}
	if r.Fails() {
		return exitStatus(firedrill.ExitFailed)
	}
	return nil
}

// day reads --until; what goes with it has to be there, too.
func (o auditOptions) day(now time.Time) (time.Time, error) {
	switch {
	case o.accept == "" && o.until == "":
		return time.Time{}, nil
	case o.accept == "" || o.until == "" || o.baseline == "":
		return time.Time{}, usage("--accept, --until and --baseline go together", `for example: --baseline isolation.json --accept "why" --until `+now.AddDate(0, 3, 0).Format(time.DateOnly))
	}
	day, err := time.Parse(time.DateOnly, o.until)
	if err != nil || day.Format(time.DateOnly) < now.Format(time.DateOnly) {
		return time.Time{}, usage(fmt.Sprintf("--until %q is no day to come", o.until), "give it as 2006-01-02")
	}
	return day, nil
}

// readBaseline reads the baseline; one that is to be written need not be there.
func (o auditOptions) readBaseline() (isolation.Baseline, error) {
	data, err := os.ReadFile(o.baseline)
	if errors.Is(err, fs.ErrNotExist) && o.accept != "" {
		return isolation.Baseline{Format: isolation.BaselineFormat}, nil
	}
	if err != nil {
		return isolation.Baseline{}, &firedrill.Error{Op: "read baseline", Kind: firedrill.KindUsage, Target: o.baseline, Err: err, Remedy: "write one with --accept REASON --until DAY"}
	}
	return isolation.ParseBaseline(o.baseline, data)
}

func (a *app) acceptFindings(r isolation.Report, o auditOptions, until time.Time) error {
	b := isolation.Accept(r, o.accept, until)
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.baseline, append(data, '\n'), 0o644); err != nil { //nolint:gosec // it is kept with the code
		return &firedrill.Error{Op: "write baseline", Kind: firedrill.KindStorage, Target: o.baseline, Err: err}
	}
	if a.global.json {
		return a.printJSON(b)
	}
	a.out.Line(term.Plain, "baseline", fmt.Sprintf("%s accepted until the day given for each · %s", term.Plural(int64(len(b.Accepted)), "finding"), o.baseline))
	return nil
}

// configurations finds what to audit below a folder. Plans that are known are not read
// again.
func (a *app) configurations(dir string, known ...*firedrill.Plan) (files []isolation.File, plans []isolation.Plan, err error) {
	c, err := a.plain()
	if err != nil {
		return nil, nil, err
	}
	err = walk(dir, func(name string) bool { return isConfig(name) || isolation.IsEnvFile(name) }, func(shown, name string, data []byte) {
		if name != planName {
			files = append(files, isolation.File{Path: shown, Data: data})
			return
		}
		sum := sha256.Sum256(data)
		if i := slices.IndexFunc(known, func(p *firedrill.Plan) bool { return p.Hash == hex.EncodeToString(sum[:]) }); i >= 0 {
			plans = append(plans, isolation.Plan{Path: shown, Plan: known[i]})
			return
		}
		p, err := plan.Parse(shown, data, c.registry, c.library)
		plans = append(plans, isolation.Plan{Path: shown, Plan: p, Err: err})
	})
	if err != nil {
		err = &firedrill.Error{Op: "audit isolation", Kind: firedrill.KindUsage, Target: dir, Err: err, Remedy: "name a folder that can be read"}
	}
	return files, plans, err
}

// walkConfigs visits the configurations of wrangler and the plans below a folder,
// each with its path for people, below the folder.
func walkConfigs(dir string, visit func(shown, name string, data []byte)) error {
	return walk(dir, isConfig, visit)
}

func isConfig(name string) bool { return isolation.IsConfig(name) || name == planName }

// walk visits the files below a folder whose names are wanted.
func walk(dir string, wanted func(name string) bool, visit func(shown, name string, data []byte)) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != dir && isolation.Skips(d.Name()):
			return fs.SkipDir
		case d.IsDir() || !wanted(d.Name()):
			return nil
		}
		data, err := os.ReadFile(file) //nolint:gosec // the walk found it
		if err != nil {
			return err
		}
		shown, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(shown), d.Name(), data)
		return nil
	})
}

// auditDocument is what --json prints.
type auditDocument struct {
	SchemaVersion int `json:"schema_version"`
	isolation.Report
	Expired []isolation.Acceptance `json:"expired,omitempty"` // entries of the baseline
	Unused  []isolation.Acceptance `json:"unused,omitempty"`
}

func (a *app) printAudit(r isolation.Report, o auditOptions, expired, unused []isolation.Acceptance) (err error) {
	out, page := a.Stdout, a.out
	if o.output != "" {
		f, cause := os.OpenFile(o.output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644) //nolint:gosec // a report, for others to read
		if cause != nil {
			return &firedrill.Error{Op: "write the report", Kind: firedrill.KindStorage, Target: o.output, Err: cause}
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out, page = f, term.NewPage(f, func(string) string { return "" })
	}
	switch o.format {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(auditDocument{1, r, expired, unused})
	case "sarif":
		return isolation.WriteSARIF(out, r, version())
	}
	auditText(page, r, expired, unused)
	return nil
}

func auditText(page *term.Page, r isolation.Report, expired, unused []isolation.Acceptance) {
	count := map[isolation.Level]int64{}
	accepted := int64(0)
	help := map[isolation.Rule]string{}
	for _, about := range isolation.Rules() {
		help[about.Rule] = about.Help
	}
	for _, f := range r.Findings {
		if f.Accepted != nil {
			accepted++
			continue
		}
		count[f.Level]++
		style := term.Plain
		if f.Level == isolation.LevelError {
			style = term.Bad
		}
		page.Line(style, string(f.Level), f.At.String()+" "+string(f.Rule))
		page.Line(term.Plain, "", f.Message)
		for _, o := range f.Related {
			page.Line(term.Plain, "", o.At.String()+" "+o.Message)
		}
		if f.Level != isolation.LevelNote {
			page.Line(term.Plain, "", help[f.Rule])
		}
	}
	for _, e := range expired {
		page.Line(term.Plain, "baseline", fmt.Sprintf("%s (%s) was accepted until %s", e.Fingerprint, e.Rule, e.Expires))
	}
	for _, u := range unused {
		page.Line(term.Plain, "baseline", fmt.Sprintf("%s (%s) matches nothing any more; take it out", u.Fingerprint, u.Rule))
	}
	if len(r.Findings) > int(accepted) || len(expired)+len(unused) > 0 {
		page.Blank()
	}
	for _, e := range r.Environments {
		what := "not production"
		if e.Production {
			what = "production"
		}
		page.Line(term.Plain, e.Name, what+", "+e.Why)
	}
	for _, acc := range r.Accounts {
		auditAccount(page, acc)
	}
	total := fmt.Sprintf("%s in %s: %s, %s, %s", term.Plural(int64(len(r.Environments)), "environment"), term.Plural(int64(len(r.Files)), "file"),
		term.Plural(count[isolation.LevelError], "error"), term.Plural(count[isolation.LevelWarning], "warning"), term.Plural(count[isolation.LevelNote], "note"))
	if accepted > 0 {
		total += fmt.Sprintf("; %d accepted", accepted)
	}
	page.Text(total)
}
