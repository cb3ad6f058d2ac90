package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/backup"
	"firedrill/internal/cli/term"
)

// testOptions are the flags of `backup test`.
type testOptions struct {
	within days
	key    keyOptions
}

func (a *app) backupTestCommand() *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use: "test PLACE", Short: "Restore a backup into a scratch resource, compare everything, delete it", Args: args(1, 1, "a backup, or with --random-within a folder of backups"),
		Long: `A restore test: verify a backup, restore it into a namespace or database of its own
with a random name, compare every key or row with the backup, and delete it again.
Nothing that exists is touched, so it is safe in production: it is the one thing that
firedrill changes there. The token has to be allowed to make and delete such resources.

With --random-within one of the backups below PLACE is chosen by chance among those
that were finished in the last while: in time, all of them are tested.`,
		Example: `  firedrill backup test backups/cache
  firedrill backup test s3://dr-backups --random-within 30d --env production`,
		RunE: func(c *cobra.Command, refs []string) error { return a.backupTest(c.Context(), refs[0], o) },
	}
	c.Flags().Var(&o.within, "random-within", "choose by chance among the backups below PLACE that were finished in this `span`: 30d, 36h")
	o.key.flags(c)
	return c
}

// tested is the outcome of a restore test.
type tested struct {
	SchemaVersion int           `json:"schema_version"`
	Place         string        `json:"place"`
	ChosenFrom    int           `json:"chosen_from"`
	Kind          string        `json:"kind"`
	Source        backup.Source `json:"source"`
	Digest        string        `json:"digest"`
	Finished      time.Time     `json:"backup_finished"`
	Environment   string        `json:"environment"`
	Scratch       string        `json:"scratch"`
	Restored      int64         `json:"restored"`
	Compared      int64         `json:"compared"`
	Expired       int64         `json:"expired"`
	Equal         bool          `json:"equal"`
	Removed       bool          `json:"removed"`
	Seconds       float64       `json:"took_s"`
	At            time.Time     `json:"at"`
}

func (a *app) backupTest(ctx context.Context, ref string, o testOptions) (err error) {
	defer lean()()
	refs := []string{ref}
	if o.within != 0 {
		if refs, err = a.backupsBelow(ctx, ref); err != nil {
			return err
		}
	}
	all, broken, done, err := a.openAll(ctx, refs, o.key)
	if err != nil {
		return err
	}
	defer done()
	// A backup that cannot be opened must not go unseen because another is chosen.
	if len(broken) > 0 {
		return errors.Join(broken...)
	}
	if o.within != 0 {
		if all = within(all, time.Duration(o.within), a.Now()); len(all) == 0 {
			return &firedrill.Error{Op: "test a backup", Kind: firedrill.KindNotFound, Target: ref, Detail: "no backup below it was finished in the last " + o.within.String(), Remedy: "make one: firedrill backup kv, firedrill backup d1"}
		}
	}
	chosen, err := oneOf(all)
	if err != nil {
		return err
	}
	site, err := a.site()
	if err != nil {
		return err
	}
	live := a.live()
	defer live.Close()
	t := &restoreTest{a: a, site: site, live: live, b: chosen.Backup}
	if err := a.clearUp(ctx, site.client); err != nil {
		return err
	}
	m := chosen.Manifest
	out := tested{SchemaVersion: 1, Place: chosen.ref, ChosenFrom: len(all), Kind: m.Kind, Source: m.Source, Digest: m.Digest.String(), Finished: m.Finished, Environment: site.env.Name, At: a.Now().UTC()}
	if len(all) > 1 {
		a.err.Line(term.Plain, "chosen", fmt.Sprintf("%s, by chance out of %d", chosen.ref, len(all)))
	}
	if err := t.run(ctx, &out); err != nil {
		return err
	}
	out.Seconds = a.Now().Sub(out.At).Seconds()
	if err := a.rememberTest(out); err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(out)
	}
	a.out.Line(term.Good, "backup", fmt.Sprintf("%s restores: %s compared and equal, %s", chosen.ref, t.count(out.Compared), term.Seconds(out.Seconds)))
	if out.Expired > 0 {
		a.out.Line(term.Plain, "  expired", term.Plural(out.Expired, "key")+" of the backup cannot be written any more")
	}
	return nil
}

// oneOf chooses one of several by chance.
func oneOf(all []held) (held, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(all))))
	if err != nil {
		return held{}, err
	}
	return all[n.Int64()], nil
}

// restoreTest restores a backup into a scratch resource.
type restoreTest struct {
	a    *app
	site site
	live *term.Live
	b    *backup.Backup
}

func (t *restoreTest) count(n int64) string {
	if t.b.Manifest.Kind == backup.KindD1 {
		return term.Plural(n, "row")
	}
	return term.Plural(n, "key")
}

const testOp = "test a backup"

func (t *restoreTest) run(ctx context.Context, out *tested) (err error) {
	progress, end := t.live.Begin("restore test", "reading "+t.b.Place.String())
	defer func() {
		style := term.Plain
		if err != nil {
			style = term.Bad
		}
		end(style, "")
	}()
	tell := func(text string) { progress(firedrill.Progress{Text: text}) }
	if err := t.b.Verify(ctx); err != nil {
		return err
	}
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	out.Scratch = cloudflare.ScratchPrefix + hex.EncodeToString(random)
	note := scratchNote{Kind: t.b.Manifest.Kind, Name: out.Scratch, API: t.site.client.API(), Account: t.site.client.Account(), At: t.a.Now().UTC()}
	if err := t.a.noteScratch(note); err != nil {
		return err
	}
	defer func() {
		// It goes whatever happened, also after an interruption.
		tell("deleting " + out.Scratch)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		gone := t.a.removeScratch(ctx, t.site.client, note)
		out.Removed = gone == nil
		err = errors.Join(err, gone)
	}()
	opt := backup.RestoreOptions{Now: t.a.Now, Sleep: pause, Progress: func(done, total int64) {
		progress(firedrill.Progress{Text: t.count(total) + " restored into " + out.Scratch, Done: done, Total: total})
	}}
	if t.b.Manifest.Kind == backup.KindD1 {
		db, err := t.site.client.CreateD1Scratch(ctx, testOp, out.Scratch, tell)
		if err != nil {
			return err
		}
		done, err := t.b.RestoreD1(ctx, db, opt)
		if err != nil {
			return err
		}
		out.Restored, out.Compared = done.Rows, done.Compared
	} else {
		ns, err := t.site.client.CreateKVScratch(ctx, testOp, out.Scratch, tell)
		if err != nil {
			return err
		}
		done, err := t.b.RestoreKV(ctx, ns, opt)
		if err != nil {
			return err
		}
		tell("comparing every key with the backup")
		if out.Compared, err = t.b.Check(ctx, ns, opt); err != nil {
			return err
		}
		out.Restored, out.Expired = done.Put, done.Expired
	}
	if out.Compared == 0 {
		return &firedrill.Error{Op: testOp, Kind: firedrill.KindExpectation, Target: t.b.Place.String(), Detail: "nothing was compared: the backup holds nothing that can be restored", Remedy: "look at it: firedrill backup show"}
	}
	out.Equal = true
	return nil
}

// clearUp deletes what earlier tests of backups and of actions, which were killed, have left in this account.
func (a *app) clearUp(ctx context.Context, client *cloudflare.Client) error {
	notes, err := a.scratchNotes()
	if err != nil {
		return err
	}
	for _, n := range notes {
		if n.API != client.API() || n.Account != client.Account() {
			continue
		}
		if err := a.removeScratch(ctx, client, n); err != nil {
			a.complain(err) // the test itself can go on
			continue
		}
		a.err.Line(term.Plain, "cleared up", fmt.Sprintf("%s %s, left by a test that was cut off", kindName(n.Kind), n.Name))
	}
	return nil
}
