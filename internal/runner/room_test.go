package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"firedrill"
)

// filling is a journal whose disk is full from an append on, until the space that is
// kept was given back.
type filling struct {
	Journal
	kept string // folder of the space that is kept
	at   int    // 0: never full

	mu     sync.Mutex
	n      int
	damage int // the append that intended the damage
}

func (f *filling) Append(ctx context.Context, run string, records []firedrill.Record) error {
	f.mu.Lock()
	f.n++
	for _, r := range records {
		if b, is := r.Body.(firedrill.Intended); is && b.Step == "damage" && b.Role == firedrill.RoleDo {
			f.damage = f.n
		}
	}
	full := f.at > 0 && f.n >= f.at
	f.mu.Unlock()
	if kept, _ := os.ReadDir(f.kept); full && len(kept) > 0 {
		return &firedrill.Error{Op: "append", Kind: firedrill.KindStorage, Err: syscall.ENOSPC}
	}
	return f.Journal.Append(ctx, run, records)
}

// TestARunTurnsBackWhenTheDiskIsFull fills the disk at each append: the environment
// is restored, nothing is damaged from then on, and it is said why.
func TestARunTurnsBackWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	whole := &filling{}
	s := newStation(t, t.TempDir(), func(j Journal) Journal { whole.Journal = j; return whole }, nil)
	if _, err := s.runner.Run(context.Background(), program()); err != nil || whole.damage == 0 {
		t.Fatal(err)
	}
	for at := 1; at <= whole.n; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			disk := &filling{at: at, kept: filepath.Join(dir, "home", "room")}
			s := newStation(t, dir, func(j Journal) Journal { disk.Journal = j; return disk }, nil)
			records, err := s.runner.Run(context.Background(), program())
			if err != nil {
				t.Fatal(err)
			}
			f := finished(t, records)
			if f.Environment != firedrill.Restored || s.world.has("damage") {
				t.Errorf("%+v, damaged %v", f, s.world.has("damage"))
			}
			if at <= whole.damage && s.world.times("damage") != 0 {
				t.Error("it was damaged after the disk was full")
			}
			// All was shown and only the end had no room: that is a pass.
			if at == whole.n {
				if f.Verdict != firedrill.Passed {
					t.Errorf("%s: %v", f.Verdict, f.Reasons)
				}
			} else if f.Verdict == firedrill.Passed || f.ReasonCode == firedrill.ReasonAborted || !strings.Contains(strings.Join(f.Reasons, " "), diskFull) {
				t.Errorf("%s, %s: %v", f.Verdict, f.ReasonCode, f.Reasons)
			}
			if left, err := os.ReadDir(disk.kept); err != nil || len(left) > 0 {
				t.Errorf("kept after the end: %v, %v", left, err)
			}
		})
	}
}

// TestALookThatMeetsTheFullDiskHasTheRoom: what a look writes does not fit either.
func TestALookThatMeetsTheFullDiskHasTheRoom(t *testing.T) {
	t.Parallel()
	s := newStation(t, t.TempDir(), nil, nil)
	records, err := s.runner.Run(context.Background(), program(
		firedrill.Step{ID: "full", Phase: firedrill.Detect, Uses: "world.full", Look: true},
		firedrill.Step{ID: "broken", Phase: firedrill.Detect, Uses: "world.panic"}))
	if err != nil {
		t.Fatal(err)
	}
	if f := finished(t, records); f.Environment != firedrill.Restored {
		t.Errorf("%+v", f)
	}
}

// TestNothingBeginsWithoutRoomForTheWayBack: a folder of state that takes nothing
// more refuses a run before anything is done, and gives the environment back.
func TestNothingBeginsWithoutRoomForTheWayBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStation(t, dir, nil, nil)
	if err := os.WriteFile(filepath.Join(dir, "home", "room"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	records, err := s.runner.Run(context.Background(), program())
	if firedrill.KindOf(err) != firedrill.KindStorage || len(records) > 0 || s.world.times("damage") > 0 {
		t.Errorf("%v, %d records", err, len(records))
	}
	if holder, err := s.runner.cfg.Home.Holder(context.Background(), key(program())); err != nil || holder != nil {
		t.Errorf("the lease is kept: %+v, %v", holder, err)
	}
}
