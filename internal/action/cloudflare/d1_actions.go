package cloudflare

import (
	"os"
	"path/filepath"

	"firedrill"
)

// d1Actions are the actions on databases.
func (p *pack) d1Actions() []firedrill.Action {
	return []firedrill.Action{
		p.verifyToken(),
		p.d1Find(), p.d1RestoreBudget(), p.d1Bookmark(),
		p.d1Fingerprint(), p.d1Compare(), p.d1Restore(),
		p.d1PlanCanaries(), p.d1InsertCanaries(), p.d1CheckCanaries(), p.d1RemoveCanaries(),
		p.d1PlanDamage(), p.d1Damage(), p.d1Protect(),
		p.d1Sentinel(), p.d1SentinelPause(), p.d1SentinelResume(), p.d1SentinelStop(), p.d1SentinelRemove(),
		p.d1WatchWrites(), p.d1AwaitStill(), p.d1AwaitWrites(),
		p.d1ScratchName(), p.d1Target(), p.d1Create(), p.d1Copy(), p.d1Delete(), p.d1Absent(),
		p.d1Query(), p.d1Execute(),
		p.d1Point(), p.d1Found(), p.d1TakeFingerprint(),
		p.d1SalvageRead(), p.d1SalvageChoose(), p.d1SalvageApply(), p.d1SalvageCheck(),
	}
}

// claim makes the claim of an action on the database in its input "database".
func claim(write bool) func(firedrill.Values) []firedrill.Claim {
	return func(in firedrill.Values) []firedrill.Claim {
		id, _ := in["database"].(string)
		return []firedrill.Claim{{Resource: "d1:" + id, Write: write}}
	}
}

// artefact gives the path of a file in the run's folder. Outputs hold names
// only, so that a run's folder may be moved.
func artefact(call firedrill.Call, name string) (string, error) {
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return "", &firedrill.Error{Op: "artefact", Kind: firedrill.KindUsage, Target: name, Detail: "is not the name of a file in the run's folder",
			Remedy: "give the output `file` of an earlier step"}
	}
	return filepath.Join(call.Dir, name), nil
}

// makeDir makes the run's folder, if it is missing.
func makeDir(call firedrill.Call) error {
	if err := os.MkdirAll(call.Dir, 0o700); err != nil {
		return &firedrill.Error{Op: "write artefact", Kind: firedrill.KindStorage, Target: call.Dir, Remedy: "make the folder writable", Err: err}
	}
	return nil
}

// save writes an artefact whole or not at all.
func save(call firedrill.Call, name string, data []byte) error {
	d, err := newDraft(call, name)
	return d.hold(data, err)
}

// savePrivate writes an artefact that is removed when the run is over.
func savePrivate(call firedrill.Call, name string, data []byte) error {
	d, err := newPrivateDraft(call, name)
	return d.hold(data, err)
}

// hold fills a file that could be begun, and puts it in its place.
func (d *draft) hold(data []byte, err error) error {
	if err != nil {
		return err
	}
	if _, err := d.Write(data); err != nil {
		d.drop()
		return d.failed(err)
	}
	return d.keep()
}

// draft is a file in the run's folder that is there only once it is whole.
type draft struct {
	*os.File
	path string
}

func newDraft(call firedrill.Call, name string) (*draft, error) {
	path, err := artefact(call, name)
	if err != nil {
		return nil, err
	}
	if err := makeDir(call); err != nil {
		return nil, err
	}
	return draftAt(path)
}

// newPrivateDraft begins a file that is removed when the run is over.
func newPrivateDraft(call firedrill.Call, name string) (*draft, error) {
	if _, err := artefact(call, name); err != nil {
		return nil, err
	}
	dir := filepath.Join(call.Dir, firedrill.PrivateFolder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, (&draft{path: dir}).failed(err)
	}
	return draftAt(filepath.Join(dir, name))
}

func draftAt(path string) (*draft, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, (&draft{path: path}).failed(err)
	}
	return &draft{f, path}, nil
}

// keep puts the file in its place.
func (d *draft) keep() error {
	err := d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(d.Name(), d.path)
	}
	if err != nil {
		_ = os.Remove(d.Name()) // it is of no use; the first error is the one to tell
		return d.failed(err)
	}
	return nil
}

// drop throws the file away.
func (d *draft) drop() {
	_ = d.Close()           // nobody reads it again
	_ = os.Remove(d.Name()) // nor misses it
}

func (d *draft) failed(err error) error {
	return &firedrill.Error{Op: "write artefact", Kind: firedrill.KindStorage, Target: d.path, Remedy: "make room on the disk, and the folder writable", Err: err}
}

// loadPrivate reads an artefact that is there until the run is over.
func loadPrivate(call firedrill.Call, name string) ([]byte, error) {
	if _, err := artefact(call, name); err != nil {
		return nil, err
	}
	return readArtefact(filepath.Join(call.Dir, firedrill.PrivateFolder, name))
}

func readArtefact(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &firedrill.Error{Op: "read artefact", Kind: firedrill.KindStorage, Target: path, Detail: "what an earlier step wrote cannot be read", Err: err}
	}
	return data, nil
}
