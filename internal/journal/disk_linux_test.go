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
	"firedrill/internal/testkit/smalldisk"
)

// TestABatchThatMeetsAFullDiskIsAsIfNotWritten leaves a page more at each attempt:
// a batch of which only a part fits is not there, the error says that the disk is
// full, and with room it is appended as if nothing had been.
func TestABatchThatMeetsAFullDiskIsAsIfNotWritten(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	disk := smalldisk.New(t, 4<<20)
	path := filepath.Join(disk, "j.db")
	j := open(t, path)
	if err := j.Append(ctx, "r", []firedrill.Record{started("r", "d", time.Unix(1, 0))}); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for pages, seq := int64(0), int64(2); ; pages += 2 {
		var batch []firedrill.Record
		for range 6 { // more than a page each
			r := note(seq)
			r.Body = firedrill.Turned{Cause: firedrill.ReasonAborted, Detail: strings.Repeat(fmt.Sprint(seq, " "), 1500)}
			batch = append(batch, r)
			seq++
		}
		filler := smalldisk.Fill(t, disk, pages*4096)
		err := j.Append(ctx, "r", batch)
		var left int
		if err != nil {
			failed++
			if firedrill.KindOf(err) != firedrill.KindStorage || !strings.Contains(err.Error(), "full") {
				t.Fatalf("%d pages: %v", pages, err)
			}
			left = len(batch)
		}
		for name, k := range map[string]*Journal{"the same": j, "another": open(t, path)} {
			if got, err := k.Records(ctx, "r"); err != nil || int64(len(got)) != seq-1-int64(left) {
				t.Fatalf("%d pages: %s process sees %d records: %v", pages, name, len(got), err)
			}
		}
		if rerr := os.Remove(filler); rerr != nil {
			t.Fatal(rerr)
		}
		if err == nil {
			break
		}
		if err := j.Append(ctx, "r", batch); err != nil {
			t.Fatalf("%d pages: with room: %v", pages, err)
		}
	}
	if failed < 3 {
		t.Errorf("only %d batches met the full disk", failed)
	}
	t.Logf("%d batches met the full disk", failed)
}
