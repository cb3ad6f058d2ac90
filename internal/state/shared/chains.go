package shared

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"firedrill"
	"firedrill/internal/bucket"
)

// evidenceFolder is where chains of evidence lie, in the bucket as in the folder that
// mirrors it. Each machine adds to a chain of its own; none is ever overwritten.
const evidenceFolder = "evidence"

// PullChains brings the entries of all chains here that are not here yet.
func (s *Store) PullChains(ctx context.Context) error {
	b, err := s.in(evidenceFolder)
	if err != nil {
		return err
	}
	chains, err := b.Folders(ctx)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		if err := s.pullChain(ctx, chain); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) pullChain(ctx context.Context, chain string) error {
	b, err := s.in(evidenceFolder, chain)
	if err != nil {
		return err
	}
	there, err := b.Names(ctx)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.Dir(), evidenceFolder, chain)
	here, err := namesIn(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return disk("fetch the evidence", dir, err)
	}
	for _, name := range there {
		if here[name] {
			continue
		}
		if err := fetchFile(ctx, b, name, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// PushChain brings a chain of this machine into the bucket: what is not there yet, in
// its order, and the folder of each run before the entry that seals it.
func (s *Store) PushChain(ctx context.Context, key string) error {
	b, err := s.in(evidenceFolder, key)
	if err != nil {
		return err
	}
	var listed []string
	err = s.patiently(ctx, func() (err error) { listed, err = b.Names(ctx); return err })
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, name := range listed {
		there[name] = true
	}
	dir := filepath.Join(s.Dir(), evidenceFolder, key)
	here, err := namesIn(dir)
	if err != nil {
		return err
	}
	var missing []string
	for name := range here {
		if !there[name] && !strings.HasSuffix(name, unfinished) {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	for _, name := range missing {
		if run := sealedRun(name); run != "" {
			if err := s.push(ctx, run, false); err != nil {
				return err
			}
		}
		if err := s.pushEntry(ctx, b, dir, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) pushEntry(ctx context.Context, b *bucket.Bucket, dir, name string) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return disk("read the evidence", filepath.Join(dir, name), err)
	}
	err = s.create(ctx, b, name, data)
	if errors.Is(err, fs.ErrExist) {
		return &firedrill.Error{Op: "write to the state store", Kind: firedrill.KindConflict, Target: b.String() + "/" + name, Detail: "another entry is there, signed with the key of this machine",
			Remedy: "a state folder was copied: let one machine have it, and remove " + evidenceFolder + "/key from the other's"}
	}
	return err
}

// sealedRun is the run that an entry seals, by its name: NUMBER-run-RUN.json; "" for
// any other file.
func sealedRun(name string) string {
	_, rest, _ := strings.Cut(name, "-")
	run, is := strings.CutPrefix(rest, "run-")
	run, ends := strings.CutSuffix(run, ".json")
	if !is || !ends {
		return ""
	}
	return run
}

// PullRun brings the folder of a run here.
func (s *Store) PullRun(ctx context.Context, run string) error {
	if _, err := s.RunDir(run); err != nil {
		return err
	}
	return s.fetchFolder(ctx, run, "")
}

func namesIn(dir string) (map[string]bool, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]bool{}, nil
	}
	if err != nil {
		return nil, disk("read the evidence", dir, err)
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, disk("read the evidence", dir, err)
	}
	found := map[string]bool{}
	for _, name := range names {
		found[name] = true
	}
	return found, nil
}
