package evidence

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"firedrill"
)

// Key is a public key.
type Key struct {
	public ed25519.PublicKey
	id     string
}

func newKey(public ed25519.PublicKey) (Key, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, err
	}
	return Key{public, sum(der)}, nil
}

// ID is the SHA-256 of the key (SubjectPublicKeyInfo, DER), hex.
func (k Key) ID() string { return k.id }

// PEM is the key as other programs read it.
func (k Key) PEM() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return nil // newKey has marshalled it
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// ParseKey reads a public key of Ed25519 (PEM) and nothing beside it.
func ParseKey(data []byte) (Key, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return Key{}, errors.New("it holds no public key (PEM)")
	}
	any, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, is := any.(ed25519.PublicKey)
	if err != nil || !is {
		return Key{}, errors.New("it holds no public key of Ed25519")
	}
	return newKey(public)
}

// shortID is enough of a key's id for a person to tell keys apart.
func shortID(id string) string { return id[:min(16, len(id))] }

// Signer signs with a private key.
type Signer struct {
	private ed25519.PrivateKey
	key     Key
}

func newSigner(private ed25519.PrivateKey) (*Signer, error) {
	public, is := private.Public().(ed25519.PublicKey)
	if !is {
		return nil, errors.New("no key of Ed25519")
	}
	key, err := newKey(public)
	return &Signer{private, key}, err
}

// Key is the public key.
func (s *Signer) Key() Key { return s.key }

// Sign signs; the library that makes envelopes asks for it.
func (s *Signer) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.private, data), nil
}

// KeyID is the id of the key.
func (s *Signer) KeyID() (string, error) { return s.key.ID(), nil }

// Ring is a place of the operating system for secrets.
type Ring interface {
	Get(id string) (string, error)
	Set(id, secret string) error
}

// Keeper is where the private key of a machine is kept: in a file of its own, or
// in a key ring to which that file points.
type Keeper struct {
	Dir    string // a state folder
	Random io.Reader
	Ring   Ring
}

const inRing = "keyring "

func (k Keeper) file() string { return filepath.Join(k.Dir, Folder, keyFile) }

// Signer gives the key, and makes one at first. Of several processes that do at
// the same moment, one prevails.
func (k Keeper) Signer() (*Signer, error) {
	data, err := os.ReadFile(k.file())
	if errors.Is(err, fs.ErrNotExist) {
		if err := k.create(); err != nil {
			return nil, err
		}
		data, err = os.ReadFile(k.file())
	}
	if err != nil {
		return nil, storage("read the signing key", k.file(), err)
	}
	if id, is := strings.CutPrefix(strings.TrimSpace(string(data)), inRing); is {
		secret, err := k.Ring.Get(id)
		if err != nil {
			return nil, &firedrill.Error{Op: "read the signing key", Kind: firedrill.KindDenied, Target: "key " + shortID(id) + " of the key ring", Err: err,
				Remedy: "unlock the key ring; what is not signed now is signed by the next command that can"}
		}
		data = []byte(secret)
	} else if info, err := os.Stat(k.file()); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, &firedrill.Error{Op: "read the signing key", Kind: firedrill.KindDenied, Target: k.file(),
			Detail: fmt.Sprintf("others on this machine can read it (%s), so what it signs proves little", info.Mode().Perm()), Remedy: "chmod 600 " + k.file()}
	}
	return parseSigner(data, k.file())
}

func parseSigner(data []byte, target string) (*Signer, error) {
	// What is wrong with it in detail is not said: it is a secret.
	broken := &firedrill.Error{Op: "read the signing key", Kind: firedrill.KindCorrupt, Target: target, Detail: "it holds no private key of Ed25519",
		Remedy: "put the file back from a copy; or remove it, and a new key begins a chain of its own"}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, broken
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, is := any.(ed25519.PrivateKey)
	if err != nil || !is {
		return nil, broken
	}
	return newSigner(private)
}

func (k Keeper) create() error {
	_, private, err := ed25519.GenerateKey(k.Random)
	if err != nil {
		return &firedrill.Error{Op: "make a signing key", Kind: firedrill.KindInternal, Err: err}
	}
	text, err := privatePEM(private)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(k.file()), 0o700)
	}
	var tmp string
	if err == nil {
		tmp, err = writeTemp(filepath.Dir(k.file()), text)
	}
	if err == nil {
		err = os.Link(tmp, k.file())
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
		err = errors.Join(err, os.Remove(tmp), syncDir(filepath.Dir(k.file())))
	}
	if err != nil {
		return storage("make a signing key", k.file(), err)
	}
	return nil
}

func privatePEM(private ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// MoveToRing puts the key into the key ring, reads it back, and leaves only a
// pointer in the file.
func (k Keeper) MoveToRing() (*Signer, error) {
	s, err := k.Signer()
	if err != nil {
		return nil, err
	}
	text, err := privatePEM(s.private)
	if err == nil {
		err = k.Ring.Set(s.key.ID(), string(text))
	}
	var back string
	if err == nil {
		back, err = k.Ring.Get(s.key.ID())
	}
	if err == nil && back != string(text) {
		err = errors.New("it gave back something else than it was given")
	}
	if err != nil {
		return nil, &firedrill.Error{Op: "move the signing key", Kind: firedrill.KindUnavailable, Target: "the key ring", Err: err, Remedy: "the key stays in its file: " + k.file()}
	}
	tmp, err := writeTemp(filepath.Dir(k.file()), []byte(inRing+s.key.ID()+"\n"))
	if err == nil {
		err = os.Rename(tmp, k.file())
	}
	if err != nil {
		return nil, storage("move the signing key", k.file(), err)
	}
	return s, nil
}

// InRing tells whether the key is kept in the key ring.
func (k Keeper) InRing() bool {
	data, err := os.ReadFile(k.file())
	return err == nil && strings.HasPrefix(string(data), inRing)
}

// base64Signature gives the bytes of an envelope's signature.
func base64Signature(e dsse.Envelope) ([]byte, error) {
	return base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
}

// canonical is the envelope that seal would have made.
func canonical(payload []byte, id string, signature []byte) dsse.Envelope {
	return dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload),
		Signatures: []dsse.Signature{{KeyID: id, Sig: base64.StdEncoding.EncodeToString(signature)}}}
}
