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
	path, err := artefact(call, name)
	if err != nil {
		return err
	}
	failed := func(err error) error {
		return &firedrill.Error{Op: "write artefact", Kind: firedrill.KindStorage, Target: path, Remedy: "make room on the disk, and the folder writable", Err: err}
	}
	if err := makeDir(call); err != nil {
		return err
	}
	temp, err := os.CreateTemp(call.Dir, "."+name+".*")
	if err != nil {
		return failed(err)
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if cerr := temp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // it is of no use; the first error is the one to tell
		return failed(err)
	}
	return nil
}

// load reads an artefact of an earlier step.
func load(call firedrill.Call, name string) ([]byte, error) {
	path, err := artefact(call, name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &firedrill.Error{Op: "read artefact", Kind: firedrill.KindStorage, Target: path, Detail: "what an earlier step wrote cannot be read", Err: err}
	}
	return data, nil
}
