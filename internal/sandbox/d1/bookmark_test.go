package d1

import (
	"math"
	"testing"
)

func FuzzParseBookmark(f *testing.F) {
	id := identity("x")
	f.Add(bookmark(7, id))
	f.Add("00000000-00000000-00000000-00000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, text string) {
		if tx, err := parseBookmark(text, id); err == nil && bookmark(tx, id) != text {
			t.Errorf("%q reads as transaction %d", text, tx)
		}
	})
}

func TestTheOrderOfBookmarksIsTime(t *testing.T) {
	t.Parallel()
	id := identity("x")
	order := []uint64{0, 1, 9, 10, 255, 1 << 31, 1<<32 - 1, 1 << 32, math.MaxUint64}
	for i := 1; i < len(order); i++ {
		if bookmark(order[i-1], id) >= bookmark(order[i], id) {
			t.Errorf("%d does not come before %d", order[i-1], order[i])
		}
	}
}
