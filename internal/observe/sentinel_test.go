package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"firedrill"
)

// shelf is a place in memory.
type shelf struct {
	mu      sync.Mutex
	there   map[int64]bool
	refuse  func(n int64) (stored bool, err error) // what happens to a write; nil: it is stored
	written []int64
}

func (s *shelf) Write(_ context.Context, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = append(s.written, n)
	stored, err := true, error(nil)
	if s.refuse != nil {
		stored, err = s.refuse(n)
	}
	if stored {
		s.there[n] = true
	}
	return err
}

func (s *shelf) Survivors(context.Context, []int64, []int64) (map[int64]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int64]bool{}
	for n := range s.there {
		out[n] = true
	}
	return out, nil
}

func (s *shelf) wrote() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.written)
}

func (s *shelf) String() string { return "shelf" }

// notesOf writes to a real file and syncs as a test says.
type notesOf struct {
	*os.File
	sync func() error
}

func (n notesOf) Sync() error { return n.sync() }

func newSentinel(t *testing.T, cfg SentinelConfig) (*Sentinel, func()) {
	t.Helper()
	s, err := NewSentinel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Run(t.Context(), nil) }()
	return s, func() { s.Stop(); <-done }
}

// TestANoteIsOnTheDiskBeforeTheNextWrite: as long as an acknowledgement cannot
// be noted nothing more is written, and afterwards it is noted whole.
func TestANoteIsOnTheDiskBeforeTheNextWrite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "acks.jsonl")
	synctest.Test(t, func(t *testing.T) {
		place := &shelf{there: map[int64]bool{}}
		fails := 0
		cfg := SentinelConfig{Op: "test", Place: place, File: file, Every: time.Second, Now: stamps(), Open: func(name string) (Notes, error) {
			f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			return notesOf{f, func() error {
				if len(place.wrote()) == 3 && fails < 5 {
					fails++
					_, _ = f.WriteString(`{"n":3,"t`) // the disk takes half a line
					return errors.New("no space left on device")
				}
				return nil
			}}, err
		}}
		_, stop := newSentinel(t, cfg)
		time.Sleep(6500 * time.Millisecond)
		synctest.Wait()
		if got := place.wrote(); !slices.Equal(got, []int64{1, 2, 3}) || fails != 5 {
			t.Errorf("wrote %v while %d notes failed", got, fails)
		}
		time.Sleep(3 * time.Second)
		stop()
		again, err := NewSentinel(SentinelConfig{Op: "test", Place: place, File: file, Every: time.Second, Now: stamps()})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Stop()
		acked, _ := again.Sent()
		if o, _ := again.Observation("s", place.there); int64(len(o.Acks)) != int64(len(place.written)) || len(o.Ghosts) != 0 || acked[len(acked)-1] != place.written[len(place.written)-1] {
			t.Errorf("noted %+v of %v", o, place.written)
		}
		if again.Last() < acked[len(acked)-1]+unnoted {
			t.Errorf("goes on with %d", again.Last())
		}
	})
}

// TestGhostsAndStrangersAreTold: a write whose answer was lost is a ghost when
// it is there, and a number that nobody sent makes the place worthless.
func TestGhostsAndStrangersAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		place := &shelf{there: map[int64]bool{}}
		place.refuse = func(n int64) (bool, error) {
			switch n {
			case 3:
				return true, errors.New("the answer was lost")
			case 4:
				return false, errors.New("refused")
			}
			return true, nil
		}
		s, stop := newSentinel(t, SentinelConfig{Op: "test", Place: place, File: filepath.Join(t.TempDir(), "n"), Every: time.Second, Now: stamps()})
		time.Sleep(5500 * time.Millisecond)
		stop()
		delete(place.there, 2)
		l, o, err := StopSentinel(t.Context(), "test", s, "s", place)
		if err != nil || l != (Loss{4, 1, 1}) || !slices.Equal(o.Ghosts, []int64{3}) || o.Store != "shelf" {
			t.Errorf("%+v %+v %v", l, o, err)
		}
		if _, open := s.Sent(); !slices.Equal(open, []int64{3, 4}) {
			t.Errorf("unanswered %v", open)
		}
		place.there[99] = true
		if _, _, err := StopSentinel(t.Context(), "test", s, "s", place); firedrill.KindOf(err) != firedrill.KindCorrupt || !strings.Contains(err.Error(), "never sent, from 99") {
			t.Errorf("a stranger: %v", err)
		}
	})
}

// TestNumbersAreNeverGivenTwice: however many writes went unanswered before a
// crash, the process that goes on gives other numbers.
func TestNumbersAreNeverGivenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "n")
		place := &shelf{there: map[int64]bool{}, refuse: func(n int64) (bool, error) { return false, fmt.Errorf("refused") }}
		cfg := SentinelConfig{Op: "test", Place: place, File: file, Every: time.Millisecond, Now: stamps()}
		_, stop := newSentinel(t, cfg)
		time.Sleep(2600 * time.Millisecond)
		stop()
		_, stop = newSentinel(t, cfg)
		time.Sleep(100 * time.Millisecond)
		stop()
		seen := map[int64]bool{}
		for _, n := range place.written {
			if seen[n] {
				t.Fatalf("number %d was given twice", n)
			}
			seen[n] = true
		}
		if len(seen) < 2600 {
			t.Errorf("only %d", len(seen))
		}
	})
}

// TestAcknowledgementsOfAnotherBootAreKept with the boot that their times
// belong to.
func TestAcknowledgementsOfAnotherBootAreKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "n")
	line := func(n note) []byte { b, _ := json.Marshal(n); return append(b, '\n') }
	if err := os.WriteFile(file, slices.Concat(line(note{N: 1, At: 5, Boot: "old"}), line(note{N: 2, At: 3, Boot: "test"}), []byte(`{"n":3,`)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewSentinel(SentinelConfig{Op: "test", Place: &shelf{}, File: file, Now: stamps()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	o, _ := s.Observation("s", map[int64]bool{1: true})
	want := []firedrill.Ack{{N: 1, At: 5, Boot: "old"}, {N: 2, At: 3, Lost: true}}
	if o.Boot != "test" || !slices.Equal(o.Acks, want) {
		t.Errorf("%+v", o)
	}
}
