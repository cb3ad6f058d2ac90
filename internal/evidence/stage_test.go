package evidence

import (
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"firedrill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signerOf gives the key that follows from a number.
func signerOf(t testing.TB, n byte) *Signer {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	s, err := newSigner(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var epoch = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// archiveIn is an archive whose clock goes on by an hour with each look at it.
func archiveIn(t testing.TB, dir string, key byte) Archive {
	t.Helper()
	now := epoch
	return Archive{Dir: dir, Store: "local", Signer: signerOf(t, key), Now: func() time.Time { now = now.Add(time.Hour); return now }}
}

func runName(n int) string { return fmt.Sprintf("01RUN%05d", n) }

// documents are those of a bundle, small and with a word of the run in each.
func documents(run string) map[string][]byte {
	docs := map[string][]byte{}
	for _, name := range []string{RecordsFile, ResultFile, PlanFile, VersionsFile, LogFile, ReportFile} {
		docs[name] = []byte(strings.Repeat("a line of "+name+" of "+run+"\nand another one\n", 2))
	}
	return docs
}

// sealOne seals a run with an artefact.
func sealOne(t testing.TB, a Archive, n int) {
	t.Helper()
	run := runName(n)
	dir := filepath.Join(a.Dir, RunsFolder, run, "rows")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "before.fp"), []byte("rows of "+run+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Seal(Facts{Run: run, Drill: "d1-pitr", Verdict: firedrill.Passed}, documents(run)); err != nil {
		t.Fatal(err)
	}
}

// chainOf makes a chain of bundles, with a remark after every tenth.
func chainOf(t testing.TB, bundles int) Archive {
	t.Helper()
	a := archiveIn(t, t.TempDir(), 1)
	for n := 1; n <= bundles; n++ {
		sealOne(t, a, n)
		if n%10 == 0 {
			if _, err := a.Remark(runName(n), firedrill.Remark{Kind: firedrill.RemarkAck, At: epoch, By: "me@host", Text: "looked into it"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return a
}

// load reads a folder into memory.
func load(t testing.TB, dir string) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(file)
		rel, rerr := filepath.Rel(dir, file)
		m[filepath.ToSlash(rel)] = &fstest.MapFile{Data: data, Mode: 0o600}
		if rerr != nil {
			return rerr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// findings verifies and gives what was found, one line each.
func findings(t testing.TB, fsys fs.FS, o Options) []string {
	t.Helper()
	if m, is := fsys.(fstest.MapFS); is {
		fsys = treeOf(m)
	}
	r, err := Verify(fsys, o)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range r.Findings {
		at := f.File
		if at == "" {
			at = "chain"
		}
		lines = append(lines, at+": "+f.Problem)
	}
	return lines
}

func (a Archive) entryFile(n int64, kind Kind, run string) string {
	return path.Join(Folder, a.Signer.Key().ID(), Entry{n, kind, run}.String())
}

// tree is a file system in memory that knows its folders: MapFS looks through all
// files for each, which would be most of the time of these tests.
type tree struct {
	fstest.MapFS
	folders map[string][]fs.DirEntry
}

func treeOf(m fstest.MapFS) tree {
	t := tree{m, map[string][]fs.DirEntry{".": nil}}
	for name, f := range m {
		t.add(name, node{name: path.Base(name), mode: f.Mode, size: int64(len(f.Data))})
	}
	for _, all := range t.folders {
		slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return t
}

func (t tree) add(name string, n node) {
	dir := path.Dir(name)
	if _, known := t.folders[dir]; !known {
		t.folders[dir] = nil
		t.add(dir, node{name: path.Base(dir), mode: fs.ModeDir | 0o700})
	}
	t.folders[dir] = append(t.folders[dir], fs.FileInfoToDirEntry(n))
}

func (t tree) ReadDir(name string) ([]fs.DirEntry, error) {
	all, known := t.folders[name]
	if !known {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	return all, nil
}

func (t tree) Stat(name string) (fs.FileInfo, error) {
	if _, folder := t.folders[name]; folder {
		return node{name: path.Base(name), mode: fs.ModeDir | 0o700}, nil
	}
	f, known := t.MapFS[name]
	if !known {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return node{name: path.Base(name), mode: f.Mode, size: int64(len(f.Data))}, nil
}

// Open looks for files before it lets MapFS look for folders.
func (t tree) Open(name string) (fs.File, error) {
	if _, known := t.MapFS[name]; !known {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return t.MapFS.Open(name)
}

// ReadFile is not MapFS's own, which would look again.
func (t tree) ReadFile(name string) ([]byte, error) {
	f, known := t.MapFS[name]
	if !known {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f.Data, nil
}

// node is what a tree knows of a file or folder.
type node struct {
	name string
	mode fs.FileMode
	size int64
}

func (n node) Name() string       { return n.name }
func (n node) Size() int64        { return n.size }
func (n node) Mode() fs.FileMode  { return n.mode }
func (n node) ModTime() time.Time { return time.Time{} }
func (n node) IsDir() bool        { return n.mode.IsDir() }
func (n node) Sys() any           { return nil }
