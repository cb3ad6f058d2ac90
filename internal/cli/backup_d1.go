package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/cli/term"
)

func (a *app) backupD1Command() *cobra.Command {
	var o backupOptions
	c := &cobra.Command{
		Use: "d1 RESOURCE -o PLACE", Short: "Back up a D1 database of the plan", Args: args(1, 1, "one resource"),
		Long: `Back up a D1 database of the plan, all of it as it was at one moment. The platform's
own export is used where it is exact, and the tables are read through SQL where it is
not (full-text search, integers beyond 2^53, …): --method auto finds out. Either way
what was written is loaded into a database on this machine and compared with the real
one. While somebody keeps writing, a backup through SQL is refused: stop the writers.`,
		Example: `  firedrill backup d1 primary -o backups/primary
  firedrill backup d1 primary -o s3://dr-backups/primary/2026-11-27 --compress`,
		ValidArgsFunction: a.completeResources("d1"),
		RunE:              func(c *cobra.Command, names []string) error { return a.backupD1(c.Context(), names[0], o) },
	}
	o.flags(c)
	o.key.flags(c)
	c.Flags().StringVar(&o.method, "method", string(backup.MethodAuto), "`how` to read: auto, export or sql")
	_ = c.RegisterFlagCompletionFunc("method", cobra.FixedCompletions([]string{"auto", "export", "sql"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	return c
}

func (a *app) backupD1(ctx context.Context, resource string, o backupOptions) error {
	defer lean()()
	w, place, done, err := a.writeOptions(o)
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
	progress, end := live.Begin("backup", resource)
	tell := func(text string) { progress(firedrill.Progress{Text: text}) }
	db, err := site.database(ctx, "back up", resource, tell)
	if err != nil {
		end(term.Bad, "")
		return err
	}
	w.Source = db.Source()
	w.Progress = func(rows, _ int64) { progress(firedrill.Progress{Text: term.Plural(rows, "row"), Done: rows}) }
	m, err := backup.WriteD1(ctx, db, place, backup.D1Options{WriteOptions: w, Method: backup.Method(o.method), Tell: tell})
	if err != nil {
		end(term.Bad, "")
		return err
	}
	end(term.Plain, fmt.Sprintf("%s in %s", term.Plural(m.Database.Rows, "row"), term.Seconds(m.Finished.Sub(m.Started).Seconds())))
	return a.printManifest(place, m)
}
