package evidence

import (
	"errors"
	"fmt"

	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"firedrill"
)

// Archive is the evidence of a state folder, with the key that adds to it. Several
// processes may use one at the same time.
type Archive struct {
	Dir    string // the state folder
	Store  string // what the chain is of: "local", or the address of a bucket
	Signer *Signer
	Now    func() time.Time
}

func (a Archive) folder() string { return filepath.Join(a.Dir, Folder) }

// Chain is the folder of the key's own chain.
func (a Archive) Chain() string { return filepath.Join(a.folder(), a.Signer.Key().ID()) }

// Entries lists a chain by its names alone, in order.
func Entries(chain string) ([]Entry, error) {
	all, err := names(chain)
	if err != nil {
		return nil, storage("list the evidence", chain, err)
	}
	var entries []Entry
	for _, name := range all {
		if e, ok := ParseEntry(name); ok {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return int(a.Sequence - b.Sequence) })
	return entries, nil
}

// Chains lists the folders of all chains of a state folder.
func Chains(dir string) ([]string, error) {
	all, err := names(filepath.Join(dir, Folder))
	if err != nil {
		return nil, storage("list the evidence", dir, err)
	}
	var chains []string
	for _, name := range all {
		if isKeyID(name) {
			chains = append(chains, filepath.Join(dir, Folder, name))
		}
	}
	slices.Sort(chains)
	return chains, nil
}

func isKeyID(name string) bool {
	for _, c := range name {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(name) == 64
}

// Bundle is where a sealed run stands in the evidence.
type Bundle struct {
	Entry
	Chain string // folder of its chain
}

// Bundles are the sealed runs of a state folder.
type Bundles map[string]Bundle

// Sealed lists the runs that are sealed in any chain of a state folder. It reads
// names alone.
func Sealed(dir string) (Bundles, error) {
	chains, err := Chains(dir)
	sealed := Bundles{}
	for _, chain := range chains {
		entries, cerr := Entries(chain)
		err = errors.Join(err, cerr)
		for _, e := range entries {
			if e.Kind == KindRun {
				sealed[e.Run] = Bundle{e, chain}
			}
		}
	}
	return sealed, err
}

// Seal makes the folder of a finished run a bundle: it writes the documents, signs
// what the folder holds then, and appends the statement to the chain. Nobody may
// write into the folder any more. A run that is sealed already stays as it is.
//
// A process that is killed in the middle leaves a run that is not sealed, which may
// be sealed again.
func (a Archive) Seal(facts Facts, documents map[string][]byte) (Entry, error) {
	if !plainRun(facts.Run) {
		return Entry{}, &firedrill.Error{Op: "seal the evidence", Kind: firedrill.KindInternal, Target: fmt.Sprintf("run %q", facts.Run), Detail: "its id is no plain name"}
	}
	run := filepath.Join(a.Dir, RunsFolder, facts.Run)
	e, err := a.locked(func() (Entry, error) {
		if sealed, err := Sealed(a.Dir); err != nil || sealed[facts.Run].Sequence != 0 {
			return sealed[facts.Run].Entry, err
		}
		if err := os.MkdirAll(run, 0o700); err != nil {
			return Entry{}, err
		}
		for _, name := range slices.Sorted(maps.Keys(documents)) {
			if err := replace(a.folder(), filepath.Join(run, name), documents[name]); err != nil {
				return Entry{}, err
			}
		}
		if err := tidy(run); err != nil {
			return Entry{}, err
		}
		files, err := list(os.DirFS(run), ".")
		if err != nil {
			return Entry{}, err
		}
		subjects, err := subjectsOf(os.DirFS(run), files)
		if err != nil {
			return Entry{}, err
		}
		return a.append(KindRun, facts.Run, func(l Link) ([]byte, error) {
			return a.Signer.seal(bundleType, subjects, bundlePredicate{l, facts})
		})
	})
	return e, asStorage(err, "seal the evidence", "run "+facts.Run)
}

// tidy removes from the folder of a run that is over what is no evidence: files that
// were never finished, and what is kept only while a run goes on.
func tidy(run string) error {
	if err := os.RemoveAll(filepath.Join(run, firedrill.PrivateFolder)); err != nil {
		return err
	}
	return filepath.WalkDir(run, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) == unfinished {
			return os.Remove(path)
		}
		return err
	})
}

// list names the files of a bundle but its statement, sorted. What is neither a file
// nor a folder is an error: nobody could say what it holds.
func list(fsys fs.FS, dir string) ([]string, error) {
	var found []string
	err := fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		rel := relative(dir, name)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return &irregular{rel}
		case rel != StatementFile:
			found = append(found, rel)
		}
		return nil
	})
	slices.Sort(found)
	return found, err
}

// irregular is what a bundle cannot hold: a link, a device.
type irregular struct{ name string }

func (e *irregular) Error() string { return e.name + " is neither a file nor a folder" }

func relative(dir, name string) string {
	if dir == "." {
		return name
	}
	return name[min(len(name), len(dir)+1):]
}

func subjectsOf(fsys fs.FS, files []string) ([]subject, error) {
	buf := make([]byte, 64<<10)
	var subjects []subject
	for _, name := range files {
		hash, _, err := hashFile(fsys, name, buf)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, subject{path.Clean(name), digest{hash}})
	}
	return subjects, nil
}

// Remark adds what a person says to a run that is sealed.
func (a Archive) Remark(run string, r firedrill.Remark) (Entry, error) {
	e, err := a.locked(func() (Entry, error) {
		about, err := a.about(run)
		if err != nil {
			return Entry{}, err
		}
		return a.append(Kind(r.Kind), run, func(l Link) ([]byte, error) {
			return a.Signer.seal(remarkType, []subject{about}, remarkPredicate{l, run, r})
		})
	})
	return e, asStorage(err, "add to the evidence", "run "+run)
}

// about names the entry of a bundle, in whichever chain it is.
func (a Archive) about(run string) (subject, error) {
	chains, err := Chains(a.Dir)
	if err != nil {
		return subject{}, err
	}
	for _, chain := range chains {
		entries, err := Entries(chain)
		if err != nil {
			return subject{}, err
		}
		for _, e := range entries {
			if e.Kind == KindRun && e.Run == run {
				data, err := os.ReadFile(filepath.Join(chain, e.String()))
				return subject{e.String(), digest{sum(data)}}, err
			}
		}
	}
	return subject{}, &firedrill.Error{Op: "add to the evidence", Kind: firedrill.KindUsage, Target: "run " + run, Detail: "it is not sealed", Remedy: "see: firedrill evidence verify"}
}

// locked does something while nobody else adds to the evidence of the folder.
func (a Archive) locked(do func() (Entry, error)) (_ Entry, err error) {
	if err := os.MkdirAll(a.Chain(), 0o700); err != nil {
		return Entry{}, err
	}
	unlock, err := lock(filepath.Join(a.folder(), lockFile))
	if err != nil {
		return Entry{}, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := sweep(a.folder()); err != nil {
		return Entry{}, err
	}
	return do()
}

// append signs the next entry and puts it in its place. A bundle gets its copy first,
// so that an entry is never there without it.
func (a Archive) append(kind Kind, run string, sign func(Link) ([]byte, error)) (Entry, error) {
	public := filepath.Join(a.Chain(), publicFile)
	if _, err := os.Stat(public); errors.Is(err, fs.ErrNotExist) {
		if err := replace(a.folder(), public, a.Signer.Key().PEM()); err != nil {
			return Entry{}, err
		}
	}
	link, err := a.next()
	if err != nil {
		return Entry{}, err
	}
	data, err := sign(link)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{link.Sequence, kind, run}
	tmp, err := writeTemp(a.folder(), data)
	if err != nil {
		return Entry{}, err
	}
	if kind == KindRun {
		dir := filepath.Join(a.Dir, RunsFolder, run)
		if err := errors.Join(replace(a.folder(), filepath.Join(dir, StatementFile), data), syncDir(dir)); err != nil {
			return Entry{}, err
		}
	}
	return e, errors.Join(os.Rename(tmp, filepath.Join(a.Chain(), e.String())), syncDir(a.Chain()))
}

// next is the place after the last entry.
func (a Archive) next() (Link, error) {
	link := Link{Chain: a.Store, Sequence: 1, At: a.Now().UTC()}
	entries, err := Entries(a.Chain())
	if err != nil || len(entries) == 0 {
		return link, err
	}
	last := entries[len(entries)-1]
	data, err := os.ReadFile(filepath.Join(a.Chain(), last.String()))
	if err != nil {
		return link, err
	}
	if _, err := a.Signer.Key().open(data); err != nil {
		return link, &firedrill.Error{Op: "add to the evidence", Kind: firedrill.KindCorrupt, Target: last.String(), Detail: "the last entry of the chain " + err.Error(),
			Remedy: "find out who changed it: firedrill evidence verify. Put it back from a copy, or keep the folder " + a.folder() + " elsewhere, and a new chain begins"}
	}
	link.Sequence, link.Previous = last.Sequence+1, sum(data)
	return link, nil
}

// asStorage turns an error of the disk into one of ours.
func asStorage(err error, op, target string) error {
	var ours *firedrill.Error
	if err == nil || errors.As(err, &ours) {
		return err
	}
	return storage(op, target, err)
}
