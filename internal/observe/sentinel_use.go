package observe

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"firedrill"
)

// The parts that all actions of sentinels have in common. What differs is the
// place, the claims and the documentation.

const (
	firstWrite    = 30 * time.Second // for the first acknowledged write
	findPatience  = 15 * time.Second // for a sentinel that is started again beside the call
	findPause     = 50 * time.Millisecond
	sentinelNamed = "sentinel" // where no name is given
)

// StartSentinel starts one, or takes up what a process before this one began,
// and waits for the first write that is ever acknowledged. It gives the name that the other
// calls find it by and says what was done.
func StartSentinel(ctx context.Context, op string, call firedrill.Call, name string, every time.Duration, place Numbered) (as, summary string, err error) {
	if name == "" {
		name = sentinelNamed
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return "", "", &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "input name", Detail: fmt.Sprintf("%q is no name", name), Remedy: "use letters, digits and dashes"}
	}
	s, err := NewSentinel(SentinelConfig{Op: op, Place: place, File: notesFile(call, name), Every: every, Now: call.Now})
	if err != nil {
		return "", "", err
	}
	if err := call.Observers.Start(name, s); err != nil {
		s.Stop()
		return "", "", err
	}
	if s.WasPaused() {
		return name, "taken up as it was: paused", nil
	}
	if acknowledged, _ := s.Sent(); len(acknowledged) > 0 {
		// What it writes to may be what was damaged meanwhile.
		return name, "taken up where it was left", nil
	}
	first, cancel := context.WithTimeout(ctx, firstWrite)
	defer cancel()
	if err := s.Resume(first); err != nil {
		s.Stop()
		return "", "", err
	}
	return name, fmt.Sprintf("a numbered write every %s", every), nil
}

func notesFile(call firedrill.Call, name string) string {
	return filepath.Join(call.Dir, name+".acks.jsonl")
}

// Begun tells whether a process of the run began a sentinel already.
func Begun(call firedrill.Call, name string) bool {
	_, err := os.Stat(notesFile(call, name))
	return err == nil
}

// FindSentinel gives a running sentinel of this process. When a run is taken
// up, observers are started again beside the calls that need them, so it waits
// a while for one to come.
func FindSentinel(ctx context.Context, op string, call firedrill.Call, name string, sleep func(context.Context, time.Duration) error) (*Sentinel, error) {
	for waited := time.Duration(0); ; waited += findPause {
		o, ok := call.Observers.Get(name)
		if s, is := o.(*Sentinel); ok && is {
			return s, nil
		}
		if waited < findPatience && sleep(ctx, findPause) == nil {
			continue
		}
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindNotFound, Target: "sentinel " + name, Detail: "does not run in this process", Remedy: "start it first"}
	}
}

// Loss is what a sentinel measured, in numbers.
type Loss struct{ Acknowledged, Lost, Ghosts int64 }

// StopSentinel stops one and reads from a place which of its writes are there.
// Numbers that nobody sent are an error: whoever wrote them, the place does not
// hold what the sentinel wrote, and nothing can be concluded from it.
func StopSentinel(ctx context.Context, op string, s *Sentinel, name string, place Numbered) (Loss, *firedrill.Observation, error) {
	s.Stop()
	acknowledged, unanswered := s.Sent()
	survivors, err := place.Survivors(ctx, acknowledged, unanswered)
	if err != nil {
		return Loss{}, nil, err
	}
	o, strangers := s.Observation(name, survivors)
	if len(strangers) > 0 {
		return Loss{}, nil, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: place.String(),
			Detail: fmt.Sprintf("holds %d numbers that were never sent, from %d to %d", len(strangers), strangers[0], strangers[len(strangers)-1]),
			Remedy: "see who else writes there; remove what another run left behind"}
	}
	if len(o.Acks) == 0 {
		return Loss{}, nil, &firedrill.Error{Op: op, Kind: firedrill.KindExpectation, Target: "sentinel " + name, Detail: "none of its writes was acknowledged: nothing was measured",
			Remedy: "see whether " + place.String() + " takes writes"}
	}
	l := Loss{Acknowledged: int64(len(o.Acks)), Ghosts: int64(len(o.Ghosts))}
	for _, a := range o.Acks {
		if a.Lost {
			l.Lost++
		}
	}
	return l, o, nil
}

// EndSentinel stops one that still runs in this process, before what it wrote
// is taken away. It gives the last number that may have been written.
func EndSentinel(call firedrill.Call, name string) (last int64) {
	if name == "" {
		name = sentinelNamed
	}
	if call.Observers == nil {
		return 0
	}
	o, ok := call.Observers.Get(name)
	if !ok {
		return 0
	}
	o.Stop()
	if s, is := o.(*Sentinel); is {
		last = s.Last()
	}
	return last
}
