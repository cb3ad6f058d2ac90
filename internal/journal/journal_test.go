package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, path string) *Journal {
	t.Helper()
	j, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func started(run, drill string, at time.Time) firedrill.Record {
	return firedrill.Record{Seq: 1, At: firedrill.Stamp{Wall: at, Mono: 1, Boot: "b"}, Body: firedrill.RunStarted{Format: firedrill.RecordFormat, Run: run,
		Program: firedrill.Program{Drill: drill, Environment: firedrill.Environment{Name: "e"}, Inputs: firedrill.Values{"n": int64(1)<<53 + 1}}}}
}

func note(seq int64) firedrill.Record {
	return firedrill.Record{Seq: seq, At: firedrill.Stamp{Wall: time.Unix(seq, 0).UTC()}, Body: firedrill.Turned{Cause: firedrill.ReasonAborted, Detail: fmt.Sprint(seq)}}
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "j.db")
	j := open(t, path)
	at := time.Date(2026, 11, 24, 10, 0, 0, 1, time.UTC)
	end := firedrill.Record{Seq: 3, At: firedrill.Stamp{Wall: at.Add(time.Second)}, Body: firedrill.Finished{Verdict: firedrill.Passed, ReasonCode: firedrill.ReasonOK, Environment: firedrill.Restored}}
	if err := j.Append(ctx, "r", []firedrill.Record{started("r", "d", at), note(2)}); err != nil {
		t.Fatal(err)
	}
	if left, err := j.Runs(ctx, Query{Unfinished: true}); err != nil || len(left) != 1 {
		t.Fatalf("%+v %v", left, err)
	}
	if err := j.Append(ctx, "r", []firedrill.Record{end}); err != nil {
		t.Fatal(err)
	}
	again := open(t, path) // another process would see the same
	records, err := again.Records(ctx, "r")
	if err != nil || len(records) != 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if n := records[0].Body.(firedrill.RunStarted).Program.Inputs["n"]; n != int64(1)<<53+1 {
		t.Errorf("an integer was rounded: %v", n)
	}
	runs, err := again.Runs(ctx, Query{Drill: "d", Limit: 5})
	if err != nil || len(runs) != 1 || runs[0].Verdict != firedrill.Passed || !runs[0].Started.Equal(at) || runs[0].Finished.IsZero() {
		t.Errorf("%+v %v", runs, err)
	}
	if _, err := again.Records(ctx, "nope"); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("an unknown run: %v", err)
	}
}

// TestNothingIsChangedOrSkipped: the database itself refuses.
func TestNothingIsChangedOrSkipped(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "j.db")
	j := open(t, path)
	if err := j.Append(ctx, "r", []firedrill.Record{started("r", "d", time.Now()), note(2)}); err != nil {
		t.Fatal(err)
	}
	for what, batch := range map[string][]firedrill.Record{"a gap": {note(4)}, "a repetition": {note(2)}, "a gap behind a good one": {note(3), note(5)}, "another run's": {note(1)}} {
		run := "r"
		if what == "another run's" {
			run = "unknown"
		}
		if err := j.Append(ctx, run, batch); firedrill.KindOf(err) != firedrill.KindStorage {
			t.Errorf("%s: %v", what, err)
		}
	}
	if records, err := j.Records(ctx, "r"); err != nil || len(records) != 2 {
		t.Errorf("a refused batch left something: %d records, %v", len(records), err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range []string{"DELETE FROM records", "UPDATE records SET record = '{}'"} {
		if _, err := db.Exec(text); err == nil || !strings.Contains(err.Error(), "never") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestANewerJournalIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "j.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), path); firedrill.KindOf(err) != firedrill.KindStorage || !strings.Contains(firedrill.RemedyOf(err), "newer") {
		t.Errorf("%v", err)
	}
}

// FuzzRecord: what is read can be written, and reads as the same again.
func FuzzRecord(f *testing.F) {
	for _, r := range []firedrill.Record{started("r", "d", time.Unix(1, 0).UTC()), note(2)} {
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"seq":1,"kind":"ended","body":{"outputs":{"a":9007199254740993,"b":[1.5,null]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r, again firedrill.Record
		if json.Unmarshal(data, &r) != nil {
			return
		}
		once, err := json.Marshal(r)
		if err != nil {
			return // times outside of what JSON can hold
		}
		if err := json.Unmarshal(once, &again); err != nil {
			t.Fatalf("%s does not read again: %v", once, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(once) {
			t.Errorf("%s became %s (%v)", once, twice, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%d records", n), func(b *testing.B) {
			j := open(b, filepath.Join(b.TempDir(), "j.db"))
			if err := j.Append(context.Background(), "r", []firedrill.Record{started("r", "d", time.Now())}); err != nil {
				b.Fatal(err)
			}
			seq := int64(1)
			for b.Loop() {
				batch := make([]firedrill.Record, n)
				for i := range batch {
					seq++
					batch[i] = note(seq)
				}
				if err := j.Append(context.Background(), "r", batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBareFsync is what an append can be compared to.
func BenchmarkBareFsync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}
