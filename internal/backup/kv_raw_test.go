package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"firedrill"
)

// lies is a namespace whose raw readings can be answered by something else.
type lies struct {
	*memory
	raw func(n int, value []byte) []byte
	n   int
}

func (l *lies) Get(ctx context.Context, key string) ([]byte, bool, error) {
	value, ok, err := l.memory.Get(ctx, key)
	l.n++
	return l.raw(l.n, value), ok, err
}

// TestARawValueCountsOnlyWhenTwoReadingsAgree puts something else in the place of
// raw values. Nothing in such an answer says that it is not the value.
func TestARawValueCountsOnlyWhenTwoReadingsAgree(t *testing.T) {
	t.Parallel()
	garbage := []byte("\x00\x1f\x8b\xff{[\"\xfe<")
	for name, c := range map[string]struct {
		value   string
		largest int // bytes that a bulk read carries; 0: enough
		raw     func(n int, value []byte) []byte
		kind    firedrill.Kind // of the error
		gets    int
	}{
		"as it is":                    {"\xff\xfe binary", 0, func(_ int, v []byte) []byte { return v }, "", 1},
		"once something else":         {"\xff\xfe binary", 0, func(n int, v []byte) []byte { return pick(n == 1, garbage, v) }, "", 2},
		"always something else":       {"\xff\xfe binary", 0, func(int, []byte) []byte { return garbage }, firedrill.KindUnavailable, 4},
		"always empty":                {"\xff\xfe binary", 0, func(int, []byte) []byte { return nil }, firedrill.KindUnavailable, 4},
		"U+FFFD itself":               {"a \ufffd \ufffd\ufffd and \xc3", 0, func(_ int, v []byte) []byte { return v }, "", 1},
		"with a mark of order":        {"\ufeff\xff", 0, func(_ int, v []byte) []byte { return v }, "", 1},
		"not carried, as it is":       {strings.Repeat("x", 50), 20, func(_ int, v []byte) []byte { return v }, "", 2},
		"not carried, once something": {strings.Repeat("x", 50), 20, func(n int, v []byte) []byte { return pick(n == 1, garbage, v) }, "", 3},
		"not carried, then something": {strings.Repeat("x", 50), 20, func(n int, v []byte) []byte { return pick(n == 2, garbage, v) }, "", 4},
		"not carried, never the same": {strings.Repeat("x", 50), 20, func(n int, _ []byte) []byte { return fmt.Append(nil, n) }, firedrill.KindUnavailable, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := &lies{memory: newMemory(Entry{Key: "k", Value: []byte(c.value)}), raw: c.raw}
			src.largest = c.largest
			place := Folder(t.TempDir())
			m, err := WriteKV(context.Background(), src, place, options())
			if kind(err) != c.kind || src.n != c.gets {
				t.Fatalf("%d readings, %v", src.n, err)
			}
			if err != nil {
				if verify(place) == nil || firedrill.RemedyOf(err) == "" {
					t.Errorf("it verifies, or %v has no remedy", err)
				}
				return
			}
			b := &Backup{Place: place, Manifest: m}
			err = b.Entries(context.Background(), func(e Entry) error {
				if string(e.Value) != c.value {
					return errors.New("another value: " + string(e.Value))
				}
				return nil
			})
			if err != nil || len(m.Notes) > 0 {
				t.Errorf("%v, noted %v", err, m.Notes)
			}
		})
	}
}

func pick(first bool, a, b []byte) []byte {
	if first {
		return a
	}
	return b
}
