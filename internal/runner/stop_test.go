package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/state"
)

// TestAnAbortAndAHaltPutBack leaves the mark from outside while a step waits.
func TestAnAbortAndAHaltPutBack(t *testing.T) {
	t.Parallel()
	wish := state.Stop{By: "ann@ops", Reason: "the database is needed"}
	for name, leave := range map[string]func(h *state.Home, run string) error{
		"abort": func(h *state.Home, run string) error { return h.Abort(run, wish) },
		"halt":  func(h *state.Home, _ string) error { return h.Halt(wish) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStation(t, t.TempDir(), nil, nil)
			run := ""
			s.runner.cfg.Listener = func(r firedrill.Record) {
				switch b := r.Body.(type) {
				case firedrill.RunStarted:
					run = b.Run
				case firedrill.Intended:
					if b.Step == "waits" {
						if err := leave(s.runner.cfg.Home.(*state.Home), run); err != nil {
							t.Error(err)
						}
					}
				}
			}
			records, err := s.runner.Run(context.Background(), program(firedrill.Step{ID: "waits", Phase: firedrill.Detect, Uses: "world.wait"}))
			if err != nil {
				t.Fatal(err)
			}
			f := finished(t, records)
			if f.Verdict != firedrill.Aborted || f.Environment != firedrill.Restored || s.world.has("damage") || s.world.times("damage") != 1 {
				t.Errorf("%+v, damaged %v", f, s.world.has("damage"))
			}
			if text := strings.Join(f.Reasons, " "); !strings.Contains(text, "ann@ops: the database is needed") {
				t.Errorf("reasons %q", text)
			}
		})
	}
}

// TestNoRunBeginsWhileDrillsAreHalted, also by a mark that cannot be read.
func TestNoRunBeginsWhileDrillsAreHalted(t *testing.T) {
	t.Parallel()
	s := newStation(t, t.TempDir(), nil, nil)
	home := s.runner.cfg.Home.(*state.Home)
	refused := func(what string) {
		t.Helper()
		records, err := s.runner.Run(context.Background(), program())
		if firedrill.KindOf(err) != firedrill.KindGuard || len(records) != 0 || s.world.times("damage") != 0 {
			t.Errorf("%s: %v, %d records", what, err, len(records))
		}
	}
	if err := home.Halt(state.Stop{By: "ann@ops"}); err != nil {
		t.Fatal(err)
	}
	refused("halted")
	if err := os.WriteFile(filepath.Join(home.Dir(), "halted"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a mark that was cut")
	records, err := s.runner.Run(context.Background(), recovery())
	if err != nil {
		t.Fatalf("a recovery was refused: %v", err)
	}
	if f := finished(t, records); f.Verdict != firedrill.Recovered {
		t.Errorf("%+v", f)
	}
	if was, err := home.Lift(); err != nil || !was {
		t.Fatal(was, err)
	}
	if was, err := home.Lift(); err != nil || was {
		t.Fatal(was, err)
	}
	records, err = s.runner.Run(context.Background(), program())
	if err != nil {
		t.Fatal(err)
	}
	if f := finished(t, records); f.Verdict != firedrill.Passed {
		t.Errorf("%+v", f)
	}
}

// recovery is what is left of the program in a real incident.
func recovery(extra ...firedrill.Step) firedrill.Program {
	p := program()
	p.Incident, p.Environment.Incident = &firedrill.Incident{Point: "before"}, true
	p.Steps = append([]firedrill.Step{
		{ID: "restore", Phase: firedrill.Recover, Uses: "world.restore"},
		{ID: "whole", Phase: firedrill.Verify, Uses: "world.is-whole", Proves: firedrill.ProvesData},
	}, extra...)
	return p
}

// TestAHaltDoesNotStopARecovery that is under way; an abort of it does.
func TestAHaltDoesNotStopARecovery(t *testing.T) {
	t.Parallel()
	s := newStation(t, t.TempDir(), nil, nil)
	home := s.runner.cfg.Home.(*state.Home)
	run := ""
	var left sync.WaitGroup
	s.runner.cfg.Listener = func(r firedrill.Record) {
		switch b := r.Body.(type) {
		case firedrill.RunStarted:
			run = b.Run
		case firedrill.Intended:
			if b.Step == "waits" {
				left.Go(func() {
					err := home.Halt(state.Stop{By: "ann@ops", Reason: "drills off"})
					time.Sleep(4 * stopPoll) // the run looks, and goes on
					if err := errors.Join(err, home.Abort(run, state.Stop{By: "ann@ops", Reason: "wrong point"})); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
	records, err := s.runner.Run(context.Background(), recovery(firedrill.Step{ID: "waits", Phase: firedrill.Verify, Uses: "world.wait"}))
	left.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(finished(t, records).Reasons, " "); !strings.Contains(text, "wrong point") || strings.Contains(text, "drills off") {
		t.Errorf("reasons %q", text)
	}
}
