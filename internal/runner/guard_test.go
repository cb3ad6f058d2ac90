package runner

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"firedrill"
)

// TestOutsideOfItsWindowNothingBegins: refused before anything is done, and told
// when it opens.
func TestOutsideOfItsWindowNothingBegins(t *testing.T) {
	t.Parallel()
	s := newStation(t, t.TempDir(), nil, nil)
	p := program()
	day := time.Now().UTC().AddDate(0, 0, -1).Format("2006-01-02")
	p.Environment.Freeze = []firedrill.Freeze{{From: day, To: time.Now().UTC().AddDate(0, 0, 1).Format("2006-01-02"), Reason: "holidays"}}
	records, err := s.runner.Run(context.Background(), p)
	if firedrill.KindOf(err) != firedrill.KindGuard || len(records) != 0 || s.world.times("damage") != 0 ||
		!strings.Contains(err.Error(), "holidays") || !strings.Contains(firedrill.RemedyOf(err), "it opens next at ") {
		t.Errorf("%v (%s), %d records", err, firedrill.RemedyOf(err), len(records))
	}
	incident := recovery()
	incident.Environment.Freeze = p.Environment.Freeze
	if _, err := s.runner.Run(context.Background(), incident); err != nil {
		t.Errorf("an incident keeps no hours, and its recovery was refused: %v", err)
	}
}

// TestAWindowThatClosesBeforeTheDamage: a baseline that takes too long damages
// nothing, and what it made is put back.
func TestAWindowThatClosesBeforeTheDamage(t *testing.T) {
	t.Parallel()
	window := &firedrill.Window{From: "02:00", To: "05:00"}
	for name, set := range map[string]func(*firedrill.Program){
		"of the environment": func(p *firedrill.Program) { p.Environment.Window = window },
		"of the drill":       func(p *firedrill.Program) { p.Window = window },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closesBeforeTheDamage(t, set)
		})
	}
}

func closesBeforeTheDamage(t *testing.T, set func(*firedrill.Program)) {
	s := newStation(t, t.TempDir(), nil, nil)
	open := time.Date(2026, 11, 27, 4, 59, 59, 0, time.UTC)
	var late atomic.Bool
	s.runner.cfg.Now = func() firedrill.Stamp {
		now := Clock()()
		if now.Wall = open; late.Load() {
			now.Wall = open.Add(time.Second)
		}
		return now
	}
	s.runner.cfg.Listener = func(r firedrill.Record) {
		if e, is := r.Body.(firedrill.Ended); is && e.Step == "before" {
			late.Store(true)
		}
	}
	p := program()
	set(&p)
	records, err := s.runner.Run(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if f := finished(t, records); f.ReasonCode != firedrill.ReasonGuard || f.Environment != firedrill.Restored || s.world.times("damage") != 0 {
		t.Errorf("%+v, damaged %d times", f, s.world.times("damage"))
	}
}

// TestMoreResourcesThanThePlanAllows: what is allowed is damaged, what is more is
// refused, and all is put back.
func TestMoreResourcesThanThePlanAllows(t *testing.T) {
	t.Parallel()
	for most, want := range map[int64]firedrill.ReasonCode{1: firedrill.ReasonGuard, 2: firedrill.ReasonOK} {
		s := newStation(t, t.TempDir(), nil, nil)
		p := program(firedrill.Step{ID: "more", Phase: firedrill.Inject, Uses: "world.damage-other", Needs: []string{"damage"}, Undo: &firedrill.Undo{Uses: "world.restore"}})
		p.Steps[4].Discharges = append(p.Steps[4].Discharges, "more")
		p.Environment.Limits.Resources = most
		records, err := s.runner.Run(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if f := finished(t, records); f.ReasonCode != want || f.Environment != firedrill.Restored || s.world.times("other") != int(most)-1 || s.world.has("damage") {
			t.Errorf("%d allowed: %+v, the other damaged %d times", most, f, s.world.times("other"))
		}
	}
}
