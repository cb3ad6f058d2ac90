package cli

import (
	"context"
	"fmt"

	"firedrill"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/backup"
	"firedrill/internal/cli/term"
)

// restoreD1 restores a backup into a database of the plan. One that the plan names
// and that is not there is made.
func (a *app) restoreD1(ctx context.Context, b *backup.Backup, site site, o restoreOptions, live *term.Live) error {
	progress, end := live.Begin("restore", "reading "+b.Place.String())
	fail := func(err error) error {
		end(term.Bad, "")
		return err
	}
	tell := func(text string) { progress(firedrill.Progress{Text: text}) }
	opt := backup.RestoreOptions{Mode: backup.Mode(o.mode), DryRun: true, Now: a.Now, Sleep: pause,
		Progress: func(done, total int64) {
			progress(firedrill.Progress{Text: "rows written", Done: done, Total: total})
		}}
	db, err := site.database(ctx, "restore", o.into, tell)
	name := site.name(o.into)
	missing := firedrill.KindOf(err) == firedrill.KindNotFound && name != ""
	if err != nil && !missing {
		return fail(err)
	}
	want := backup.RestoredD1{Tables: len(b.Manifest.Database.Tables), Rows: b.Manifest.Database.Rows}
	if missing {
		err = b.Verify(ctx)
	} else {
		name = db.Name
		want, err = b.RestoreD1(ctx, db, opt)
	}
	if err != nil {
		return fail(err)
	}
	what := fmt.Sprintf("%s in %s written into D1 database %s of %s", term.Plural(want.Rows, "row"), term.Plural(int64(want.Tables), "table"), name, site.env.Name)
	if missing {
		what += ", which is made"
	}
	if o.dryRun {
		end(term.Plain, "would have "+what)
		return a.printRestoredD1(want, missing, true)
	}
	end(term.Plain, "will have "+what)
	if err := a.confirmChange("restore", fmt.Sprintf("This writes into environment %s (class %s): %s.", site.env.Name, site.env.Class, what), site.env, false, "run it on a terminal"); err != nil {
		return err
	}
	progress, end = live.Begin("restore", "writing")
	if missing {
		if db, err = site.client.CreateD1(ctx, "restore", name, tell); err != nil {
			return fail(err)
		}
	}
	opt.DryRun = false
	done, err := b.RestoreD1(ctx, db, opt)
	if err != nil {
		return fail(err)
	}
	end(term.Good, fmt.Sprintf("%s in %s written; %s and the schema compared and equal", term.Plural(done.Rows, "row"), term.Plural(int64(done.Tables), "table"), term.Plural(done.Compared, "row")))
	return a.printRestoredD1(done, missing, false)
}

func (a *app) printRestoredD1(r backup.RestoredD1, made, dry bool) error {
	if a.global.json {
		return a.printJSON(map[string]any{"schema_version": 1, "dry_run": dry, "created": made, "tables": r.Tables, "rows": r.Rows,
			"parts": r.Parts, "skipped_parts": r.Skipped, "compared": r.Compared})
	}
	if r.Skipped > 0 {
		a.out.Line(term.Plain, "  gone on", term.Plural(int64(r.Skipped), "part")+" had been written before the interruption")
	}
	return nil
}

// database finds a D1 database of the plan.
func (s site) database(ctx context.Context, op, key string, tell func(string)) (*cloudflare.D1, error) {
	ref, err := s.resource("d1", key)
	if err != nil {
		return nil, err
	}
	return s.client.D1(ctx, op, ref, tell)
}

// name is what the plan calls a resource on the platform; "" if it names only an id.
func (s site) name(key string) string {
	text, _ := s.env.Resources[key].Attrs["name"].(string)
	return text
}
