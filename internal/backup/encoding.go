package backup

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"firedrill"
)

// Encoding says what was done to the content of a part before it was stored:
// compressed first, encrypted last. The tools of these names undo it.
type Encoding struct {
	Compression string `json:"compression,omitempty"` // "zstd"
	Encryption  string `json:"encryption,omitempty"`  // "age"
}

const (
	zstdName, zstdSuffix = "zstd", ".zst"
	ageName, ageSuffix   = "age", ".age"
)

// suffix ends the names of parts: that of the last step stands last.
func (e Encoding) suffix() string {
	s := ""
	if e.Compression != "" {
		s += zstdSuffix
	}
	if e.Encryption != "" {
		s += ageSuffix
	}
	return s
}

// known refuses an encoding that this program cannot undo.
func (e Encoding) known(target string) error {
	if e.Compression != "" && e.Compression != zstdName || e.Encryption != "" && e.Encryption != ageName {
		return &firedrill.Error{Op: "read the backup", Kind: firedrill.KindUnsupported, Target: target,
			Detail: fmt.Sprintf("its parts are stored as %q, %q", e.Compression, e.Encryption), Remedy: "use a newer firedrill"}
	}
	return nil
}

// Seal says how the parts of a new backup are stored. The zero value stores
// them as they are.
type Seal struct {
	Compress bool
	// Recipients can decrypt the parts; nobody else can, and none of their
	// secrets is needed to write. Empty: parts are not encrypted.
	Recipients []age.Recipient
}

func (s Seal) encoding() Encoding {
	var e Encoding
	if s.Compress {
		e.Compression = zstdName
	}
	if len(s.Recipients) > 0 {
		e.Encryption = ageName
	}
	return e
}

// encoder encodes what is written into it, into out. Closing it closes the steps
// in their order, and not out.
type encoder struct {
	io.Writer
	steps []io.Closer
}

// zstdWindow bounds the memory of both sides, in bytes.
const zstdWindow = 4 << 20

func (s Seal) encoder(out io.Writer) (*encoder, error) {
	e := &encoder{Writer: out}
	if len(s.Recipients) > 0 {
		w, err := age.Encrypt(e.Writer, s.Recipients...)
		if err != nil {
			return nil, &firedrill.Error{Op: "write the backup", Kind: firedrill.KindUsage, Target: "the recipients", Err: err, Remedy: "give public keys of age (age-keygen -y)"}
		}
		e.Writer, e.steps = w, append(e.steps, w)
	}
	if s.Compress {
		w, err := zstd.NewWriter(e.Writer, zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		e.Writer, e.steps = w, append(e.steps, w)
	}
	return e, nil
}

func (e *encoder) Close() error {
	var err error
	for i := len(e.steps) - 1; i >= 0; i-- {
		err = errors.Join(err, e.steps[i].Close())
	}
	return err
}

// decoder undoes an encoding. keys open what is encrypted.
func (e Encoding) decoder(in io.Reader, keys []age.Identity, target string) (io.ReadCloser, error) {
	r := io.NopCloser(in)
	if e.Encryption != "" {
		if len(keys) == 0 {
			return nil, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindDenied, Target: target, Detail: "it is encrypted", Remedy: "give the key: --identity FILE, as age-keygen wrote it"}
		}
		plain, err := age.Decrypt(in, keys...)
		var wrong *age.NoIdentityMatchError
		if errors.As(err, &wrong) {
			return nil, &firedrill.Error{Op: "read the backup", Kind: firedrill.KindDenied, Target: target, Detail: "it is encrypted for somebody else", Remedy: "give the key of one of its recipients: --identity FILE"}
		}
		if err != nil {
			return nil, fmt.Errorf("decrypt: %w", err)
		}
		r = io.NopCloser(plain)
	}
	if e.Compression != "" {
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(zstdWindow*2), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		r = d.IOReadCloser()
	}
	return r, nil
}
