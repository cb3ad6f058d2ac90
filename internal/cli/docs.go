package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/drplan"
)

func (a *app) docsCommand() *cobra.Command {
	c := &cobra.Command{Use: "docs", Short: "Keep the document of a disaster-recovery plan true", RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(a.docsUpdateCommand())
	return c
}

// docsOptions are the flags of `docs update`.
type docsOptions struct {
	check bool
	zone  string
}

func (a *app) docsUpdateCommand() *cobra.Command {
	var o docsOptions
	c := &cobra.Command{
		Use: "update FILE", Short: "Bring a plan document (Markdown) up to date from what really ran",
		Long: `Docs update reads a disaster-recovery plan in Markdown and brings its facts up to
date from the runs that this plan's drills had: the table of the schedule (last
run, next due), the execution log, the certification table and the score. It finds
them by headings and columns, or between markers:

  <!-- firedrill:schedule -->  …  <!-- /firedrill -->

Everything else stays as it is, byte by byte. Rows are matched to drills by their
titles, or by a comment: <!-- firedrill:d1-pitr -->. What cannot be told for sure is
left and named; what is ambiguous is refused with its line.

With --check nothing is written: exit status 1 if something is stale.`,
		Example: `  firedrill docs update DR_DRILL_PLAN.md
  firedrill docs update DR_DRILL_PLAN.md --check      for CI
  firedrill docs update DR_DRILL_PLAN.md --zone Europe/Berlin`,
		Args: args(1, 1, "one document"),
		RunE: func(c *cobra.Command, files []string) error { return a.docsUpdate(c.Context(), files[0], o) },
	}
	c.Flags().BoolVar(&o.check, "check", false, "write nothing, say what is stale: exit status 1 if anything is")
	c.Flags().StringVar(&o.zone, "zone", "UTC", "time `zone` of the days that are written, the same on every machine")
	return c
}

// docsDocument is what --json prints.
type docsDocument struct {
	SchemaVersion int             `json:"schema_version"`
	File          string          `json:"file"`
	Current       bool            `json:"current"` // nothing was stale
	Written       bool            `json:"written"`
	Changes       []drplan.Change `json:"changes"`
	Left          []drplan.Left   `json:"left"`
}

func (a *app) docsUpdate(ctx context.Context, file string, o docsOptions) error {
	zone, err := time.LoadLocation(o.zone)
	if err != nil {
		return usage(fmt.Sprintf("--zone: there is no time zone %q", o.zone), "write for example UTC or Europe/Berlin")
	}
	data, mode, err := readDocument(file)
	if err != nil {
		return err
	}
	facts, err := a.planFacts(ctx)
	if err != nil {
		return err
	}
	facts.Zone = zone
	u, err := drplan.Update(file, data, facts)
	if err != nil {
		return err
	}
	stale := len(u.Changes) > 0
	if stale && !o.check {
		if err := replaceDocument(file, data, u.Text, mode); err != nil {
			return err
		}
	}
	if err := a.tellDocs(file, u, stale && !o.check); err != nil {
		return err
	}
	if stale && o.check {
		return exitStatus(firedrill.ExitFailed)
	}
	return nil
}

// planFacts gathers what is known about the plan's drills.
func (a *app) planFacts(ctx context.Context) (facts drplan.Facts, err error) {
	p, _, err := a.loadPlan()
	if err != nil {
		return facts, err
	}
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), nil)
	if err != nil {
		return facts, err
	}
	defer func() { err = s.close(err) }()
	if facts, err = a.documentFacts(ctx, s, p); err != nil {
		return facts, err
	}
	facts.Certification, err = a.certified(ctx, s, p)
	return facts, err
}

func (a *app) tellDocs(file string, u drplan.Updated, written bool) error {
	if a.global.json {
		d := docsDocument{SchemaVersion: 1, File: file, Current: len(u.Changes) == 0, Written: written, Changes: u.Changes, Left: u.Left}
		if d.Changes == nil {
			d.Changes = []drplan.Change{}
		}
		if d.Left == nil {
			d.Left = []drplan.Left{}
		}
		return a.printJSON(d)
	}
	verb := "stale"
	if written {
		verb = "written"
	}
	for _, c := range u.Changes {
		what := c.What + ": " + firstLine(c.New)
		if c.Old != "" {
			what = fmt.Sprintf("%s: %s, was %s", c.What, c.New, c.Old)
		}
		a.out.Line(term.Strong, verb, fmt.Sprintf("%s:%d %s", file, max(1, c.Line), what))
	}
	for _, l := range u.Left {
		at := file
		if l.Line > 0 {
			at = fmt.Sprintf("%s:%d", file, l.Line)
		}
		a.out.Line(term.Plain, "left", fmt.Sprintf("%s %s: %s", at, l.What, l.Why))
	}
	switch {
	case len(u.Changes) == 0:
		a.out.Line(term.Good, "current", file+" says what is known")
	case !written:
		a.out.Line(term.Plain, "next", "firedrill docs update "+file)
	}
	return nil
}

// firstLine is the first line of what is added, which says what it is.
func firstLine(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") || !strings.HasPrefix(line, "---") && line != "" {
			return line
		}
	}
	return ""
}

// readDocument reads a document that may be replaced.
func readDocument(file string) ([]byte, os.FileMode, error) {
	refuse := func(detail, remedy string) error {
		return &firedrill.Error{Op: "read the plan document", Kind: firedrill.KindUsage, Target: file, Detail: detail, Remedy: remedy}
	}
	info, err := os.Lstat(file)
	switch {
	case err != nil:
		return nil, 0, &firedrill.Error{Op: "read the plan document", Kind: firedrill.KindUsage, Err: err, Remedy: "name a Markdown file, for example DR_DRILL_PLAN.md"}
	case info.Mode()&os.ModeSymlink != 0:
		to, err := filepath.EvalSymlinks(file)
		if err != nil {
			return nil, 0, refuse("it is a symbolic link that leads nowhere", "name the document itself")
		}
		return nil, 0, refuse("it is a symbolic link", "name what it leads to: "+to)
	case !info.Mode().IsRegular():
		return nil, 0, refuse("it is no file", "name a Markdown file, for example DR_DRILL_PLAN.md")
	case info.Size() > drplan.MaxSize+3: // a byte order mark does not count
		return nil, 0, refuse(fmt.Sprintf("it has %s bytes, more than the %s of the longest plan that is read", term.Count(info.Size()), term.Count(drplan.MaxSize)), "keep the plan in a document of its own")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, 0, &firedrill.Error{Op: "read the plan document", Kind: firedrill.KindUsage, Err: err, Remedy: "name a file that can be read"}
	}
	return data, info.Mode().Perm(), nil
}

// replaceDocument writes a document beside the old one and puts it in its place, so
// that nobody ever reads half of it. was is what it was made from: if it is something
// else by now, nothing is written.
func replaceDocument(file string, was, data []byte, mode os.FileMode) error {
	fail := func(err error) error {
		return &firedrill.Error{Op: "write the plan document", Kind: firedrill.KindStorage, Target: file, Err: err, Remedy: "look at the folder: it has to be writable, with room for a second copy"}
	}
	if mode&0o200 == 0 {
		return &firedrill.Error{Op: "write the plan document", Kind: firedrill.KindUsage, Target: file, Detail: "it is read-only", Remedy: "chmod u+w " + file + ", or only look: --check"}
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fail(err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		var now []byte
		if now, err = os.ReadFile(file); err == nil && !bytes.Equal(now, was) {
			return errors.Join(&firedrill.Error{Op: "write the plan document", Kind: firedrill.KindConflict, Target: file, Detail: "somebody changed it meanwhile; nothing was written", Remedy: "say it again: firedrill docs update " + file}, os.Remove(f.Name()))
		}
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(fail(err), os.Remove(f.Name()))
	}
	return nil
}
