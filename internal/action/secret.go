package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"firedrill"
)

// Secret refers to a secret value that stands elsewhere. Plans and records
// hold references only.
type Secret struct {
	Env     string   `json:"env,omitempty" doc:"name of an environment variable"`
	File    string   `json:"file,omitempty" doc:"path of a file that holds the value; white space around it is dropped"`
	Command []string `json:"command,omitempty" doc:"program and arguments, run without a shell; its standard output is the value"`
}

// String names where the value stands, never the value.
func (s Secret) String() string {
	switch {
	case s.Env != "":
		return "environment variable " + s.Env
	case s.File != "":
		return "file " + s.File
	case len(s.Command) > 0:
		return "command " + s.Command[0]
	}
	return "no secret"
}

// Secrets reads the places that a [Secret] can refer to. The functions are
// given by whoever wires the program, so that tests need no environment.
type Secrets struct {
	LookupEnv func(name string) (string, bool)
	ReadFile  func(path string) ([]byte, error)
	Run       func(ctx context.Context, argv []string) ([]byte, error) // standard output
}

// SystemSecrets reads secrets from this process's environment, its files, and
// the standard output of commands. What a command writes to standard error
// goes nowhere: it may hold parts of the secret.
func SystemSecrets() Secrets {
	return Secrets{
		LookupEnv: os.LookupEnv,
		ReadFile:  os.ReadFile,
		Run: func(ctx context.Context, argv []string) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, commandTimeout)
			defer cancel()
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			cmd.WaitDelay = time.Second
			out, err := cmd.Output()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("exit status %d", exit.ExitCode())
			}
			return out, err
		},
	}
}

// commandTimeout bounds a command that gives a secret: a password manager may
// ask its owner first.
const commandTimeout = time.Minute

// Resolve gives the value that s refers to. A value that is missing or empty
// is an error, and no error holds the value.
func (s Secrets) Resolve(ctx context.Context, ref Secret) (string, error) {
	fail := func(kind firedrill.Kind, detail, remedy string) (string, error) {
		return "", &firedrill.Error{Op: "read secret", Kind: kind, Target: ref.String(), Detail: detail, Remedy: remedy}
	}
	places := 0
	for _, given := range []bool{ref.Env != "", ref.File != "", len(ref.Command) > 0} {
		if given {
			places++
		}
	}
	if places != 1 {
		return fail(firedrill.KindUsage, fmt.Sprintf("a secret stands in exactly one place, %d are given", places), "write {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}")
	}
	var value string
	switch {
	case ref.Env != "":
		v, ok := s.LookupEnv(ref.Env)
		if !ok {
			return fail(firedrill.KindDenied, "is not set", "set it: export "+ref.Env+"=…")
		}
		value = v
	case ref.File != "":
		b, err := s.ReadFile(ref.File)
		if err != nil {
			return fail(firedrill.KindDenied, "cannot be read: "+err.Error(), "create the file, readable by you alone")
		}
		value = string(b)
	default:
		b, err := s.Run(ctx, ref.Command)
		if err != nil {
			return fail(firedrill.KindDenied, "failed: "+err.Error(), "run the command by hand and see what it says")
		}
		value = string(b)
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return fail(firedrill.KindDenied, "is empty", "put the secret there")
	}
	if strings.ContainsAny(value, "\r\n") {
		return fail(firedrill.KindDenied, "holds more than one line", "give the bare value")
	}
	return value, nil
}
