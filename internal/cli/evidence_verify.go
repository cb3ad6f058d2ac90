package cli

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/evidence"
)

// verifyOptions are the flags of `evidence verify`.
type verifyOptions struct{ keys, anchors []string }

func (a *app) evidenceVerifyCommand() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use: "verify [PATH]", Short: "Check that everything is as it was signed",
		Long: `Verify checks every signature, every file of every bundle, and that no entry of a
chain is missing, doubled or out of its order, and says what is wrong with which
file. It needs no network, and nothing but a copy and the public key.

PATH is a state folder, a copy of one, what firedrill evidence export made (folder
or zip), or the folder of one run. Without PATH it is the state folder here, and
what is not sealed yet is sealed before.

Give --key: without it the keys that lie with the evidence are taken, and who
could change the evidence could change them, too. Give --anchor: a chain alone
cannot show that its end was cut off.

Exit status 0 if everything is as it was signed, 6 if anything is not.`,
		Example: `  firedrill evidence verify
  firedrill evidence verify audit.zip --key firedrill.pub --anchor anchors.txt
  firedrill evidence verify /mnt/copy --key firedrill.pub --anchor s3://dr-anchors/foundation`,
		Args: args(0, 1, "at most one path"),
		RunE: func(c *cobra.Command, given []string) error {
			if len(given) == 0 {
				return a.verifyHere(c.Context(), o)
			}
			return a.verifyPath(c.Context(), given[0], o)
		},
	}
	o.flags(c)
	return c
}

func (o *verifyOptions) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&o.keys, "key", nil, "`file` of the public key that has to have signed it; may be given several times")
	c.Flags().StringArrayVar(&o.anchors, "anchor", nil, "an anchor: its `line`, a file of them, the folder of a git repository, or s3://…; may be given several times")
}

func (o verifyOptions) options(ctx context.Context, a *app) (evidence.Options, error) {
	keys, err := keysOf(o.keys)
	if err != nil {
		return evidence.Options{}, err
	}
	opts := evidence.Options{Keys: keys}
	for _, from := range o.anchors {
		found, err := a.anchorsFrom(ctx, from)
		if err != nil {
			return opts, err
		}
		opts.Anchors = append(opts.Anchors, found...)
	}
	return opts, nil
}

// verifyHere verifies the evidence of the state store.
func (a *app) verifyHere(ctx context.Context, o verifyOptions) (err error) {
	opts, err := o.options(ctx, a)
	if err != nil {
		return err
	}
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	if _, err := a.upToDate(ctx, s); err != nil {
		return err
	}
	a.tellUnsealed()
	if err := pullRuns(ctx, s); err != nil {
		return err
	}
	return a.verify(os.DirFS(s.home.Dir()), opts)
}

// pullRuns brings the folders of runs here that other machines sealed.
func pullRuns(ctx context.Context, s *station) error {
	shared, is := s.home.(sharer)
	if !is {
		return nil
	}
	sealed, err := evidence.Sealed(s.home.Dir())
	if err != nil {
		return err
	}
	for run := range sealed {
		if _, err := os.Stat(filepath.Join(s.home.RunPath(run), evidence.StatementFile)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := shared.PullRun(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// verifyPath verifies a copy.
func (a *app) verifyPath(ctx context.Context, path string, o verifyOptions) error {
	opts, err := o.options(ctx, a)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return &firedrill.Error{Op: "verify the evidence", Kind: firedrill.KindUsage, Target: path, Err: err, Remedy: "name a folder, or a zip file that firedrill evidence export made"}
	}
	if !info.IsDir() {
		z, err := zip.OpenReader(path)
		if err != nil {
			return &firedrill.Error{Op: "verify the evidence", Kind: firedrill.KindCorrupt, Target: path, Err: err, Remedy: "name a folder, or a zip file that firedrill evidence export made"}
		}
		return errors.Join(a.verify(z, opts), z.Close())
	}
	if _, err := os.Stat(filepath.Join(path, evidence.StatementFile)); err == nil {
		return a.verifyBundle(path, opts)
	}
	return a.verify(os.DirFS(path), opts)
}

// verifyDocument is what `evidence verify` prints with --json.
type verifyDocument struct {
	SchemaVersion int  `json:"schema_version"`
	OK            bool `json:"ok"`
	*evidence.Report
}

func (a *app) verify(fsys fs.FS, opts evidence.Options) error {
	r, err := evidence.Verify(fsys, opts)
	if err != nil {
		return err
	}
	if a.global.json {
		if err := a.printJSON(verifyDocument{1, len(r.Findings) == 0, r}); err != nil {
			return err
		}
		if len(r.Findings) > 0 {
			return exitStatus(firedrill.KindCorrupt.Exit())
		}
		return nil
	}
	a.printReport(r, len(opts.Anchors))
	return a.judge(r.Findings)
}

// judge prints what was found and gives the error that it amounts to.
func (a *app) judge(found []evidence.Finding) error {
	for _, f := range found {
		at := f.File
		if at == "" {
			at = "chain " + short(f.Key)
		}
		a.out.Line(term.Bad, "WRONG", at+": "+f.Problem)
	}
	if len(found) == 0 {
		a.out.Line(term.Good, "verified", "everything is as it was signed")
		return nil
	}
	return &firedrill.Error{Op: "verify the evidence", Kind: firedrill.KindCorrupt, Detail: term.Plural(int64(len(found)), "thing") + " not as it was signed",
		Remedy: "what is named here proves nothing any more; compare with another copy"}
}

func (a *app) printReport(r *evidence.Report, anchors int) {
	p := a.out
	if x := r.Export; x != nil {
		text := fmt.Sprintf("what was signed from %s to %s, made by %s on %s", day(x.From), day(x.To), x.By, day(x.At))
		if !x.Artefacts {
			text += ", documents without artefacts"
		}
		p.Line(term.Plain, "export", text)
	}
	for _, c := range r.Chains {
		p.Line(term.Strong, "chain "+short(c.Key), fmt.Sprintf("%s, %s, runs of %s", term.Plural(int64(c.Bundles), "run"), term.Plural(int64(c.Remarks), "remark"), orDash(c.Store)))
		if c.First > 0 {
			p.Line(term.Plain, "  entries", fmt.Sprintf("%d to %d, signed %s to %s", c.First, c.Last, day(c.Since), day(c.Until)))
			p.Line(term.Plain, "  last", c.Head)
		}
		files := fmt.Sprintf("%s, %s", term.Plural(c.Files, "file"), sizeText(c.Bytes))
		if c.LeftOut > 0 {
			files += fmt.Sprintf(", %s not in this export", term.Plural(c.LeftOut, "artefact"))
		}
		p.Line(term.Plain, "  files", files)
		if c.Given {
			p.Line(term.Plain, "  key", "is the one that was given")
		} else {
			p.Line(term.Warn, "  key", "lies with the evidence: compare its id with the one that you know, or give --key: "+c.Key)
		}
		if c.Anchors > 0 {
			p.Line(term.Plain, "  anchors", fmt.Sprintf("%d hold", c.Anchors))
		} else if anchors == 0 && r.Export == nil {
			p.Line(term.Plain, "  anchors", "none given: that the end was not cut off is not shown")
		}
	}
	if r.Beyond > 0 {
		p.Line(term.Plain, "anchors", fmt.Sprintf("%d say nothing about this period", r.Beyond))
	}
	if n := len(r.NotSealed); n > 0 {
		shown := r.NotSealed[:min(n, 5)]
		text := fmt.Sprintf("%s: %s", term.Plural(int64(n), "run"), strings.Join(shown, ", "))
		if n > len(shown) {
			text += ", …"
		}
		p.Line(term.Warn, "not sealed", text)
	}
}

// bundleDocument is what `evidence verify` prints with --json of the folder of one run.
type bundleDocument struct {
	SchemaVersion int                `json:"schema_version"`
	OK            bool               `json:"ok"`
	Facts         evidence.Facts     `json:"facts"`
	Findings      []evidence.Finding `json:"findings"`
}

// verifyBundle verifies the folder of one run by itself.
func (a *app) verifyBundle(dir string, opts evidence.Options) error {
	if len(opts.Keys) != 1 {
		return usage("a single run is verified with one public key", "give --key FILE; or verify the whole: firedrill evidence verify")
	}
	if len(opts.Anchors) > 0 {
		return usage("an anchor is of a chain, not of a single run", "verify the whole with it: firedrill evidence verify --anchor …")
	}
	facts, found, err := evidence.VerifyBundle(os.DirFS(dir), opts.Keys[0])
	if err != nil {
		return err
	}
	if a.global.json {
		if found == nil {
			found = []evidence.Finding{}
		}
		if err := a.printJSON(bundleDocument{1, len(found) == 0, facts, found}); err != nil {
			return err
		}
		if len(found) > 0 {
			return exitStatus(firedrill.KindCorrupt.Exit())
		}
		return nil
	}
	if facts.Run != "" {
		a.out.Line(term.Strong, "run "+facts.Run, fmt.Sprintf("%s on %s: %s", facts.Drill, facts.Environment, facts.Verdict))
	}
	return a.judge(found)
}

// short is enough of a key's id for a person to tell keys apart.
func short(id string) string { return id[:min(16, len(id))] }
