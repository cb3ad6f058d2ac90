package incident

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"firedrill"
	"firedrill/internal/cli"
)

// terminal gives the two ends of a terminal: what a person types, and what a program
// reads.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminals on this machine: ", err)
	}
	t.Cleanup(func() { _ = person.Close() }) // nothing is to be read of it
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() }) // likewise
	return person, program
}

// production makes the environment one of class production, called live, and gives the
// drills another one, called spare.
func (p *place) production() {
	p.t.Helper()
	p.edit(func(plan string) string {
		plan = strings.Replace(plan, "class: sandbox", "class: production", 1)
		plan = strings.Replace(plan, "  sandbox:\n", "  live:\n", 1)
		plan = strings.ReplaceAll(plan, "on: sandbox", "on: spare")
		head, tail, _ := strings.Cut(plan, "  production:")
		other := strings.Replace(tail, "class: production", "class: sandbox", 1)
		other = strings.Replace(other, "/token", "/other", 1)
		return head + "  spare:" + strings.Replace(other, "{kind: d1, name: elsewhere}", "{kind: d1, name: elsewhere}\n      cache: {kind: kv, name: away}\n      gateway: {kind: worker, name: away}", 1)
	})
}

// TestAPersonRecoversProduction types the name of an environment of class production,
// and once another one. Drills stay refused there.
func TestAPersonRecoversProduction(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.production()
	good, to := p.rows(), p.bookmark()
	p.cloud.Query(p.db, "DELETE FROM rows WHERE id < 100")
	bad := p.rows()
	for _, c := range []struct {
		typed, rows, told string
		status            int
	}{
		{"spare", bad, "the name was not typed", firedrill.ExitGuard},
		{"live", good, "everything that anybody wrote into the database since the point", firedrill.ExitOK},
	} {
		person, program := terminal(t)
		if _, err := person.WriteString(c.typed + "\n"); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		status := cli.Run(cli.Process{Args: append([]string{"recover", "d1-pitr", "--env", "live", "--to", to}, p.args...), Stdin: program, Stdout: &stdout, Stderr: &stderr,
			Getenv: func(string) string { return "" }, Now: time.Now, Version: "test"})
		if status != c.status || !strings.Contains(strings.Join(strings.Fields(stderr.String()), " "), c.told) {
			t.Errorf("%s typed: status %d\n%s%s", c.typed, status, &stdout, &stderr)
		}
		if got := p.rows(); got != c.rows {
			t.Errorf("%s typed, and the rows are\n%.1000s", c.typed, got)
		}
	}
	if status, _, told := p.run("run", "d1-pitr", "--env", "live"); status != firedrill.ExitGuard {
		t.Errorf("a drill on production: status %d: %s", status, told)
	}
}
