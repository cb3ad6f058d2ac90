package cli

import (
	"encoding/json"
	"os"
	"path/filepath"

	"firedrill"
)

// resultFile is the copy of its result that each run's folder keeps.
const resultFile = "result.json"

// writeResult leaves the result document in the run's folder.
func writeResult(dir string, r firedrill.Result) error {
	data, err := json.MarshalIndent(document(r), "", "  ")
	if err != nil {
		return &firedrill.Error{Op: "write the result", Kind: firedrill.KindInternal, Err: err}
	}
	if err := os.WriteFile(filepath.Join(dir, resultFile), append(data, '\n'), 0o600); err != nil {
		return &firedrill.Error{Op: "write the result", Kind: firedrill.KindStorage, Err: err, Remedy: "the run itself is in the journal: firedrill show " + r.Run}
	}
	return nil
}
