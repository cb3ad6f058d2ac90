package evidence

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// seal signs a statement and gives the bytes of its envelope.
func (s *Signer) seal(kind string, subjects []subject, predicate any) ([]byte, error) {
	said, err := json.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	if subjects == nil {
		subjects = []subject{}
	}
	payload, err := json.Marshal(statement{statementType, subjects, kind, said})
	if err != nil {
		return nil, err
	}
	signer, err := dsse.NewEnvelopeSigner(s)
	if err != nil {
		return nil, err
	}
	e, err := signer.SignPayload(context.Background(), payloadType, payload)
	if err != nil {
		return nil, err
	}
	return encode(*e)
}

// encode is the one form in which an envelope is written.
func encode(e dsse.Envelope) ([]byte, error) {
	data, err := json.Marshal(e)
	return append(data, '\n'), err
}

// open checks an envelope and gives its statement. Only the very bytes that seal
// made are taken: an envelope that says the same in another form was changed, and
// the hash of a chain's last entry, which no other entry holds, would not tell.
func (k Key) open(data []byte) (statement, error) {
	var e dsse.Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return statement{}, errors.New("is no envelope: it was changed or cut off")
	}
	payload, err := e.DecodeB64Payload()
	if err != nil || e.PayloadType != payloadType {
		return statement{}, errors.New("is no envelope of a statement: it was changed")
	}
	if len(e.Signatures) != 1 {
		return statement{}, fmt.Errorf("has %d signatures, not one", len(e.Signatures))
	}
	if id := e.Signatures[0].KeyID; id != k.ID() {
		return statement{}, fmt.Errorf("names the key %s, not %s", shortID(id), shortID(k.ID()))
	}
	signature, err := base64Signature(e)
	if err != nil || !ed25519.Verify(k.public, dsse.PAE(payloadType, payload), signature) {
		return statement{}, fmt.Errorf("is not signed by the key %s: it was changed, or another key signed it", shortID(k.ID()))
	}
	again, err := encode(canonical(payload, k.ID(), signature))
	if err != nil || !bytes.Equal(again, data) {
		return statement{}, errors.New("has a valid signature and was written anew in another form")
	}
	var s statement
	if err := json.Unmarshal(payload, &s); err != nil || s.Type != statementType {
		return statement{}, errors.New("is signed and holds no statement of in-toto, version 1")
	}
	return s, nil
}

// sum is the SHA-256 of data, hex.
func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
