package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/cli/term"
)

// restoreOptions are the flags of `restore`.
type restoreOptions struct {
	into, mode string
	dryRun     bool
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreOptions
	c := &cobra.Command{
		Use: "restore DIR --into RESOURCE", Short: "Restore a backup into a namespace of the plan",
		Long: `Restore verifies the whole backup, tells what it will do, does it, and compares
every key with the backup. A namespace that is not empty is refused without a
mode. To repeat it after an interruption is safe.`,
		Example: `  firedrill restore backups/cache --into cache --mode exact --dry-run
  firedrill restore backups/cache --into scratch`,
		Args: args(1, 1, "the folder of a backup"),
		RunE: func(c *cobra.Command, dirs []string) error { return a.restore(c.Context(), dirs[0], o) },
	}
	f := c.Flags()
	f.StringVar(&o.into, "into", "", "`resource` of the plan that is written")
	f.StringVar(&o.mode, "mode", "", "`exact`: other keys are deleted; merge: they stay")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what would be done, and change nothing")
	_ = c.RegisterFlagCompletionFunc("into", a.completeNamespaces)                                                                   // the flag exists
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"exact", "merge"}, cobra.ShellCompDirectiveNoFileComp)) // likewise
	return c
}

func (a *app) restore(ctx context.Context, dir string, o restoreOptions) error {
	if o.into == "" {
		return usage("it is not said what to restore into", "give --into RESOURCE")
	}
	live := a.live()
	defer live.Close()
	progress, end := live.Begin("restore", "reading "+dir)
	fail := func(err error) error {
		end(term.Bad, "")
		return err
	}
	ns, env, err := a.namespace(ctx, "restore", o.into, func(text string) { progress(firedrill.Progress{Text: text}) })
	if err != nil {
		return fail(err)
	}
	opt := backup.RestoreOptions{Mode: backup.Mode(o.mode), DryRun: true, Now: a.Now, Sleep: pause,
		Progress: func(done, total int64) { progress(firedrill.Progress{Text: "keys written", Done: done, Total: total}) }}
	b, err := backup.Open(ctx, backup.Folder(dir))
	if err != nil {
		return fail(err)
	}
	want, err := b.RestoreKV(ctx, ns, opt)
	if err != nil {
		return fail(err)
	}
	what := fmt.Sprintf("%s written (%s overwritten), %s deleted in KV namespace %s of %s", term.Plural(want.Put, "key"), term.Count(want.Overwritten), term.Count(want.Deleted), ns.Title, env.Name)
	if o.dryRun {
		end(term.Plain, "would have "+what)
		return a.printRestored(want, 0, true)
	}
	end(term.Plain, "will have "+what)
	if err := a.confirmChange("restore", fmt.Sprintf("This writes into environment %s (class %s): %s.", env.Name, env.Class, what), env, false, "run it on a terminal"); err != nil {
		return err
	}
	progress, end = live.Begin("restore", "writing")
	opt.DryRun = false
	done, err := b.RestoreKV(ctx, ns, opt)
	if err != nil {
		return fail(err)
	}
	progress(firedrill.Progress{Text: "comparing every key with the backup"})
	compared, err := b.Check(ctx, ns, opt)
	if err != nil {
		return fail(err)
	}
	end(term.Good, fmt.Sprintf("%s written, %s deleted, %s compared and equal", term.Plural(done.Put, "key"), term.Count(done.Deleted), term.Count(compared)))
	return a.printRestored(done, compared, false)
}

func (a *app) printRestored(r backup.Restored, compared int64, dry bool) error {
	if a.global.json {
		return a.printJSON(map[string]any{"schema_version": 1, "dry_run": dry, "put": r.Put, "overwritten": r.Overwritten, "deleted": r.Deleted,
			"expired": append([]string{}, r.ExpiredKeys...), "compared": compared})
	}
	if r.Expired > 0 {
		a.out.Line(term.Plain, "  expired", fmt.Sprintf("%s of the backup cannot be written any more: %s", term.Plural(r.Expired, "key"), some(r.ExpiredKeys)))
	}
	return nil
}

// pause waits, or gives the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
