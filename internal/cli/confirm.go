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
	env := p.Environment
	if env.Class == firedrill.ClassSandbox || env.Class == firedrill.ClassCI {
		return nil
	}
	if a.global.yes && unattended {
		return nil
	}
	in, ok := a.Stdin.(*os.File)
	if !ok || !xterm.IsTerminal(int(in.Fd())) || a.global.yes {
		return &firedrill.Error{Op: "run " + p.Drill, Kind: firedrill.KindGuard, Target: "environment " + env.Name,
			Detail: fmt.Sprintf("it is of class %s, and nobody typed its name", env.Class),
			Remedy: "run it on a terminal, or allow it in the plan (unattended: true) and give --yes"}
	}
	fmt.Fprintf(a.Stderr, "%s damages and recovers environment %s (class %s).\nType its name to go on: ", p.Drill, env.Name, env.Class)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != env.Name {
		return &firedrill.Error{Op: "run " + p.Drill, Kind: firedrill.KindGuard, Target: "environment " + env.Name,
			Detail: "the name was not typed; nothing was changed", Remedy: "type " + env.Name + " to confirm"}
	}
	return nil
}
