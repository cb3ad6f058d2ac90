package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/fingerprint"
)

// turning is a place whose parts are others from their n-th reading on.
type turning struct {
	Place
	from  int
	turn  func([]byte) []byte
	opens map[string]int
}

func (p *turning) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := p.Place.Open(ctx, name)
	if p.opens[name]++; err != nil || name == ManifestName || p.opens[name] < p.from {
		return f, err
	}
	data, err := io.ReadAll(f)
	return io.NopCloser(bytes.NewReader(p.turn(data))), errors.Join(err, f.Close())
}

// arriving is a namespace in memory that stores what arrives of a body before it
// is told that something is wrong with it, as soon as that is all that was
// announced: on the wire nothing more is waited for.
type arriving struct{ *memory }

func (a arriving) BulkPut(ctx context.Context, body Body, n int) ([]string, error) {
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	arrived := make([]byte, body.Size)
	_, err = io.ReadFull(r, arrived)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return a.memory.BulkPut(ctx, Body{Size: body.Size, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(arrived)), nil }}, n)
}

// firstVersion makes a backup of the first version out of one without encoding:
// only the whole of a part can be compared there.
func firstVersion(t *testing.T, b *Backup) {
	t.Helper()
	b.Manifest.Version = 1
	for i := range b.Manifest.Parts {
		b.Manifest.Parts[i].Blocks = nil
	}
	data, err := json.Marshal(b.Manifest)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.Place.String(), ManifestName), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAPartThatChangesAfterItWasVerifiedIsNotSent lets each reading of the parts
// be the first that gives other bytes: same length, shorter, longer. What was sent
// until then is of the backup, nothing of the other bytes ever arrives, and the
// restore does not end well unless it never saw them.
func TestAPartThatChangesAfterItWasVerifiedIsNotSent(t *testing.T) {
	t.Parallel()
	turns := map[string]func([]byte) []byte{
		"other": func(d []byte) []byte {
			d = bytes.Clone(d)
			d[len(d)/2] ^= 1
			return d
		},
		"other, at its end": func(d []byte) []byte {
			d = bytes.Clone(d)
			d[len(d)-8] ^= 1
			return d
		},
		"text that parses": func(d []byte) []byte {
			if bytes.Contains(d, []byte("text")) {
				return bytes.ReplaceAll(d, []byte("text"), []byte("TEXT"))
			}
			return d[1:]
		},
		"shorter": func(d []byte) []byte { return d[:len(d)-2] },
		"longer":  func(d []byte) []byte { return append(bytes.Clone(d), ' ') },
	}
	type way struct {
		seal  Seal
		first bool
		soon  bool // a key expires: what is sent is encoded anew
	}
	key := secret(t)
	ways := map[string]way{"plain": {}, "version 1": {first: true}, "expiring": {soon: true}, "version 1, expiring": {first: true, soon: true}, "compressed": {seal: Seal{Compress: true}}}
	ways["sealed"] = way{seal: Seal{Compress: true, Recipients: recipients(key)}}
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := someKeys(60)
			if w.soon {
				src.all["key0000"] = Entry{Key: "key0000", Expiration: time.Now().Unix() + 10}
				src.all["key0059"] = Entry{Key: "key0059", Expiration: time.Now().Unix() + 1e6}
			}
			o := options()
			o.MaxPairs, o.Seal = 30, w.seal
			written := write(t, src, o)
			if w.first {
				firstVersion(t, written)
			}
			for what, turn := range turns {
				for from := 1; ; from++ {
					place := &turning{Place: written.Place, from: from, turn: turn, opens: map[string]int{}}
					b, err := Open(t.Context(), place, key)
					if err != nil {
						t.Fatal(err)
					}
					target := arriving{newMemory()}
					_, err = b.RestoreKV(t.Context(), target, restoring(ModeNone))
					for k, e := range target.all {
						if string(e.Value) != string(src.all[k].Value) {
							t.Fatalf("%s from reading %d on: key %s holds %.40q", what, from, k, e.Value)
						}
					}
					if err == nil {
						// What is longer does no harm once nothing behind the end is read.
						if from < 3 && what != "longer" {
							t.Errorf("%s: only %d readings", what, from-1)
						}
						break
					}
					if kind(err) != firedrill.KindCorrupt || !strings.Contains(err.Error(), "kv-0000") {
						t.Fatalf("%s from reading %d on: %v of kind %s", what, from, err, kind(err))
					}
					if from == 1 && len(target.calls)-target.calls["list"] > 1 {
						t.Errorf("%s: written before all was verified: %v", what, target.calls)
					}
				}
			}
		})
	}
}

// TestAListThatGoesBackDeletesNothing restores into a namespace whose list is not
// in order: a key that comes late would be taken for a stranger.
func TestAListThatGoesBackDeletesNothing(t *testing.T) {
	t.Parallel()
	src := someKeys(5)
	b := write(t, src, options())
	target := &shuffled{newMemory()}
	for k, e := range src.all {
		target.all[k] = e
	}
	if _, err := b.RestoreKV(t.Context(), target, restoring(ModeExact)); kind(err) != firedrill.KindCorrupt || len(target.all) != 5 || target.calls["bulk delete"] > 0 {
		t.Errorf("%d keys, %v, %v", len(target.all), target.calls, err)
	}
}

type shuffled struct{ *memory }

func (s *shuffled) List(ctx context.Context, cursor string) ([]Key, string, error) {
	keys, next, err := s.memory.List(ctx, cursor)
	keys[1], keys[3] = keys[3], keys[1]
	return keys, next, err
}

// FuzzJournals reads any bytes as the journal of a restore: an error, or one that
// can be gone on with.
func FuzzJournals(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"version":1,"backup":"` + fingerprint.Sum{}.String() + `","target":"t","mode":"exact","empty":true}`, `{"version":1,"parts":{"a":true}}`, `[]`} {
		f.Add([]byte(seed))
	}
	b := &Backup{Place: Folder("x"), Manifest: Manifest{Parts: []Part{{File: "a", SHA256: "a"}, {File: "b", SHA256: "b"}}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "journal.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []Mode{ModeNone, ModeExact} {
			j, err := OpenJournal(path, "t", mode)
			if err != nil {
				if kind(err) != firedrill.KindCorrupt || firedrill.RemedyOf(err) == "" {
					t.Fatalf("%v of kind %s", err, kind(err))
				}
				continue
			}
			if err := j.begin(b, false); err != nil {
				t.Fatal(err)
			}
			for _, p := range b.Manifest.Parts {
				if err := j.did(p); err != nil || !j.has(p) {
					t.Fatalf("%s: %v", p.File, err)
				}
			}
			if again, err := OpenJournal(path, "t", mode); err != nil || !again.of(b) || !again.has(b.Manifest.Parts[1]) {
				t.Fatalf("read again: %v", err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}
