package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"time"

	"firedrill"
)

// CompareOptions say how a namespace is compared with a backup.
type CompareOptions struct {
	Now func() time.Time
	// Ignore tells of keys that are left out on both sides; nil: none is.
	Ignore func(key string) bool
	// Listed compares only what a list shows: names, metadata and expirations. Values
	// are not read, so nothing is known of them.
	Listed bool
}

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
	// Detail says what was there and what is, without content: lengths, digests, and
	// where values begin to differ. Of metadata, which is short, it shows the
	// beginning.
	Detail string
	// Stranger marks a key that the backup does not hold, or holds with an
	// expiration that has passed.
	Stranger bool
}

// errStop ends a walk through a backup early.
var errStop = errors.New("stop")

// pull gives the entries of a backup one by one, with the part that each stands
// in. What went wrong stands in failed when there are no more.
func (b *Backup) pull(ctx context.Context, failed *error) (next func() (Part, Entry, bool), stop func()) {
	return iter.Pull2(func(yield func(Part, Entry) bool) {
		err := b.entries(ctx, func(p Part, e Entry) error {
			if !yield(p, e) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			*failed = err
		}
	})
}

// How a key can differ without being there on both sides.
const (
	missing  = "is missing"
	stranger = "is a stranger"
)

// Compare reads a namespace and compares it with a backup, key by key, both in
// their order.
func (b *Backup) Compare(ctx context.Context, src KVSource, o CompareOptions) (Difference, error) {
	var d Difference
	err := b.compareKV(ctx, src, o, func(k KeyDifference) { d.Keys = append(d.Keys, k) }, &d)
	return d, err
}

// compareKV tells of each key that differs, and counts in d.
func (b *Backup) compareKV(ctx context.Context, src KVSource, o CompareOptions, differs func(KeyDifference), d *Difference) error {
	ignored := func(key string) bool { return o.Ignore != nil && o.Ignore(key) }
	var failed error
	pulled, stop := b.pull(ctx, &failed)
	defer stop()
	var want Entry
	var more bool
	next := func() {
		for _, want, more = pulled(); more && ignored(want.Key); _, want, more = pulled() {
			continue
		}
	}
	next()
	// take counts the entry of the backup at which the comparison stands.
	take := func(how, detail string) {
		lives := alive(want, o.Now())
		switch {
		case ignored(want.Key):
		case how == "":
			d.Compared++
		case lives:
			differs(KeyDifference{Key: want.Key, How: how, Detail: detail})
			d.Held++
			d.Compared++
		case how == missing:
			d.Expired = append(d.Expired, want.Key)
		default:
			differs(KeyDifference{Key: want.Key, How: how, Detail: detail, Stranger: true})
		}
		next()
	}
	entry := func(got Entry) error {
		if ignored(got.Key) {
			return nil
		}
		for more && want.Key < got.Key {
			take(missing, "")
		}
		if !more || want.Key > got.Key {
			k := KeyDifference{Key: got.Key, How: stranger, Stranger: true}
			if !o.Listed {
				k.Detail = described(got.Value)
			}
			differs(k)
			return nil
		}
		if o.Listed {
			got.Value = want.Value
		}
		how, detail, err := difference(want, got)
		if err != nil {
			return err
		}
		take(how, detail)
		return nil
	}
	var err error
	if o.Listed {
		err = listed(ctx, src, entry)
	} else {
		err = walk(ctx, src, o.Now, "", "", visitor{entry: func(e Entry, _ string) error { return entry(e) }})
	}
	if err != nil {
		return err
	}
	for more {
		take(missing, "")
	}
	return failed
}

// listed shows the keys of a namespace without their values.
func listed(ctx context.Context, src KVSource, entry func(Entry) error) error {
	return list(ctx, src, "", "", func(b *batch) error {
		for _, k := range b.keys {
			if err := entry(Entry{Key: k.Name, Metadata: k.Metadata, Expiration: k.Expiration}); err != nil {
				return err
			}
		}
		return nil
	})
}

// difference says how two entries of one key differ, and what each of them is; "" if
// they do not.
func difference(want, got Entry) (how, detail string, err error) {
	a, errA := canonical(want.Metadata)
	z, errZ := canonical(got.Metadata)
	switch {
	case errA != nil || errZ != nil:
		return "", "", errors.Join(errA, errZ)
	case !bytes.Equal(want.Value, got.Value):
		same := 0
		for same < len(want.Value) && same < len(got.Value) && want.Value[same] == got.Value[same] {
			same++
		}
		return "has another value", fmt.Sprintf("%s is now %s; the first %d bytes are the same", described(want.Value), described(got.Value), same), nil
	case want.Expiration != got.Expiration:
		return fmt.Sprintf("expires at %d instead of %d", got.Expiration, want.Expiration), "", nil
	case a != z:
		return "has other metadata", shortened(a) + " is now " + shortened(z), nil
	}
	return "", "", nil
}

// described says what a value is without showing it.
func described(value []byte) string {
	sum := sha256.Sum256(value)
	return fmt.Sprintf("%d bytes (SHA-256 %x…)", len(value), sum[:6])
}

// shortened shows the beginning of metadata.
func shortened(metadata string) string {
	const longest = 60
	if metadata == "" {
		return "none"
	}
	if r := []rune(metadata); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return metadata
}

// Check compares a namespace with what a restore wrote: in the merge mode other
// keys may be there. It says how many keys it compared, and names a key that
// differs.
func (b *Backup) Check(ctx context.Context, src KVSource, o RestoreOptions) (compared int64, err error) {
	var first *KeyDifference
	var d Difference
	err = b.compareKV(ctx, src, CompareOptions{Now: o.Now}, func(k KeyDifference) {
		allowed := k.Stranger && o.Mode == ModeMerge
		if first == nil && !allowed {
			first = &k
		}
	}, &d)
	if err == nil && first != nil {
		err = &firedrill.Error{Op: "compare with the backup", Kind: firedrill.KindExpectation, Target: "key " + quote(first.Key), Detail: first.How,
			Remedy: "restore again; if somebody else writes there, stop it meanwhile"}
	}
	return d.Compared, err
}
