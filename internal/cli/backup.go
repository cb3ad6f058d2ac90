package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/cli/term"
)

func (a *app) backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "backup", Short: "Back up namespaces and databases into folders that need no firedrill",
		Long: `A backup is a folder, or a prefix in a bucket: parts that "wrangler kv bulk put",
"wrangler d1 execute --file" and "sqlite3" take as they are, and a manifest with
counts and checksums (docs/formats/backup.md).`,
		Example: `  firedrill backup kv cache -o backups/cache
  firedrill backup d1 primary -o backups/primary
  firedrill backup verify backups/cache
  firedrill backup test backups --random-within 30d
  firedrill restore backups/cache --into cache --mode exact --dry-run`,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				return unknownCommand(c, given[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.backupKVCommand(), a.backupD1Command(), a.backupVerifyCommand(), a.backupShowCommand(), a.backupListCommand(), a.backupTestCommand())
	return c
}

// backupOptions are the flags of `backup kv` and `backup d1`.
type backupOptions struct {
	out     string
	recheck bool
	method  string
	seal    sealOptions
	key     keyOptions
}

func (o *backupOptions) flags(c *cobra.Command) {
	c.Flags().StringVarP(&o.out, "output", "o", "", "`place` of the backup: a folder, or s3://BUCKET/PREFIX; empty, or one in which this backup was cut off")
	o.seal.flags(c)
}

func (a *app) backupKVCommand() *cobra.Command {
	var o backupOptions
	c := &cobra.Command{
		Use: "kv RESOURCE -o PLACE", Short: "Back up a KV namespace of the plan", Args: args(1, 1, "one resource"),
		Long: `Back up a KV namespace of the plan. A namespace has no snapshot: each key is as
it was at one moment while the backup ran. What could be seen to happen to keys
meanwhile is noted; a value that was overwritten shows only with --recheck, which
reads everything a second time. After an interruption the same command goes on
where it was.`,
		Example: `  firedrill backup kv cache -o backups/cache
  firedrill backup kv cache -o backups/cache --compress --encrypt-to age1…`,
		ValidArgsFunction: a.completeResources("kv"),
		RunE:              func(c *cobra.Command, names []string) error { return a.backupKV(c.Context(), names[0], o) },
	}
	o.flags(c)
	o.key.flags(c)
	c.Flags().BoolVar(&o.recheck, "recheck", false, "read everything a second time, and note what changed meanwhile (of an encrypted backup: with --identity)")
	return c
}

func (a *app) backupKV(ctx context.Context, resource string, o backupOptions) error {
	defer lean()()
	w, place, done, err := a.writeOptions(o)
	if err != nil {
		return err
	}
	defer done()
	if w.Recheck = o.recheck; w.Recheck && len(w.Seal.Recipients) > 0 && len(w.Keys) == 0 {
		return usage("--recheck has to read what was encrypted", "give the key, too: --identity FILE")
	}
	site, err := a.site()
	if err != nil {
		return err
	}
	live := a.live()
	defer live.Close()
	progress, end := live.Begin("backup", resource)
	ns, err := site.namespace(ctx, "back up", resource, func(text string) { progress(firedrill.Progress{Text: text}) })
	if err != nil {
		end(term.Bad, "")
		return err
	}
	w.Source = ns.Source()
	w.Progress = func(keys, _ int64) { progress(firedrill.Progress{Text: term.Plural(keys, "key"), Done: keys}) }
	m, err := backup.WriteKV(ctx, ns, place, w)
	if err != nil {
		end(term.Bad, "")
		return err
	}
	end(term.Plain, fmt.Sprintf("%s in %s", term.Plural(m.Keys, "key"), term.Seconds(m.Finished.Sub(m.Started).Seconds())))
	return a.printManifest(place, m)
}

// writeOptions makes of the flags what both kinds of backups need.
func (a *app) writeOptions(o backupOptions) (w backup.WriteOptions, place backup.Place, done func(), err error) {
	w = backup.WriteOptions{Tool: "firedrill " + a.Version, Now: a.Now}
	if o.out == "" {
		return w, nil, nil, usage("it is not said where the backup goes", "give -o DIR, or -o s3://BUCKET/PREFIX")
	}
	if w.Seal, err = o.seal.seal(); err != nil {
		return w, nil, nil, err
	}
	if w.Keys, err = o.key.keys(); err != nil {
		return w, nil, nil, err
	}
	place, done, err = a.place(o.out)
	return w, place, done, err
}

// openBackup opens a backup by what the command line says of it.
func (a *app) openBackup(ctx context.Context, ref string, key keyOptions) (b *backup.Backup, done func(), err error) {
	all, broken, done, err := a.openAll(ctx, []string{ref}, key)
	switch {
	case err != nil:
		return nil, nil, err
	case len(broken) > 0:
		done()
		return nil, nil, broken[0]
	}
	return all[0].Backup, done, nil
}

func (a *app) backupVerifyCommand() *cobra.Command {
	var key keyOptions
	c := &cobra.Command{
		Use: "verify PLACE", Short: "Check every byte of a backup, offline", Args: args(1, 1, "the folder of a backup"),
		Long: `Check a backup without the platform: the size and checksum of every part, every
key or statement in it, all counts, and the fingerprint of what it holds. What is
wrong is named with its part and its offset. Of an encrypted backup the files are
checked without the key, and what they hold only with it.`,
		RunE: func(c *cobra.Command, refs []string) error { return a.backupVerify(c.Context(), refs[0], key) },
	}
	key.flags(c)
	return c
}

func (a *app) backupVerify(ctx context.Context, ref string, key keyOptions) error {
	defer lean()()
	b, done, err := a.openBackup(ctx, ref, key)
	if err != nil {
		return err
	}
	defer done()
	live := a.live()
	defer live.Close()
	_, end := live.Begin("verify", "reading "+ref)
	// Without the key there is still something to check, and it is said what was
	// not.
	sealed := b.Manifest.Encoding.Encryption != "" && len(key.identity) == 0
	if sealed {
		err = b.VerifyStored(ctx)
	} else {
		err = b.Verify(ctx)
	}
	if err != nil {
		end(term.Bad, "")
		return err
	}
	end(term.Plain, "")
	if a.global.json {
		return a.printJSON(struct {
			SchemaVersion int  `json:"schema_version"`
			FilesOK       bool `json:"files_ok"`
			ContentsOK    bool `json:"contents_ok"`
			backup.Manifest
		}{1, true, !sealed, b.Manifest})
	}
	text := "every byte is as the manifest says: " + holdings(b.Manifest)
	if sealed {
		text = fmt.Sprintf("the %s are as they were written; what they hold was not read: they are encrypted, give --identity FILE", term.Plural(int64(len(b.Manifest.Parts)), "part"))
	}
	a.out.Line(term.Good, "backup", text)
	return nil
}

// holdings tells what a backup holds.
func holdings(m backup.Manifest) string {
	parts := term.Plural(int64(len(m.Parts)), "part")
	if m.Database != nil {
		return fmt.Sprintf("%s in %s, %s", term.Plural(m.Database.Rows, "row"), term.Plural(int64(len(m.Database.Tables)), "table"), parts)
	}
	return fmt.Sprintf("%s, %s of values, %s", term.Plural(m.Keys, "key"), sizeText(m.Bytes), parts)
}

func (a *app) backupShowCommand() *cobra.Command {
	return &cobra.Command{Use: "show PLACE", Short: "What a backup holds, by its manifest", Args: args(1, 1, "the folder of a backup"),
		RunE: func(c *cobra.Command, refs []string) error {
			b, done, err := a.openBackup(c.Context(), refs[0], keyOptions{})
			if err != nil {
				return err
			}
			defer done()
			return a.printManifest(b.Place, b.Manifest)
		}}
}

func (a *app) printManifest(place backup.Place, m backup.Manifest) error {
	if a.global.json {
		return a.printJSON(struct {
			SchemaVersion int    `json:"schema_version"`
			Place         string `json:"place"`
			backup.Manifest
		}{1, place.String(), m})
	}
	line := func(label, format string, args ...any) {
		a.out.Line(term.Plain, "  "+label, fmt.Sprintf(format, args...))
	}
	a.out.Line(term.Strong, "backup", place.String()+"   "+holdings(m))
	id := m.Source.Namespace + m.Source.Database
	line("of", "%s %s (%s)", kindName(m.Kind), m.Source.Title, id)
	const day = "2006-01-02 15:04:05"
	if d := m.Database; d != nil {
		line("at", "bookmark %s, %s", d.Bookmark, m.Started.Local().Format(day))
		compared := "every row compared with the database"
		if !d.Compared {
			compared = "not compared with the database: somebody wrote meanwhile"
		}
		line("read by", "%s; %s", d.Method, compared)
	} else {
		line("between", "%s and %s: a namespace has no snapshot", m.Started.Local().Format(day), m.Finished.Local().Format("15:04:05"))
	}
	if m.Encoding != (backup.Encoding{}) {
		line("stored", "%s", strings.Trim(m.Encoding.Compression+", "+m.Encoding.Encryption, ", "))
	}
	line("digest", "%s", m.Digest)
	for _, p := range m.Parts {
		held := term.Plural(int64(p.Keys), "key")
		if m.Database != nil {
			held = term.Plural(p.Rows, "row")
		}
		line(p.File, "%s, %s", held, sizeText(p.Bytes))
	}
	for _, what := range slices.Sorted(maps.Keys(m.Noted)) {
		line(string(what), "%s while it ran: %s", term.Plural(m.Noted[what], "key"), some(m.Named(what)))
	}
	if m.Rechecked != nil {
		line("rechecked", "everything was read a second time, %s", m.Rechecked.Local().Format(day))
	}
	return nil
}

// some names the first few of many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
}
