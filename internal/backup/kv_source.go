package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"firedrill"
)

// Key is a key as a list shows it.
type Key struct {
	Name       string
	Expiration int64           // in seconds since 1970; 0: never
	Metadata   json.RawMessage // nil: none
}

// Text is the answer to a bulk read of one key, which carries text only.
type Text struct {
	Value      string
	Expiration int64
	Metadata   json.RawMessage
}

// KVSource is a namespace that is read.
type KVSource interface {
	// List gives a page of keys in the order of their bytes, and the cursor of
	// the next one; "" ends it.
	List(ctx context.Context, cursor string) (keys []Key, next string, err error)
	// BulkGet reads up to MaxBulkGet keys. A key that is not there is not in
	// the answer. It gives ErrTooLarge when the values together are too much.
	BulkGet(ctx context.Context, keys []string) (map[string]Text, error)
	// Get reads the bytes of one key; found is false when it is not there.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
}

// MaxBulkGet is how many keys one bulk read takes.
const MaxBulkGet = 100

// ErrTooLarge says that a bulk read would answer too much.
var ErrTooLarge = errors.New("the values together are too much for one answer")

const (
	// readers is how many bulk reads are under way at a time: enough that the
	// next answer is there when one was written.
	readers = 6
	// flying bounds the bytes of values that are on their way at a time, beyond
	// those of a single bulk read.
	flying = 16 << 20
	// rawAhead is how many bytes of raw values a batch reads ahead. The rest is
	// read when its turn comes.
	rawAhead = 4 << 20
)

// visitor is told what a walk through a namespace finds, in the order of the keys.
type visitor struct {
	// entry takes an entry, with the cursor of the page that it stands on.
	entry func(e Entry, page string) error
	// note takes what happened to a key; nil: nobody wants to know.
	note func(key string, what What)
}

// walk reads a namespace from the page at cursor on, without the keys up to
// after.
func walk(ctx context.Context, src KVSource, now func() time.Time, cursor, after string, v visitor) error {
	if v.note == nil {
		v.note = func(string, What) {}
	}
	eg, ctx := errgroup.WithContext(ctx)
	gate := newGate(flying)
	queue := make(chan *batch, readers)
	work := make(chan *batch)
	eg.Go(func() error {
		defer close(queue)
		defer close(work)
		return list(ctx, src, cursor, after, func(b *batch) error {
			if err := gate.enter(ctx, b); err != nil {
				return err
			}
			for _, to := range []chan *batch{queue, work} {
				select {
				case to <- b:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range readers {
		eg.Go(func() error {
			for b := range work {
				if err := b.read(ctx, src); err != nil {
					return err
				}
				gate.weigh(b)
				close(b.done)
			}
			return nil
		})
	}
	eg.Go(func() error {
		for b := range queue {
			select {
			case <-b.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := b.visit(ctx, src, now, v); err != nil {
				return err
			}
			gate.leave(b)
		}
		return nil
	})
	return eg.Wait()
}

// list divides the list into batches.
func list(ctx context.Context, src KVSource, cursor, after string, send func(*batch) error) error {
	var order order
	for {
		page := cursor
		keys, next, err := src.List(ctx, cursor)
		if err == nil {
			// A list that repeats or goes back would store keys twice or miss some.
			err = order.check(keys)
		}
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k Key) bool { return k.Name <= after && after != "" })
		for chunk := range slices.Chunk(keys, MaxBulkGet) {
			if err := send(&batch{keys: chunk, page: page, done: make(chan struct{})}); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		if next == cursor {
			return corrupt("the list of keys", "the cursor does not move", "begin again")
		}
		cursor = next
	}
}

// order is how far a list has come: it has to go on.
type order struct{ last string }

func (o *order) check(keys []Key) error {
	for _, k := range keys {
		if k.Name == "" || k.Name <= o.last {
			return corrupt("the list of keys", "key "+quote(k.Name)+" comes after "+quote(o.last), "the namespace changed while it was listed: begin again")
		}
		o.last = k.Name
	}
	return nil
}

// batch is some keys in the order of the list, on their way to being read.
type batch struct {
	keys   []Key
	page   string // cursor of the page that they stand on
	weight int64  // what the gate counts for it
	done   chan struct{}
	// What was read of it ahead of its turn; valid once done is closed. It has one
	// element a key.
	found []found
	bytes int64
	piece int // keys that one bulk read can answer
}

// found is what reading a key gave.
type found struct {
	entry Entry
	state
	// text is the digest of what a bulk read said of a value that is no text; nil:
	// it said nothing.
	text *[sha256.Size]byte
}

// state tells how far the reading of a key is.
type state int

const (
	unread state = iota
	noText       // not there, or what is there is no text: the raw value tells
	read
	gone
)

// read fetches values of a batch ahead of its turn, up to a bound. The rest is
// fetched when its turn comes.
func (b *batch) read(ctx context.Context, src KVSource) error {
	b.found, b.piece = make([]found, len(b.keys)), len(b.keys)
	if err := b.texts(ctx, src, 0); err != nil {
		return err
	}
	raw := 0
	for i := range b.found {
		f := &b.found[i]
		if f.state == noText && raw < rawAhead {
			if err := f.get(ctx, src); err != nil {
				return err
			}
			raw += len(f.entry.Value)
		}
		b.bytes += int64(len(f.entry.Value))
	}
	return nil
}

// texts reads a piece of the batch in bulk, beginning at a key; in a smaller piece
// where the answer would be too large. A single value that is too large is left to
// be read raw.
func (b *batch) texts(ctx context.Context, src KVSource, from int) error {
	for {
		keys := b.keys[from:min(from+b.piece, len(b.keys))]
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = k.Name
		}
		texts, err := src.BulkGet(ctx, names)
		switch {
		case errors.Is(err, ErrTooLarge) && b.piece > 1:
			b.piece = (len(keys) + 1) / 2
			continue
		case errors.Is(err, ErrTooLarge):
			texts, b.piece = nil, len(b.keys)-from // the next ones may be small
		case err != nil:
			return err
		}
		for i, k := range keys {
			f := &b.found[from+i]
			f.entry, f.state, f.text = Entry{Key: k.Name, Expiration: k.Expiration, Metadata: k.Metadata}, noText, nil
			if text, ok := texts[k.Name]; ok {
				f.take(text)
			}
		}
		return nil
	}
}

// take takes what a bulk read says of a key.
func (f *found) take(text Text) {
	f.entry.Expiration, f.entry.Metadata = text.Expiration, text.Metadata
	if strings.ContainsRune(text.Value, utf8.RuneError) {
		sum := asText(text.Value)
		f.text, f.state = &sum, noText
		return
	}
	f.entry.Value, f.state, f.text = []byte(text.Value), read, nil
}

// agreements is how often a raw value is read until two readings agree.
const agreements = 4

// get reads a raw value. An answer of raw bytes has nothing in it that tells it
// from a page that something else put in its place, so it counts only when a
// second reading agrees: that of the text, where there is one.
func (f *found) get(ctx context.Context, src KVSource) error {
	var before *[sha256.Size]byte // of the value as it was read raw the last time
	for range agreements {
		value, there, err := src.Get(ctx, f.entry.Key)
		if err != nil {
			return err
		}
		if !there {
			f.entry.Value, f.state = nil, gone
			return nil
		}
		if f.text == nil { // it was not carried as text; the same bytes again will do
			sum := sha256.Sum256(value)
			if before != nil && *before == sum {
				f.entry.Value, f.state = value, read
				return nil
			}
			before = &sum
			continue
		}
		if asText(string(value)) == *f.text {
			f.entry.Value, f.state, f.text = value, read, nil
			return nil
		}
		texts, err := src.BulkGet(ctx, []string{f.entry.Key})
		if err != nil && !errors.Is(err, ErrTooLarge) {
			return err
		}
		if f.text = nil; err == nil {
			if text, ok := texts[f.entry.Key]; ok {
				f.take(text)
			}
		}
		if f.state == read {
			return nil
		}
	}
	return &firedrill.Error{Op: "read the namespace", Kind: firedrill.KindUnavailable, Target: "key " + quote(f.entry.Key),
		Detail: fmt.Sprintf("%d readings of its value do not agree", agreements), Remedy: "repeat; if it comes again, see whether something writes it all the time, or answers in the API's place"}
}

// asText is a digest of bytes as a bulk read shows them: each byte that is not
// UTF-8 becomes U+FFFD, or a run of them does. A mark of the byte order may be
// left out.
func asText(s string) (sum [sha256.Size]byte) {
	h := sha256.New()
	out := bufio.NewWriter(h)
	last := rune(-1)
	for _, r := range strings.TrimPrefix(s, "\ufeff") { // what is not UTF-8 comes as U+FFFD
		if r != utf8.RuneError || last != utf8.RuneError {
			_, _ = out.WriteRune(r) // a hash takes everything
		}
		last = r
	}
	_ = out.Flush()
	h.Sum(sum[:0])
	return sum
}

// visit hands on what was read, and reads what is still to be read.
func (b *batch) visit(ctx context.Context, src KVSource, now func() time.Time, v visitor) error {
	for i := range b.found {
		f, k := &b.found[i], b.keys[i]
		if f.state == unread {
			if err := b.texts(ctx, src, i); err != nil {
				return err
			}
		}
		if f.state == noText {
			if err := f.get(ctx, src); err != nil {
				return err
			}
		}
		if f.state == gone {
			what := Vanished
			if k.Expiration != 0 && k.Expiration <= now().Unix() {
				what = Expired
			}
			v.note(k.Name, what)
			continue
		}
		was, errWas := canonical(k.Metadata)
		is, errIs := canonical(f.entry.Metadata)
		if errWas != nil || errIs != nil {
			return corrupt("key "+quote(k.Name), "its metadata is not JSON", "look at the key")
		}
		if was != is || k.Expiration != f.entry.Expiration {
			v.note(k.Name, Changed)
		}
		if err := v.entry(f.entry, b.page); err != nil {
			return err
		}
		f.entry = Entry{} // it may be large
	}
	return nil
}

func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		return s
	}
	return string(data)
}
