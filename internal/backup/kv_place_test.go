package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"firedrill"
)

// steps is a place whose n-th step fails, and all that follow, before it did
// anything or, with done, after it did it: the answer alone is lost.
type steps struct {
	Place
	at, n int
	done  bool
}

var errStep = errors.New("the place is gone")

func (p *steps) step(do func() error) error {
	p.n++
	switch {
	case p.n > p.at || p.n == p.at && !p.done:
		return errStep
	case p.n == p.at:
		return errors.Join(do(), errStep)
	}
	return do()
}

func (p *steps) Names(ctx context.Context) (names []string, err error) {
	err = p.step(func() error { names, err = p.Place.Names(ctx); return err })
	return names, err
}

func (p *steps) Open(ctx context.Context, name string) (r io.ReadCloser, err error) {
	err = p.step(func() error { r, err = p.Place.Open(ctx, name); return err })
	if err != nil && r != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, err
}

func (p *steps) Create(ctx context.Context, name string) (f File, err error) {
	err = p.step(func() error { f, err = p.Place.Create(ctx, name); return err })
	if err != nil && f != nil {
		return nil, errors.Join(err, f.Abort())
	}
	return &stepFile{f, p}, err
}

func (p *steps) Remove(ctx context.Context, name string) error {
	return p.step(func() error { return p.Place.Remove(ctx, name) })
}

type stepFile struct {
	File
	p *steps
}

func (f *stepFile) Write(b []byte) (n int, err error) {
	err = f.p.step(func() error { n, err = f.File.Write(b); return err })
	return n, err
}

func (f *stepFile) Close() error { return f.p.step(f.File.Close) }

// TestEveryStepOfThePlaceMayFail fails each step that a backup takes at its place,
// before it happened and after. What is there then does not verify, unless it is
// the whole; and the same command ends it.
func TestEveryStepOfThePlaceMayFail(t *testing.T) {
	t.Parallel()
	src := someKeys(300)
	o := options()
	o.MaxPairs = 100
	want := write(t, src, o).Manifest
	points := 0
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			dir := Folder(filepath.Join(t.TempDir(), "backup"))
			place := &steps{Place: dir, at: at, done: done}
			_, err := WriteKV(t.Context(), src, place, o)
			if err == nil {
				break
			}
			points++
			if b, err := Open(t.Context(), dir); err == nil && (b.Verify(t.Context()) != nil || b.Manifest.Digest != want.Digest) {
				t.Errorf("step %d, done %v: a manifest without the whole", at, done)
			}
			_, errNote := os.Stat(filepath.Join(dir.String(), progressName))
			m, err := WriteKV(t.Context(), src, dir, o)
			if errors.Is(errNote, os.ErrNotExist) && kind(err) == firedrill.KindConflict && verify(dir) == nil {
				continue // the answer to the very last step was lost: nothing tells it from an older backup
			}
			if err != nil || m.Digest != want.Digest {
				t.Errorf("step %d, done %v: the second attempt: %v", at, done, err)
				continue
			}
			names, err := dir.Names(t.Context())
			if err != nil || !slices.Equal(names, []string{"kv-00001.json", "kv-00002.json", "kv-00003.json", ManifestName}) || verify(dir) != nil {
				t.Errorf("step %d, done %v: %q, %v, %v", at, done, names, err, verify(dir))
			}
		}
	}
	if points < 40 {
		t.Errorf("only %d points", points)
	}
	t.Logf("%d points", points)
}

// TestPartsThatWereNeverCountedAreNotLeft cuts a backup off between a part and its
// note, and deletes most keys before it is gone on with: the part is written no
// more, and must not lie beside the others.
func TestPartsThatWereNeverCountedAreNotLeft(t *testing.T) {
	t.Parallel()
	src := someKeys(300)
	o := options()
	o.MaxPairs = 100
	for at := 1; ; at++ {
		dir := Folder(filepath.Join(t.TempDir(), "backup"))
		if _, err := WriteKV(t.Context(), src, &steps{Place: dir, at: at, done: true}, o); err == nil {
			t.Fatal("no step is between a part and its note")
		}
		names, err := dir.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p, err := readProgress(t.Context(), dir)
		if err != nil || !slices.Contains(names, "kv-00002.json") || len(p.Manifest.Parts) != 1 {
			continue // it is another step
		}
		small := newMemory()
		for k, e := range src.all {
			if k <= "key0100" { // up to the first key of the second part
				small.all[k] = e
			}
		}
		delete(small.all, "key0100")
		m, err := WriteKV(t.Context(), small, dir, o)
		if err != nil || len(m.Parts) != 1 {
			t.Fatalf("%d parts, %v", len(m.Parts), err)
		}
		if names, err := dir.Names(t.Context()); err != nil || !slices.Equal(names, []string{"kv-00001.json", ManifestName}) {
			t.Errorf("%q, %v", names, err)
		}
		return
	}
}

// TestProgressThatIsNotAsItWasWrittenIsNotGoneOnWith changes every byte of the note
// by one bit. To go on from another place would leave keys out, and nothing in the
// backup would tell.
func TestProgressThatIsNotAsItWasWrittenIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	src := someKeys(300)
	src.page = 40
	o := options()
	o.MaxPairs = 50
	begun := Folder(filepath.Join(t.TempDir(), "backup"))
	if _, err := WriteKV(t.Context(), src, &steps{Place: begun, at: 25}, o); err == nil {
		t.Fatal("it was not cut off")
	}
	good, err := os.ReadFile(filepath.Join(begun.String(), progressName))
	if err != nil {
		t.Fatal(err)
	}
	wentOn := 0
	for at := range good {
		data := bytes.Clone(good)
		data[at] ^= 1 << (at % 7)
		var p progress
		if json.Unmarshal(data, &p) != nil {
			continue
		}
		wentOn++
		// What is accepted means the same: white space.
		same, err := json.Marshal(p)
		var compact bytes.Buffer
		if err := errors.Join(err, json.Compact(&compact, good)); err != nil || !bytes.Equal(same, compact.Bytes()) {
			t.Fatalf("byte %d: %q became %q, and is gone on with: %v", at, good[at], data[at], err)
		}
	}
	data := bytes.Replace(good, []byte(`"last": "key0`), []byte(`"last": "key1`), 1)
	if bytes.Equal(data, good) {
		t.Fatalf("nothing to change in %s", good)
	}
	if err := os.WriteFile(filepath.Join(begun.String(), progressName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteKV(t.Context(), src, begun, o); kind(err) != firedrill.KindConflict || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a later key: %v of kind %s", err, kind(err))
	}
	t.Logf("%d of %d changes mean the same", wentOn, len(good))
}

// FuzzProgress reads any bytes as the note of a backup that was begun: an error, or
// what is written again as the same.
func FuzzProgress(f *testing.F) {
	seed, err := json.Marshal(progress{Manifest: Manifest{Format: Format, Version: Version, Kind: KindKV, Parts: []Part{{File: "kv-00001.json", Bytes: 3, Blocks: []string{"00"}}}}, Page: "p", Last: "l"})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(seed), `{}`, `null`, `{"sha256":""}`, strings.Replace(string(seed), `"l"`, `"m"`, 1)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, again progress
		if json.Unmarshal(data, &p) != nil {
			return
		}
		text, err := json.Marshal(p)
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if err != nil || fmt.Sprintf("%+v", p) != fmt.Sprintf("%+v", again) {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}
