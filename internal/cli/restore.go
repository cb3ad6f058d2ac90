package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
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
	key        keyOptions
}

func (a *app) restoreCommand() *cobra.Command {
	var o restoreOptions
	c := &cobra.Command{
		Use: "restore PLACE --into RESOURCE", Short: "Restore a backup into a resource of the plan",
		Long: `Restore verifies the whole backup, tells what it will do, does it, and compares
everything with the backup. A namespace that is not empty is refused without a
mode; a database has to be empty, or is made if the plan names it and it is not
there. After an interruption the same command goes on where it was.`,
		Example: `  firedrill restore backups/cache --into cache --mode exact --dry-run
  firedrill restore backups/cache --into scratch`,
		Args: args(1, 1, "the folder of a backup"),
		RunE: func(c *cobra.Command, refs []string) error { return a.restore(c.Context(), refs[0], o) },
	}
	f := c.Flags()
	f.StringVar(&o.into, "into", "", "`resource` of the plan that is written")
	f.StringVar(&o.mode, "mode", "", "`exact`: other keys are deleted; merge: they stay")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what would be done, and change nothing")
	o.key.flags(c)
	_ = c.RegisterFlagCompletionFunc("into", a.completeResources("kv", "d1"))                                                        // the flag exists
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"exact", "merge"}, cobra.ShellCompDirectiveNoFileComp)) // likewise
	return c
}

func (a *app) restore(ctx context.Context, ref string, o restoreOptions) error {
	if o.into == "" {
		return usage("it is not said what to restore into", "give --into RESOURCE")
	}
	defer lean()()
	b, done, err := a.openBackup(ctx, ref, o.key)
	if err != nil {
		return err
	}
	defer done()
	site, err := a.site()
	if err != nil {
		return err
	}
	live := a.live()
	defer live.Close()
	if b.Manifest.Kind == backup.KindD1 {
		return a.restoreD1(ctx, b, site, o, live)
	}
	return a.restoreKV(ctx, b, site, o, live)
}

func (a *app) restoreKV(ctx context.Context, b *backup.Backup, site site, o restoreOptions, live *term.Live) error {
	progress, end := live.Begin("restore", "reading "+b.Place.String())
	fail := func(err error) error {
		end(term.Bad, "")
		return err
	}
	ns, err := site.namespace(ctx, "restore", o.into, func(text string) { progress(firedrill.Progress{Text: text}) })
	if err != nil {
		return fail(err)
	}
	opt := backup.RestoreOptions{Mode: backup.Mode(o.mode), DryRun: true, Now: a.Now, Sleep: pause,
		Progress: func(done, total int64) { progress(firedrill.Progress{Text: "keys written", Done: done, Total: total}) }}
	if opt.Journal, err = a.restoreJournal(b, ns.Source().API+"/"+ns.Source().Account+"/"+ns.ID, opt.Mode); err != nil {
		return fail(err)
	}
	want, err := b.RestoreKV(ctx, ns, opt)
	if err != nil {
		return fail(err)
	}
	what := fmt.Sprintf("%s written (%s overwritten), %s deleted in KV namespace %s of %s", term.Plural(want.Put, "key"), term.Count(want.Overwritten), term.Count(want.Deleted), ns.Title, site.env.Name)
	if o.dryRun {
		end(term.Plain, "would have "+what)
		return a.printRestored(want, 0, true)
	}
	end(term.Plain, "will have "+what)
	if err := a.confirmChange("restore", fmt.Sprintf("This writes into environment %s (class %s): %s.", site.env.Name, site.env.Class, what), site.env, false, "run it on a terminal"); err != nil {
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

// restoreJournal remembers a restore into a target, so that it can go on.
func (a *app) restoreJournal(b *backup.Backup, target string, mode backup.Mode) (*backup.Journal, error) {
	home, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(target + "\x00" + b.Manifest.Digest.String() + "\x00" + string(mode)))
	return backup.OpenJournal(filepath.Join(home, "restores", hex.EncodeToString(sum[:8])+".json"), target, mode)
}

func (a *app) printRestored(r backup.Restored, compared int64, dry bool) error {
	if a.global.json {
		return a.printJSON(map[string]any{"schema_version": 1, "dry_run": dry, "put": r.Put, "overwritten": r.Overwritten, "deleted": r.Deleted,
			"skipped": r.Skipped, "expired": append([]string{}, r.ExpiredKeys...), "expired_count": r.Expired, "compared": compared})
	}
	if r.Skipped > 0 {
		a.out.Line(term.Plain, "  gone on", term.Plural(r.Skipped, "key")+" had been written before the interruption")
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
