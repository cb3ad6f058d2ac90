package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"firedrill"
)

// tool finds a public tool. Without it the test says so, and CI installs it.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("%s is not installed: %v", name, err)
	}
	return path
}

// someKeys is a namespace whose values compress and do not.
func someKeys(n int) *memory {
	m := newMemory()
	for i := range n {
		e := Entry{Key: fmt.Sprintf("key%04d", i), Value: []byte(strings.Repeat("text ", i))}
		if i%7 == 0 {
			e.Value, e.Metadata = []byte{0xff, byte(i)}, json.RawMessage(`{"i":1}`)
		}
		m.all[e.Key] = e
	}
	return m
}

func recipients(keys ...*age.X25519Identity) []age.Recipient {
	var to []age.Recipient
	for _, k := range keys {
		to = append(to, k.Recipient())
	}
	return to
}

func secret(t *testing.T) *age.X25519Identity {
	t.Helper()
	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// seals are all ways to store parts, with the commands that undo them.
func seals(t *testing.T) map[string]struct {
	seal Seal
	keys []age.Identity
	undo [][]string
} {
	key := secret(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type way = struct {
		seal Seal
		keys []age.Identity
		undo [][]string
	}
	to, keys := []age.Recipient{key.Recipient()}, []age.Identity{key}
	zst, crypt := []string{"zstd", "-d", "-q"}, []string{"age", "-d", "-i", file}
	return map[string]way{
		"plain":                    {},
		"compressed":               {seal: Seal{Compress: true}, undo: [][]string{zst}},
		"encrypted":                {seal: Seal{Recipients: to}, keys: keys, undo: [][]string{crypt}},
		"compressed and encrypted": {seal: Seal{Compress: true, Recipients: to}, keys: keys, undo: [][]string{crypt, zst}},
	}
}

func TestEveryEncodingComesBackAndIsUndoneByPublicTools(t *testing.T) {
	t.Parallel()
	src := someKeys(300)
	plain := write(t, src, options())
	want, err := os.ReadFile(filepath.Join(plain.Place.String(), plain.Manifest.Parts[0].File))
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range seals(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			o.Seal = way.seal
			place := write(t, src, o).Place
			b, err := Open(context.Background(), place, way.keys...)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(context.Background()); err != nil {
				t.Fatal(err)
			}
			target := newMemory()
			if _, err := b.RestoreKV(context.Background(), target, restoring(ModeNone)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(src.all, target.all); d != "" {
				t.Errorf("restored:\n%.1000s", d)
			}
			part := b.Manifest.Parts[0]
			data, err := os.ReadFile(filepath.Join(place.String(), part.File))
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range way.undo {
				cmd := exec.Command(tool(t, args[0]), args[1:]...)
				cmd.Stdin = bytes.NewReader(data)
				if data, err = cmd.Output(); err != nil {
					t.Fatalf("%v: %v", args, err)
				}
			}
			if !bytes.Equal(data, want) {
				t.Errorf("the tools give %d bytes, the part is of %d", len(data), len(want))
			}
			if way.keys == nil {
				return
			}
			// What is encrypted does not tell names, and needs the right key.
			manifest, err := os.ReadFile(filepath.Join(place.String(), ManifestName))
			if err != nil || bytes.Contains(manifest, []byte("key0000")) {
				t.Errorf("the manifest names keys: %v\n%s", err, manifest)
			}
			for what, keys := range map[string][]age.Identity{"no key": nil, "another key": {secret(t)}} {
				b, err := Open(context.Background(), place, keys...)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Verify(context.Background()); kind(err) != firedrill.KindDenied {
					t.Errorf("%s: %v", what, err)
				}
				if err := b.VerifyStored(context.Background()); err != nil {
					t.Errorf("%s: the files as they are: %v", what, err)
				}
			}
		})
	}
}

// TestAnEncodedBackupThatWasCutOffGoesOn needs no key to go on, and does not mix
// ways to store.
func TestAnEncodedBackupThatWasCutOffGoesOn(t *testing.T) {
	t.Parallel()
	src := someKeys(900)
	key := secret(t)
	o := options()
	o.MaxPairs, o.Seal = 100, Seal{Compress: true, Recipients: []age.Recipient{key.Recipient()}}
	place := Folder(filepath.Join(t.TempDir(), "backup"))
	src.fail = func(call string, n int) error {
		if call == "bulk get" && n == 6 {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	if _, err := WriteKV(context.Background(), src, place, o); err == nil {
		t.Fatal("no error")
	}
	src.fail = nil
	plain := options()
	plain.MaxPairs = 100
	if _, err := WriteKV(context.Background(), src, place, plain); kind(err) != firedrill.KindConflict {
		t.Errorf("the rest unencrypted: %v", err)
	}
	if _, err := WriteKV(context.Background(), src, place, o); err != nil {
		t.Fatal(err)
	}
	b, err := Open(context.Background(), place, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(context.Background()); err != nil || b.Manifest.Keys != 900 {
		t.Errorf("%d keys, %v", b.Manifest.Keys, err)
	}
}

// TestDamageIsNamedByItsOffset flips one byte and expects the block in which it
// stands.
func TestDamageIsNamedByItsOffset(t *testing.T) {
	t.Parallel()
	src := newMemory()
	for i := range 50 {
		k := fmt.Sprintf("key%02d", i)
		src.all[k] = Entry{Key: k, Value: bytes.Repeat([]byte("v"), 100_000)}
	}
	b := write(t, src, options())
	part := b.Manifest.Parts[0]
	path := filepath.Join(b.Place.String(), part.File)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"a byte":      {func(d []byte) []byte { d[3<<20+17]++; return d }, "at offset 3145728"},
		"a cut":       {func(d []byte) []byte { return d[:2<<20+5] }, "at offset 2097157: the part ends"},
		"a whole cut": {func(d []byte) []byte { return d[:2<<20] }, "at offset 2097152: the part ends"},
		"more":        {func(d []byte) []byte { return append(d, "more"...) }, fmt.Sprintf("at offset %d", len(good)>>20<<20)},
	} {
		if err := os.WriteFile(path, c.change(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		err := verify(b.Place)
		if kind(err) != firedrill.KindCorrupt || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), part.File) {
			t.Errorf("%s: %v", what, err)
		}
		seen := 0
		err = b.Entries(context.Background(), func(e Entry) error {
			if seen++; len(e.Value) != 100_000 || bytes.Count(e.Value, []byte("v")) != 100_000 {
				t.Errorf("%s: a damaged entry was handed on", what)
			}
			return nil
		})
		if err == nil {
			t.Errorf("%s: %d entries and no error", what, seen)
		}
	}
}

// TestVersion1IsStillRead reads a backup that an earlier program wrote.
func TestVersion1IsStillRead(t *testing.T) {
	t.Parallel()
	b, err := Open(context.Background(), Folder("testdata/v1-kv"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(context.Background()); err != nil {
		t.Fatal(err)
	}
	m := b.Manifest
	if d := cmp.Diff([]Note{{"gone", Vanished}, {"text", Changed}}, m.Notes); d != "" || m.Keys != 3 {
		t.Errorf("%d keys\n%s", m.Keys, d)
	}
	target := newMemory()
	if out, err := b.RestoreKV(context.Background(), target, restoring(ModeNone)); err != nil || out.Put != 3 || string(target.all["meta"].Value) != "ü <b>" {
		t.Errorf("%+v, %v", out, err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS("testdata/v1-kv")); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(copied, "kv-00001.json")
	data, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	data[20] ^= 1
	if err := os.WriteFile(part, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := verify(Folder(copied)); kind(err) != firedrill.KindCorrupt {
		t.Errorf("damaged: %v", err)
	}
}

// FuzzManifests reads any bytes as a manifest: an error, or something whose parts
// lie in the folder.
func FuzzManifests(f *testing.F) {
	for _, dir := range []string{"testdata/v1-kv"} {
		data, err := os.ReadFile(filepath.Join(dir, ManifestName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"format":"firedrill-backup","version":2,"kind":"kv","parts":[{"file":"a","bytes":3,"blocks":["00"]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data, "x")
		if err != nil {
			return
		}
		for _, p := range m.Parts {
			if !filepath.IsLocal(p.File) || strings.Contains(p.File, "/") {
				t.Errorf("part %q", p.File)
			}
		}
	})
}
