// Package statetest is the conformance suite of state stores: what holds for the
// local folder holds for a bucket, too.
package statetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/journal"
	"firedrill/internal/state"
)

// Store is what the suite needs of a state store.
type Store interface {
	Append(ctx context.Context, run string, records []firedrill.Record) error
	Records(ctx context.Context, run string) ([]firedrill.Record, error)
	Runs(ctx context.Context, q journal.Query) ([]journal.Run, error)
	RunDir(run string) (string, error)
	Acquire(ctx context.Context, key string, holder state.Holder) (state.Lease, error)
	TakeOver(ctx context.Context, key string, holder state.Holder, from int64) (state.Lease, error)
	Holder(ctx context.Context, key string) (*state.Holder, error)
	Halt(wish state.Stop) error
	Halted() (*state.Stop, error)
	Lift() (bool, error)
	Abort(run string, wish state.Stop) error
	Stopped(run string) (*state.Stop, error)
}

// Run tests a kind of store. open opens what one process sees of a store that is
// empty at first; processes of two names may be on two machines.
func Run(t *testing.T, open func(t *testing.T) func(process string) Store) {
	for name, test := range map[string]func(t *testing.T, a, b Store){
		"records are seen by the other as they were": recordsAreSeen,
		"a batch has one writer":                     aBatchHasOneWriter,
		"an environment has one holder":              oneHolder,
		"wishes reach the other":                     wishesReach,
		"a run's folder goes with its lease":         folderGoes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process := open(t)
			test(t, process("a"), process("b"))
		})
	}
}

// Started is the first record of a run, for tests.
func Started(run string) firedrill.Record {
	return firedrill.Record{Seq: 1, At: firedrill.Stamp{Wall: time.Unix(1, 1).UTC(), Mono: 1, Boot: "b"}, Body: firedrill.RunStarted{Format: firedrill.RecordFormat, Run: run,
		Program: firedrill.Program{Drill: "d", Environment: firedrill.Environment{Name: "e"}, Inputs: firedrill.Values{"n": int64(1)<<53 + 1}}}}
}

// Note is a record that changes nothing.
func Note(seq int64, text string) firedrill.Record {
	return firedrill.Record{Seq: seq, At: firedrill.Stamp{Wall: time.Unix(seq, 0).UTC()}, Body: firedrill.Turned{Cause: firedrill.ReasonAborted, Detail: text}}
}

// Ended is the last record of a run.
func Ended(seq int64) firedrill.Record {
	return firedrill.Record{Seq: seq, At: firedrill.Stamp{Wall: time.Unix(seq, 0).UTC()}, Body: firedrill.Finished{Verdict: firedrill.Passed, ReasonCode: firedrill.ReasonOK, Environment: firedrill.Restored}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func recordsAreSeen(t *testing.T, a, b Store) {
	ctx := t.Context()
	must(t, a.Append(ctx, "r", []firedrill.Record{Started("r"), Note(2, "x")}))
	for range 2 {
		open, err := b.Runs(ctx, journal.Query{Unfinished: true})
		if err != nil || len(open) != 1 || open[0].ID != "r" || open[0].Environment != "e" {
			t.Fatalf("unfinished: %+v %v", open, err)
		}
	}
	must(t, a.Append(ctx, "r", []firedrill.Record{Note(3, "y")}))
	records, err := b.Records(ctx, "r")
	if err != nil || len(records) != 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if n := records[0].Body.(firedrill.RunStarted).Program.Inputs["n"]; n != int64(1)<<53+1 {
		t.Errorf("an integer was rounded: %v", n)
	}
	if records[2].Body.(firedrill.Turned).Detail != "y" || !records[0].At.Wall.Equal(time.Unix(1, 1)) {
		t.Errorf("%+v", records)
	}
	must(t, a.Append(ctx, "r", []firedrill.Record{Ended(4)}))
	must(t, a.Append(ctx, "s", []firedrill.Record{Started("s"), Ended(2)}))
	if open, err := b.Runs(ctx, journal.Query{Unfinished: true}); err != nil || len(open) != 0 {
		t.Errorf("unfinished: %+v %v", open, err)
	}
	all, err := b.Runs(ctx, journal.Query{})
	if err != nil || len(all) != 2 || all[0].Verdict != firedrill.Passed || all[0].State != firedrill.Restored {
		t.Errorf("all: %+v %v", all, err)
	}
	for _, run := range []string{"nope", "../r"} {
		if _, err := b.Records(ctx, run); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("run %q: %v", run, err)
		}
	}
}

func aBatchHasOneWriter(t *testing.T, a, b Store) {
	ctx := t.Context()
	must(t, a.Append(ctx, "r", []firedrill.Record{Started("r")}))
	if _, err := b.Records(ctx, "r"); err != nil {
		t.Fatal(err)
	}
	must(t, a.Append(ctx, "r", []firedrill.Record{Note(2, "a"), Note(3, "a")}))
	for what, batch := range map[string][]firedrill.Record{"the same number": {Note(2, "b")}, "a gap": {Note(5, "b")}, "a beginning": {Started("r")}} {
		if err := b.Append(ctx, "r", batch); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	for name, s := range map[string]Store{"a": a, "b": b} {
		records, err := s.Records(ctx, "r")
		if err != nil || len(records) != 3 || records[1].Body.(firedrill.Turned).Detail != "a" {
			t.Errorf("%s sees %+v, %v", name, records, err)
		}
	}
	must(t, b.Append(ctx, "r", []firedrill.Record{Note(4, "b")}))
	if err := a.Append(ctx, "r", []firedrill.Record{Note(4, "a")}); err == nil {
		t.Error("both wrote record 4")
	}
}

func oneHolder(t *testing.T, a, b Store) {
	ctx, now := t.Context(), time.Now()
	const key = "staging-cloudflare-https://api/client/v4"
	first, err := a.Acquire(ctx, key, holder("r1", now.Add(-time.Minute)))
	must(t, err)
	must(t, first.Check(ctx))
	_, err = b.Acquire(ctx, key, holder("r2", now))
	if firedrill.KindOf(err) != firedrill.KindBusy || !strings.Contains(err.Error(), "run r1") || !strings.Contains(err.Error(), "1m0s") {
		t.Errorf("a second holder: %v", err)
	}
	if _, err = b.TakeOver(ctx, key, holder("r2", now), first.Fence()-1); firedrill.KindOf(err) != firedrill.KindBusy {
		t.Errorf("taken over from somebody else: %v", err)
	}
	for name, s := range map[string]Store{"a": a, "b": b} {
		if h, err := s.Holder(ctx, key); err != nil || h == nil || h.Run != "r1" || h.Fence != first.Fence() {
			t.Errorf("%s sees holder %+v, %v", name, h, err)
		}
	}
	other, err := b.Acquire(ctx, "other", holder("r3", now))
	must(t, err)
	must(t, other.Release())
	must(t, first.Check(ctx))
	must(t, first.Release())
	if h, err := a.Holder(ctx, key); h != nil || err != nil {
		t.Errorf("after the release: %+v %v", h, err)
	}
	second, err := b.Acquire(ctx, key, holder("r2", now))
	must(t, err)
	if second.Fence() <= first.Fence() {
		t.Errorf("number %d after %d", second.Fence(), first.Fence())
	}
	must(t, second.Release())
}

func holder(run string, since time.Time) state.Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "h"
	}
	return state.Holder{Run: run, PID: os.Getpid(), Host: host, Since: since}
}

func wishesReach(t *testing.T, a, b Store) {
	wish := state.Stop{By: "ann@ops", Reason: "incident", At: time.Unix(7, 0).UTC()}
	if s, err := b.Halted(); s != nil || err != nil {
		t.Fatalf("at first: %v %v", s, err)
	}
	must(t, a.Halt(wish))
	for name, s := range map[string]Store{"a": a, "b": b} {
		if got, err := s.Halted(); err != nil || got == nil || *got != wish {
			t.Errorf("%s: halted %v %v", name, got, err)
		}
	}
	if got, err := b.Stopped("any"); err != nil || got == nil {
		t.Errorf("a halt stops no run: %v %v", got, err)
	}
	for _, want := range []bool{true, false} {
		if was, err := a.Lift(); err != nil || was != want {
			t.Errorf("lift: %v %v", was, err)
		}
	}
	if got, err := b.Halted(); got != nil || err != nil {
		t.Errorf("after it was lifted: %v %v", got, err)
	}
	must(t, a.Abort("r", wish))
	if got, err := b.Stopped("r"); err != nil || got == nil || *got != wish {
		t.Errorf("an abort: %v %v", got, err)
	}
	if got, err := b.Stopped("other"); got != nil || err != nil {
		t.Errorf("another run: %v %v", got, err)
	}
}

func folderGoes(t *testing.T, a, b Store) {
	ctx := t.Context()
	lease, err := a.Acquire(ctx, "e", holder("r", time.Now()))
	must(t, err)
	write := func(name, text string) {
		t.Helper()
		dir, err := a.RunDir("r")
		must(t, err)
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	must(t, a.Append(ctx, "r", []firedrill.Record{Started("r")}))
	private := filepath.Join(firedrill.PrivateFolder, "values")
	for n, text := range []string{"first", "second, longer"} {
		write("acks.jsonl", text)
		write("backup/part-1", text)
		write(private, text)
		must(t, a.Append(ctx, "r", []firedrill.Record{Note(int64(n+2), "x")}))
	}
	must(t, lease.Release())
	lease, err = b.Acquire(ctx, "e", holder("r", time.Now()))
	must(t, err)
	dir, err := b.RunDir("r")
	must(t, err)
	for _, name := range []string{"acks.jsonl", "backup/part-1", private} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != "second, longer" {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
	must(t, lease.Release())
}

// Race has processes take one environment in turns and tells of every moment at
// which two held it. Each calls it with the same folder, which lies outside of
// the store; rounds is how often each holds.
func Race(ctx context.Context, s Store, folder string, rounds int) error {
	for n := range rounds {
		var lease state.Lease
		for lease == nil {
			var err error
			lease, err = s.Acquire(ctx, "contested", holder(fmt.Sprintf("%d-%d", os.Getpid(), n), time.Now()))
			if err != nil && firedrill.KindOf(err) != firedrill.KindBusy {
				return err
			}
		}
		inside := filepath.Join(folder, "inside")
		f, err := os.OpenFile(inside, os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("two hold it: %w", err)
		}
		if err := f.Close(); err != nil {
			return err
		}
		if err := lease.Check(ctx); err != nil {
			return err
		}
		// The number is higher than any that was held before.
		last := filepath.Join(folder, "last")
		var before int64
		if data, err := os.ReadFile(last); err == nil {
			if _, err := fmt.Sscan(string(data), &before); err != nil {
				return err
			}
		}
		if lease.Fence() <= before {
			return fmt.Errorf("number %d was held after %d", lease.Fence(), before)
		}
		if err := os.WriteFile(last, fmt.Append(nil, lease.Fence()), 0o600); err != nil {
			return err
		}
		if err := os.Remove(inside); err != nil {
			return err
		}
		if err := lease.Release(); err != nil {
			return err
		}
	}
	return nil
}
