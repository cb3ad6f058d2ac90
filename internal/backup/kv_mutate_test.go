package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"firedrill"
)

// files is a place in memory that is only read.
type files map[string][]byte

func (f files) String() string { return "memory" }
func (f files) Names(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(f)), nil
}
func (f files) Open(_ context.Context, name string) (io.ReadCloser, error) {
	data, ok := f[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}
func (f files) Create(context.Context, string) (File, error) { return nil, fs.ErrPermission }
func (f files) Remove(context.Context, string) error         { return fs.ErrPermission }

func load(t *testing.T, dir string) files {
	t.Helper()
	f := files{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if f[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// sample is a backup to be damaged.
type sample struct {
	files files
	other files // a backup of the same keys with other values
	keys  []age.Identity
	truth map[string]Entry
	parts []string
}

// samples are backups of every way to store one.
func samples(t *testing.T) map[string]sample {
	t.Helper()
	src, different := newMemory(), newMemory()
	for i := range 150 {
		e := Entry{Key: fmt.Sprintf("key%03d", i), Value: []byte(strings.Repeat("text ", i))}
		if i%7 == 0 {
			e.Value, e.Metadata = []byte{0xff, byte(i), 'x'}, json.RawMessage(`{"i":1}`)
		}
		if i%11 == 0 {
			e.Expiration = time.Now().Unix() + 1e6
		}
		src.all[e.Key] = e
		e.Value = append([]byte("other "), e.Value...)
		different.all[e.Key] = e
	}
	large := newMemory()
	maps.Copy(large.all, src.all)
	large.all["key149"] = Entry{Key: "key149", Value: bytes.Repeat([]byte("large "), 180_000)} // more than a block
	all := map[string]sample{}
	for name, way := range seals(t) {
		o := options()
		o.MaxPairs, o.Seal = 50, way.seal
		of := src
		if name == "plain" {
			of = large
		}
		s := sample{keys: way.keys, truth: of.all}
		s.files, s.other = load(t, write(t, of, o).Place.String()), load(t, write(t, different, o).Place.String())
		all[name] = s
		if name == "plain" {
			first, other := write(t, src, o), write(t, different, o)
			firstVersion(t, first)
			firstVersion(t, other)
			all["version 1"] = sample{files: load(t, first.Place.String()), other: load(t, other.Place.String()), truth: src.all}
		}
	}
	old := sample{files: load(t, "testdata/v1-kv"), other: all["plain"].other, truth: map[string]Entry{}}
	b, err := Open(t.Context(), old.files)
	if err == nil {
		err = b.Entries(t.Context(), func(e Entry) error { old.truth[e.Key] = e; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	all["written by version 1"] = old
	for name, s := range all {
		for _, f := range slices.Sorted(maps.Keys(s.files)) {
			if f != ManifestName {
				s.parts = append(s.parts, f)
			}
		}
		all[name] = s
	}
	return all
}

// try verifies and restores a backup that may be damaged, and holds it to the
// promise: it is refused and nothing is written at all, or it is accepted and
// what is restored is the truth.
func (s sample) try(t *testing.T, damaged files) error {
	t.Helper()
	b, err := Open(t.Context(), damaged, s.keys...)
	if err == nil {
		err = b.Verify(t.Context())
	}
	target := newMemory(Entry{Key: "key001", Value: []byte("present")}, Entry{Key: "stranger"})
	before := maps.Clone(target.all)
	restored := err
	if b != nil {
		_, restored = b.RestoreKV(t.Context(), target, restoring(ModeExact))
	}
	switch {
	case (err == nil) != (restored == nil):
		t.Errorf("verifying says %v, restoring says %v", err, restored)
	case err != nil && (target.calls["bulk put"]+target.calls["bulk delete"] > 0 || differs(before, target.all) != ""):
		t.Errorf("refused with %v, and written: %v", err, target.calls)
	case err == nil:
		if k := differs(s.truth, target.all); k != "" {
			t.Errorf("accepted, and restored otherwise: key %q", k)
		}
	}
	if err != nil && firedrill.RemedyOf(err) == "" {
		t.Errorf("%v has no remedy", err)
	}
	return err
}

// differs names a key in which two namespaces differ; "" if they do not. Values
// are large here, and cmp is slow with them.
func differs(a, b map[string]Entry) string {
	for k, e := range a {
		other, there := b[k]
		how, _, err := difference(e, other)
		if !there || how != "" || err != nil {
			return k
		}
	}
	for k := range b {
		if _, there := a[k]; !there {
			return k
		}
	}
	return ""
}

// mutate changes one or two parts, and names those that it changed.
func (s sample) mutate(random *rand.Rand) (damaged files, what string, changed []string) {
	damaged = maps.Clone(s.files)
	name := s.parts[random.IntN(len(s.parts))]
	data := bytes.Clone(damaged[name])
	stretch := func() (from, to int) {
		from = random.IntN(len(data))
		return from, from + 1 + random.IntN(min(len(data)-from, 1+random.IntN(5000)))
	}
	switch kind := random.IntN(9); kind {
	case 0:
		at := random.IntN(len(data))
		data[at] ^= 1 << random.IntN(8)
		what = fmt.Sprintf("bit flipped at %d", at)
	case 1:
		data = data[:random.IntN(len(data))]
		what = fmt.Sprintf("cut to %d", len(data))
	case 2:
		more := make([]byte, 1+random.IntN(2000))
		for i := range more {
			more[i] = byte(random.UintN(256))
		}
		if random.IntN(2) == 0 {
			more = bytes.Repeat([]byte(" "), len(more)) // JSON would not mind
		}
		data = append(data, more...)
		what = fmt.Sprintf("%d bytes longer", len(more))
	case 3:
		from, to := stretch()
		clear(data[from:to])
		what = fmt.Sprintf("zeros from %d to %d", from, to)
	case 4:
		from, to := stretch()
		at := random.IntN(len(data) - (to - from) + 1)
		piece := bytes.Clone(data[at : at+to-from])
		copy(data[at:], bytes.Clone(data[from:to]))
		copy(data[from:], piece)
		what = fmt.Sprintf("%d bytes at %d and %d exchanged", to-from, from, at)
	case 5:
		from, to := stretch()
		data = slices.Delete(data, from, to)
		what = fmt.Sprintf("without the bytes from %d to %d", from, to)
	case 6:
		other := s.parts[random.IntN(len(s.parts))]
		damaged[other], data = data, damaged[other]
		what = "exchanged with " + other
		changed = append(changed, other)
	case 7:
		delete(damaged, name)
		return damaged, "removed", []string{name}
	case 8:
		data = s.other[name]
		what = "put in from another backup"
	}
	damaged[name] = data
	changed = append(changed, name)
	return damaged, what, changed
}

// TestNoMutationOfAPartIsAccepted damages parts at random, by a seed.
func TestNoMutationOfAPartIsAccepted(t *testing.T) {
	t.Parallel()
	rounds := 60
	if os.Getenv("FIREDRILL_SOAK") != "" {
		rounds = 3000
	}
	for name, s := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := s.try(t, s.files); err != nil {
				t.Fatalf("undamaged: %v", err)
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0)) // not for secrets
			tried := 0
			for range rounds {
				damaged, what, changed := s.mutate(random)
				same := true
				for _, c := range changed {
					same = same && bytes.Equal(damaged[c], s.files[c]) && damaged[c] != nil
				}
				if same {
					continue
				}
				tried++
				err := s.try(t, damaged)
				named := false
				for _, c := range changed {
					named = named || err != nil && strings.Contains(err.Error(), c)
				}
				if kind(err) != firedrill.KindCorrupt || !named {
					t.Errorf("%s %s: %v of kind %q", changed, what, err, kind(err))
				}
				// Without the key the damage shows, too.
				if b, err := Open(t.Context(), damaged); err != nil || kind(b.VerifyStored(t.Context())) != firedrill.KindCorrupt {
					t.Errorf("%s %s: as they are stored: %v", changed, what, err)
				}
				if t.Failed() {
					t.FailNow()
				}
			}
			t.Logf("%d mutations", tried)
		})
	}
}

// informs are the fields of a manifest that say something to people: what a backup
// holds does not follow from them, and no check could find them wrong. All others
// must be refused when they are changed.
var informs = regexp.MustCompile(`^(source(\.\w+)?|started|finished|snapshot|tool|noted?(\.\w+)?|notes(\[.*)?|rechecked|vanished(\[.*)?|changed(\[.*)?)$`)

// repeats are fields that say a second time what others say: without them the rest is
// compared as strictly.
var repeats = regexp.MustCompile(`^parts\[\d+\]\.(first|last|blocks)$`)

// TestEveryFieldOfTheManifestCountsOrIsInformation changes every field of manifests
// in every way that its type allows.
func TestEveryFieldOfTheManifestCountsOrIsInformation(t *testing.T) {
	t.Parallel()
	for name, s := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := !bytes.Contains(s.files[ManifestName], []byte(`"compression"`)) && !bytes.Contains(s.files[ManifestName], []byte(`"encryption"`))
			var refused, accepted int
			err := edits(s.files[ManifestName], func(path, how string, text []byte) {
				damaged := maps.Clone(s.files)
				damaged[ManifestName] = text
				err := s.try(t, damaged)
				if err != nil {
					refused++
					return
				}
				accepted++
				meaningless := informs.MatchString(path) || repeats.MatchString(path) && (how == "removed" || how == "empty" || how == "null") ||
					path == "version" && how == "another version" || path == "encoding" && plain && (how == "removed" || how == "empty" || how == "null") || how == "something unknown beside"
				if !meaningless {
					t.Errorf("%s %s: accepted", path, how)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if refused < 20 || accepted < 5 {
				t.Errorf("only %d were refused and %d accepted", refused, accepted)
			}
			t.Logf("%d refused, %d accepted", refused, accepted)
		})
	}
}

// edits changes a document at each of its places.
func edits(document []byte, try func(path, how string, text []byte)) error {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber()
	var root any
	if err := dec.Decode(&root); err != nil {
		return err
	}
	var failed error
	write := func(path, how string) {
		text, err := json.Marshal(root)
		if err != nil {
			failed = err
			return
		}
		try(path, how, text)
	}
	var walk func(path string, x any, set func(any))
	walk = func(path string, x any, set func(any)) {
		put := func(how string, v any) { set(v); write(path, how); set(x) }
		switch v := x.(type) {
		case map[string]any:
			v["something unknown"] = 1
			write(path, "something unknown beside")
			delete(v, "something unknown")
			for _, k := range slices.Sorted(maps.Keys(v)) {
				at, was := strings.TrimPrefix(path+"."+k, "."), v[k]
				delete(v, k)
				write(at, "removed")
				v[k] = was
				walk(at, was, func(n any) { v[k] = n })
			}
			return
		case []any:
			put("empty", []any{})
			put("null", nil)
			for i := range v {
				if len(v) > 1 { // otherwise it is empty
					put("without an element", slices.Delete(slices.Clone(v), i, i+1))
				}
				put("with an element twice", slices.Insert(slices.Clone(v), i, v[i]))
				if i > 0 {
					other := slices.Clone(v)
					other[i-1], other[i] = v[i], v[i-1]
					put("in another order", other)
				}
				walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(n any) { v[i] = n })
			}
			return
		case string:
			put("empty", "")
			put("longer", v+"0")
			if v != "" {
				c := v[len(v)-1] ^ 1
				put("another end", v[:len(v)-1]+string(c))
				put("shorter", v[:len(v)-1])
			}
			put("a number", 7)
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				failed = err
				return
			}
			how := "another number"
			if path == "version" && n == Version {
				how = "another version"
			}
			if path == "version" && n == 1 {
				put("another version", 2)
			}
			put(how, n-1)
			if path != "version" || n != 1 {
				put("one more", n+1)
			}
			put("zero", 0)
			put("negative", -1-n)
			put("huge", json.Number("9223372036854775807"))
			put("a text", "7")
		case bool:
			put("the contrary", !v)
		}
	}
	walk("", root, func(n any) { root = n })
	return failed
}

// TestWhiteSpaceInAManifestDoesNotMatter tells apart what is damage and what is not.
func TestWhiteSpaceInAManifestDoesNotMatter(t *testing.T) {
	t.Parallel()
	for name, s := range samples(t) {
		var indented, compact bytes.Buffer
		if json.Indent(&indented, s.files[ManifestName], "\t", "    ") != nil || json.Compact(&compact, s.files[ManifestName]) != nil {
			t.Fatal("the manifest is no JSON")
		}
		for _, text := range [][]byte{indented.Bytes(), compact.Bytes(), append([]byte("\n\n "), s.files[ManifestName]...)} {
			other := maps.Clone(s.files)
			other[ManifestName] = text
			if err := s.try(t, other); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, text := range [][]byte{nil, compact.Bytes()[:compact.Len()/2], append(compact.Bytes(), "{}"...)} {
			other := maps.Clone(s.files)
			other[ManifestName] = text
			if err := s.try(t, other); kind(err) != firedrill.KindCorrupt {
				t.Errorf("%s: %d bytes of manifest: %v", name, len(text), err)
			}
		}
	}
}
