// Package shared keeps runs in a bucket, so that a run that was begun on one
// machine can be stopped, seen and finished from another. The bucket is what
// counts; a folder of this machine mirrors it, with a journal like the local
// one, for reading and for the artefacts of runs.
//
// It needs of the store one thing beyond reading and writing: that of several
// that create an object at the same moment, one succeeds (If-None-Match). On
// this rest both the lease, which is a row of numbered objects, and the journal:
// a batch of records is an object named by its first number, so two processes
// that both believe to work on a run cannot both go on.
//
// The order is the promise: what a record refers to (fingerprints, canaries,
// backups, what observers saw) is in the bucket before the record, and the record
// before what follows from it.
//
//	layout                             version of all this
//	open/RUN                           a run that may not have finished
//	runs/RUN/records/FIRST.jsonl       a batch: who wrote it, then records
//	runs/RUN/files/…                   the run's folder
//	runs/RUN/abort, halted             wishes that runs turn back
//	leases/ENVIRONMENT/NUMBER.json     who holds it; the highest number counts
//	leases/ENVIRONMENT/NUMBER.beat     the holder's last sign of life
//	leases/ENVIRONMENT/NUMBER.released it was given back
package shared

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/bucket"
	"firedrill/internal/journal"
	"firedrill/internal/state"
)

// layout is the version of the bucket.
const layout = "firedrill state 1\n"

// Config is what a store works with. All fields are required but the last two.
type Config struct {
	Bucket *bucket.Bucket
	// Base is this machine's own state folder, whose halt counts here too.
	Base *state.Home
	// Mirror is the folder that mirrors the bucket, of this bucket alone.
	Mirror string
	Now    func() time.Time
	NewID  func() string
	// Patience is how long a store that cannot be reached is waited for; 0: ten
	// minutes.
	Patience time.Duration
	// Notice is told when that waiting begins and ends.
	Notice func(text string)
}

// Store is an opened bucket of runs. Its methods may be called concurrently.
type Store struct {
	*state.Home // the mirror's folder
	cfg         Config
	journal     *journal.Journal // the mirror's
	machine     string           // names the mirror among all machines'
	silence     time.Duration
	marks       context.Context // of looking for wishes
	end         context.CancelFunc

	mu   sync.Mutex
	held map[string]*lease           // by run: what this process holds
	sent map[string]map[string]stamp // by run and file: what is in the bucket

	looking sync.Mutex
	looked  map[string]time.Time // by run: when wishes were last looked for
}

// beat is how often a holder gives a sign of life, and how often it looks by
// itself whether it still is the holder.
const beat = 5 * time.Second

// Open opens a bucket of runs or makes an empty one.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Patience == 0 {
		cfg.Patience = 10 * time.Minute
	}
	if cfg.Notice == nil {
		cfg.Notice = func(string) {}
	}
	home, err := state.Open(cfg.Mirror)
	if err != nil {
		return nil, err
	}
	s := &Store{Home: home, cfg: cfg, silence: silence, held: map[string]*lease{}, sent: map[string]map[string]stamp{}, looked: map[string]time.Time{}}
	if s.machine, err = machineID(filepath.Join(cfg.Mirror, "machine"), cfg.NewID); err != nil {
		return nil, err
	}
	if err := s.checkLayout(ctx); err != nil {
		return nil, err
	}
	if s.journal, err = journal.Open(ctx, home.Journal()); err != nil {
		return nil, err
	}
	s.marks, s.end = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// Close ends the connections. Leases are to be given back before.
func (s *Store) Close() error {
	s.end()
	s.cfg.Bucket.Close()
	return s.journal.Close()
}

// checkLayout refuses a bucket that a newer firedrill wrote.
func (s *Store) checkLayout(ctx context.Context) error {
	data, err := s.cfg.Bucket.Read(ctx, "layout")
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.cfg.Bucket.PutIfAbsent(ctx, "layout", []byte(layout)); err == nil {
			return nil
		}
		data, err = s.cfg.Bucket.Read(ctx, "layout") // somebody else was faster, or the answer was lost
	}
	if err != nil {
		return err
	}
	if string(data) != layout {
		return &firedrill.Error{Op: "open the state store", Kind: firedrill.KindStorage, Target: s.cfg.Bucket.String(),
			Detail: fmt.Sprintf("it has layout %q, this version knows %q", data, layout), Remedy: "use the newer firedrill that wrote it, or another prefix"}
	}
	return nil
}

// machineID gives the name that stands in a file, and chooses one at first. Of
// several processes that do, one prevails.
func machineID(path string, newID func() string) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = choose(path, newID(), path+"."+newID()); err == nil {
			data, err = os.ReadFile(path)
		}
	}
	id := strings.TrimSpace(string(data))
	if err == nil && id == "" {
		err = errors.New("it is empty: remove it")
	}
	if err != nil {
		return "", disk("name this machine", path, err)
	}
	return id, nil
}

// choose writes a file that is whole whenever it is there, unless there is one.
func choose(path, text, tmp string) error {
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = ignore(os.Link(tmp, path), fs.ErrExist)
	}
	return errors.Join(err, os.Remove(tmp))
}

// ignore gives err, unless it is what is expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

// in is a folder of the bucket; its name is made by us or checked before.
func (s *Store) in(parts ...string) (*bucket.Bucket, error) { return s.cfg.Bucket.In(parts...) }

// create writes an object that must not be there, however often the answer is
// lost. One that is there already with the same content is ours; for any other
// errors.Is(err, fs.ErrExist) holds.
func (s *Store) create(ctx context.Context, b *bucket.Bucket, name string, data []byte) error {
	return s.patiently(ctx, func() error {
		err := b.PutIfAbsent(ctx, name, data)
		kind := firedrill.KindOf(err)
		if err == nil || kind != firedrill.KindConflict && kind != firedrill.KindUnknown {
			return err
		}
		there, rerr := b.Read(ctx, name)
		switch {
		case rerr == nil && bytes.Equal(there, data):
			return nil
		case rerr == nil:
			return &firedrill.Error{Op: "write to the state store", Kind: firedrill.KindConflict, Target: b.String() + "/" + name, Detail: "somebody else was faster", Remedy: "see: firedrill status", Err: fs.ErrExist}
		case errors.Is(rerr, fs.ErrNotExist): // it did not happen
			return &firedrill.Error{Op: "write to the state store", Kind: firedrill.KindUnavailable, Target: b.String() + "/" + name, Detail: "it was not stored: " + err.Error(), Remedy: "repeat later"}
		}
		return rerr
	})
}

// patiently repeats what fails because the store cannot be reached, or cannot
// now. What it is given may be repeated whatever became of it.
func (s *Store) patiently(ctx context.Context, try func() error) error {
	pause, told := 100*time.Millisecond, false
	for end := s.cfg.Now().Add(s.cfg.Patience); ; pause = min(2*pause, 10*time.Second) {
		err := try()
		if !passes(err) {
			if told && err == nil {
				s.cfg.Notice("the state store answers again")
			}
			return err
		}
		if s.cfg.Now().Add(pause).After(end) {
			return err
		}
		if !told && pause > time.Second {
			told = true
			s.cfg.Notice("the state store does not answer, so nothing goes on until it does: " + err.Error())
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// passes tells whether an error may go away by itself.
func passes(err error) bool {
	switch firedrill.KindOf(err) {
	case firedrill.KindNotSent, firedrill.KindUnavailable, firedrill.KindLimited, firedrill.KindUnknown:
		return true
	}
	return false
}

func disk(op, target string, err error) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: target, Remedy: "look at the disk (full? read-only?), or use another --home", Err: err}
}
