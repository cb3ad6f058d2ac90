package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/journal"
	"firedrill/internal/report"
)

// reportHistory is how many runs before one its report looks at.
const reportHistory = 200

type reportOptions struct{ format, output string }

func (a *app) reportCommand() *cobra.Command {
	var o reportOptions
	formats := []string{"md", "html", "json", "junit"}
	c := &cobra.Command{
		Use: "report RUN | latest", Short: "A run as a page, as Markdown, or for a CI server",
		Long: `Report writes down what a run showed, from its records alone: the verdict and why,
when this was last shown to work, the times against their targets, what was damaged
and how the recovery was shown, issues and remedies, and how the times went over
earlier runs. What was not measured says so.

html is one page that needs no network and prints well; md is for reading as text;
junit is what CI servers read, for several runs as well; json is the result document.
Without --format the name of the file decides, else it is md.`,
		Example: `  firedrill report latest
  firedrill report latest -o report.html
  firedrill report 01J9ZQ4T0V8X2M --format junit -o drill.xml`,
		Args: args(1, -1, "one run, or for junit and json several"), ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, runs []string) error { return a.writeReport(c.Context(), runs, o) },
	}
	c.Flags().StringVar(&o.format, "format", "", "`how` to write it: md, html, json, junit")
	c.Flags().StringVarP(&o.output, "output", "o", "", "write to this `FILE`, not to standard output")
	if err := c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag stands two lines above
	}
	return c
}

// choose settles the format.
func (o *reportOptions) choose(asJSON bool) error {
	if o.format == "" {
		switch strings.ToLower(filepath.Ext(o.output)) {
		case ".html", ".htm":
			o.format = "html"
		case ".json":
			o.format = "json"
		case ".xml":
			o.format = "junit"
		default:
			o.format = "md"
		}
		if asJSON {
			o.format = "json"
		}
	}
	formats := []string{"md", "html", "json", "junit"}
	if !slices.Contains(formats, o.format) {
		return usage(fmt.Sprintf("there is no format %q", o.format), didYouMean(o.format, formats, "md, html, json or junit"))
	}
	if asJSON && o.format != "json" {
		return usage("--json and --format "+o.format+" ask for different things", "give one of them")
	}
	return nil
}

func (a *app) writeReport(ctx context.Context, runs []string, o reportOptions) (err error) {
	if err := o.choose(a.global.json); err != nil {
		return err
	}
	if o.format == "html" && o.output == "" && a.out.Terminal {
		return usage("a page is not for reading in a terminal", "name a file: -o report.html; or read it as text: --format md")
	}
	if len(runs) > 1 && o.format != "junit" && o.format != "json" {
		return usage("a report as "+o.format+" is about one run", "name one run, or see: firedrill history --help")
	}
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	var pages []report.Page
	for _, run := range runs {
		p, err := a.reportPage(ctx, s, run)
		if err != nil {
			return err
		}
		pages = append(pages, p)
	}
	text, err := written(pages, o.format)
	if err != nil {
		return err
	}
	if o.output == "" {
		_, err = a.Stdout.Write(text)
	} else {
		err = os.WriteFile(o.output, text, 0o644) //nolint:gosec // a report, for others to read
	}
	if err != nil {
		return &firedrill.Error{Op: "write the report", Kind: firedrill.KindStorage, Target: o.output, Err: err, Remedy: "name a file that can be written"}
	}
	return nil
}

// written writes pages in a format; those that are about one run take the first.
func written(pages []report.Page, format string) ([]byte, error) {
	var results []firedrill.Result
	for _, p := range pages {
		results = append(results, p.Result)
	}
	switch format {
	case "html":
		return report.HTML(pages[0])
	case "junit":
		return report.JUnit(results)
	case "json":
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err := enc.Encode(document(results...))
		return b.Bytes(), err
	}
	return report.Markdown(pages[0]), nil
}

// reportPage gathers what the documents of a run are written from.
func (a *app) reportPage(ctx context.Context, s *station, run string) (report.Page, error) {
	run, err := runNamed(ctx, s, run)
	if err != nil {
		return report.Page{}, err
	}
	records, err := s.journal.Records(ctx, run)
	if err != nil {
		return report.Page{}, err
	}
	r, err := a.describe(s, records)
	if err != nil {
		return report.Page{}, err
	}
	return a.reportOf(ctx, s, records, r)
}

// reportOf gathers what a page tells about a run whose result is known.
func (a *app) reportOf(ctx context.Context, s *station, records []firedrill.Record, r firedrill.Result) (_ report.Page, err error) {
	p := report.Page{Result: r, Records: records, Zone: time.Local}
	q := journal.Query{Drill: r.Drill, Environment: r.Environment, Limit: reportHistory}
	if p.History, err = a.pasts(ctx, s, q); err != nil {
		return p, err
	}
	this := func(h firedrill.Past) bool { return h.Run == r.Run }
	i := slices.IndexFunc(p.History, this)
	if i < 0 && r.Verdict != "" { // an old one: what ran before it is older still
		q.Limit = 0
		if p.History, err = a.pasts(ctx, s, q); err != nil {
			return p, err
		}
		i = slices.IndexFunc(p.History, this)
	}
	if i >= 0 {
		p.Remarks = p.History[i].Remarks
	}
	return p, nil
}

// runNamed gives the id of a run: "latest" is the one that started last.
func runNamed(ctx context.Context, s *station, run string) (string, error) {
	if run != "latest" {
		return run, nil
	}
	last, err := s.journal.Runs(ctx, journal.Query{Limit: 1})
	if err != nil {
		return "", err
	}
	if len(last) == 0 {
		return "", usage("nothing ran yet", "try: firedrill demo")
	}
	return last[0].ID, nil
}

// completeRuns offers the last runs, each with what it was.
func (a *app) completeRuns(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	s, err := a.open(c.Context(), nil, action.SystemSecrets(), nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	runs, err := s.journal.Runs(c.Context(), journal.Query{Limit: 20})
	if err = s.close(err); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := []string{"latest"}
	for _, r := range runs {
		names = append(names, fmt.Sprintf("%s\t%s on %s, %s", r.ID, r.Drill, r.Environment, orDash(string(r.Verdict))))
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
