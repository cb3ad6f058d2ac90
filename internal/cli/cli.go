// Package cli is the command line: one file a command, each an options struct
// and a run function. It is the only place that wires things together.
//
// The contract (flags, exit statuses, what goes to standard output) stands in
// docs/guide/command-line.md; scripts rely on it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
)

// Process is what a command sees of its process. It is injected, so that
// commands can be tested side by side.
type Process struct {
	Args    []string // without the program's name
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Getenv  func(string) string
	Now     func() time.Time
	Version string
	// Signals delivers interrupts; nil: none come.
	Signals <-chan os.Signal
	// Exit ends the process at once; it is called on the second interrupt.
	Exit func(status int)
}

// Main runs the command line of this process and gives its exit status.
func Main() int {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Where nobody reads any more a write fails, which ends what only writes. By
	// itself the system would end the process, in the middle of a way back.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return Run(Process{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Now: time.Now, Version: version(), Signals: signals, Exit: os.Exit,
	})
}

// Run runs one command and gives its exit status.
func Run(p Process) int {
	a := &app{Process: p}
	a.out, a.err = term.NewPage(p.Stdout, p.Getenv), term.NewPage(p.Stderr, p.Getenv)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.listen(cancel)
	root := a.root()
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	var status exitStatus
	switch {
	case err == nil:
		return firedrill.ExitOK
	case errors.As(err, &status):
		return int(status)
	case errors.Is(err, syscall.EPIPE):
		return firedrill.KindOf(err).Exit() // whoever stopped reading wants to hear nothing
	}
	a.complain(err)
	return firedrill.KindOf(err).Exit()
}

// exitStatus ends a command that has said all there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// app is what all commands share.
type app struct {
	Process
	out, err *term.Page
	global   globalOptions
	planned  string           // the plan file that was read; "" if none was
	patience time.Duration    // of the way back with a platform that is away; 0: the runner's own
	score    *firedrill.Score // after what ran; nil: not known
	unsealed []string         // why runs have no evidence yet

	mu sync.Mutex
	// damaged tells what a second interrupt would leave behind; set while a
	// drill runs.
	damaged damageReport
}

type globalOptions struct {
	plan, env, home string
	json, yes       bool
	quiet, verbose  bool
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "firedrill",
		Short: "Disaster-recovery drills as code",
		Long: `firedrill damages a staging environment on purpose, recovers it, proves that
the damage was real and the recovery complete, and measures how long it took
and what was lost. A drill cannot lie: "passed" is true, or it is not said.`,
		Example: `  firedrill demo                  three real drills on a local staging cloud
  firedrill validate              check firedrill.yaml
  firedrill plan d1-pitr          what a drill would do; changes nothing
  firedrill run d1-pitr           run it`,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) == 0 {
				return nil
			}
			return unknownCommand(c, given[0])
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return a.remind(c) }
	f := c.PersistentFlags()
	f.StringVar(&a.global.plan, "plan", "", "plan `file` (default: firedrill.yaml here or in a parent folder)")
	f.StringVar(&a.global.env, "env", "", "environment `name` to drill, instead of the plan's")
	f.StringVar(&a.global.home, "home", "", "state `folder` (default: $FIREDRILL_HOME, then the XDG state folder)")
	f.BoolVar(&a.global.json, "json", false, "one JSON document on standard output, nothing else")
	f.BoolVar(&a.global.yes, "yes", false, "ask no questions; never lifts a guard")
	f.BoolVar(&a.global.quiet, "quiet", false, "no progress")
	f.BoolVar(&a.global.verbose, "verbose", false, "more detail")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(err.Error(), "see: "+c.CommandPath()+" --help")
	})
	c.CompletionOptions.DisableDefaultCmd = true
	c.SetHelpCommand(&cobra.Command{Hidden: true})
	c.AddGroup(
		&cobra.Group{ID: "drill", Title: "Drills:"},
		&cobra.Group{ID: "look", Title: "Looking things up:"},
		&cobra.Group{ID: "backup", Title: "Backups:"},
		&cobra.Group{ID: "sandbox", Title: "The local staging cloud:"},
		&cobra.Group{ID: "other", Title: "Other:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, k := range commands {
			k.GroupID = group
			c.AddCommand(k)
		}
	}
	add("look", a.statusCommand(), a.scheduleCommand(), a.historyCommand(), a.showCommand(), a.reportCommand(), a.certifyCommand(), a.evidenceCommand(), a.noteCommand(), a.ackCommand(), a.auditCommand(), a.runbookCommand(), a.docsCommand(), a.drillCommand(), a.actionCommand(), a.schemaCommand())
	add("drill", a.demoCommand(), a.initCommand(), a.importCommand(), a.doctorCommand(), a.runCommand(), a.planCommand(), a.recoverCommand(), a.resumeCommand(), a.abortCommand(), a.haltCommand(), a.validateCommand(), a.selftestCommand())
	add("backup", a.backupCommand(), a.restoreCommand())
	add("sandbox", a.sandboxCommand())
	add("other", a.versionCommand(), a.completionCommand())
	return c
}

// usage is an error of the command line itself.
func usage(detail, remedy string) error {
	return &firedrill.Error{Kind: firedrill.KindUsage, Detail: detail, Remedy: remedy}
}

// unknownCommand names the nearest command that exists.
func unknownCommand(c *cobra.Command, given string) error {
	remedy := "see: " + c.CommandPath() + " --help"
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(given); len(near) > 0 {
		remedy = "did you mean: " + c.CommandPath() + " " + near[0]
	}
	return usage(fmt.Sprintf("%s has no command %q", c.CommandPath(), given), remedy)
}

// args checks the number of arguments and says what was expected.
func args(lo, hi int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) < lo || hi >= 0 && len(given) > hi {
			return usage(fmt.Sprintf("%s takes %s, not %d arguments", c.CommandPath(), what, len(given)), "see: "+c.CommandPath()+" --help")
		}
		return nil
	}
}

// complain writes an error: a line of what went wrong with which thing, a line
// of what to do.
func (a *app) complain(err error) {
	for _, e := range flatten(err) {
		text := e.Error()
		fmt.Fprintf(a.Stderr, "%s %s\n", a.err.Paint(term.Bad, "error:"), text)
		if r := firedrill.RemedyOf(e); r != "" {
			fmt.Fprintf(a.Stderr, "       %s\n", r)
		}
	}
}

// flatten gives the errors of a joined error one by one.
func flatten(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}
