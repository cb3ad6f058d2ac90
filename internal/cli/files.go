package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"firedrill"
)

// planName is the plan file that is looked for here and in parent folders.
const planName = "firedrill.yaml"

// homeDir is where this machine keeps journal, runs and sandboxes.
func (a *app) homeDir() (string, error) {
	for _, dir := range []string{a.global.home, a.Getenv("FIREDRILL_HOME")} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if dir := a.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "firedrill"), nil
	}
	if dir := a.Getenv("HOME"); dir != "" {
		return filepath.Join(dir, ".local", "state", "firedrill"), nil
	}
	return "", usage("there is no home folder to keep state in", "set FIREDRILL_HOME or give --home DIR")
}

// planFile finds the plan: the one named, or firedrill.yaml here or in the
// nearest parent folder.
func (a *app) planFile() (path string, data []byte, err error) {
	path = a.global.plan
	if path == "" {
		if path, err = findUpward(planName); err != nil {
			return "", nil, err
		}
	}
	data, err = os.ReadFile(path)
	if err != nil {
		return "", nil, &firedrill.Error{Op: "read the plan", Kind: firedrill.KindUsage, Err: err, Remedy: "name the file: --plan FILE"}
	}
	a.planned = path
	return path, data, nil
}

func findUpward(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", &firedrill.Error{Op: "find the plan", Kind: firedrill.KindStorage, Err: err}
	}
	for {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", &firedrill.Error{Op: "find the plan", Kind: firedrill.KindStorage, Err: err}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", usage("there is no "+name+" here or in a parent folder",
				"write one (docs/formats/plan.md), name it with --plan FILE, or see it work first: firedrill demo")
		}
		dir = parent
	}
}
