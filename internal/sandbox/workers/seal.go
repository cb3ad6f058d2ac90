package workers

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// sealer encrypts secrets at rest with AES-256-GCM. Without a key it leaves
// them as they are.
type sealer struct {
	aead   cipher.AEAD // nil without a key
	random io.Reader
}

// newSealer derives the encryption key from a secret of any length; an empty
// one switches encryption off.
func newSealer(secret []byte, random io.Reader) (*sealer, error) {
	if len(secret) == 0 {
		return &sealer{random: random}, nil
	}
	key := sha256.Sum256(append([]byte("firedrill sandbox secrets v1\x00"), secret...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("encryption of secrets: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("encryption of secrets: %w", err)
	}
	return &sealer{aead: aead, random: random}, nil
}

// sealAll returns a copy of bindings in which no secret is readable.
func (s *sealer) sealAll(bindings []Binding) ([]Binding, error) {
	out := append([]Binding(nil), bindings...)
	if s.aead == nil {
		return out, nil
	}
	for i, b := range out {
		if b.Type != typeSecret {
			continue
		}
		nonce := make([]byte, s.aead.NonceSize())
		if _, err := io.ReadFull(s.random, nonce); err != nil {
			return nil, fmt.Errorf("encryption of secrets: %w", err)
		}
		out[i].Sealed = s.aead.Seal(nonce, nonce, []byte(b.Text), []byte(b.Name))
		out[i].Text = ""
	}
	return out, nil
}

// openAll puts the clear text back in place.
func (s *sealer) openAll(bindings []Binding) error {
	for i, b := range bindings {
		if b.Sealed == nil {
			continue
		}
		if s.aead == nil {
			return fmt.Errorf("secret %s is encrypted, and no key was given: start the sandbox with the key it was stored with", b.Name)
		}
		n := s.aead.NonceSize()
		if len(b.Sealed) < n {
			return fmt.Errorf("secret %s is damaged", b.Name)
		}
		text, err := s.aead.Open(nil, b.Sealed[:n], b.Sealed[n:], []byte(b.Name))
		if err != nil {
			return errors.Join(fmt.Errorf("secret %s cannot be decrypted: the key is not the one it was stored with, or the store is damaged", b.Name), err)
		}
		bindings[i].Text, bindings[i].Sealed = string(text), nil
	}
	return nil
}
