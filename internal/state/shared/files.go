package shared

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/bucket"
)

// stamp tells whether a file was written since.
type stamp struct {
	size int64
	at   time.Time
}

// unfinished is the ending of a file that its writer renames when it is whole.
const unfinished = ".tmp"

// sentOf is what of a run's folder is in the bucket. Only who holds the run's
// lease uses it, one call at a time.
func (s *Store) sentOf(run string) map[string]stamp {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent[run] == nil {
		s.sent[run] = map[string]stamp{}
	}
	return s.sent[run]
}

// push brings what changed in a run's folder into the bucket; private says
// whether that includes what goes away when the run is over.
func (s *Store) push(ctx context.Context, run string, private bool) error {
	root, sent := s.RunPath(run), s.sentOf(run)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(root, path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // renamed or gone since
			return nil
		case err != nil || rerr != nil:
			return errors.Join(err, rerr)
		case d.IsDir() && rel == firedrill.PrivateFolder && !private:
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(rel, unfinished):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return ignore(err, fs.ErrNotExist)
		}
		now := stamp{info.Size(), info.ModTime()}
		if sent[rel] == now {
			return nil
		}
		if err := s.patiently(ctx, func() error { return s.pushFile(ctx, run, rel, path, now.size) }); err != nil {
			return ignore(err, fs.ErrNotExist)
		}
		sent[rel] = now
		return nil
	})
	var ours *firedrill.Error
	if err != nil && !errors.As(err, &ours) {
		return disk("read the run's folder", root, err)
	}
	return err
}

// pushFile writes the first size bytes of a file, to which an observer may be
// appending.
func (s *Store) pushFile(ctx context.Context, run, rel, path string, size int64) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // it was only read
	dir, name := filepath.Split(rel)
	b, err := s.files(run, dir)
	if err != nil {
		return err
	}
	to, err := b.Create(ctx, name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, io.LimitReader(from, size)); err != nil {
		return errors.Join(err, to.Abort())
	}
	return to.Close()
}

// files is the folder of the bucket for a folder of a run.
func (s *Store) files(run, dir string) (*bucket.Bucket, error) {
	parts := []string{"runs", run, "files"}
	if dir = strings.Trim(filepath.ToSlash(dir), "/"); dir != "" {
		parts = append(parts, strings.Split(dir, "/")...)
	}
	return s.in(parts...)
}

// fetch brings the folder of a run that another machine worked on here. Where
// this machine wrote last, its own files are the newer ones.
func (s *Store) fetch(ctx context.Context, run string) error {
	last, err := s.writer(ctx, run)
	if err != nil || last == "" || last == s.machine {
		return err
	}
	if _, err := s.RunDir(run); err != nil {
		return err
	}
	return s.fetchFolder(ctx, run, "")
}

func (s *Store) fetchFolder(ctx context.Context, run, dir string) error {
	b, err := s.files(run, dir)
	if err != nil {
		return err
	}
	names, err := b.Names(ctx)
	if err != nil {
		return err
	}
	here := filepath.Join(s.RunPath(run), dir)
	if err := os.MkdirAll(here, 0o700); err != nil {
		return disk("fetch the run's folder", here, err)
	}
	for _, name := range names {
		path := filepath.Join(here, name)
		if err := fetchFile(ctx, b, name, path); err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return disk("fetch the run's folder", path, err)
		}
		s.sentOf(run)[filepath.Join(dir, name)] = stamp{info.Size(), info.ModTime()}
	}
	folders, err := b.Folders(ctx)
	if err != nil {
		return err
	}
	for _, f := range folders {
		if err := s.fetchFolder(ctx, run, filepath.Join(dir, f)); err != nil {
			return err
		}
	}
	return nil
}

// fetchFile leaves a file that is whole whenever it is there.
func fetchFile(ctx context.Context, b *bucket.Bucket, name, path string) error {
	from, err := b.Open(ctx, name)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // reading tells
	to, err := os.OpenFile(path+unfinished, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return disk("fetch the run's folder", path, err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Sync(), to.Close()); err == nil {
		err = os.Rename(to.Name(), path)
	}
	var ours *firedrill.Error
	if err != nil && !errors.As(err, &ours) {
		err = disk("fetch the run's folder", path, err)
	}
	return err
}

// dropPrivate takes away what nobody should keep once a run is over.
func (s *Store) dropPrivate(ctx context.Context, run string) error {
	b, err := s.files(run, firedrill.PrivateFolder)
	if err != nil {
		return err
	}
	return s.patiently(ctx, func() error {
		names, err := b.Names(ctx)
		for _, name := range names {
			err = errors.Join(err, b.Remove(ctx, name))
		}
		return err
	})
}
