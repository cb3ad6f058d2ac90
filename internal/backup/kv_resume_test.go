package backup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"firedrill"
)

func journal(t *testing.T, path string, mode Mode) *Journal {
	t.Helper()
	j, err := OpenJournal(path, "target", mode)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestARestoreThatWasCutOffGoesOn breaks each write once. The second attempt
// sends only what is left, and needs no mode although the target is not empty.
func TestARestoreThatWasCutOffGoesOn(t *testing.T) {
	t.Parallel()
	src := someKeys(50)
	o := options()
	o.MaxPairs = 10
	b := write(t, src, o)
	broken := errors.New("broken")
	for at := 1; at <= 5; at++ {
		path := filepath.Join(t.TempDir(), "journal.json")
		target := newMemory()
		target.fail = func(call string, n int) error {
			if call == "bulk put" && n == at {
				return broken
			}
			return nil
		}
		opt := restoring(ModeNone)
		opt.Journal = journal(t, path, ModeNone)
		if _, err := b.RestoreKV(context.Background(), target, opt); !errors.Is(err, broken) {
			t.Fatalf("%d: %v", at, err)
		}
		if at > 1 {
			other := restoring(ModeNone)
			if _, err := b.RestoreKV(context.Background(), target, other); kind(err) != firedrill.KindConflict {
				t.Errorf("%d: without the journal: %v", at, err)
			}
		}
		target.fail, target.calls = nil, map[string]int{}
		opt.Journal = journal(t, path, ModeNone)
		out, err := b.RestoreKV(context.Background(), target, opt)
		if err != nil || target.calls["bulk put"] != 6-at || out.Skipped != int64(10*(at-1)) {
			t.Errorf("%d: %+v, %d puts, %v", at, out, target.calls["bulk put"], err)
		}
		if d := cmp.Diff(src.all, target.all); d != "" {
			t.Errorf("%d:\n%.500s", at, d)
		}
		// The journal is gone: the next restore is a new one.
		target.calls = map[string]int{}
		opt.Journal = journal(t, path, ModeNone)
		if _, err := b.RestoreKV(context.Background(), target, opt); kind(err) != firedrill.KindConflict {
			t.Errorf("%d: again: %v", at, err)
		}
	}
}

// TestAJournalOfAnotherRestoreCountsForNothing gives a journal to a restore that
// it is not of.
func TestAJournalOfAnotherRestoreCountsForNothing(t *testing.T) {
	t.Parallel()
	o := options()
	o.MaxPairs = 10
	one, two := write(t, someKeys(50), o), write(t, someKeys(40), o)
	path := filepath.Join(t.TempDir(), "journal.json")
	target := newMemory()
	target.fail = func(call string, n int) error {
		if call == "bulk put" && n == 4 {
			return errors.New("broken")
		}
		return nil
	}
	opt := restoring(ModeExact)
	opt.Journal = journal(t, path, ModeExact)
	if _, err := one.RestoreKV(context.Background(), target, opt); err == nil {
		t.Fatal("no error")
	}
	target.fail = nil
	opt.Journal = journal(t, path, ModeExact)
	if out, err := two.RestoreKV(context.Background(), target, opt); err != nil || out.Skipped != 0 || len(target.all) != 40 {
		t.Errorf("%+v, %d keys, %v", out, len(target.all), err)
	}
}

// TestASecondReadingNotesWhatChanged changes values between the two readings:
// without the second one nothing shows.
func TestASecondReadingNotesWhatChanged(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		src := newMemory()
		for i := range 10 {
			k := fmt.Sprintf("key%d", i)
			src.all[k] = Entry{Key: k, Value: []byte("old")}
		}
		src.fail = func(call string, n int) error {
			if call == "bulk get" && n == 2 {
				src.all["key3"] = Entry{Key: "key3", Value: []byte("new")}
				delete(src.all, "key5")
			}
			if call == "list" && n == 2 {
				src.all["key99"] = Entry{Key: "key99"}
			}
			return nil
		}
		o := options()
		o.Recheck = again
		m := write(t, src, o).Manifest
		var want []Note
		if again {
			want = []Note{{"key3", Changed}, {"key5", Deleted}, {"key99", Appeared}}
		}
		if d := cmp.Diff(want, m.Notes); d != "" || (m.Rechecked != nil) != again {
			t.Errorf("again %v, rechecked %v:\n%s", again, m.Rechecked, d)
		}
	}
}

// TestKeysThatExpireMeanwhileAreNotedAsSuch lets a key expire after it was listed.
func TestKeysThatExpireMeanwhileAreNotedAsSuch(t *testing.T) {
	t.Parallel()
	src := newMemory(Entry{Key: "a", Value: []byte("1"), Expiration: time.Now().Unix() - 1}, Entry{Key: "b", Value: []byte("2")})
	src.fail = func(call string, _ int) error {
		if call == "bulk get" {
			delete(src.all, "a")
		}
		return nil
	}
	if m := write(t, src, options()).Manifest; !slices.Equal(m.Named(Expired), []string{"a"}) || m.Noted[Vanished] != 0 {
		t.Errorf("%v", m.Notes)
	}
}

func TestIgnoredKeysAreLeftOutOnBothSides(t *testing.T) {
	t.Parallel()
	src := newMemory(Entry{Key: "a"}, Entry{Key: "own/1"}, Entry{Key: "own/2"}, Entry{Key: "z"})
	b := write(t, src, options())
	target := newMemory(Entry{Key: "a"}, Entry{Key: "own/2", Value: []byte("other")}, Entry{Key: "own/3"}, Entry{Key: "z"})
	own := CompareOptions{Now: time.Now, Ignore: func(k string) bool { return k[0] == 'o' }}
	if d, err := b.Compare(context.Background(), target, own); err != nil || !d.Equal() || d.Compared != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := b.Compare(context.Background(), target, CompareOptions{Now: time.Now}); err != nil || len(d.Keys) != 3 {
		t.Errorf("%+v, %v", d, err)
	}
}
