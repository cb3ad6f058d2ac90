package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
)

func (a *app) backupListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list PLACE", Short: "The backups below a folder, newest first", Args: args(1, 1, "a folder that holds backups"),
		Long: `List the complete backups at or below a folder or a prefix of a bucket, by their
manifests. What they hold is not read; that is for "backup verify".`,
		Example: `  firedrill backup list backups
  firedrill backup list s3://dr-backups/foundation`,
		RunE: func(c *cobra.Command, refs []string) error { return a.backupList(c.Context(), refs[0]) },
	}
}

func (a *app) backupList(ctx context.Context, ref string) error {
	refs, err := a.backupsBelow(ctx, ref)
	if err != nil {
		return err
	}
	all, broken, done, err := a.openAll(ctx, refs, keyOptions{})
	if err != nil {
		return err
	}
	defer done()
	slices.SortFunc(all, func(x, y held) int { return y.Manifest.Finished.Compare(x.Manifest.Finished) })
	tests, err := a.lastTests()
	if err != nil {
		return err
	}
	if a.global.json {
		list := []map[string]any{}
		for _, h := range all {
			m := h.Manifest
			list = append(list, map[string]any{"place": h.ref, "kind": m.Kind, "source": m.Source, "finished": m.Finished, "parts": len(m.Parts), "keys": m.Keys, "rows": rows(h), "restore_tested": orNull(tests[m.Digest.String()])})
		}
		unreadable := []string{}
		for _, err := range broken {
			unreadable = append(unreadable, err.Error())
		}
		return a.printJSON(map[string]any{"schema_version": 1, "backups": list, "unreadable": unreadable})
	}
	for _, h := range all {
		m := h.Manifest
		shown := "never tested"
		if at := tests[m.Digest.String()]; !at.IsZero() {
			shown = "restored in a test " + at.Local().Format("2006-01-02")
		}
		a.out.Line(term.Plain, m.Finished.Local().Format("2006-01-02 15:04:05"), fmt.Sprintf("%s   %s %s, %s · %s", h.ref, kindName(m.Kind), m.Source.Title, holdings(m), shown))
	}
	if len(all) == 0 && len(broken) == 0 {
		a.out.Line(term.Plain, "backups", "there are none below "+ref)
	}
	for _, err := range broken {
		a.complain(err)
	}
	if len(broken) > 0 {
		return exitStatus(firedrill.KindCorrupt.Exit())
	}
	return nil
}

// orNull gives nil for a time that is not there.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func rows(h held) int64 {
	if h.Manifest.Database == nil {
		return 0
	}
	return h.Manifest.Database.Rows
}
