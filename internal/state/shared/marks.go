package shared

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"firedrill/internal/bucket"
	"firedrill/internal/state"
)

// The names of the wishes that runs turn back.
const (
	haltName  = "halted"
	abortName = "abort"
)

const (
	// lookEvery is how often a run looks into the bucket for wishes. A halt of
	// this machine is seen at once.
	lookEvery = 3 * time.Second
	// lookTime bounds one look.
	lookTime = 30 * time.Second
)

// Halt stops all runs, of this machine and of all that use the bucket, and refuses
// new ones until [Store.Lift].
func (s *Store) Halt(wish state.Stop) error {
	return errors.Join(s.cfg.Base.Halt(wish), s.ask(s.cfg.Bucket, haltName, wish))
}

// Halted gives the halt that is in force, nil if there is none.
func (s *Store) Halted() (*state.Stop, error) {
	if wish, err := s.cfg.Base.Halted(); wish != nil || err != nil {
		return wish, err
	}
	ctx, cancel := context.WithTimeout(s.marks, lookTime)
	defer cancel()
	return asked(ctx, s.cfg.Bucket, haltName)
}

// Lift ends a halt, and tells whether there was one.
func (s *Store) Lift() (bool, error) {
	was, err := s.Halted()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(s.marks, lookTime)
	defer cancel()
	_, err = s.cfg.Base.Lift()
	return was != nil, errors.Join(err, s.cfg.Bucket.Remove(ctx, haltName))
}

// Abort asks a run to turn back.
func (s *Store) Abort(run string, wish state.Stop) error {
	b, err := s.in("runs", run)
	if err != nil {
		return err
	}
	return s.ask(b, abortName, wish)
}

// Aborted gives the wish that this run turn back, nil if nobody has it. It may be
// asked often: into the bucket it looks now and then.
func (s *Store) Aborted(run string) (*state.Stop, error) {
	if !s.due(run) {
		return nil, nil //nolint:nilnil // as far as was looked
	}
	return s.aborted(run)
}

// Stopped gives the wish that a run turn back: its own abort, or the halt of all. It
// may be asked as often.
func (s *Store) Stopped(run string) (*state.Stop, error) {
	if wish, err := s.cfg.Base.Halted(); wish != nil || err != nil {
		return wish, err
	}
	if !s.due(run) {
		return nil, nil //nolint:nilnil // as far as was looked
	}
	if wish, err := s.aborted(run); wish != nil || err != nil {
		return wish, err
	}
	ctx, cancel := context.WithTimeout(s.marks, lookTime)
	defer cancel()
	return asked(ctx, s.cfg.Bucket, haltName)
}

func (s *Store) aborted(run string) (*state.Stop, error) {
	b, err := s.in("runs", run)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.marks, lookTime)
	defer cancel()
	return asked(ctx, b, abortName)
}

// due tells whether it is time to look for wishes about a run.
func (s *Store) due(run string) bool {
	s.looking.Lock()
	defer s.looking.Unlock()
	now := s.cfg.Now()
	if last, ever := s.looked[run]; ever && now.Sub(last) < lookEvery {
		return false
	}
	s.looked[run] = now
	return true
}

func (s *Store) ask(b *bucket.Bucket, name string, wish state.Stop) error {
	data, err := json.Marshal(wish)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.marks, lookTime)
	defer cancel()
	return b.Write(ctx, name, append(data, '\n'))
}

func asked(ctx context.Context, b *bucket.Bucket, name string) (*state.Stop, error) {
	data, err := b.Read(ctx, name)
	var wish state.Stop
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // nobody asked
	case err != nil:
		return nil, err
	case json.Unmarshal(data, &wish) != nil:
		return &state.Stop{}, nil //nolint:nilerr // it is there, and it stops
	}
	return &wish, nil
}
