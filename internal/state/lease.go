package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"firedrill"
)

// Lease is the right to drill an environment.
type Lease interface {
	// Fence is the number of this holding: whoever holds the environment later
	// has a higher one.
	Fence() int64
	// Check gives nil while nobody else holds the environment. Who holds the
	// lease asks before each effect, and does nothing more after an error.
	Check(ctx context.Context) error
	// Guard gives a context that is over for whoever looks at it once this process
	// cannot be sure any more: calls that are under way begin no further request.
	Guard(ctx context.Context) context.Context
	// Lost is closed once the lease is gone; Check says why.
	Lost() <-chan struct{}
	// Release gives the lease back.
	Release() error
}

// Holder says who holds an environment.
type Holder struct {
	Run   string    `json:"run"`
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
	Fence int64     `json:"fence"`
	// Seen is the last sign of life, by the holder's clock; zero where none is
	// needed, because the lease ends with the process.
	Seen time.Time `json:"-"`
}

// Describe says who holds, for how long at a moment, and how long ago it gave a
// sign of life.
func (h Holder) Describe(now time.Time) string {
	text := fmt.Sprintf("run %s holds it (process %d on %s, for %s", h.Run, h.PID, h.Host, now.Sub(h.Since).Round(time.Second))
	if !h.Seen.IsZero() {
		text += fmt.Sprintf(", last sign of life %s ago", max(0, now.Sub(h.Seen)).Round(time.Second))
	}
	return text + ")"
}

// unsafeName are the characters that a file name for a key leaves out.
var unsafeName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// LeaseName is a file name for the key of an environment.
func LeaseName(key string) string { return unsafeName.ReplaceAllString(key, "-") }

func (h *Home) leaseFile(key string) string {
	return filepath.Join(h.dir, "leases", LeaseName(key)+".lock")
}

// fileLease is a lock on a file. It ends with the process, however it ends.
type fileLease struct {
	file  *os.File
	key   string
	fence int64
}

// Acquire takes the lease of an environment; key names it (plan and
// environment). An environment that is held gives an error of [firedrill.KindBusy].
func (h *Home) Acquire(ctx context.Context, key string, holder Holder) (Lease, error) {
	f, err := os.OpenFile(h.leaseFile(key), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fail("take the lease", key, err)
	}
	if err := lockSoon(ctx, f); err != nil {
		before, _ := read(f)
		return nil, errors.Join(Busy(key, before, holder.Since, "wait until it has finished, or drill another environment"), f.Close())
	}
	before, err := read(f)
	if err != nil {
		return nil, errors.Join(fail("take the lease", key, err), f.Close())
	}
	holder.Fence = 1
	if before != nil {
		holder.Fence = before.Fence + 1
	}
	data, err := json.Marshal(holder)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(data, '\n'), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(fail("take the lease", key, err), f.Close())
	}
	return &fileLease{f, key, holder.Fence}, nil
}

// lockSoon takes the lock, also where it is held for a moment only: by somebody who
// looks who holds it, or by a child of this process that has a copy of the file
// until it becomes another program.
func lockSoon(ctx context.Context, f *os.File) error {
	const tries, pause = 50, 10 * time.Millisecond
	var err error
	for range tries {
		if err = lock(f); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
	return err
}

// TakeOver is Acquire: a lock that is held proves that its holder is there, so
// there is nothing to take over until that process has ended.
func (h *Home) TakeOver(ctx context.Context, key string, holder Holder, _ int64) (Lease, error) {
	return h.Acquire(ctx, key, holder)
}

// Holder tells who holds an environment, nil if nobody does.
func (h *Home) Holder(_ context.Context, key string) (*Holder, error) {
	f, err := os.OpenFile(h.leaseFile(key), os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // nobody ever held it
	case err != nil:
		return nil, fail("look at the lease", key, err)
	}
	if lock(f) == nil {
		return nil, f.Close()
	}
	holder, err := read(f)
	if holder == nil {
		holder = &Holder{} // taken this moment
	}
	return holder, errors.Join(err, f.Close())
}

// read gives the holder that a lock file names, nil if it names none.
func read(f *os.File) (*Holder, error) {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	var holder Holder
	if err != nil || json.Unmarshal(data, &holder) != nil {
		return nil, err
	}
	return &holder, nil
}

// Busy is the error of an environment that is held; holder may be nil.
func Busy(key string, holder *Holder, now time.Time, remedy string) error {
	e := &firedrill.Error{Op: "take the lease", Kind: firedrill.KindBusy, Target: "environment " + key, Detail: "another run holds it", Remedy: remedy}
	if holder != nil {
		e.Detail = holder.Describe(now)
	}
	return e
}

// TakenOver is the error of a lease that is not one's own any more.
func TakenOver(key string, by *Holder) error {
	e := &firedrill.Error{Op: "hold the lease", Kind: firedrill.KindInterrupted, Target: "environment " + key,
		Detail: "somebody took it over, so this process does nothing more", Remedy: "see: firedrill status"}
	if by != nil {
		e.Detail = fmt.Sprintf("process %d on %s took it over for run %s, so this process does nothing more", by.PID, by.Host, by.Run)
	}
	return e
}

// Fence is the number of this holding.
func (l *fileLease) Fence() int64 { return l.fence }

// Check looks whether the locked file is the one that others would lock: whoever
// removed it opened the environment to them.
func (l *fileLease) Check(context.Context) error {
	mine, err := l.file.Stat()
	if err != nil {
		return fail("hold the lease", l.key, err)
	}
	there, err := os.Stat(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there) {
		return TakenOver(l.key, nil)
	}
	if err != nil {
		return fail("hold the lease", l.key, err)
	}
	return nil
}

// Guard gives the context itself: the lock is sure while the process lives.
func (l *fileLease) Guard(ctx context.Context) context.Context { return ctx }

// Lost never happens to a lock.
func (l *fileLease) Lost() <-chan struct{} { return nil }

// Release gives the lease back.
func (l *fileLease) Release() error {
	if err := l.file.Close(); err != nil {
		return fail("give the lease back", l.file.Name(), err)
	}
	return nil
}
