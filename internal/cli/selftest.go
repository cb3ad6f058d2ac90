package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/saboteur"
	lies "firedrill/internal/saboteur/cloudflare"
	"firedrill/internal/sandbox"
)

// selftestOptions are the flags of `selftest`.
type selftestOptions struct {
	lies, drills []string
	list         bool
}

func (a *app) selftestCommand() *cobra.Command {
	var o selftestOptions
	c := &cobra.Command{
		Use: "selftest", Short: "Every drill against a cloud that lies: none may pass",
		Long: `Selftest shows that a drill cannot be lied to. On a throw-away sandbox it runs
each built-in drill once against an honest cloud, where it must pass, and once
against every lie that can touch it, where it must not: restores that lose a row,
rollbacks that leave the bad version, pages from a cache, and more. It fails if a
drill was fooled, and also if a lie was never told.

What it cannot show stands in docs/guide/selftest.md.`,
		Example: `  firedrill selftest
  firedrill selftest --list
  firedrill selftest --lie loses-row --lie flips-byte --drill d1-pitr`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.selftest(c.Context(), o) },
	}
	c.Flags().StringArrayVar(&o.lies, "lie", nil, "only the lie of this `name`; repeatable")
	c.Flags().StringArrayVar(&o.drills, "drill", nil, "only the drill of this `name`; repeatable")
	c.Flags().BoolVar(&o.list, "list", false, "say which lies there are, and run nothing")
	complete := func(names func() []string) cobra.CompletionFunc {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return names(), cobra.ShellCompDirectiveNoFileComp
		}
	}
	if err := errors.Join(c.RegisterFlagCompletionFunc("lie", complete(lieNames)), c.RegisterFlagCompletionFunc("drill", complete(drillNames))); err != nil {
		panic(err) // the flags are there: they were made above
	}
	return c
}

func lieNames() []string {
	var names []string
	for _, l := range lies.Lies() {
		names = append(names, l.Name)
	}
	return names
}

// drillNames are the drills that a lie can touch, in the order of the lies.
func drillNames() []string {
	var names []string
	for _, l := range lies.Lies() {
		for _, d := range l.Drills() {
			if !slices.Contains(names, d) {
				names = append(names, d)
			}
		}
	}
	slices.Sort(names)
	return names
}

// trial is one drill under one lie, or under none.
type trial struct {
	lie   *saboteur.Lie // nil: the control, an honest cloud
	drill string

	result *firedrill.Result
	caught string // what caught the lie, step and finding
	told   int
	err    error // the trial itself went wrong
}

// label names a trial for progress and tables.
func (t *trial) label() string {
	if t.lie == nil {
		return "none (control)"
	}
	return t.lie.Name
}

// ok tells whether a trial showed what it had to: a control that passed, a lie
// that was told and did not.
func (t *trial) ok() bool {
	switch {
	case t.err != nil || t.result == nil:
		return false
	case t.lie == nil:
		return t.result.Verdict == firedrill.Passed && t.result.State == firedrill.Restored
	}
	return t.told > 0 && t.result.Verdict != firedrill.Passed && t.caught != ""
}

// verdict is what the table shows.
func (t *trial) verdict() string {
	if t.result == nil {
		return "none"
	}
	return string(t.result.Verdict)
}

// finding is what the table shows beside the verdict.
func (t *trial) finding() string {
	switch {
	case t.err != nil:
		return "the trial broke: " + t.err.Error()
	case t.result == nil:
		return "nothing came of it"
	case t.ok() && t.lie == nil:
		return term.Plural(int64(len(t.result.Checks)), "check") + " held"
	case t.lie == nil:
		return "FALSE ALARM: " + strings.Join(t.result.Reasons, "; ")
	case t.told == 0:
		return "NEVER TOLD: the lie found nothing to be told about"
	case t.result.Verdict == firedrill.Passed:
		return "FOOLED: nothing caught it"
	case t.caught == "":
		return "caught without a reason"
	}
	return t.caught
}

// trials are what is to be run, the controls first.
func (o selftestOptions) trials() ([]*trial, error) {
	for _, want := range o.lies {
		if !slices.Contains(lieNames(), want) {
			return nil, usage(fmt.Sprintf("there is no lie %q", want), didYouMean(want, lieNames(), "firedrill selftest --list"))
		}
	}
	for _, want := range o.drills {
		if !slices.Contains(drillNames(), want) {
			return nil, usage(fmt.Sprintf("there is no lie for a drill %q", want), didYouMean(want, drillNames(), "firedrill selftest --list"))
		}
	}
	var all []*trial
	touched := map[string]bool{}
	for _, l := range lies.Lies() {
		if len(o.lies) > 0 && !slices.Contains(o.lies, l.Name) {
			continue
		}
		for _, d := range l.Drills() {
			if len(o.drills) == 0 || slices.Contains(o.drills, d) {
				all = append(all, &trial{lie: &l, drill: d})
				touched[d] = true
			}
		}
	}
	if len(all) == 0 {
		return nil, usage("none of these lies can touch any of these drills", "see: firedrill selftest --list")
	}
	var controls []*trial
	for _, d := range drillNames() {
		if touched[d] {
			controls = append(controls, &trial{drill: d})
		}
	}
	return append(controls, all...), nil
}

// listedLie is a lie as --list --json shows it.
type listedLie struct {
	Lie      string   `json:"lie"`
	Sentence string   `json:"sentence"`
	Drills   []string `json:"drills"`
}

func (a *app) selftestList() error {
	var docs []listedLie
	rows := [][]string{{"LIE", "WHAT IT IS", "DRILLS"}}
	for _, l := range lies.Lies() {
		docs = append(docs, listedLie{l.Name, l.Sentence, l.Drills()})
		rows = append(rows, []string{l.Name, l.Sentence, strings.Join(l.Drills(), ", ")})
	}
	if a.global.json {
		return a.printJSON(docs)
	}
	a.out.Columns(rows)
	return nil
}

// selftestParallel is how many trials run side by side: most of a trial is
// waiting.
const selftestParallel = 8

func (a *app) selftest(ctx context.Context, o selftestOptions) (err error) {
	if o.list {
		return a.selftestList()
	}
	all, err := o.trials()
	if err != nil {
		return err
	}
	home, err := a.homeDir()
	if err != nil {
		return err
	}
	live := a.live()
	began := a.Now()
	err = a.withThrowAway(ctx, home, live, func(dir string, e sandbox.Endpoint) {
		a.runTrials(ctx, live, all, dir, e)
	})
	live.Close()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return &firedrill.Error{Op: "selftest", Kind: firedrill.KindInterrupted, Detail: "interrupted; nothing is left behind"}
	}
	return a.concludeSelftest(all, a.Now().Sub(began))
}

// withThrowAway runs something with a sandbox that is gone afterwards.
func (a *app) withThrowAway(ctx context.Context, home string, live *term.Live, do func(dir string, e sandbox.Endpoint)) (err error) {
	b, err := a.workerd(ctx, live)
	if err != nil {
		return err
	}
	unusable := func(err error) error {
		return &firedrill.Error{Op: "selftest", Kind: firedrill.KindStorage, Target: home, Err: err, Remedy: "name a folder that can be written: --home DIR"}
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return unusable(err)
	}
	dir, err := os.MkdirTemp(home, "selftest-")
	if err != nil {
		return unusable(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := sandbox.Start(ctx, sandbox.Config{StateDir: filepath.Join(dir, "sandbox"), Listen: "127.0.0.1:0", Front: "127.0.0.1:0", Workerd: b.Path,
		Now: a.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return sandboxError(err)
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		err = errors.Join(err, sandboxError(s.Close(stop)))
	}()
	do(dir, s.Endpoint())
	return nil
}

// runTrials runs all trials, some side by side, and says how far it is.
func (a *app) runTrials(ctx context.Context, live *term.Live, all []*trial, dir string, e sandbox.Endpoint) {
	progress, end := live.Begin("selftest", "trials")
	queue := make(chan int)
	var running sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range selftestParallel {
		running.Go(func() {
			for i := range queue {
				t, began := all[i], a.Now()
				a.try(ctx, t, filepath.Join(dir, fmt.Sprintf("trial-%d", i)), e)
				mu.Lock()
				done++
				progress(firedrill.Progress{Text: "trials", Done: int64(done), Total: int64(len(all))})
				switch {
				case ctx.Err() != nil:
				case !t.ok():
					live.Line(term.Bad, t.label(), t.drill+": "+t.finding())
				case a.global.verbose:
					live.Line(term.Plain, t.label(), fmt.Sprintf("%s: %s after %s", t.drill, t.verdict(), term.Seconds(a.Now().Sub(began).Seconds())))
				}
				mu.Unlock()
			}
		})
	}
	for i := range all {
		if ctx.Err() != nil {
			break
		}
		queue <- i
	}
	close(queue)
	running.Wait()
	end(term.Plain, "")
}

// concludeSelftest prints the table, or the list of --json, and gives the exit
// status.
func (a *app) concludeSelftest(all []*trial, took time.Duration) error {
	good := !slices.ContainsFunc(all, func(t *trial) bool { return !t.ok() })
	if a.global.json {
		if err := a.printJSON(selftestRows(all)); err != nil {
			return err
		}
	} else {
		a.selftestTable(all, took)
	}
	if !good {
		return exitStatus(firedrill.ExitFailed)
	}
	return nil
}

// selftestRow is a row of --json.
type selftestRow struct {
	Lie      string `json:"lie"`
	Drill    string `json:"drill"`
	Verdict  string `json:"verdict"`
	CaughtBy string `json:"caught_by"`
}

// selftestRows are the lies; a control is none, and what is wrong with it shows
// in the exit status.
func selftestRows(all []*trial) []selftestRow {
	rows := []selftestRow{}
	for _, t := range all {
		if t.lie != nil {
			caught := t.caught
			if !t.ok() {
				caught = "" // by nothing that can be relied on
			}
			rows = append(rows, selftestRow{t.lie.Name, t.drill, t.verdict(), caught})
		}
	}
	return rows
}

func (a *app) selftestTable(all []*trial, took time.Duration) {
	rows := [][]string{{"LIE", "DRILL", "VERDICT", "CAUGHT BY"}}
	lied, told, caught, controls, honest := 0, 0, 0, 0, 0
	for _, t := range all {
		rows = append(rows, []string{t.label(), t.drill, t.verdict(), t.finding()})
		switch {
		case t.lie == nil:
			controls++
			if t.ok() {
				honest++
			}
			continue
		case t.ok():
			caught++
		}
		lied++
		if t.told > 0 {
			told++
		}
	}
	a.out.Columns(rows)
	a.out.Blank()
	a.out.Text(fmt.Sprintf("%d of %d controls passed · %d of %d lies told · %d of %d caught · %s",
		honest, controls, told, lied, caught, lied, term.Seconds(took.Seconds())))
}
