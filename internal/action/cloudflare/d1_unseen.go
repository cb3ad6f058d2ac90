package cloudflare

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"firedrill"
)

// numbered gives the highest number that a sentinel has written; 0 where there is
// none.
func (d *d1) numbered(ctx context.Context, op string) (int64, error) {
	got, err := d.texts(ctx, op, "SELECT CAST(coalesce(max(n),0) AS TEXT) FROM "+quoted(sentinelTable))
	if firedrill.KindOf(err) == firedrill.KindInvalid {
		return 0, nil // no such table
	}
	if err != nil {
		return 0, err
	}
	if got.len() != 1 {
		return 0, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + sentinelTable, Detail: fmt.Sprintf("one number was asked for, %d came", got.len())}
	}
	n, err := strconv.ParseInt(string(got.row(0)[0]), 10, 64)
	if err != nil {
		return 0, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "table " + sentinelTable, Err: err}
	}
	return n, nil
}

// counting is the form of bookmarks between which changes can be counted: two that
// end alike count the changes of one database in their first 16 digits.
var counting = regexp.MustCompile(`^([0-9a-f]{8})-([0-9a-f]{8})(-[0-9a-f]{8}-[0-9a-f]{32})$`)

// changesBetween counts the changes between two bookmarks, where they tell.
func changesBetween(from, to string) (n int64, told bool) {
	a, b := counting.FindStringSubmatch(from), counting.FindStringSubmatch(to)
	if a == nil || b == nil || a[3] != b[3] {
		return 0, false
	}
	x, errX := strconv.ParseInt(a[1]+a[2], 16, 64)
	y, errY := strconv.ParseInt(b[1]+b[2], 16, 64)
	return y - x, errX == nil && errY == nil && y >= x
}

// unseen says what others may have written since the damage was looked at, which
// the restore that comes now undoes unseen. The sentinel's own writes do not count.
func (d *d1) unseen(ctx context.Context, op, looked string, numberedThen int64) ([]string, error) {
	// In this order a write of the sentinel in between is counted as its own.
	now, err := d.bookmark(ctx, op)
	if err != nil || now == looked {
		return nil, err
	}
	numberedNow, err := d.numbered(ctx, op)
	if err != nil {
		return nil, err
	}
	own := max(0, numberedNow-numberedThen)
	n, told := changesBetween(looked, now)
	switch {
	case told && n <= own:
		return nil, nil
	case told:
		return []string{fmt.Sprintf("%s between the look at the damage and the restore are undone unseen: who wrote them is not known", count(n-own, "change"))}, nil
	case own == 0:
		return []string{"somebody wrote between the look at the damage and the restore, which is undone unseen"}, nil
	}
	return []string{"between the look at the damage and the restore the sentinel wrote; if others did, too, that is undone unseen"}, nil
}
