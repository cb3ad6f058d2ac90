package cli

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/evidence"
)

// exportOptions are the flags of `evidence export`.
type exportOptions struct {
	from, to, output string
	artefacts        bool
}

func (a *app) evidenceExportCommand() *cobra.Command {
	var o exportOptions
	c := &cobra.Command{
		Use: "export -o FILE.zip|DIR", Short: "Pack the evidence of a period for an auditor",
		Long: `Export packs what was signed in a period: the bundles, the entries of the chain
without gaps, and the public keys. What stretch of the chain it is, is signed, so
that neither its beginning nor its end can be cut off. It is verified by itself:
firedrill evidence verify FILE.zip --key firedrill.pub

Of each run it holds the documents: records, result, plan, versions. Artefacts
(what a drill kept for comparing: fingerprints, samples, backups) may hold data of
the environment and stay out, unless --artefacts is given; their hashes are in the
statements all the same.`,
		Example: `  firedrill evidence export --from 2026-01-01 --to 2026-03-31 -o q1.zip
  firedrill evidence export -o everything`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.evidenceExport(c.Context(), o) },
	}
	c.Flags().StringVar(&o.from, "from", "", "first `DAY` (2026-01-31, in UTC) or moment (RFC 3339); from the beginning if left out")
	c.Flags().StringVar(&o.to, "to", "", "last `DAY`, which belongs to it, or the moment before which it was signed; until now if left out")
	c.Flags().StringVarP(&o.output, "output", "o", "", "`FILE` that ends in .zip, or a folder that is made")
	c.Flags().BoolVar(&o.artefacts, "artefacts", false, "with what drills kept for comparing, which may hold data of the environment")
	if err := c.MarkFlagRequired("output"); err != nil {
		panic(err) // the flag is there: it was made above
	}
	return c
}

// period reads the flags that say of when.
func (o exportOptions) period(now time.Time) (from, to time.Time, err error) {
	to = now.Add(time.Minute) // whatever was sealed just now belongs to it
	for flag, v := range map[string]struct {
		text string
		at   *time.Time
		more int // days, where a day is meant whole
	}{"--from": {o.from, &from, 0}, "--to": {o.to, &to, 1}} {
		if v.text == "" {
			continue
		}
		if d, derr := time.Parse(time.DateOnly, v.text); derr == nil {
			*v.at = d.AddDate(0, 0, v.more)
		} else if t, terr := time.Parse(time.RFC3339, v.text); terr == nil {
			*v.at = t
		} else {
			return from, to, usage(fmt.Sprintf("%s: %q is neither a day nor a moment", flag, v.text), "write for example 2026-01-31 or 2026-01-31T12:00:00Z")
		}
	}
	if !from.Before(to) {
		return from, to, usage("the period ends before it begins", "give --from an earlier day than --to")
	}
	return from, to, nil
}

// exportDocument is what `evidence export` prints with --json.
type exportDocument struct {
	SchemaVersion int             `json:"schema_version"`
	Output        string          `json:"output"`
	Runs          int             `json:"runs"`
	Export        evidence.Period `json:"export"`
}

func (a *app) evidenceExport(ctx context.Context, o exportOptions) (err error) {
	from, to, err := o.period(a.Now())
	if err != nil {
		return err
	}
	if _, err := os.Lstat(o.output); !errors.Is(err, fs.ErrNotExist) {
		return usage(o.output+" is there already", "name a file or folder that is not there")
	}
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	archive, err := a.upToDate(ctx, s)
	if err != nil {
		return err
	}
	a.tellUnsealed()
	if err := pullRuns(ctx, s); err != nil {
		return err
	}
	p := evidence.Period{From: from.UTC(), To: to.UTC(), Artefacts: o.artefacts, At: a.Now().UTC(), By: a.executor()}
	p, runs, err := pack(archive, o.output, p)
	if err != nil {
		return errors.Join(err, os.RemoveAll(o.output))
	}
	// What is handed over is what is verified.
	if r, err := readBack(o.output); err != nil || len(r.Findings) > 0 {
		if err != nil {
			return err
		}
		a.printReport(r, 0)
		return a.judge(r.Findings)
	}
	if a.global.json {
		return a.printJSON(exportDocument{1, o.output, runs, p})
	}
	a.out.Line(term.Plain, "exported", fmt.Sprintf("%s to %s", term.Plural(int64(runs), "run"), o.output))
	for _, part := range p.Parts {
		a.out.Line(term.Plain, "  chain "+short(part.Key), fmt.Sprintf("entries %d to %d", part.First, part.Last))
	}
	a.out.Command("  verify", "firedrill evidence verify "+o.output+" --key FILE")
	return nil
}

func pack(archive evidence.Archive, output string, p evidence.Period) (evidence.Period, int, error) {
	if !strings.HasSuffix(output, ".zip") {
		return archive.Export(evidence.ToFolder{Dir: output}, p)
	}
	fail := func(err error) error {
		if err == nil {
			return nil
		}
		return &firedrill.Error{Op: "export the evidence", Kind: firedrill.KindStorage, Target: output, Err: err, Remedy: "name a file that can be written"}
	}
	f, err := os.OpenFile(output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return p, 0, fail(err)
	}
	w := zip.NewWriter(f)
	p, runs, err := archive.Export(evidence.ToZip{W: w, At: p.At}, p)
	return p, runs, errors.Join(err, fail(errors.Join(w.Close(), f.Close())))
}

// readBack verifies an export with the keys that lie in it.
func readBack(output string) (*evidence.Report, error) {
	if !strings.HasSuffix(output, ".zip") {
		return evidence.Verify(os.DirFS(output), evidence.Options{})
	}
	z, err := zip.OpenReader(output)
	if err != nil {
		return nil, &firedrill.Error{Op: "export the evidence", Kind: firedrill.KindStorage, Target: output, Err: err, Remedy: "look at the disk, and repeat"}
	}
	r, err := evidence.Verify(z, evidence.Options{})
	return r, errors.Join(err, z.Close())
}

// day is a moment as a day.
func day(t time.Time) string {
	if t.IsZero() {
		return "the beginning"
	}
	return t.UTC().Format(time.DateOnly)
}
