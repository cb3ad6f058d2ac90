package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"firedrill"
)

// Body is what a request sends: read again from its beginning when the request is
// repeated. Its bytes are verified before they are handed on, so a body that is
// damaged is never sent to its end.
type Body struct {
	Size int64
	Open func() (io.ReadCloser, error)
}

// KVSink is a namespace that is written. A call that lists keys as unsuccessful
// has done the rest.
type KVSink interface {
	KVSource
	// BulkPut sends a body: a JSON array of n pairs, at most MaxPairs.
	BulkPut(ctx context.Context, body Body, n int) (unsuccessful []string, err error)
	// BulkDelete removes at most MaxPairs keys.
	BulkDelete(ctx context.Context, keys []string) (unsuccessful []string, err error)
}

// Mode says what becomes of keys that a backup does not hold.
type Mode string

// The modes. Without one a target that is not empty is refused.
const (
	ModeNone  Mode = ""
	ModeExact Mode = "exact" // the namespace becomes what the backup holds
	ModeMerge Mode = "merge" // other keys stay
)

// RestoreOptions say how a backup is restored.
type RestoreOptions struct {
	Mode   Mode
	DryRun bool // count only
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error
	// Journal remembers what was done, so that a restore that was cut off is gone
	// on with; nil: it begins again, which is as safe and takes longer.
	Journal *Journal
	// Progress is told after each call; nil: nobody.
	Progress func(done, total int64)
}

// Restored is what a restore did, or in a dry run what it would do.
type Restored struct {
	Put         int64 // keys written, those overwritten included
	Overwritten int64 // of them, keys that were there
	Deleted     int64
	// Skipped counts keys that an earlier attempt, which was cut off, had written.
	Skipped int64
	// Expired counts keys whose expiration has passed, or comes in less than the
	// platform's least of 60 seconds: they cannot be written any more.
	// ExpiredKeys are the first of them.
	Expired     int64
	ExpiredKeys []string
}

// leastLife is how far away an expiration must be, with some time for the way.
const leastLife = 65 * time.Second

// is refuses a backup of another kind.
func (b *Backup) is(kind string) error {
	if b.Manifest.Kind == kind {
		return nil
	}
	return &firedrill.Error{Op: "read the backup", Kind: firedrill.KindUsage, Target: b.Place.String(), Detail: fmt.Sprintf("it is of kind %s, not %s", b.Manifest.Kind, kind), Remedy: "name another backup, or another resource"}
}

// RestoreKV writes a backup into a namespace. The whole backup is verified
// first; to repeat it after an interruption is safe.
func (b *Backup) RestoreKV(ctx context.Context, sink KVSink, o RestoreOptions) (_ Restored, err error) {
	if o.Mode != ModeNone && o.Mode != ModeExact && o.Mode != ModeMerge {
		return Restored{}, &firedrill.Error{Op: "restore", Kind: firedrill.KindUsage, Target: "mode " + string(o.Mode), Remedy: "choose exact or merge"}
	}
	strangers, err := newSpool()
	if err != nil {
		return Restored{}, err
	}
	defer func() { err = errors.Join(err, strangers.Close()) }()
	r := &restorer{b: b, sink: sink, o: o, expiring: map[string]bool{}, strangers: strangers}
	if err := r.compare(ctx); err != nil {
		return Restored{}, err
	}
	if o.DryRun {
		return r.out, nil
	}
	if err := o.Journal.begin(b, r.empty); err != nil {
		return r.out, err
	}
	if err := r.putAll(ctx); err != nil {
		return r.out, err
	}
	// Deleted last: until then nothing was lost that the backup does not hold.
	if err := r.deleteAll(ctx); err != nil {
		return r.out, err
	}
	return r.out, o.Journal.end()
}

type restorer struct {
	b    *Backup
	sink KVSink
	o    RestoreOptions
	out  Restored
	// empty tells that there was nothing in the namespace.
	empty bool
	// expiring are the parts in which keys expire.
	expiring  map[string]bool
	strangers *spool
}

func alive(e Entry, now time.Time) bool {
	return e.Expiration == 0 || e.Expiration >= now.Add(leastLife).Unix()
}

// compare walks through backup and namespace side by side, both in the order of
// the keys, counts what there is to do, and gathers the keys to delete. The whole
// backup is verified on the way.
func (r *restorer) compare(ctx context.Context) error {
	var failed error
	var t tally
	pulled, stop := r.b.pull(ctx, &failed)
	defer stop()
	var part Part
	var entry Entry
	var more bool
	next := func() error {
		part, entry, more = pulled()
		if !more {
			return nil
		}
		if entry.Expiration != 0 {
			r.expiring[part.File] = true
		}
		return t.add(entry)
	}
	// take counts a key of the backup; there tells whether it exists.
	take := func(there bool) error {
		if !alive(entry, r.o.Now()) {
			if r.out.Expired++; r.out.Expired <= mostNotes {
				r.out.ExpiredKeys = append(r.out.ExpiredKeys, entry.Key)
			}
			if there && r.o.Mode == ModeExact {
				if err := r.strangers.add(entry.Key); err != nil {
					return err
				}
			}
			return next()
		}
		r.out.Put++
		if there {
			r.out.Overwritten++
		}
		return next()
	}
	if err := next(); err != nil {
		return err
	}
	r.empty = true
	cursor := ""
	var order order
	for {
		keys, following, err := r.sink.List(ctx, cursor)
		if err == nil {
			// A key that comes late would be taken for a stranger, and deleted.
			err = order.check(keys)
		}
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			r.empty = false
			if r.o.Mode == ModeNone && !r.o.Journal.beganEmpty(r.b) {
				return &firedrill.Error{Op: "restore", Kind: firedrill.KindConflict, Target: "the namespace", Detail: "it is not empty: it holds " + quote(keys[0].Name),
					Remedy: "name a mode: exact (other keys are deleted) or merge (they stay)"}
			}
		}
		for _, k := range keys {
			for more && entry.Key < k.Name {
				if err := take(false); err != nil {
					return err
				}
			}
			switch {
			case more && entry.Key == k.Name:
				err = take(true)
			case r.o.Mode == ModeExact:
				err = r.strangers.add(k.Name)
			}
			if err != nil {
				return err
			}
		}
		if following == "" {
			break
		}
		if following == cursor {
			return corrupt("the list of keys", "the cursor does not move", "begin again")
		}
		cursor = following
	}
	for more {
		if err := take(false); err != nil {
			return err
		}
	}
	r.out.Deleted = r.strangers.n
	if failed != nil {
		return failed
	}
	if err := r.strangers.full(); err != nil {
		return err
	}
	return t.compare(r.b)
}

// putAll writes part after part. A part in which every key can be written goes
// out as it is.
func (r *restorer) putAll(ctx context.Context) error {
	done := int64(0)
	for _, p := range r.b.Manifest.Parts {
		if r.o.Journal.has(p) {
			r.out.Skipped += int64(p.Keys)
			done += int64(p.Keys)
			continue
		}
		body, keys, err := r.body(ctx, p)
		if err != nil {
			return err
		}
		if keys > 0 {
			if err := r.put(ctx, p, body, keys); err != nil {
				return err
			}
		}
		if err := r.o.Journal.did(p); err != nil {
			return err
		}
		done += int64(keys)
		if r.o.Progress != nil {
			r.o.Progress(done, r.out.Put)
		}
	}
	return nil
}

// body gives what is sent of a part: its content as it is, if nothing in it can
// have expired.
func (r *restorer) body(ctx context.Context, p Part) (Body, int, error) {
	if !r.expiring[p.File] {
		return Body{Size: p.content(), Open: func() (io.ReadCloser, error) { return r.b.open(ctx, p) }}, p.Keys, nil
	}
	now := r.o.Now() // the same for every reading
	return r.some(ctx, p, func(e Entry) bool { return alive(e, now) })
}

// some encodes those entries of a part that are wanted. They are read once to
// know how long they are, and again when they are sent.
func (r *restorer) some(ctx context.Context, p Part, want func(Entry) bool) (Body, int, error) {
	var length counter
	n, err := r.writeSome(ctx, p, want, &length)
	if err != nil {
		return Body{}, 0, err
	}
	return Body{Size: int64(length), Open: func() (io.ReadCloser, error) {
		in, out := io.Pipe()
		go func() {
			_, err := r.writeSome(ctx, p, want, out)
			out.CloseWithError(err)
		}()
		return in, nil
	}}, n, nil
}

// counter counts what is written into it.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func (r *restorer) writeSome(ctx context.Context, p Part, want func(Entry) bool, out io.Writer) (n int, err error) {
	var text bytes.Buffer
	err = r.b.part(ctx, p, func(e Entry) error {
		if !want(e) {
			return nil
		}
		text.Reset()
		text.WriteByte("[,"[min(n, 1)])
		if err := e.encode(&text); err != nil {
			return err
		}
		n++
		_, err := out.Write(text.Bytes())
		return err
	})
	if err == nil && n > 0 {
		_, err = io.WriteString(out, "]")
	}
	return n, err
}

// The platform stores what it can of a bulk write and names the rest; that is
// sent again, with growing pauses.
const (
	rounds     = 6
	firstPause = 500 * time.Millisecond
)

func (r *restorer) put(ctx context.Context, p Part, body Body, n int) error {
	left, err := r.sink.BulkPut(ctx, body, n)
	return r.again(ctx, "written", left, err, func(ctx context.Context, keys []string) ([]string, error) {
		wanted := map[string]bool{}
		for _, k := range keys {
			wanted[k] = true
		}
		body, n, err := r.some(ctx, p, func(e Entry) bool { return wanted[e.Key] })
		if err != nil {
			return nil, err
		}
		if n != len(wanted) {
			return nil, &firedrill.Error{Op: "restore", Kind: firedrill.KindUnknown, Detail: "the platform says that keys were not written which were not sent", Remedy: "restore again"}
		}
		return r.sink.BulkPut(ctx, body, n)
	})
}

func (r *restorer) deleteAll(ctx context.Context) error {
	return r.strangers.each(MaxPairs, func(keys []string) error {
		left, err := r.sink.BulkDelete(ctx, keys)
		return r.again(ctx, "deleted", left, err, r.sink.BulkDelete)
	})
}

// again repeats for the keys that are left; those that stay are named.
func (r *restorer) again(ctx context.Context, done string, left []string, err error, send func(context.Context, []string) ([]string, error)) error {
	pause := firstPause
	for range rounds {
		if err != nil || len(left) == 0 {
			return err
		}
		if err := r.o.Sleep(ctx, pause); err != nil {
			return err
		}
		pause *= 2
		left, err = send(ctx, left)
	}
	if err != nil || len(left) == 0 {
		return err
	}
	return &firedrill.Error{Op: "restore", Kind: firedrill.KindUnavailable, Target: fmt.Sprintf("%d keys", len(left)),
		Detail: fmt.Sprintf("the platform has not %s them in %d attempts; the first is %s", done, rounds+1, quote(left[0])), Remedy: "restore again with the same mode"}
}
