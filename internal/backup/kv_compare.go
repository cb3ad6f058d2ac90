package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"firedrill"
)

// Difference is what a namespace has otherwise than a backup.
type Difference struct {
	// Compared is how many keys of the backup were looked at, and Held how many
	// of them differ or are missing.
	Compared int64
	Held     int
	Keys     []KeyDifference // in the order of the keys
	// Expired are keys of the backup whose time has come, or comes too soon to
	// be written: that they are not there is no difference.
	Expired []string
}

// Equal tells whether something was compared and nothing differs.
func (d Difference) Equal() bool { return d.Compared > 0 && len(d.Keys) == 0 }

// KeyDifference is one key that differs.
type KeyDifference struct {
	Key string
	How string // "is missing", "is a stranger", "has another value", …
	// Stranger marks a key that the backup does not hold, or holds with an
	// expiration that has passed.
	Stranger bool
}

// Entries hands on all entries of a backup in the order of their keys, each
// after the checksum of its part was found right.
func Entries(ctx context.Context, dir string, visit func(Entry) error) error {
	m, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	return readEntries(ctx, dir, m, func(_ Part, e Entry) error { return visit(e) })
}

// errStop ends a walk through a backup early.
var errStop = errors.New("stop")

// pull gives the entries of a backup one by one. What went wrong stands in
// failed when there are no more.
func pull(ctx context.Context, dir string, failed *error) (next func() (Entry, bool), stop func()) {
	return iter.Pull(func(yield func(Entry) bool) {
		err := Entries(ctx, dir, func(e Entry) error {
			if !yield(e) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			*failed = err
		}
	})
}

// missing says that a key of the backup is not there.
const missing = "is missing"

// Compare reads a namespace and compares it with a backup, key by key, both in
// their order.
func Compare(ctx context.Context, dir string, src KVSource, now func() time.Time) (Difference, error) {
	var d Difference
	var failed error
	next, stop := pull(ctx, dir, &failed)
	defer stop()
	want, more := next()
	// take counts the entry of the backup at which the comparison stands.
	take := func(how string) {
		lives := alive(want, now())
		switch {
		case how == "":
			d.Compared++
		case lives:
			d.Keys = append(d.Keys, KeyDifference{Key: want.Key, How: how})
			d.Held++
			d.Compared++
		case how == missing:
			d.Expired = append(d.Expired, want.Key)
		default:
			d.Keys = append(d.Keys, KeyDifference{Key: want.Key, How: how, Stranger: true})
		}
		want, more = next()
	}
	err := walk(ctx, src, "", "", func(b *batch) error {
		for _, got := range b.entries {
			for more && want.Key < got.Key {
				take(missing)
			}
			if !more || want.Key > got.Key {
				d.Keys = append(d.Keys, KeyDifference{Key: got.Key, How: "is a stranger", Stranger: true})
				continue
			}
			how, err := difference(want, got)
			if err != nil {
				return err
			}
			take(how)
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	for more {
		take(missing)
	}
	return d, failed
}

// difference says how two entries of one key differ; "" if they do not.
func difference(want, got Entry) (string, error) {
	a, errA := canonical(want.Metadata)
	z, errZ := canonical(got.Metadata)
	switch {
	case errA != nil || errZ != nil:
		return "", errors.Join(errA, errZ)
	case !bytes.Equal(want.Value, got.Value):
		return "has another value", nil
	case want.Expiration != got.Expiration:
		return fmt.Sprintf("expires at %d instead of %d", got.Expiration, want.Expiration), nil
	case a != z:
		return "has other metadata", nil
	}
	return "", nil
}

// Check compares a namespace with what a restore wrote: in the merge mode other
// keys may be there. It says how many keys it compared, and names a key that
// differs.
func Check(ctx context.Context, dir string, src KVSource, o RestoreOptions) (compared int64, err error) {
	d, err := Compare(ctx, dir, src, o.Now)
	if err != nil {
		return d.Compared, err
	}
	for _, k := range d.Keys {
		if k.Stranger && o.Mode == ModeMerge {
			continue
		}
		return d.Compared, &firedrill.Error{Op: "compare with the backup", Kind: firedrill.KindExpectation, Target: "key " + quote(k.Key), Detail: k.How,
			Remedy: "restore again; if somebody else writes there, stop it meanwhile"}
	}
	return d.Compared, nil
}
