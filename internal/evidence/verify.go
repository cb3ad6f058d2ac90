package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"firedrill"
)

// Finding is something that is not as it was signed.
type Finding struct {
	Key     string `json:"key,omitempty"`   // id of the chain's key; "" where it concerns none
	Entry   string `json:"entry,omitempty"` // of the chain
	Run     string `json:"run,omitempty"`
	File    string `json:"file,omitempty"` // path below what was verified
	Problem string `json:"problem"`
}

// ChainReport is what was found of one chain.
type ChainReport struct {
	Key     string    `json:"key"`
	Store   string    `json:"store"`
	First   int64     `json:"first"` // number of its first entry here; 0: none
	Last    int64     `json:"last"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"`
	Head    string    `json:"head"` // SHA-256 of the last entry
	Bundles int       `json:"bundles"`
	Remarks int       `json:"remarks"`
	Files   int64     `json:"files"`
	Bytes   int64     `json:"bytes"`
	LeftOut int64     `json:"left_out"` // artefacts that an export was made without
	Given   bool      `json:"key_given"`
	Anchors int       `json:"anchors"` // that were held against it
}

// Report is the outcome of a verification. Everything is as it was signed if it has
// no finding.
type Report struct {
	Chains    []ChainReport `json:"chains"`
	Export    *Period       `json:"export,omitempty"`
	NotSealed []string      `json:"not_sealed"` // runs without evidence
	Findings  []Finding     `json:"findings"`
	// Beyond counts anchors that say nothing about what is here: of entries before
	// or after an exported period.
	Beyond int `json:"anchors_beyond"`
}

// Options are what evidence is held against.
type Options struct {
	Keys    []Key    // that may sign; none: the keys that lie with it, which proves less
	Anchors []Anchor // lines that were kept elsewhere
}

// Verify reads the evidence of a state folder, of a copy of one, or of an export,
// and says everything that is not as it was signed. An error means that it could not
// be read, or that there is none.
//
// It needs time in proportion to the files, and memory for the names of runs.
func Verify(fsys fs.FS, o Options) (*Report, error) {
	v := &verifier{fs: fsys, options: o, buf: make([]byte, 64<<10), keys: map[string]chainKey{}, known: map[string]string{}, folders: map[string]bool{},
		report: &Report{Chains: []ChainReport{}, NotSealed: []string{}, Findings: []Finding{}}}
	chains, err := v.chains()
	if err != nil {
		return nil, err
	}
	if err := v.runFolders(); err != nil {
		return nil, err
	}
	v.export(chains)
	for _, id := range chains {
		v.chain(id)
	}
	v.remarks()
	v.rest()
	v.unmatched()
	return v.report, nil
}

// verifier is one verification under way.
type verifier struct {
	fs      fs.FS
	options Options
	buf     []byte
	report  *Report
	period  *Period // nil: a whole chain, not an export
	keys    map[string]chainKey
	known   map[string]string // by run and chain: the SHA-256 of the bundle's entry
	folders map[string]bool   // of runs: whether an entry is about it
	about   []aboutRun        // what remarks say they are about
}

// aboutRun is the claim of a remark, checked when all bundles are known.
type aboutRun struct {
	at      Finding // without problem
	subject subject
}

func (v *verifier) found(at Finding, problem string) {
	at.Problem = problem
	v.report.Findings = append(v.report.Findings, at)
}

// chains lists the chains and finds what does not belong beside them.
func (v *verifier) chains() ([]string, error) {
	all, err := fs.ReadDir(v.fs, Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unreadable(Folder, err)
	}
	var ids []string
	for _, d := range all {
		switch name := d.Name(); {
		case isKeyID(name) && d.IsDir():
			ids = append(ids, name)
		case name == keyFile || name == lockFile || name == exportFile || path.Ext(name) == unfinished:
		default:
			v.found(Finding{File: path.Join(Folder, name)}, "does not belong there")
		}
	}
	if len(ids) == 0 {
		return nil, &firedrill.Error{Op: "verify the evidence", Kind: firedrill.KindNotFound, Detail: "there is none: no folder " + Folder + " with a chain",
			Remedy: "name a state folder, a copy of one, or what firedrill evidence export made"}
	}
	return ids, nil
}

func unreadable(name string, err error) error { return storage("verify the evidence", name, err) }

func (v *verifier) runFolders() error {
	all, err := fs.ReadDir(v.fs, RunsFolder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unreadable(RunsFolder, err)
	}
	for _, d := range all {
		if !d.IsDir() {
			v.found(Finding{File: path.Join(RunsFolder, d.Name())}, "does not belong there: it is no folder of a run")
			continue
		}
		v.folders[d.Name()] = false
	}
	return nil
}

// chainKey is the key of a chain. ok is false if nothing can be checked with it.
type chainKey struct {
	key       Key
	given, ok bool
}

// key gives the key of a chain, and says once what is wrong with it.
func (v *verifier) key(id string) chainKey {
	k, known := v.keys[id]
	if !known {
		k = v.readKey(id)
		v.keys[id] = k
	}
	return k
}

func (v *verifier) readKey(id string) chainKey {
	file := path.Join(Folder, id, publicFile)
	data, err := fs.ReadFile(v.fs, file)
	at := Finding{Key: id, File: file}
	for _, k := range v.options.Keys {
		if k.ID() == id {
			if string(data) != string(k.PEM()) {
				v.found(at, "is not the key that was given")
			}
			return chainKey{k, true, true}
		}
	}
	if len(v.options.Keys) > 0 {
		v.found(at, "this chain is signed by none of the keys that were given")
	}
	if err != nil {
		v.found(at, "the public key cannot be read: "+plainError(err))
		return chainKey{}
	}
	key, err := ParseKey(data)
	if err != nil || key.ID() != id || string(key.PEM()) != string(data) {
		v.found(at, "is not the key of this chain: it was changed")
		return chainKey{}
	}
	return chainKey{key, false, true}
}

// chain walks one chain from its first entry to its last.
func (v *verifier) chain(id string) {
	r := ChainReport{Key: id}
	dir := path.Join(Folder, id)
	k := v.key(id)
	r.Given = k.given
	entries := v.entries(id)
	w := walk{verifier: v, key: k.key, dir: dir, report: &r, want: 1, anchors: anchorsOf(v.options.Anchors, id)}
	part, isPart := v.period.part(id)
	switch {
	case isPart:
		w.want, w.previous = part.First, part.Previous
	case v.period != nil && len(entries) > 0:
		v.found(Finding{Key: id}, "the chain does not belong to the export")
	}
	w.first = w.want
	if k.ok {
		for _, e := range entries {
			w.entry(e)
		}
		if isPart && w.last < part.Last {
			v.found(Finding{Key: id}, fmt.Sprintf("the end is missing: the export goes to entry %d, here is none after %d", part.Last, w.last))
		}
		if isPart && w.last > part.Last {
			v.found(Finding{Key: id}, fmt.Sprintf("entries after %d do not belong to the export", part.Last))
		}
		if isPart && w.last == part.Last && w.previous != part.Head {
			v.found(Finding{Key: id}, "the last entry is not the one that the export was made with")
		}
		w.anchored(isPart)
	}
	r.Head = w.previous
	v.report.Chains = append(v.report.Chains, r)
}

// entries lists the entries of a chain in order.
func (v *verifier) entries(id string) []Entry {
	dir := path.Join(Folder, id)
	all, err := fs.ReadDir(v.fs, dir)
	if err != nil {
		v.found(Finding{Key: id, File: dir}, "cannot be read: "+plainError(err))
	}
	var entries []Entry
	for _, d := range all {
		e, ok := ParseEntry(d.Name())
		switch {
		case ok && d.Type().IsRegular():
			entries = append(entries, e)
		case d.Name() == publicFile && d.Type().IsRegular():
		default:
			v.found(Finding{Key: id, File: path.Join(dir, d.Name())}, "does not belong there: it is no entry of the chain")
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return int(a.Sequence - b.Sequence) })
	return entries
}

// walk is a chain under way.
type walk struct {
	*verifier
	key      Key
	dir      string
	report   *ChainReport
	first    int64  // number that the first entry has to have
	want     int64  // number of the next entry
	previous string // SHA-256 of the entry before it
	last     int64  // number of the last entry that was there
	anchors  map[int64][]Anchor
}

// entry checks one entry: that it is signed, stands where it says, follows the one
// before, and that what it is about is as it was.
func (w *walk) entry(e Entry) {
	file := path.Join(w.dir, e.String())
	at := Finding{Key: w.report.Key, Entry: e.String(), Run: e.Run, File: file}
	switch {
	case e.Sequence < w.want:
		w.found(at, fmt.Sprintf("does not belong there: there is another entry %d", e.Sequence))
		return
	case e.Sequence > w.want && w.want == e.Sequence-1:
		w.found(Finding{Key: w.report.Key}, fmt.Sprintf("entry %d is missing", w.want))
	case e.Sequence > w.want:
		w.found(Finding{Key: w.report.Key}, fmt.Sprintf("entries %d to %d are missing", w.want, e.Sequence-1))
	}
	gap := e.Sequence > w.want
	data, err := fs.ReadFile(w.fs, file)
	if err != nil {
		w.found(at, "cannot be read: "+plainError(err))
	}
	hash := sum(data)
	w.hold(at, e.Sequence, hash)
	before := w.previous
	w.want, w.last, w.previous = e.Sequence+1, e.Sequence, hash
	if e.Kind == KindRun {
		if _, there := w.folders[e.Run]; there {
			w.folders[e.Run] = true
		}
	}
	if err != nil {
		return
	}
	s, err := w.key.open(data)
	if err != nil {
		w.found(at, err.Error())
		return
	}
	link, ok := w.said(e, s, at, data)
	if !ok {
		return
	}
	if w.report.First == 0 {
		w.report.First, w.report.Since, w.report.Store = e.Sequence, link.At, link.Chain
	}
	w.report.Last, w.report.Until = e.Sequence, link.At
	switch {
	case link.Sequence != e.Sequence:
		w.found(at, fmt.Sprintf("stands at place %d and was signed as entry %d: entries were put in another order", e.Sequence, link.Sequence))
	case link.Chain != w.report.Store:
		w.found(at, fmt.Sprintf("belongs to the chain of %s, not of %s", link.Chain, w.report.Store))
	case !gap && link.Previous != before:
		w.found(at, "does not follow the entry that is before it here: that one was changed or replaced")
	}
}

// said reads what a statement says and checks what it is about.
func (w *walk) said(e Entry, s statement, at Finding, data []byte) (Link, bool) {
	switch {
	case e.Kind == KindRun && s.PredicateType == bundleType:
		var p bundlePredicate
		if json.Unmarshal(s.Predicate, &p) != nil || p.Run != e.Run {
			w.found(at, fmt.Sprintf("has the name of run %s and was signed for run %s", e.Run, p.Run))
			return p.Link, false
		}
		w.report.Bundles++
		if prev, twice := w.known[w.report.Key+e.Run]; twice && prev != "" {
			w.found(at, "the run has two entries in the chain")
		}
		w.known[w.report.Key+e.Run] = sum(data)
		w.bundle(e, s, at, data)
		return p.Link, true
	case e.Kind != KindRun && s.PredicateType == remarkType:
		var p remarkPredicate
		if json.Unmarshal(s.Predicate, &p) != nil || p.Run != e.Run || string(p.Remark.Kind) != string(e.Kind) || len(s.Subject) != 1 {
			w.found(at, "has the name of another remark than it was signed for")
			return p.Link, false
		}
		w.report.Remarks++
		w.about = append(w.about, aboutRun{at: at, subject: s.Subject[0]})
		return p.Link, true
	}
	w.found(at, fmt.Sprintf("has the name of a %s and holds another statement (%s)", e.Kind, s.PredicateType))
	return Link{}, false
}

// bundle checks that the folder of a run holds the files that its statement names,
// as they were, and no other.
func (w *walk) bundle(e Entry, s statement, at Finding, data []byte) {
	dir := path.Join(RunsFolder, e.Run)
	if _, there := w.folders[e.Run]; !there {
		at.File = dir
		w.found(at, "the folder of the run is not there")
		return
	}
	copied, err := fs.ReadFile(w.fs, path.Join(dir, StatementFile))
	switch at.File = path.Join(dir, StatementFile); {
	case err != nil:
		w.found(at, "cannot be read: "+plainError(err))
	case string(copied) != string(data):
		w.found(at, "is not the statement that is in the chain")
	}
	files, bytes, leftOut := w.files(dir, s.Subject, at, w.period != nil && !w.period.Artefacts)
	w.report.Files, w.report.Bytes, w.report.LeftOut = w.report.Files+files, w.report.Bytes+bytes, w.report.LeftOut+leftOut
}

// files checks the files of a bundle. without says that artefacts may not be there.
func (v *verifier) files(dir string, subjects []subject, at Finding, without bool) (files, bytes, leftOut int64) {
	there, err := list(v.fs, dir)
	if err != nil {
		at.File = dir
		v.found(at, "cannot be read: "+plainError(err))
		return 0, 0, 0
	}
	i := 0
	for _, s := range subjects {
		for ; i < len(there) && there[i] < s.Name; i++ {
			at.File = path.Join(dir, there[i])
			v.found(at, "was added: the statement does not name it")
		}
		at.File = path.Join(dir, s.Name)
		if i == len(there) || there[i] != s.Name {
			if without && !IsDocument(s.Name) {
				leftOut++
			} else {
				v.found(at, "is not there")
			}
			continue
		}
		i++
		hash, n, err := hashFile(v.fs, at.File, v.buf)
		files, bytes = files+1, bytes+n
		switch {
		case err != nil:
			v.found(at, "cannot be read: "+plainError(err))
		case hash != s.Digest.SHA256:
			v.found(at, fmt.Sprintf("was changed: its SHA-256 is %s, signed was %s", shortID(hash), shortID(s.Digest.SHA256)))
		}
	}
	for ; i < len(there); i++ {
		at.File = path.Join(dir, there[i])
		v.found(at, "was added: the statement does not name it")
	}
	return files, bytes, leftOut
}

// remarks checks that each remark is about a bundle that is here. In an export the
// bundle may be from before the period.
func (v *verifier) remarks() {
	for _, r := range v.about {
		of, is := ParseEntry(r.subject.Name)
		if !is || of.Kind != KindRun || of.Run != r.at.Run {
			v.found(r.at, "is about another run than its name says")
			continue
		}
		here, other := false, false
		for _, c := range v.report.Chains {
			if hash, known := v.known[c.Key+of.Run]; known {
				here, other = here || hash == r.subject.Digest.SHA256, true
			}
		}
		if !here && (other || v.period == nil) {
			v.found(r.at, "is about a bundle that is not the one here")
		}
	}
}

// rest says which folders of runs no chain is about.
func (v *verifier) rest() {
	for _, run := range slices.Sorted(maps.Keys(v.folders)) {
		if v.folders[run] {
			continue
		}
		file := path.Join(RunsFolder, run, StatementFile)
		_, err := fs.Stat(v.fs, file)
		switch {
		case err == nil:
			v.found(Finding{Run: run, File: file}, "is a statement whose entry is not in the chain: the entry was removed, or sealing was interrupted")
		case v.period != nil:
			v.found(Finding{Run: run, File: path.Join(RunsFolder, run)}, "does not belong to the export")
		default:
			v.report.NotSealed = append(v.report.NotSealed, run)
		}
	}
}

// VerifyBundle checks the folder of one run by itself: that its statement is signed
// and its files are as they were. Whether it is where it was in its chain, the chain
// alone can tell.
func VerifyBundle(fsys fs.FS, key Key) (Facts, []Finding, error) {
	data, err := fs.ReadFile(fsys, StatementFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Facts{}, nil, &firedrill.Error{Op: "verify the evidence", Kind: firedrill.KindNotFound, Target: StatementFile, Detail: "the run is not sealed"}
	}
	if err != nil {
		return Facts{}, nil, unreadable(StatementFile, err)
	}
	v := &verifier{fs: fsys, buf: make([]byte, 64<<10), report: &Report{}}
	at := Finding{Key: key.ID(), File: StatementFile}
	s, err := key.open(data)
	var p bundlePredicate
	switch {
	case err != nil:
		v.found(at, err.Error())
	case s.PredicateType != bundleType || json.Unmarshal(s.Predicate, &p) != nil:
		v.found(at, "holds no statement of a bundle")
	default:
		v.files(".", s.Subject, at, false)
	}
	return p.Facts, v.report.Findings, nil
}

// plainError is the part of an error that does not repeat the path.
func plainError(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
