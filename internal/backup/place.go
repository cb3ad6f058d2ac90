package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"firedrill"
)

// Place is where the files of one backup lie: a folder, or a prefix in a bucket.
// Names are plain file names: UTF-8 of at most 250 bytes without separators and
// control characters, not white space alone, and not ending in ".tmp". Others are
// refused. What a place has to do is tested by placetest, for each kind of place.
type Place interface {
	// String names the place for people.
	String() string
	// Names lists the files that are there, sorted by bytes. What lies deeper is
	// not named.
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

// File is a file that is being written. A second Close gives what the first one
// gave; after Abort it is an error, since the file is not there.
//
// It is an alias, so that a place can be written without importing this package.
type File = interface {
	io.WriteCloser
	// Abort gives the file up: nothing of it stays. After Close it does nothing.
	Abort() error
}

// Folder is a folder on this machine. Files in it are private.
type Folder string

var _ Place = Folder("")

func (f Folder) String() string { return string(f) }

// Names implements Place. Files that a crash left half written are not named.
func (f Folder) Names(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasSuffix(e.Name(), unfinished) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Open implements Place.
func (f Folder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := f.check(ctx, name); err != nil {
		return nil, err
	}
	return os.Open(filepath.Join(string(f), name))
}

// Create implements Place.
func (f Folder) Create(ctx context.Context, name string) (File, error) {
	if err := f.check(ctx, name); err != nil {
		return nil, err
	}
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
func (f Folder) Remove(ctx context.Context, name string) error {
	if err := f.check(ctx, name); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(string(f), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// check refuses names that could lead out of the folder or mean something else
// in another kind of place, and calls that were given up.
func (f Folder) check(ctx context.Context, name string) error {
	strange := func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) }
	if strings.TrimSpace(name) == "" || name == "." || name == ".." || len(name) > 250 || !utf8.ValidString(name) || strings.ContainsFunc(name, strange) || strings.HasSuffix(name, unfinished) {
		return &firedrill.Error{Op: "open a file of the backup", Kind: firedrill.KindUsage, Target: string(f), Detail: fmt.Sprintf("%q is no plain file name", name), Remedy: "use another name"}
	}
	return ctx.Err()
}

// unfinished ends the name of a file that is being written.
const unfinished = ".tmp"

type folderFile struct {
	*os.File
	path string
	done bool
	err  error // what Close gives once it is done
}

// Close makes the file durable under its name.
func (f *folderFile) Close() error {
	if f.done {
		return f.err
	}
	f.done = true
	err := errors.Join(f.Sync(), f.File.Close())
	if err == nil {
		err = os.Rename(f.path+unfinished, f.path)
	}
	if err != nil {
		f.err = errors.Join(err, os.Remove(f.path+unfinished))
		return f.err
	}
	f.err = syncFolder(filepath.Dir(f.path))
	return f.err
}

func (f *folderFile) Abort() error {
	if f.done {
		return nil
	}
	f.done, f.err = true, fs.ErrClosed
	return errors.Join(f.File.Close(), os.Remove(f.path+unfinished))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
