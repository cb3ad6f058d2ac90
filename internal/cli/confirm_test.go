package cli

import (
	"fmt"
	"testing"

	"firedrill"
)

// TestNobodyTypedTheName: without a terminal a drill runs by itself in sandboxes and
// CI, and elsewhere only where the plan and the caller both say so.
func TestNobodyTypedTheName(t *testing.T) {
	t.Parallel()
	for _, class := range []firedrill.Class{firedrill.ClassSandbox, firedrill.ClassCI, firedrill.ClassStaging, firedrill.ClassProduction} {
		for _, yes := range []bool{false, true} {
			for _, unattended := range []bool{false, true} {
				a, _, _ := newTestApp()
				a.global.yes = yes
				err := a.confirm(firedrill.Program{Drill: "d1-pitr", Environment: firedrill.Environment{Name: "somewhere", Class: class}}, unattended)
				free := class == firedrill.ClassSandbox || class == firedrill.ClassCI || yes && unattended
				if free != (err == nil) || err != nil && (firedrill.KindOf(err).Exit() != firedrill.ExitGuard || firedrill.RemedyOf(err) == "") {
					t.Errorf("class %s, --yes %t, unattended %t: %v", class, yes, unattended, err)
				}
			}
		}
	}
}

// TestTheNameIsTyped asks on a terminal.
func TestTheNameIsTyped(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]firedrill.Kind{"staging\n": "", "  staging \n": "", "production\n": firedrill.KindGuard, "stag\n": firedrill.KindGuard, "y\n": firedrill.KindGuard, "\n": firedrill.KindGuard} {
		master, slave := terminal(t)
		a, _, told := newTestApp()
		a.Stdin = slave
		if _, err := fmt.Fprint(master, typed); err != nil {
			t.Fatal(err)
		}
		err := a.confirm(firedrill.Program{Drill: "d1-pitr", Environment: firedrill.Environment{Name: "staging", Class: firedrill.ClassStaging}}, true)
		if firedrill.KindOf(err) != want || told.Len() == 0 {
			t.Errorf("typed %q: %v; asked: %q", typed, err, told)
		}
	}
}
