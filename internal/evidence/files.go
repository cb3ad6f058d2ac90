package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeTemp writes a durable file of a name of its own into a folder and gives its
// path; who called renames or links it.
func writeTemp(dir string, data []byte) (string, error) {
	f, err := os.CreateTemp(dir, "*"+unfinished)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// replace writes a file that is whole whenever it is there. tmp is a folder on the
// same disk for what is not whole.
func replace(tmp, path string, data []byte) error {
	name, err := writeTemp(tmp, data)
	if err != nil {
		return err
	}
	return os.Rename(name, path)
}

// syncDir makes names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// hashFile gives the SHA-256 of a file, hex, and its size. buf is what it reads with.
func hashFile(fsys fs.FS, name string, buf []byte) (string, int64, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// names gives what is in a folder, in no order; none if it is not there. It costs
// less than a listing that looks at each.
func names(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return f.Readdirnames(-1)
}

// sweep removes what an interrupted writer left in the folder of evidence. Who calls
// it holds the lock.
func sweep(dir string) error {
	all, err := names(dir)
	for _, name := range all {
		if filepath.Ext(name) == unfinished {
			err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
		}
	}
	return err
}
