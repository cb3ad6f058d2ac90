package evidence

import (
	"archive/zip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// ToFolder writes an export into a folder that is made.
type ToFolder struct{ Dir string }

// Put writes one file.
func (t ToFolder) Put(name string, from io.Reader) error {
	file := filepath.Join(t.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// ToZip writes an export into a zip file. At is the time that all files get.
type ToZip struct {
	W  *zip.Writer
	At time.Time
}

// Put writes one file.
func (t ToZip) Put(name string, from io.Reader) error {
	w, err := t.W.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: t.At})
	if err == nil {
		_, err = io.Copy(w, from)
	}
	return err
}
