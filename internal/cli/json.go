package cli

import (
	"encoding/json"

	"firedrill"
)

// printJSON writes the one document of --json.
func (a *app) printJSON(x any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return &firedrill.Error{Op: "write the result", Kind: firedrill.KindStorage, Target: "standard output", Err: err}
	}
	return nil
}
