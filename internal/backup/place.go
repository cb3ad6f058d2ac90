package backup

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Place is where the files of one backup lie: a folder, or a prefix in a bucket.
// Names are plain file names.
type Place interface {
	// String names the place for people.
	String() string
	// Names lists the files that are there, sorted.
	Names(ctx context.Context) ([]string, error)
	// Open reads a file from its beginning. For a file that is not there
	// errors.Is(err, fs.ErrNotExist) holds.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Create writes a file. It is there, whole and durable, in place of an older
	// one, when Close has given nil; until then a reader sees the older one or
	// none.
	Create(ctx context.Context, name string) (File, error)
	// Remove takes a file away; one that is not there is no error.
	Remove(ctx context.Context, name string) error
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	// Abort gives the file up: nothing of it stays. After Close it does nothing.
	Abort() error
}

// Folder is a folder on this machine. Files in it are private.
type Folder string

var _ Place = Folder("")

func (f Folder) String() string { return string(f) }

// Names implements Place. Files that a crash left half written are not named.
func (f Folder) Names(context.Context) ([]string, error) {
	entries, err := os.ReadDir(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), unfinished) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Open implements Place.
func (f Folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(f), name))
}

// Create implements Place.
func (f Folder) Create(_ context.Context, name string) (File, error) { return f.create(name) }

func (f Folder) create(name string) (File, error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(string(f), name)
	file, err := os.OpenFile(path+unfinished, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &folderFile{File: file, path: path}, nil
}

// Remove implements Place.
func (f Folder) Remove(_ context.Context, name string) error {
	err := os.Remove(filepath.Join(string(f), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unfinished ends the name of a file that is being written.
const unfinished = ".tmp"

type folderFile struct {
	*os.File
	path string
	done bool
}

// Close makes the file durable under its name.
func (f *folderFile) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	err := errors.Join(f.Sync(), f.File.Close())
	if err == nil {
		err = os.Rename(f.path+unfinished, f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.path+unfinished))
	}
	return syncFolder(filepath.Dir(f.path))
}

func (f *folderFile) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.File.Close(), os.Remove(f.path+unfinished))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
