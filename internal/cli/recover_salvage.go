package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	xterm "golang.org/x/term"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
	"firedrill/internal/salvage"
)

// salvageOptions are the flags of `recover --salvage`.
type salvageOptions struct {
	on      bool
	rules   salvage.Rules
	planOut string
	choices string
}

func (o *salvageOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.on, "salvage", false, "only chosen rows return to the point; what was written since stays")
	f.StringArrayVar(&o.rules.Keep, "keep", nil, "in the list, `TABLE[:KEY,...]` stays as it is now (repeatable)")
	f.StringArrayVar(&o.rules.Restore, "restore", nil, "in the list, `TABLE[:KEY,...]` is to be as it was at the point, and all else stays (repeatable)")
	f.BoolVar(&o.rules.DropNew, "drop-new", false, "in the list, rows that were not there at the point are to go")
	f.StringVar(&o.planOut, "plan-out", "", "`file` to write the list into, for review; nothing is applied")
	f.StringVar(&o.choices, "choices", "", "`file` of a list with the choices to apply; it says to which point")
}

// fit refuses flags that do not belong together.
func (o salvageOptions) fit(c *cobra.Command, all recoverOptions) error {
	given := func(names ...string) string {
		for _, n := range names {
			if c.Flags().Changed(n) {
				return "--" + n
			}
		}
		return ""
	}
	if !o.on {
		if f := given("keep", "restore", "drop-new", "plan-out", "choices"); f != "" {
			return usage(f+" is for --salvage", "firedrill recover DRILL --to POINT --salvage "+f+" …")
		}
		return nil
	}
	if all.undo != "" {
		return usage("--undo brings back what a run found, and salvages nothing", "firedrill recover --undo RUN")
	}
	if f := given("keep", "restore", "drop-new", "plan-out", "to"); o.choices != "" && f != "" {
		return usage("the file of choices says what is applied and to which point, so "+f+" has nothing to add", "leave "+f+" out, or list again without --choices")
	}
	return nil
}

// salvage lists what differs between a point and now, or applies what was chosen of it.
// On a terminal it asks in between.
func (a *app) salvage(ctx context.Context, name string, o recoverOptions) (err error) {
	if o.salvage.choices == "" && o.salvage.planOut == "" && (!a.onTerminal() || a.global.json) {
		return usage("nobody can be shown here what differs", "write it into a file: --plan-out FILE, and apply it with --choices FILE")
	}
	p, c, err := a.loadPlan()
	if err != nil {
		return err
	}
	began, err := a.incidentBegan(o.began)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.Drills, func(d firedrill.Drill) bool { return d.Name == name })
	if i >= 0 && !slices.Contains(playbook.Salvages{}.Names(), p.Drills[i].Use) {
		return usage("drill "+name+" recovers no database whose rows could be chosen", fmt.Sprintf("name a drill that uses one of %v", playbook.Salvages{}.Names()))
	}
	s, live, err := a.emergency(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	defer live.Close()
	prepare := func(in firedrill.Incident, inputs firedrill.Values) (*firedrill.Program, error) {
		in.Began, inputs["drill"], inputs["quiesce"] = began, name, !o.noQuiesce
		prog, err := plan.Recovery(p, name, a.global.env, inputs, in, c.registry, playbook.Salvages{})
		if err != nil {
			return nil, err
		}
		return prog, stopsWriters(*prog, o)
	}
	unattended := i >= 0 && p.Drills[i].Unattended
	apply := func(file string) error {
		in, inputs, err := a.choices(file, name)
		if err != nil {
			return err
		}
		prog, err := prepare(in, inputs)
		if err != nil {
			return err
		}
		return a.recoverWith(ctx, s, live, *prog, unattended)
	}
	if o.salvage.choices != "" {
		return apply(o.salvage.choices)
	}

	in, inputs, err := a.listing(ctx, s, p, c, name, o)
	if err != nil {
		return err
	}
	prog, err := prepare(in, inputs)
	if err != nil {
		return err
	}
	file, drop, err := a.listFile(o.salvage.planOut)
	if err != nil {
		return err
	}
	defer drop()
	prog.Inputs["list"] = file
	results, err := a.perform(ctx, s, live, *prog, unattended)
	if err != nil || len(results) == 0 || results[0].ReasonCode != firedrill.ReasonListed {
		return a.conclude(ctx, results, err)
	}
	returning, err := a.showList(file)
	if err != nil {
		return err
	}
	if o.salvage.planOut != "" || returning == 0 {
		if o.salvage.planOut != "" && !a.global.quiet {
			a.err.Command("  apply it", a.again(fmt.Sprintf("recover %s --env %s --salvage --choices %s", name, prog.Environment.Name, o.salvage.planOut)))
		}
		return a.conclude(ctx, results, nil)
	}
	fmt.Fprintf(a.Stderr, "To choose row by row, answer no and list into a file: --plan-out FILE.\nType yes to make %s as they were then: ", term.Plural(returning, "row"))
	if err := a.typed("recover", "environment "+prog.Environment.Name, "yes"); err != nil {
		return a.conclude(ctx, results, nil)
	}
	return apply(file)
}

// onTerminal tells whether somebody can be asked.
func (a *app) onTerminal() bool {
	in, is := a.Stdin.(*os.File)
	return is && xterm.IsTerminal(int(in.Fd()))
}

// stopsWriters refuses to take a database to another time while others write.
func stopsWriters(p firedrill.Program, o recoverOptions) error {
	if p.Environment.Quiesces() || o.noQuiesce {
		return nil
	}
	return &firedrill.Error{Op: "recover", Kind: firedrill.KindGuard, Target: "environment " + p.Environment.Name,
		Detail: "the plan does not say how its writers are stopped, and while the database is at the point what they write would be lost",
		Remedy: "add quiesce to the environment; or stop them yourself and say so: --no-quiesce"}
}

// listing gives what a run needs that lists what differs.
func (a *app) listing(ctx context.Context, s *station, p *firedrill.Plan, c catalog, name string, o recoverOptions) (firedrill.Incident, firedrill.Values, error) {
	var in firedrill.Incident
	i := slices.IndexFunc(p.Drills, func(d firedrill.Drill) bool { return d.Name == name })
	if i < 0 {
		_, err := plan.Recovery(p, name, "", nil, in, c.registry, playbook.Salvages{})
		return in, nil, err // there is no such drill
	}
	book, err := plan.RecoveryBook(p.Drills[i], c.registry, playbook.Salvages{})
	if err != nil {
		return in, nil, err
	}
	to, err := a.pointTo(ctx, s, p, c, name, o.to, book, playbook.Salvages{})
	if err != nil {
		return in, nil, err
	}
	rules, err := json.Marshal(o.salvage.rules)
	if err != nil {
		return in, nil, err
	}
	to.inputs["rules"] = string(rules)
	return firedrill.Incident{Point: "looks at " + to.words + ", and comes back", Lists: true}, to.inputs, nil
}

// choices gives what a run needs that applies the choices of a file.
func (a *app) choices(file, name string) (firedrill.Incident, firedrill.Values, error) {
	fail := func(kind firedrill.Kind, detail, remedy string, err error) (firedrill.Incident, firedrill.Values, error) {
		return firedrill.Incident{}, nil, &firedrill.Error{Op: "recover", Kind: kind, Target: file, Detail: detail, Remedy: remedy, Err: err}
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return fail(firedrill.KindStorage, "", "", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fail(firedrill.KindUsage, "the choices cannot be read", "name the file that --plan-out wrote", err)
	}
	var sum salvage.Summary
	h, err := salvage.Read(bytes.NewReader(data), func(r salvage.Row) error { sum.Add(r); return nil })
	if err != nil {
		return fail(firedrill.KindUsage, "", "edit only what follows take, or list again", err)
	}
	if h.Drill != name {
		return fail(firedrill.KindUsage, "the choices are for drill "+h.Drill, "firedrill recover "+h.Drill+" --salvage --choices "+file, nil)
	}
	digest := sha256.Sum256(data)
	return firedrill.Incident{Point: fmt.Sprintf("bookmark %s, %s of %s", h.Then, term.Plural(returning(sum), "row"), h.Name)},
		firedrill.Values{"bookmark": h.Then, "choices": path, "digest": hex.EncodeToString(digest[:])}, nil
}

// returning counts the rows that are to be as they were.
func returning(sum salvage.Summary) int64 {
	var n int64
	for _, t := range sum {
		n += t.Then
	}
	return n
}

// listFile gives the file that a list is written into. One that nobody named holds
// everybody's data and is dropped in the end.
func (a *app) listFile(planOut string) (path string, drop func(), err error) {
	if planOut != "" {
		path, err = filepath.Abs(planOut)
		return path, func() {}, err
	}
	home, err := a.homeDir()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp(home, "salvage-")
	if err != nil {
		return "", nil, &firedrill.Error{Op: "recover", Kind: firedrill.KindStorage, Target: home, Err: err, Remedy: "make room on the disk, and the folder writable"}
	}
	return filepath.Join(dir, "rows.jsonl"), func() { _ = os.RemoveAll(dir) }, nil // it is of no further use
}

// shownRows is how many rows of a table are shown of each kind.
const shownRows = 3

// showList shows the tables of a list and some rows of each, and counts those that are
// to be as they were.
func (a *app) showList(file string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, &firedrill.Error{Op: "recover", Kind: firedrill.KindStorage, Target: file, Err: err}
	}
	defer func() { _ = f.Close() }() // it was only read
	var sum salvage.Summary
	samples := map[string][]salvage.Row{}
	kinds := map[string]int{}
	if _, err := salvage.Read(f, func(r salvage.Row) error {
		sum.Add(r)
		kind := r.Table + "\x00" + r.How + "\x00" + r.Take
		if kinds[kind]++; kinds[kind] <= shownRows && r.Refused == "" {
			samples[r.Table] = append(samples[r.Table], r)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	if a.global.quiet {
		return returning(sum), nil
	}
	for _, t := range sum {
		if t.Refused != "" {
			a.err.Line(term.Warn, "  "+t.Table, "cannot be chosen from: "+t.Refused)
			continue
		}
		a.err.Line(term.Strong, "  "+t.Table, fmt.Sprintf("%s · %s to be as then", t, term.Plural(t.Then, "row")))
		for _, r := range samples[t.Table] {
			a.err.Line(term.Plain, "    "+r.Take, r.How+"  "+r.Key+"  "+columnsText(r))
		}
	}
	if len(sum) == 0 {
		a.err.Line(term.Plain, "  nothing", "differs in the rows between then and now")
	}
	return returning(sum), nil
}

// columnsText says how a row differs: `plan: "pro", now "free"`.
func columnsText(r salvage.Row) string {
	const most = 3
	var parts []string
	for i, c := range r.Columns {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more columns", len(r.Columns)-most))
			break
		}
		switch r.How {
		case salvage.Changed:
			parts = append(parts, c.Column+": "+c.Then+", now "+c.Now)
		case salvage.Gone:
			parts = append(parts, c.Column+": "+c.Then)
		default:
			parts = append(parts, c.Column+": "+c.Now)
		}
	}
	return strings.Join(parts, "; ")
}
