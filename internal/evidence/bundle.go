package evidence

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"firedrill"
)

// Check tells what is wrong with the evidence of one run, whose folder is given; ""
// if nothing is: it is in the chain, its statement is signed by the chain's key, and
// every file is as it was sealed. Whether the chain is whole, [Verify] tells.
func (b Bundles) Check(run, folder string) (facts Facts, problem string, err error) {
	sealed, is := b[run]
	if !is {
		return facts, "it is not sealed", nil
	}
	key := keyOf(sealed.Chain)
	if key == nil {
		return facts, "the public key of its chain is not what it was", nil
	}
	entry := filepath.Join(sealed.Chain, sealed.String())
	inChain, err := os.ReadFile(entry)
	if err != nil {
		return facts, "", unreadable(entry, err)
	}
	inFolder, err := os.ReadFile(filepath.Join(folder, StatementFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return facts, StatementFile + " is missing", nil
	case err != nil:
		return facts, "", unreadable(StatementFile, err)
	case !bytes.Equal(inChain, inFolder):
		return facts, StatementFile + " is not the one in the chain", nil
	}
	facts, findings, err := VerifyBundle(os.DirFS(folder), *key)
	switch {
	case firedrill.KindOf(err) == firedrill.KindCorrupt:
		return facts, err.Error(), nil
	case err != nil:
		return facts, "", err
	case len(findings) > 0:
		return facts, findings[0].File + " " + findings[0].Problem, nil
	case facts.Run != run:
		return facts, "its statement is about run " + facts.Run, nil
	}
	return facts, "", nil
}
