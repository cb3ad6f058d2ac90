package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/backup"
	"firedrill/internal/cli/term"
)

func (a *app) backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "backup", Short: "Back up KV namespaces into folders that need no firedrill",
		Long: `A backup is a folder: parts that "wrangler kv bulk put" takes as they are, and a
manifest with counts and checksums (docs/formats/backup.md).`,
		Example: `  firedrill backup kv cache -o backups/cache
  firedrill backup verify backups/cache
  firedrill restore backups/cache --into cache --mode exact --dry-run`,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				return unknownCommand(c, given[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var out string
	kv := &cobra.Command{
		Use: "kv RESOURCE -o DIR", Short: "Back up a KV namespace of the plan", Args: args(1, 1, "one resource"),
		Long: `Back up a KV namespace of the plan. A namespace has no snapshot: each key is as
it was at one moment while the backup ran. After an interruption the same
command goes on where it was.`,
		ValidArgsFunction: a.completeNamespaces,
		RunE:              func(c *cobra.Command, names []string) error { return a.backupKV(c.Context(), names[0], out) },
	}
	kv.Flags().StringVarP(&out, "output", "o", "", "`folder` of the backup; empty, or one in which this backup was cut off")
	c.AddCommand(kv,
		&cobra.Command{Use: "verify DIR", Short: "Check every byte of a backup, offline", Args: args(1, 1, "the folder of a backup"),
			RunE: func(c *cobra.Command, dirs []string) error { return a.backupVerify(c.Context(), dirs[0]) }},
		&cobra.Command{Use: "show DIR", Short: "What a backup holds, by its manifest", Args: args(1, 1, "the folder of a backup"),
			RunE: func(c *cobra.Command, dirs []string) error { return a.backupShow(c.Context(), dirs[0]) }})
	return c
}

// environment finds the environment that is meant: the one named, or the only
// one of the plan.
func (a *app) environment(p *firedrill.Plan) (firedrill.Environment, error) {
	names := slices.Sorted(maps.Keys(p.Environments))
	name := a.global.env
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if env, ok := p.Environments[name]; ok {
		return env, nil
	}
	if name == "" {
		return firedrill.Environment{}, usage("the plan has several environments", "name one: --env "+strings.Join(names, " or "))
	}
	remedy := "choose from: " + strings.Join(names, ", ")
	if near := firedrill.Nearest(name, names); near != "" {
		remedy = "did you mean " + near + "?"
	}
	return firedrill.Environment{}, usage("the plan has no environment "+name, remedy)
}

// namespaces lists the KV namespaces of an environment by their keys.
func namespaces(env firedrill.Environment) []string {
	var list []string
	for key, r := range env.Resources {
		if r.Kind == "kv" {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

func (a *app) completeNamespaces(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	p, _, err := a.loadPlan()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	env, err := a.environment(p)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return namespaces(env), cobra.ShellCompDirectiveNoFileComp
}

// namespace finds a KV namespace of the plan.
func (a *app) namespace(ctx context.Context, op, resource string, tell func(string)) (*cloudflare.KV, firedrill.Environment, error) {
	p, _, err := a.loadPlan()
	if err != nil {
		return nil, firedrill.Environment{}, err
	}
	env, err := a.environment(p)
	if err != nil {
		return nil, env, err
	}
	r, ok := env.Resources[resource]
	if !ok || r.Kind != "kv" {
		have := namespaces(env)
		remedy := "write it into the plan: NAME: {kind: kv, name: TITLE}"
		if len(have) > 0 {
			remedy = "choose from: " + strings.Join(have, ", ")
		}
		return nil, env, usage(fmt.Sprintf("environment %s has no KV namespace %s", env.Name, resource), remedy)
	}
	var attrs cloudflare.KVAttrs
	if err := r.Attrs.Into(&attrs); err != nil {
		return nil, env, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "resource " + resource, Err: err, Remedy: "see: firedrill schema"}
	}
	client, err := cloudflare.NewFor(env, cloudflare.Deps{Secrets: action.SystemSecrets(), Now: a.Now, Guard: cloudflare.GuardPlan(p.Environments)})
	if err != nil {
		return nil, env, err
	}
	ref := attrs.ID
	if ref == "" {
		ref = attrs.Name
	}
	ns, err := client.KV(ctx, op, ref, tell)
	return ns, env, err
}

func (a *app) backupKV(ctx context.Context, resource, dir string) error {
	if dir == "" {
		return usage("the folder of the backup is not named", "give -o DIR")
	}
	live := a.live()
	defer live.Close()
	progress, end := live.Begin("backup", resource)
	ns, _, err := a.namespace(ctx, "back up", resource, func(text string) { progress(firedrill.Progress{Text: text}) })
	if err != nil {
		end(term.Bad, "")
		return err
	}
	m, err := backup.WriteKV(ctx, ns, backup.Folder(dir), backup.WriteOptions{Source: ns.Source(), Tool: "firedrill " + a.Version, Now: a.Now,
		Progress: func(keys, _ int64) { progress(firedrill.Progress{Text: term.Plural(keys, "key"), Done: keys}) }})
	if err != nil {
		end(term.Bad, "")
		return err
	}
	end(term.Plain, fmt.Sprintf("%s in %s", term.Plural(m.Keys, "key"), term.Seconds(m.Finished.Sub(m.Started).Seconds())))
	return a.printManifest(dir, m)
}

func (a *app) backupVerify(ctx context.Context, dir string) error {
	b, err := backup.Open(ctx, backup.Folder(dir))
	if err != nil {
		return err
	}
	if err := b.Verify(ctx); err != nil {
		return err
	}
	m := b.Manifest
	if a.global.json {
		return a.printJSON(m)
	}
	a.out.Line(term.Good, "backup", fmt.Sprintf("every byte is as the manifest says: %s, %s of values, %s", term.Plural(m.Keys, "key"), sizeText(m.Bytes), term.Plural(int64(len(m.Parts)), "part")))
	return nil
}

func (a *app) backupShow(ctx context.Context, dir string) error {
	b, err := backup.Open(ctx, backup.Folder(dir))
	if err != nil {
		return err
	}
	return a.printManifest(dir, b.Manifest)
}

func (a *app) printManifest(dir string, m backup.Manifest) error {
	if a.global.json {
		return a.printJSON(m)
	}
	line := func(label, format string, args ...any) {
		a.out.Line(term.Plain, "  "+label, fmt.Sprintf(format, args...))
	}
	a.out.Line(term.Strong, "backup", fmt.Sprintf("%s   %s, %s of values", dir, term.Plural(m.Keys, "key"), sizeText(m.Bytes)))
	line("of", "KV namespace %s (%s)", m.Source.Title, m.Source.Namespace)
	line("between", "%s and %s: a namespace has no snapshot", m.Started.Local().Format("2006-01-02 15:04:05"), m.Finished.Local().Format("15:04:05"))
	line("digest", "%s", m.Digest)
	for _, p := range m.Parts {
		line(p.File, "%s, %s", term.Plural(int64(p.Keys), "key"), sizeText(p.Bytes))
	}
	for _, what := range slices.Sorted(maps.Keys(m.Noted)) {
		line(string(what), "%s while it ran: %s", term.Plural(m.Noted[what], "key"), some(m.Named(what)))
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
