package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// TestABatchThatIsCutIsAsIfNotWritten cuts the file to which batches are written at
// many places, as a kill in the middle of a transaction or a power cut does: what can
// be read is whole batches, never part of one, and the next is appended after them.
func TestABatchThatIsCutIsAsIfNotWritten(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	j := open(t, filepath.Join(dir, "j.db"))
	ends := map[int]bool{0: true} // numbers of records at which a batch ends
	seq := int64(0)
	for batch := range 5 {
		var records []firedrill.Record
		if batch == 0 {
			seq = 1
			records = append(records, started("r", "d", time.Unix(1, 0)))
		}
		for range 4 {
			seq++
			r := note(seq)
			r.Body = firedrill.Turned{Cause: firedrill.ReasonAborted, Detail: strings.Repeat(fmt.Sprint(seq, " "), 700)}
			records = append(records, r)
		}
		if err := j.Append(ctx, "r", records); err != nil {
			t.Fatal(err)
		}
		ends[int(seq)] = true
	}
	main, err := os.ReadFile(filepath.Join(dir, "j.db"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "j.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	const frame = 24 + 4096 // of SQLite's log, whose own head has 32 bytes
	seen := map[int]bool{}
	for n, cut := 0, 0; cut <= len(log); n, cut = n+1, cut+frame/3 {
		tail := []byte(nil)
		if n%2 == 1 { // the file has its length, and the sectors were not written
			tail = make([]byte, len(log)-cut)
		}
		path := filepath.Join(t.TempDir(), "j.db")
		for name, data := range map[string][]byte{path: main, path + "-wal": append(log[:cut:cut], tail...)} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k, err := Open(ctx, path)
		if err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, len(log), err)
		}
		got, err := k.Records(ctx, "r")
		if err != nil && firedrill.KindOf(err) != firedrill.KindUsage || !ends[len(got)] {
			t.Errorf("cut at %d of %d: %d records: %v", cut, len(log), len(got), err)
		}
		seen[len(got)] = true
		next := []firedrill.Record{note(int64(len(got)) + 1)}
		if len(got) == 0 {
			next[0] = started("r", "d", time.Unix(1, 0))
		}
		if err := k.Append(ctx, "r", next); err != nil {
			t.Errorf("cut at %d of %d: the next batch: %v", cut, len(log), err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(seen) != len(ends) {
		t.Errorf("seen were %v of %v", seen, ends)
	}
}
