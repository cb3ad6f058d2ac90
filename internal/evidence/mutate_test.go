package evidence

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"firedrill"
)

// mutant is a chain that somebody changed at one bundle.
type mutant struct {
	fs      fstest.MapFS
	archive Archive
	entries []Entry
	at      int    // the entry of the bundle
	file    string // a file of the bundle, another one for each
}

func (m mutant) entry(i int) string {
	e := m.entries[i]
	return m.archive.entryFile(e.Sequence, e.Kind, e.Run)
}

func (m mutant) folder() string { return path.Join(RunsFolder, m.entries[m.at].Run) }

func (m mutant) set(name string, data []byte) {
	m.fs[name] = &fstest.MapFile{Data: data, Mode: 0o600}
}

func (m mutant) data(name string) []byte { return slices.Clone(m.fs[name].Data) }

func (m mutant) swap(a, b string) {
	x, y := m.data(a), m.data(b)
	m.set(a, y)
	m.set(b, x)
}

func (m mutant) removeFolder(run string) {
	for name := range m.fs {
		if strings.HasPrefix(name, path.Join(RunsFolder, run)+"/") {
			delete(m.fs, name)
		}
	}
}

// again signs the bundle's statement anew, with other facts.
func (m mutant) again(t *testing.T, s *Signer) {
	var e dsse.Envelope
	if err := json.Unmarshal(m.data(m.entry(m.at)), &e); err != nil {
		t.Fatal(err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		t.Fatal(err)
	}
	var st statement
	var p bundlePredicate
	if err := json.Unmarshal(payload, &st); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(st.Predicate, &p); err != nil {
		t.Fatal(err)
	}
	p.Executor = "somebody else"
	data, err := s.seal(bundleType, st.Subject, p)
	if err != nil {
		t.Fatal(err)
	}
	m.set(m.entry(m.at), data)
	m.set(path.Join(m.folder(), StatementFile), data)
}

// mutations are the ways to change a chain; each gives what a finding has to name,
// "" where it does not apply.
func mutations(t *testing.T) map[string]func(m mutant) (names string) {
	file := func(change func(data []byte) []byte) func(mutant) string {
		return func(m mutant) string {
			name := path.Join(m.folder(), m.file)
			m.set(name, change(m.data(name)))
			return name
		}
	}
	entry := func(change func(data []byte) []byte) func(mutant) string {
		return func(m mutant) string {
			m.set(m.entry(m.at), change(m.data(m.entry(m.at))))
			return m.entry(m.at)
		}
	}
	flip := func(where func(n int) int) func(data []byte) []byte {
		return func(data []byte) []byte {
			data[where(len(data))] ^= 1
			return data
		}
	}
	return map[string]func(m mutant) string{
		"first byte of a file":    file(flip(func(int) int { return 0 })),
		"a byte inside a file":    file(flip(func(n int) int { return n / 2 })),
		"last byte of a file":     file(flip(func(n int) int { return n - 1 })),
		"file cut off":            file(func(d []byte) []byte { return d[:len(d)-1] }),
		"file emptied":            file(func([]byte) []byte { return nil }),
		"byte appended to a file": file(func(d []byte) []byte { return append(d, '\n') }),
		"file removed": func(m mutant) string {
			delete(m.fs, path.Join(m.folder(), m.file))
			return path.Join(m.folder(), m.file)
		},
		"file added": func(m mutant) string {
			m.set(path.Join(m.folder(), "b"+m.file), []byte("new"))
			return path.Join(m.folder(), "b"+m.file)
		},
		"unfinished file added": func(m mutant) string {
			m.set(path.Join(m.folder(), "x.tmp"), nil)
			return path.Join(m.folder(), "x.tmp")
		},
		"file renamed": func(m mutant) string {
			m.set(path.Join(m.folder(), m.file+".old"), m.data(path.Join(m.folder(), m.file)))
			delete(m.fs, path.Join(m.folder(), m.file))
			return path.Join(m.folder(), m.file)
		},
		"two files exchanged": func(m mutant) string {
			m.swap(path.Join(m.folder(), ResultFile), path.Join(m.folder(), PlanFile))
			return path.Join(m.folder(), PlanFile)
		},
		"record removed": func(m mutant) string {
			name := path.Join(m.folder(), RecordsFile)
			_, rest, _ := strings.Cut(string(m.data(name)), "\n")
			m.set(name, []byte(rest))
			return name
		},
		"records in another order": func(m mutant) string {
			name := path.Join(m.folder(), RecordsFile)
			lines := strings.SplitAfter(string(m.data(name)), "\n")
			m.set(name, []byte(lines[1]+lines[0]+strings.Join(lines[2:], "")))
			return name
		},
		"record doubled": func(m mutant) string {
			name := path.Join(m.folder(), RecordsFile)
			line, _, _ := strings.Cut(string(m.data(name)), "\n")
			m.set(name, append([]byte(line+"\n"), m.data(name)...))
			return name
		},
		"statement in the folder changed": func(m mutant) string {
			name := path.Join(m.folder(), StatementFile)
			m.set(name, append(m.data(name), ' '))
			return name
		},
		"statement in the folder removed": func(m mutant) string {
			delete(m.fs, path.Join(m.folder(), StatementFile))
			return path.Join(m.folder(), StatementFile)
		},
		"folder removed": func(m mutant) string {
			m.removeFolder(m.entries[m.at].Run)
			return m.folder()
		},
		"first byte of an entry":          entry(flip(func(int) int { return 0 })),
		"a byte inside an entry":          entry(flip(func(n int) int { return n / 2 })),
		"last byte of an entry's content": entry(flip(func(n int) int { return n - 20 })),
		"space appended to an entry":      entry(func(d []byte) []byte { return append(d, ' ') }),
		"entry indented": entry(func(d []byte) []byte {
			return []byte(strings.Replace(string(d), `"payload"`, ` "payload"`, 1))
		}),
		"base64 of the other alphabet": entry(func(d []byte) []byte {
			var e dsse.Envelope
			if err := json.Unmarshal(d, &e); err != nil {
				t.Fatal(err)
			}
			e.Payload = strings.NewReplacer("+", "-", "/", "_").Replace(e.Payload)
			e.Signatures[0].Sig = strings.TrimRight(e.Signatures[0].Sig, "=")
			out, err := encode(e)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}),
		"second signature": entry(func(d []byte) []byte {
			var e dsse.Envelope
			if err := json.Unmarshal(d, &e); err != nil {
				t.Fatal(err)
			}
			e.Signatures = append(e.Signatures, e.Signatures[0])
			out, err := encode(e)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}),
		"entry removed": func(m mutant) string {
			delete(m.fs, m.entry(m.at))
			return ""
		},
		"entry and folder removed": func(m mutant) string {
			delete(m.fs, m.entry(m.at))
			m.removeFolder(m.entries[m.at].Run)
			return ""
		},
		"entry doubled": func(m mutant) string {
			last := m.entries[len(m.entries)-1]
			name := m.archive.entryFile(last.Sequence+1, KindRun, m.entries[m.at].Run)
			m.set(name, m.data(m.entry(m.at)))
			return name
		},
		"two entries exchanged": func(m mutant) string {
			other := (m.at + 7) % len(m.entries)
			m.swap(m.entry(m.at), m.entry(other))
			return m.entry(m.at)
		},
		"two entries renumbered": func(m mutant) string {
			other := (m.at + 1) % len(m.entries)
			x, y := m.entries[m.at], m.entries[other]
			dx, dy := m.data(m.entry(m.at)), m.data(m.entry(other))
			delete(m.fs, m.entry(m.at))
			delete(m.fs, m.entry(other))
			m.set(m.archive.entryFile(y.Sequence, x.Kind, x.Run), dx)
			m.set(m.archive.entryFile(x.Sequence, y.Kind, y.Run), dy)
			return m.archive.entryFile(y.Sequence, x.Kind, x.Run)
		},
		"two folders exchanged": func(m mutant) string {
			other := m.entries[(m.at+1)%len(m.entries)]
			if other.Kind != KindRun {
				return "does not apply"
			}
			for _, f := range []string{RecordsFile, ResultFile, PlanFile, VersionsFile, LogFile, ReportFile, "rows/before.fp", StatementFile} {
				m.swap(path.Join(m.folder(), f), path.Join(RunsFolder, other.Run, f))
			}
			return path.Join(m.folder(), StatementFile)
		},
		"signed by another key": func(m mutant) string {
			m.again(t, signerOf(t, 2))
			return m.entry(m.at)
		},
		"signed anew by the same key": func(m mutant) string {
			m.again(t, m.archive.Signer)
			if m.at == len(m.entries)-1 {
				return m.entry(m.at)
			}
			return m.entry(m.at + 1) // the next one does not follow it any more
		},
		"file beside the entries": func(m mutant) string {
			name := path.Join(path.Dir(m.entry(m.at)), "note.txt")
			m.set(name, nil)
			return name
		},
		"folder added": func(m mutant) string {
			for _, f := range []string{ResultFile, StatementFile} {
				m.set(path.Join(m.folder()+"X", f), m.data(path.Join(m.folder(), f)))
			}
			return path.Join(m.folder()+"X", StatementFile)
		},
		"key replaced": func(m mutant) string {
			name := path.Join(path.Dir(m.entry(m.at)), publicFile)
			m.set(name, signerOf(t, 2).Key().PEM())
			return name
		},
		"everything after it cut off": func(m mutant) string {
			for i := m.at; i < len(m.entries); i++ {
				delete(m.fs, m.entry(i))
				m.removeFolder(m.entries[i].Run)
			}
			return ""
		},
	}
}

// TestEveryMutationOfAChainIsFound changes each bundle of a chain of 50 in each way,
// and expects a finding that names what was changed. The anchor is of the chain's end.
func TestEveryMutationOfAChainIsFound(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 50)
	entries, err := Entries(a.Chain())
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := a.Anchor()
	if err != nil {
		t.Fatal(err)
	}
	whole := load(t, a.Dir)
	options := Options{Keys: []Key{a.Signer.Key()}, Anchors: []Anchor{anchor}}
	if found := findings(t, whole, options); len(found) > 0 {
		t.Fatalf("the chain is as it was signed, and this is found: %q", found)
	}
	files := []string{RecordsFile, ResultFile, PlanFile, VersionsFile, LogFile, ReportFile, "rows/before.fp"}
	ways, tried := mutations(t), 0
	n := 0
	for at, e := range entries {
		if e.Kind != KindRun {
			continue
		}
		n++
		for i, way := range slices.Sorted(maps.Keys(ways)) {
			// Every bundle is changed in every way where all is asked for, else in
			// two, others than its neighbours: so each way is tried on two or three.
			if os.Getenv("FIREDRILL_SOAK") == "" && (i+n)%18 != 0 {
				continue
			}
			m := mutant{maps.Clone(whole), a, entries, at, files[n%len(files)]}
			names := ways[way](m)
			if names == "does not apply" {
				continue
			}
			tried++
			found := findings(t, m.fs, options)
			if len(found) == 0 {
				t.Errorf("%s, bundle %d: nothing is found", way, n)
			}
			if names != "" && !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, names+": ") }) {
				t.Errorf("%s, bundle %d: %s is not named, but: %q", way, n, names, found)
			}
		}
	}
	t.Logf("%d mutations of %d kinds", tried, len(ways))
}

// TestEveryByteOfAnEntryCounts flips a bit in each byte of the last entry, to which
// no other entry refers; where not all is asked for, in every fourth.
func TestEveryByteOfAnEntryCounts(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 2)
	whole := load(t, a.Dir)
	name := a.entryFile(2, KindRun, runName(2))
	copied := path.Join(RunsFolder, runName(2), StatementFile)
	data := whole[name].Data
	for i := range data {
		if os.Getenv("FIREDRILL_SOAK") == "" && i%4 != 0 {
			continue
		}
		changed := slices.Clone(data)
		changed[i] ^= 1 << (i % 7)
		m := maps.Clone(whole)
		// In both places: the copy must not be what tells.
		m[name], m[copied] = &fstest.MapFile{Data: changed, Mode: 0o600}, &fstest.MapFile{Data: changed, Mode: 0o600}
		if found := findings(t, m, Options{}); len(found) == 0 {
			t.Fatalf("byte %d of %d, %q: nothing is found", i, len(data), data[i])
		}
	}
}

// TestACutTailNeedsAnAnchor shows what a chain alone cannot show.
func TestACutTailNeedsAnAnchor(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 5)
	anchor, err := a.Anchor()
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, a.Dir)
	delete(m, a.entryFile(5, KindRun, runName(5)))
	mutant{fs: m}.removeFolder(runName(5))
	if found := findings(t, m, Options{}); len(found) != 0 {
		t.Errorf("without an anchor: %q", found)
	}
	want := fmt.Sprintf("chain: the end was cut off: entry 5 was anchored on %s, here is none after 4", anchor.At.Format("2006-01-02T15:04:05Z07:00"))
	if found := findings(t, m, Options{Anchors: []Anchor{anchor}}); !slices.Equal(found, []string{want}) {
		t.Errorf("with an anchor: %q", found)
	}
	other := Anchor{Key: signerOf(t, 9).Key().ID(), Sequence: 1, Head: anchor.Head, At: anchor.At}
	if found := findings(t, m, Options{Anchors: []Anchor{other}}); len(found) != 1 || !strings.Contains(found[0], "whole chain is missing") {
		t.Errorf("an anchor of a chain that is gone: %q", found)
	}
}

// TestAChainThatIsWrittenAnewNeedsAnAnchor signs the last entry again, with the key.
func TestAChainThatIsWrittenAnewNeedsAnAnchor(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 3)
	anchor, err := a.Anchor()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := Entries(a.Chain())
	if err != nil {
		t.Fatal(err)
	}
	m := mutant{fs: load(t, a.Dir), archive: a, entries: entries, at: 2}
	m.again(t, a.Signer)
	if found := findings(t, m.fs, Options{}); len(found) != 0 {
		t.Errorf("without an anchor: %q", found)
	}
	if found := findings(t, m.fs, Options{Anchors: []Anchor{anchor}}); len(found) != 1 || !strings.Contains(found[0], "the chain was written anew") {
		t.Errorf("with an anchor: %q", found)
	}
}

// TestAnotherKeyIsNotTaken signs everything anew: only who has the key sees it.
func TestAnotherKeyIsNotTaken(t *testing.T) {
	t.Parallel()
	a := chainOf(t, 1)
	forged := archiveIn(t, t.TempDir(), 2)
	sealOne(t, forged, 1)
	m := load(t, forged.Dir)
	if found := findings(t, m, Options{}); len(found) != 0 {
		t.Errorf("with the key that lies there: %q", found)
	}
	if found := findings(t, m, Options{Keys: []Key{a.Signer.Key()}}); len(found) != 1 || !strings.Contains(found[0], "none of the keys that were given") {
		t.Errorf("with the true key: %q", found)
	}
}

// TestRemarksAreAboutTheirBundle signs a remark about a bundle that is another one.
func TestRemarksAreAboutTheirBundle(t *testing.T) {
	t.Parallel()
	a := archiveIn(t, t.TempDir(), 1)
	sealOne(t, a, 1)
	if _, err := a.Remark(runName(2), firedrill.Remark{Kind: firedrill.RemarkNote, Text: "x"}); firedrill.KindOf(err) != firedrill.KindUsage {
		t.Errorf("a remark about a run that is not sealed: %v", err)
	}
	_, err := a.locked(func() (Entry, error) {
		return a.append(KindNote, runName(1), func(l Link) ([]byte, error) {
			return a.Signer.seal(remarkType, []subject{{Entry{1, KindRun, runName(1)}.String(), digest{sum(nil)}}}, remarkPredicate{l, runName(1), firedrill.Remark{Kind: firedrill.RemarkNote}})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if found := findings(t, load(t, a.Dir), Options{}); len(found) != 1 || !strings.Contains(found[0], "about a bundle that is not the one here") {
		t.Errorf("%q", found)
	}
}
