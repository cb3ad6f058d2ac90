package cli

import (
	"bytes"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/backup"
)

// sealOptions are the flags that say how a new backup is stored.
type sealOptions struct {
	compress bool
	to       []string
}

func (o *sealOptions) flags(c *cobra.Command) {
	c.Flags().BoolVar(&o.compress, "compress", false, "compress the parts (zstd)")
	c.Flags().StringArrayVar(&o.to, "encrypt-to", nil, "encrypt the parts for a `recipient` of age: a public key (age1…), or a file of them; may be given several times")
}

func (o sealOptions) seal() (backup.Seal, error) {
	s := backup.Seal{Compress: o.compress}
	for _, to := range o.to {
		text := []byte(to)
		if !strings.HasPrefix(to, "age1") {
			data, err := os.ReadFile(to)
			if err != nil {
				return s, &firedrill.Error{Op: "read the recipients", Kind: firedrill.KindUsage, Target: "--encrypt-to " + to, Err: err, Remedy: "give a public key (age-keygen -y KEYFILE), or a file of public keys"}
			}
			text = data
		}
		list, err := age.ParseRecipients(bytes.NewReader(text))
		if err != nil {
			return s, &firedrill.Error{Op: "read the recipients", Kind: firedrill.KindUsage, Target: "--encrypt-to " + to, Err: err, Remedy: "give a public key (age-keygen -y KEYFILE), or a file of public keys"}
		}
		s.Recipients = append(s.Recipients, list...)
	}
	return s, nil
}

// keyOptions are the flags that open what is encrypted.
type keyOptions struct{ identity []string }

func (o *keyOptions) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&o.identity, "identity", nil, "`file` with the key of an encrypted backup, as age-keygen wrote it; may be given several times")
}

// keys reads the keys. Nothing of them is ever printed.
func (o keyOptions) keys() ([]age.Identity, error) {
	var keys []age.Identity
	for _, name := range o.identity {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, &firedrill.Error{Op: "read the key", Kind: firedrill.KindUsage, Target: "--identity " + name, Err: err, Remedy: "name a file that age-keygen wrote"}
		}
		list, err := age.ParseIdentities(bytes.NewReader(data))
		if err != nil {
			// The library's error may quote the line, which is the secret.
			return nil, &firedrill.Error{Op: "read the key", Kind: firedrill.KindUsage, Target: "--identity " + name, Detail: "it holds no key of age", Remedy: "name a file that age-keygen wrote"}
		}
		keys = append(keys, list...)
	}
	return keys, nil
}
