package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Stop is somebody's wish that drills turn back: one run ([Home.Abort]), or all
// of them and new ones, too ([Home.Halt]).
type Stop struct {
	By     string    `json:"by"` // user@host
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// String says who wanted it and why.
func (s Stop) String() string {
	text := "by " + s.By
	if s.By == "" {
		text = "by somebody" // what cannot be read stops, too
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

func (h *Home) haltFile() string { return filepath.Join(h.dir, "halted") }

func (h *Home) abortFile(run string) string { return filepath.Join(h.RunPath(run), "abort") }

// Halt stops all runs of this state folder and refuses new ones until [Home.Lift].
func (h *Home) Halt(s Stop) error { return ask(h.haltFile(), s) }

// Halted gives the halt that is in force, nil if there is none. A mark that
// cannot be read halts.
func (h *Home) Halted() (*Stop, error) { return asked(h.haltFile()) }

// Lift ends a halt, and tells whether there was one.
func (h *Home) Lift() (bool, error) {
	err := os.Remove(h.haltFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fail("lift the halt", h.haltFile(), err)
	}
	return true, nil
}

// Abort asks a run to turn back.
func (h *Home) Abort(run string, s Stop) error {
	if _, err := h.RunDir(run); err != nil {
		return err
	}
	return ask(h.abortFile(run), s)
}

// Aborted gives the wish that this run turn back, nil if nobody has it.
func (h *Home) Aborted(run string) (*Stop, error) { return asked(h.abortFile(run)) }

// Stopped gives the wish that a run turn back: its own abort, or the halt of all.
func (h *Home) Stopped(run string) (*Stop, error) {
	if s, err := h.Aborted(run); s != nil || err != nil {
		return s, err
	}
	return h.Halted()
}

// ask leaves a mark that is whole whenever it is there.
func ask(file string, s Stop) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fail("leave a mark", file, err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(fail("leave a mark", file, err), os.Remove(f.Name()))
	}
	return nil
}

func asked(file string) (*Stop, error) {
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // nobody asked
	case err != nil:
		return nil, fail("read a mark", file, err)
	}
	var s Stop
	if err := json.Unmarshal(data, &s); err != nil {
		return &Stop{}, nil //nolint:nilerr // it is there, and it stops
	}
	return &s, nil
}
