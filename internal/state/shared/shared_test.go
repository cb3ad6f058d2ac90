package shared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"firedrill"
	"firedrill/internal/bucket"
	"firedrill/internal/journal"
	"firedrill/internal/state"
	"firedrill/internal/state/statetest"
	"firedrill/internal/testkit/s3test"
)

// raceIn makes the test binary race for a lease: its value is a [racer].
const raceIn = "FIREDRILL_TEST_RACE"

// racer is one of two processes. Without an endpoint the store is a folder.
type racer struct {
	Endpoint, Folder, Home string
	Rounds                 int
}

func TestMain(m *testing.M) {
	if spec := os.Getenv(raceIn); spec != "" {
		if err := race(spec); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func race(spec string) error {
	var r racer
	if err := json.Unmarshal([]byte(spec), &r); err != nil {
		return err
	}
	ctx := context.Background()
	var s statetest.Store
	var err error
	if r.Endpoint == "" {
		s, err = openFolder(ctx, r.Home)
	} else {
		s, err = openBucket(ctx, r.Endpoint, r.Home)
	}
	if err != nil {
		return err
	}
	return statetest.Race(ctx, s, r.Folder, r.Rounds)
}

// folder is the local state store.
type folder struct {
	*state.Home
	*journal.Journal
}

func openFolder(ctx context.Context, dir string) (folder, error) {
	home, err := state.Open(dir)
	if err != nil {
		return folder{}, err
	}
	j, err := journal.Open(ctx, home.Journal())
	return folder{home, j}, err
}

func openBucket(ctx context.Context, endpoint, dir string) (*Store, error) {
	b, err := bucket.New(bucket.Config{Address: "s3://state/dr", Endpoint: endpoint, Getenv: func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": s3test.SecretKey}[name]
	}})
	if err != nil {
		return nil, err
	}
	base, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	return Open(ctx, Config{Bucket: b, Base: base, Mirror: filepath.Join(dir, "mirror"), Now: time.Now, NewID: func() string { return ulid.Make().String() }})
}

// machine opens the store on a machine of its own.
func machine(t *testing.T, s *s3test.Server, dir string) *Store {
	t.Helper()
	st, err := openBucket(t.Context(), s.Endpoint, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func TestABucketConforms(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(t *testing.T) func(string) statetest.Store {
		s := s3test.Start(t)
		s.Bucket("state")
		dir := t.TempDir()
		return func(name string) statetest.Store { return machine(t, s, filepath.Join(dir, name)) }
	})
}

func TestTheFolderConforms(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(t *testing.T) func(string) statetest.Store {
		dir := t.TempDir()
		return func(string) statetest.Store {
			f, err := openFolder(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
			return f
		}
	})
}

// TestTwoProcessesNeverHoldOneEnvironment: processes with homes of their own on a
// bucket, and with one home on the folder.
func TestTwoProcessesNeverHoldOneEnvironment(t *testing.T) {
	t.Parallel()
	rounds := 25
	if os.Getenv("FIREDRILL_SOAK") != "" {
		rounds = 500
	}
	for _, kind := range []string{"folder", "bucket"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, truth := t.TempDir(), t.TempDir()
			r := racer{Folder: truth, Rounds: rounds, Home: dir}
			if kind == "bucket" {
				s := s3test.Start(t)
				s.Bucket("state")
				r.Endpoint = s.Endpoint
			}
			errs := make(chan error, 2)
			for n := range 2 {
				if kind == "bucket" {
					r.Home = filepath.Join(dir, fmt.Sprint(n))
				}
				spec, err := json.Marshal(r)
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), os.Args[0])
				cmd.Env = append(os.Environ(), raceIn+"="+string(spec))
				go func() {
					out, err := cmd.CombinedOutput()
					if err != nil {
						err = fmt.Errorf("%w: %s", err, out)
					}
					errs <- err
				}()
			}
			if err := errors.Join(<-errs, <-errs); err != nil {
				t.Error(err)
			}
			var last int
			if data, err := os.ReadFile(filepath.Join(truth, "last")); err != nil {
				t.Error(err)
			} else if _, err := fmt.Sscan(string(data), &last); err != nil || last < 2*rounds {
				t.Errorf("the last of %d holdings has number %q", 2*rounds, data)
			}
		})
	}
}

// TestAHolderThatIsGoneIsReplacedOnItsMachineAlone: the lock of the mirror ends
// with the process, which proves that the process is gone; elsewhere nothing does.
func TestAHolderThatIsGoneIsReplacedOnItsMachineAlone(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t)
	s.Bucket("state")
	dirA, dirB := t.TempDir(), t.TempDir()
	a := machine(t, s, dirA)
	lost, err := a.Acquire(t.Context(), "e", state.Holder{Run: "r", Host: hostname(t), Since: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	l := lost.(*lease) // what a kill leaves: no sign of life, no lock, no release
	l.end()
	l.wait.Wait()
	if err := l.lock.Release(); err != nil {
		t.Fatal(err)
	}
	b := machine(t, s, dirB)
	if _, err := b.Acquire(t.Context(), "e", state.Holder{Run: "r", Since: time.Now()}); firedrill.KindOf(err) != firedrill.KindBusy {
		t.Fatalf("another machine: %v", err)
	}
	if h, err := b.Holder(t.Context(), "e"); err != nil || h == nil || h.Seen.IsZero() {
		t.Errorf("another machine sees %+v, %v", h, err)
	}
	again := machine(t, s, dirA)
	if h, err := again.Holder(t.Context(), "e"); h != nil || err != nil {
		t.Errorf("the same machine sees %+v, %v", h, err)
	}
	next, err := again.Acquire(t.Context(), "e", state.Holder{Run: "r", Host: hostname(t), Since: time.Now()})
	if err != nil || next.Fence() != 2 {
		t.Fatalf("the same machine: %v", err)
	}
	b.silence = 3 * beat
	if _, err := b.TakeOver(t.Context(), "e", state.Holder{Run: "r", Since: time.Now()}, next.Fence()); firedrill.KindOf(err) != firedrill.KindBusy || !strings.Contains(firedrill.RemedyOf(err), "lives") {
		t.Errorf("taken over from one that lives: %v", err)
	}
	b.silence = 0 // as if it slept
	taken, err := b.TakeOver(t.Context(), "e", state.Holder{Run: "r", Since: time.Now()}, next.Fence())
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Check(t.Context()); firedrill.KindOf(err) != firedrill.KindInterrupted {
		t.Errorf("who lost it: %v", err)
	}
	<-next.Lost()
	dir, err := again.RunDir("r")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "acks"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again.Append(t.Context(), "r", []firedrill.Record{statetest.Started("r")}); firedrill.KindOf(err) != firedrill.KindInterrupted {
		t.Errorf("who lost it appends: %v", err)
	}
	if files, err := again.files("r", ""); err != nil {
		t.Error(err)
	} else if names, err := files.Names(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("who lost it wrote %q, %v", names, err)
	}
	if err := taken.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for _, l := range []state.Lease{next, taken} {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
	if h, err := a.Holder(t.Context(), "e"); h != nil || err != nil {
		t.Errorf("at the end: %+v %v", h, err)
	}
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}
