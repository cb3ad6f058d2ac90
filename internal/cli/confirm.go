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
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != env.Name {
		return &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: "environment " + env.Name,
			Detail: "the name was not typed; nothing was changed", Remedy: "type " + env.Name + " to confirm"}
	}
	return nil
}
