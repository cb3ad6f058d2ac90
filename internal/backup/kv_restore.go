package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"firedrill"
)

// KVSink is a namespace that is written. A call that lists keys as unsuccessful
// has done the rest.
type KVSink interface {
	KVSource
	// BulkPut sends a body: a JSON array of n pairs, at most MaxPairs.
	BulkPut(ctx context.Context, body []byte, n int) (unsuccessful []string, err error)
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
	// Progress is told after each call; nil: nobody.
	Progress func(done, total int64)
}

// Restored is what a restore did, or in a dry run what it would do.
type Restored struct {
	Put         int64 // keys written, those overwritten included
	Overwritten int64 // of them, keys that were there
	Deleted     int64
	// Expired are keys whose expiration has passed, or comes in less than the
	// platform's least of 60 seconds: they cannot be written any more.
	Expired []string
}

// leastLife is how far away an expiration must be, with some time for the way.
const leastLife = 65 * time.Second

// RestoreKV writes a backup into a namespace. The whole backup is verified
// first; to repeat it after an interruption is safe.
func RestoreKV(ctx context.Context, dir string, sink KVSink, o RestoreOptions) (Restored, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return Restored{}, err
	}
	if o.Mode != ModeNone && o.Mode != ModeExact && o.Mode != ModeMerge {
		return Restored{}, &firedrill.Error{Op: "restore", Kind: firedrill.KindUsage, Target: "mode " + string(o.Mode), Remedy: "choose exact or merge"}
	}
	r := &restorer{sink: sink, o: o, m: m, dir: dir, expiring: map[string]bool{}}
	strangers, err := r.compare(ctx)
	if err != nil {
		return Restored{}, err
	}
	if o.DryRun {
		return r.out, nil
	}
	if err := r.putAll(ctx); err != nil {
		return r.out, err
	}
	// Deleted last: until then nothing was lost that the backup does not hold.
	return r.out, r.deleteAll(ctx, strangers)
}

type restorer struct {
	sink KVSink
	o    RestoreOptions
	m    Manifest
	dir  string
	out  Restored
	// expiring are the parts in which keys expire.
	expiring map[string]bool
}

// alive tells whether an entry can still be written.
func (r *restorer) alive(e Entry) bool { return alive(e, r.o.Now()) }

func alive(e Entry, now time.Time) bool {
	return e.Expiration == 0 || e.Expiration >= now.Add(leastLife).Unix()
}

// held gives the keys of the backup in order, with whether they can be written.
// The backup is verified on the way; what is wrong with it stands in failed when
// the last key was given.
func (r *restorer) held(ctx context.Context, failed *error) iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		var t tally
		err := readEntries(ctx, r.dir, r.m, func(p Part, e Entry) error {
			if e.Expiration != 0 {
				r.expiring[p.File] = true
			}
			if !yield(e.Key, r.alive(e)) {
				return errStop
			}
			return t.add(e)
		})
		if err == nil {
			err = t.compare(r.dir, r.m)
		}
		if !errors.Is(err, errStop) {
			*failed = err
		}
	}
}

// compare walks through backup and namespace side by side, both in the order of
// the keys, counts what there is to do, and gives the keys to delete.
func (r *restorer) compare(ctx context.Context) (strangers []string, err error) {
	var failed error
	next, stop := iter.Pull2(r.held(ctx, &failed))
	defer stop()
	key, alive, more := next()
	// take counts a key of the backup; there tells whether it exists.
	take := func(there bool) {
		switch {
		case !alive:
			r.out.Expired = append(r.out.Expired, key)
			if there && r.o.Mode == ModeExact {
				strangers = append(strangers, key)
			}
		default:
			r.out.Put++
			if there {
				r.out.Overwritten++
			}
		}
		key, alive, more = next()
	}
	cursor := ""
	for {
		keys, following, err := r.sink.List(ctx, cursor)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 && r.o.Mode == ModeNone {
			return nil, &firedrill.Error{Op: "restore", Kind: firedrill.KindConflict, Target: "the namespace", Detail: "it is not empty: it holds " + quote(keys[0].Name),
				Remedy: "name a mode: exact (other keys are deleted) or merge (they stay)"}
		}
		for _, k := range keys {
			for more && key < k.Name {
				take(false)
			}
			switch {
			case more && key == k.Name:
				take(true)
			case r.o.Mode == ModeExact:
				strangers = append(strangers, k.Name)
			}
		}
		if following == "" {
			break
		}
		if following == cursor {
			return nil, corrupt("the list of keys", "the cursor does not move", "begin again")
		}
		cursor = following
	}
	for more {
		take(false)
	}
	r.out.Deleted = int64(len(strangers))
	return strangers, failed
}

// putAll writes part after part. A part in which every key can be written goes
// out as it is.
func (r *restorer) putAll(ctx context.Context) error {
	done := int64(0)
	for _, p := range r.m.Parts {
		body, keys, err := r.body(p)
		if err != nil {
			return err
		}
		if keys > 0 {
			if err := r.put(ctx, p, body, keys); err != nil {
				return err
			}
		}
		done += int64(keys)
		if r.o.Progress != nil {
			r.o.Progress(done, r.out.Put)
		}
	}
	return nil
}

// body gives what is sent of a part: the file as it is, if nothing in it can
// have expired.
func (r *restorer) body(p Part) (body []byte, keys int, err error) {
	path := filepath.Join(r.dir, p.File)
	if r.expiring[p.File] {
		body, keys, err = r.some(p, r.alive)
		if err != nil {
			return nil, 0, corrupt(path, err.Error(), "use another backup")
		}
		return body, keys, nil
	}
	if body, err = os.ReadFile(path); err != nil {
		return nil, 0, storage("read the backup", path, err)
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != p.SHA256 {
		return nil, 0, corrupt(path, "it has changed since it was verified", "restore again")
	}
	return body, p.Keys, nil
}

// some encodes those entries of a part that are wanted.
func (r *restorer) some(p Part, want func(Entry) bool) (body []byte, n int, err error) {
	var b bytes.Buffer
	err = readPart(filepath.Join(r.dir, p.File), p, func(e Entry) error {
		if !want(e) {
			return nil
		}
		data, err := e.encode()
		if err != nil {
			return err
		}
		b.WriteByte("[,"[min(n, 1)])
		b.Write(data)
		n++
		return nil
	})
	b.WriteByte(']')
	return b.Bytes(), n, err
}

// The platform stores what it can of a bulk write and names the rest; that is
// sent again, with growing pauses.
const (
	rounds     = 6
	firstPause = 500 * time.Millisecond
)

func (r *restorer) put(ctx context.Context, p Part, body []byte, n int) error {
	left, err := r.sink.BulkPut(ctx, body, n)
	return r.again(ctx, "written", left, err, func(ctx context.Context, keys []string) ([]string, error) {
		wanted := map[string]bool{}
		for _, k := range keys {
			wanted[k] = true
		}
		body, n, err := r.some(p, func(e Entry) bool { return wanted[e.Key] })
		if err != nil {
			return nil, err
		}
		if n != len(wanted) {
			return nil, &firedrill.Error{Op: "restore", Kind: firedrill.KindUnknown, Detail: "the platform says that keys were not written which were not sent", Remedy: "restore again"}
		}
		return r.sink.BulkPut(ctx, body, n)
	})
}

func (r *restorer) deleteAll(ctx context.Context, keys []string) error {
	for len(keys) > 0 {
		n := min(len(keys), MaxPairs)
		left, err := r.sink.BulkDelete(ctx, keys[:n])
		if err := r.again(ctx, "deleted", left, err, r.sink.BulkDelete); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
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
