package evidence

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill"
)

// TestSealingMayBeCutOffAnywhere leaves behind what a kill leaves, and seals again.
func TestSealingMayBeCutOffAnywhere(t *testing.T) {
	t.Parallel()
	run := runName(2)
	for name, left := range map[string]map[string]string{
		"nothing was done":            {},
		"private files are there":     {"runs/" + run + "/private/values": "secret"},
		"a file was not finished":     {"runs/" + run + "/rows.fp.tmp": "ro", "evidence/1234.tmp": "{"},
		"some documents were written": {"runs/" + run + "/" + RecordsFile: "older\n"},
		"the copy was written":        {"runs/" + run + "/" + StatementFile: "{\"payloadType\":"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := chainOf(t, 1)
			for file, text := range left {
				file = filepath.Join(a.Dir, filepath.FromSlash(file))
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			sealOne(t, a, 2)
			m := load(t, a.Dir)
			if found := findings(t, m, Options{}); len(found) > 0 {
				t.Errorf("%q", found)
			}
			for file := range m {
				if strings.Contains(file, "private") || strings.HasSuffix(file, ".tmp") {
					t.Errorf("%s was left", file)
				}
			}
		})
	}
}

func TestARunIsSealedOnce(t *testing.T) {
	t.Parallel()
	a := archiveIn(t, t.TempDir(), 1)
	a.Now = func() time.Time { return epoch }
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			run := runName(n / 2)
			if _, err := a.Seal(Facts{Run: run}, documents(run)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	entries, err := Entries(a.Chain())
	if err != nil || len(entries) != 10 {
		t.Fatalf("%d entries, want 10: %v", len(entries), err)
	}
	if found := findings(t, load(t, a.Dir), Options{}); len(found) > 0 {
		t.Errorf("%q", found)
	}
	before := load(t, a.Dir)
	if e, err := a.Seal(Facts{Run: runName(3)}, map[string][]byte{RecordsFile: []byte("other")}); err != nil || e.Run != runName(3) {
		t.Errorf("sealed again: %v, %v", e, err)
	}
	for name, f := range load(t, a.Dir) {
		if !bytes.Equal(f.Data, before[name].Data) {
			t.Errorf("%s changed", name)
		}
	}
}

func TestALinkIsNoFile(t *testing.T) {
	t.Parallel()
	a := archiveIn(t, t.TempDir(), 1)
	dir := filepath.Join(a.Dir, RunsFolder, runName(1))
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Symlink("/etc/hostname", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Seal(Facts{Run: runName(1)}, documents(runName(1))); err == nil || !strings.Contains(err.Error(), "link is neither a file nor a folder") {
		t.Errorf("a link was sealed: %v", err)
	}
	b := chainOf(t, 1)
	file := filepath.Join(b.Dir, RunsFolder, runName(1), LogFile)
	if err := errors.Join(os.Rename(file, filepath.Join(b.Dir, "log")), os.Symlink("../../log", file)); err != nil {
		t.Fatal(err)
	}
	if found := findings(t, os.DirFS(b.Dir), Options{}); len(found) != 1 || !strings.Contains(found[0], "log.md is neither") {
		t.Errorf("a file was put elsewhere and linked: %q", found)
	}
}

func TestAChainThatWasChangedIsNotContinued(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 2)
	last := filepath.Join(a.Dir, filepath.FromSlash(a.entryFile(2, KindRun, runName(2))))
	data, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	data[60] ^= 1
	if err := os.WriteFile(last, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Seal(Facts{Run: runName(3)}, documents(runName(3))); firedrill.KindOf(err) != firedrill.KindCorrupt {
		t.Errorf("%v", err)
	}
}

func TestOneBundleByItself(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 1)
	dir := filepath.Join(a.Dir, RunsFolder, runName(1))
	facts, found, err := VerifyBundle(os.DirFS(dir), a.Signer.Key())
	if err != nil || len(found) > 0 || facts.Run != runName(1) || facts.Verdict != firedrill.Passed {
		t.Errorf("%+v, %v, %v", facts, found, err)
	}
	if err := os.WriteFile(filepath.Join(dir, ResultFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, found, err = VerifyBundle(os.DirFS(dir), a.Signer.Key()); err != nil || len(found) != 1 || found[0].File != ResultFile {
		t.Errorf("%v, %v", found, err)
	}
	if _, found, _ = VerifyBundle(os.DirFS(dir), signerOf(t, 2).Key()); len(found) != 1 || found[0].File != StatementFile {
		t.Errorf("another key: %v", found)
	}
}

// TestExports packs periods, as folder and as zip, and changes them.
func TestExports(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 20) // entries 1 to 22, signed an hour after each other
	pack := func(from, to int, artefacts bool) (string, Period, int) {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "export")
		p, n, err := a.Export(ToFolder{dir}, Period{From: epoch.Add(time.Duration(from) * time.Hour), To: epoch.Add(time.Duration(to) * time.Hour), Artefacts: artefacts})
		if err != nil {
			t.Fatal(err)
		}
		return dir, p, n
	}
	for _, c := range []struct {
		from, to    int
		artefacts   bool
		first, last int64
		bundles     int
		leftOut     int64
	}{
		{0, 99, true, 1, 22, 20, 0},
		{0, 99, false, 1, 22, 20, 20},
		{5, 11, false, 5, 10, 6, 6},
		{11, 13, false, 11, 12, 1, 1}, // a remark about a bundle from before
	} {
		dir, p, n := pack(c.from, c.to, c.artefacts)
		r, err := Verify(os.DirFS(dir), Options{Keys: []Key{a.Signer.Key()}})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Findings) > 0 || n != c.bundles || p.Parts[0].First != c.first || p.Parts[0].Last != c.last || r.Chains[0].LeftOut != c.leftOut || r.Chains[0].Bundles != c.bundles {
			t.Errorf("%+v: %+v, %d bundles, %+v", c, p, n, r)
		}
	}
	if _, _, err := a.Export(ToFolder{t.TempDir()}, Period{From: epoch.Add(-time.Hour), To: epoch}); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("an empty period: %v", err)
	}

	dir, p, _ := pack(5, 11, false)
	whole := load(t, dir)
	entry := a.entryFile(10, KindRun, runName(10))
	later, err := os.ReadFile(filepath.Join(a.Dir, filepath.FromSlash(a.entryFile(11, KindAck, runName(10)))))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(m mutant){
		"the end is missing: the export goes to entry 10, here is none after 9": func(m mutant) { delete(m.fs, entry); m.removeFolder(runName(10)) },
		"entry 5 is missing": func(m mutant) {
			delete(m.fs, a.entryFile(5, KindRun, runName(5)))
			m.removeFolder(runName(5))
		},
		"entries after 10 do not belong to the export": func(m mutant) { m.set(a.entryFile(11, KindAck, runName(10)), later) },
		"is not signed by the key": func(m mutant) {
			m.set(path.Join(Folder, exportFile), bytes.Replace(m.data(path.Join(Folder, exportFile)), []byte("payload\":\"ey"), []byte("payload\":\"ez"), 1))
		},
		"is not there": func(m mutant) { delete(m.fs, path.Join(RunsFolder, runName(7), ResultFile)) },
		"was added: the statement does not name it":    func(m mutant) { m.set(path.Join(RunsFolder, runName(7), "rows/after.fp"), nil) },
		"entries 1 to 4 are missing":                   func(m mutant) { delete(m.fs, path.Join(Folder, exportFile)) },
		"does not belong to the export":                func(m mutant) { m.set(path.Join(RunsFolder, "other", ResultFile), nil) },
		"was changed: its SHA-256 is 5891b5b522d5df08": func(m mutant) { m.set(path.Join(RunsFolder, runName(7), LogFile), []byte("hello\n")) },
		"the chain does not belong to the export": func(m mutant) {
			m.set(path.Join(Folder, signerOf(t, 2).Key().ID(), Entry{1, KindRun, "x"}.String()), nil)
		},
	} {
		m := mutant{fs: load(t, dir)}
		change(m)
		if found := findings(t, m.fs, Options{}); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, name) }) {
			t.Errorf("%s: %q", name, found)
		}
	}
	if found := findings(t, whole, Options{Anchors: []Anchor{{a.Signer.Key().ID(), 22, p.Parts[0].Head, epoch}, {a.Signer.Key().ID(), 4, p.Parts[0].Previous, epoch}}}); len(found) > 0 {
		t.Errorf("anchors outside of the period: %q", found)
	}

	var data bytes.Buffer
	w := zip.NewWriter(&data)
	if _, _, err := a.Export(ToZip{w, epoch}, Period{From: epoch, To: epoch.Add(99 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(data.Bytes()), int64(data.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if found := findings(t, z, Options{Keys: []Key{a.Signer.Key()}}); len(found) > 0 {
		t.Errorf("as zip: %q", found)
	}
}

// ring is a key ring in memory.
type ring struct {
	kept map[string]string
	lies bool
}

func (r ring) Get(id string) (string, error) {
	if s, ok := r.kept[id]; ok {
		return s, nil
	}
	return "", errors.New("it is locked")
}

func (r ring) Set(id, secret string) error {
	if r.lies {
		secret = secret[:9]
	}
	r.kept[id] = secret
	return nil
}

func TestTheKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	k := Keeper{Dir: t.TempDir(), Random: rand.Reader}
	ids := make(chan string, 8)
	var all sync.WaitGroup
	for range cap(ids) {
		all.Go(func() {
			s, err := k.Signer()
			if err != nil {
				t.Error(err)
				return
			}
			ids <- s.Key().ID()
		})
	}
	all.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("two keys: %s and %s", first, id)
		}
	}
	info, err := os.Stat(k.file())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Chmod(k.file(), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Signer(); firedrill.KindOf(err) != firedrill.KindDenied {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := errors.Join(os.Chmod(k.file(), 0o600), os.WriteFile(k.file(), []byte("-----BEGIN secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Signer(); firedrill.KindOf(err) != firedrill.KindCorrupt || strings.Contains(err.Error(), "secret") {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestTheKeyMovesIntoARing(t *testing.T) {
	t.Parallel()
	r := ring{kept: map[string]string{}, lies: true}
	k := Keeper{Dir: t.TempDir(), Random: rand.Reader, Ring: r}
	before, err := k.Signer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.MoveToRing(); err == nil || k.InRing() {
		t.Errorf("a ring that gives back something else: %v", err)
	}
	k.Ring = ring{kept: r.kept}
	if _, err := k.MoveToRing(); err != nil || !k.InRing() {
		t.Fatalf("%v", err)
	}
	data, err := os.ReadFile(k.file())
	if err != nil || bytes.Contains(data, []byte("PRIVATE")) {
		t.Errorf("%q, %v", data, err)
	}
	if after, err := k.Signer(); err != nil || after.Key().ID() != before.Key().ID() {
		t.Errorf("%v", err)
	}
	k.Ring = ring{}
	if _, err := k.Signer(); firedrill.KindOf(err) != firedrill.KindDenied {
		t.Errorf("a ring that is locked: %v", err)
	}
}
