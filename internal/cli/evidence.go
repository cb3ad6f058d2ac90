package cli

import (
	"os"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/evidence"
)

func (a *app) evidenceCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "evidence", Short: "Signed evidence of what ran: verify, export, anchor",
		Long: `The folder of each finished run is sealed: a signed statement names every file in
it, and carries the hash of the statement before. Whoever has the public key can
verify a copy, offline. docs/guide/evidence.md tells more.`,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				return unknownCommand(c, given[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.evidenceVerifyCommand(), a.evidenceExportCommand(), a.evidenceAnchorCommand(), a.evidenceKeyCommand())
	return c
}

func (a *app) evidenceKeyCommand() *cobra.Command {
	var output string
	var ring bool
	c := &cobra.Command{
		Use: "key", Short: "The public key that evidence is verified with",
		Long: `Key prints the public key of this machine (PEM), and makes a key if there is none.
Give it to whoever is to verify evidence, by another way than the evidence.

The private key is in the state folder, in a file that only its owner can read.
With --keyring it moves into the key ring of the operating system. Commands that
run unattended can only sign then while that is unlocked.`,
		Example: `  firedrill evidence key -o firedrill.pub
  firedrill evidence key --keyring`,
		Args: args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error { return a.evidenceKey(output, ring) },
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to this `FILE`, not to standard output")
	c.Flags().BoolVar(&ring, "keyring", false, "move the private key into the key ring of the operating system")
	return c
}

// keyDocument is what `evidence key` prints with --json.
type keyDocument struct {
	SchemaVersion int    `json:"schema_version"`
	ID            string `json:"id"`
	Public        string `json:"public"`
	InRing        bool   `json:"in_keyring"`
}

func (a *app) evidenceKey(output string, ring bool) error {
	k, err := a.keeper()
	if err != nil {
		return err
	}
	load := k.Signer
	if ring {
		load = k.MoveToRing
	}
	s, err := load()
	if err != nil {
		return err
	}
	key := s.Key()
	if output != "" {
		if err := os.WriteFile(output, key.PEM(), 0o644); err != nil { //nolint:gosec // it is public
			return &firedrill.Error{Op: "write the public key", Kind: firedrill.KindStorage, Target: output, Err: err, Remedy: "name a file that can be written"}
		}
	}
	switch {
	case a.global.json:
		return a.printJSON(keyDocument{1, key.ID(), string(key.PEM()), k.InRing()})
	case output == "":
		a.out.Text(string(key.PEM()))
	}
	a.err.Line(term.Plain, "key", key.ID())
	if ring {
		a.err.Line(term.Plain, "private key", "is in the key ring now")
	}
	return nil
}

// keysOf reads the public keys that were given.
func keysOf(files []string) ([]evidence.Key, error) {
	var keys []evidence.Key
	for _, file := range files {
		data, err := os.ReadFile(file)
		var k evidence.Key
		if err == nil {
			k, err = evidence.ParseKey(data)
		}
		if err != nil {
			return nil, &firedrill.Error{Op: "read the public key", Kind: firedrill.KindUsage, Target: "--key " + file, Err: err, Remedy: "give what firedrill evidence key wrote"}
		}
		keys = append(keys, k)
	}
	return keys, nil
}
