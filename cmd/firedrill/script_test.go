package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScript runs the program itself, built as a user would build it, without the
// race detector: that makes the sandbox's SQLite many times slower, and packages have
// tests of their own with it. The scripts are in testdata/script; each has a state
// folder of its own.
func TestScript(t *testing.T) {
	t.Parallel()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	path := bin + string(os.PathListSeparator) + os.Getenv("PATH")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("FIREDRILL_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_CACHE_HOME", cache) // workerd is fetched once
			env.Setenv("FIREDRILL_WORKERD", os.Getenv("FIREDRILL_WORKERD"))
			env.Setenv("PATH", env.Getenv("PATH")+string(os.PathListSeparator)+path)
			for _, name := range []string{"API", "FRONT"} {
				addr, err := freeAddr()
				if err != nil {
					return err
				}
				env.Setenv(name, addr)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// status N command…: the command ends with exit status N.
			"status": func(ts *testscript.TestScript, neg bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				got := 0
				err = ts.Exec(args[1], args[2:]...)
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					got = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if got != want {
					ts.Fatalf("%s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
				}
			},
			// await command…: the command is repeated until it succeeds, for a minute.
			"await": func(ts *testscript.TestScript, neg bool, args []string) {
				var err error
				for range 600 {
					if err = ts.Exec(args[0], args[1:]...); err == nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
				ts.Fatalf("%s: %v", strings.Join(args, " "), err)
			},
			// fill FILE: replaces @API@ and @FRONT@ in a file.
			"fill": func(ts *testscript.TestScript, neg bool, args []string) {
				text := strings.NewReplacer("@API@", ts.Getenv("API"), "@FRONT@", ts.Getenv("FRONT")).Replace(ts.ReadFile(args[0]))
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
			},
		},
	})
}

// freeAddr gives a loopback address that nobody uses at this moment.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
