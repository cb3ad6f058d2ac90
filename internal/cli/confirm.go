package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	xterm "golang.org/x/term"

	"firedrill"
)

// confirm asks a person to type the environment's name before a drill changes
// it. Classes sandbox and ci need no word. --yes stands for it only where the
// plan says that the drill may run unattended; it never lifts a guard.
func (a *app) confirm(p firedrill.Program, unattended bool) error {
	return a.confirmChange("run "+p.Drill, fmt.Sprintf("%s damages and recovers environment %s (class %s).", p.Drill, p.Environment.Name, p.Environment.Class), p.Environment, unattended, "run it on a terminal, or allow it in the plan (unattended: true) and give --yes")
}

// confirmChange says what will be changed, and asks. Remedy is what to do where
// nobody can be asked.
func (a *app) confirmChange(op, what string, env firedrill.Environment, unattended bool, remedy string) error {
	if env.Class == firedrill.ClassSandbox || env.Class == firedrill.ClassCI {
		return nil
	}
	if a.global.yes && unattended {
		return nil
	}
	in, ok := a.Stdin.(*os.File)
	if !ok || !xterm.IsTerminal(int(in.Fd())) || a.global.yes {
		return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "environment " + env.Name,
			Detail: fmt.Sprintf("it is of class %s, and nobody typed its name", env.Class),
			Remedy: remedy}
	}
	fmt.Fprintf(a.Stderr, "%s\nType its name to go on: ", what)
	return a.typed(op, "environment "+env.Name, env.Name)
}

// confirmHolder asks a person to type the host of the process that is said to be
// lost. --yes stands for it where nobody is asked about the environment either.
func (a *app) confirmHolder(what string, env firedrill.Environment, host string) error {
	const op = "take the run over"
	fmt.Fprintln(a.Stderr, what)
	in, ok := a.Stdin.(*os.File)
	switch {
	case a.global.yes && (env.Class == firedrill.ClassSandbox || env.Class == firedrill.ClassCI):
		return nil
	case !ok || !xterm.IsTerminal(int(in.Fd())) || a.global.yes:
		return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "host " + host, Detail: "nobody said that its process is gone", Remedy: "look at that host, and do it on a terminal; --yes is enough on class sandbox or ci"}
	}
	fmt.Fprint(a.Stderr, "Look at that host. Type its name to take the run over: ")
	return a.typed(op, "host "+host, host)
}

// typed reads a line and compares it.
func (a *app) typed(op, target, want string) error {
	line, err := bufio.NewReader(a.Stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: target,
			Detail: "the name was not typed; nothing was changed", Remedy: "type " + want + " to confirm"}
	}
	return nil
}
