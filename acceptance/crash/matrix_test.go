package crash

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"firedrill"
)

// soak tells whether everything is tried, and not a sample.
func soak() bool { return os.Getenv("FIREDRILL_SOAK") != "" }

// moment is what a crash leaves at one point: what the disk of the cloud and of the
// machine hold, and the records that were acknowledged.
type moment struct {
	dir      string // with the folders "cloud" and "home"
	home     string // that the records speak of
	records  []string
	injected int64
	at       time.Time
	points   int // crashes that leave exactly this
}

// collector makes a moment of every point at which a process may be gone. Points
// between which nothing changed on any disk leave the same, and are one moment.
type collector struct {
	t       testing.TB
	p       *process
	dir     string
	moments map[[sha256.Size]byte]*moment
	order   []*moment
	points  int
}

// look is called while the cloud answers nobody.
func (c *collector) look() {
	c.points++
	records := c.p.journal.kept()
	sum := sha256.New()
	fmt.Fprintln(sum, len(records), digest(c.t, c.p.w.dir), digest(c.t, c.p.home.Dir()))
	key := [sha256.Size]byte(sum.Sum(nil))
	if m := c.moments[key]; m != nil {
		m.points++
		return
	}
	m := &moment{dir: filepath.Join(c.dir, fmt.Sprint(len(c.order))), home: c.p.home.Dir(), records: records, injected: c.p.injected.Load(), at: time.Now(), points: 1}
	copyFolder(c.t, c.p.w.dir, filepath.Join(m.dir, "cloud"))
	copyFolder(c.t, c.p.home.Dir(), filepath.Join(m.dir, "home"))
	c.moments[key] = m
	c.order = append(c.order, m)
}

// volatile are the files that say nothing: what probes saw.
func volatile(path string) bool { return strings.HasPrefix(filepath.Base(path), "samples-") }

// needless are the files of a state folder that another process makes anew: the space
// that is kept for the way back.
func needless(path string) bool { return filepath.Dir(path) == "room" }

func digest(t testing.TB, dir string) string {
	t.Helper()
	sum := sha256.New()
	walk(t, dir, func(path string, data []byte) {
		if !volatile(path) {
			fmt.Fprintf(sum, "%s %d %x\n", path, len(data), sha256.Sum256(data))
		}
	})
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	walk(t, from, func(path string, data []byte) {
		out := filepath.Join(to, path)
		if err := os.MkdirAll(filepath.Dir(out), 0o700); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(out, data, 0o600); err != nil {
			t.Error(err)
		}
	})
}

// walk reads all files of a folder. One that goes away meanwhile was not there.
func walk(t testing.TB, dir string, see func(path string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // gone meanwhile
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || needless(rel) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile
		}
		see(rel, data)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// folder is one in memory where there is such a place: worlds wait for their disks a
// great deal, and nobody pulls a plug here.
func folder(t testing.TB) string {
	t.Helper()
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp(memory, "firedrill-crash-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// watch makes a moment of every point of a process from now on.
func watch(t testing.TB, p *process, dir string) *collector {
	c := &collector{t: t, p: p, dir: dir, moments: map[[sha256.Size]byte]*moment{}}
	p.w.boundary = c.look
	p.journal.boundary = func() {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		c.look()
	}
	return c
}

// stop ends that.
func (c *collector) stop() []*moment {
	c.p.w.boundary, c.p.journal.boundary = nil, nil
	return c.order
}

// collect runs a scenario to its end and gives every moment of it.
func collect(t *testing.T, s scenario, dir string) (moments []*moment, points int, at start) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := openWorld(t, filepath.Join(dir, "cloud"))
		defer w.close()
		at = w.begin(s)
		p := open(t, w, filepath.Join(dir, "home"), &memory{}, "boot-1")
		program := p.program(t, s, at.point)
		c := watch(t, p, filepath.Join(dir, "moments"))
		records, err := p.runner.Run(context.Background(), program)
		if err != nil {
			t.Error(err)
		}
		moments, points = c.stop(), c.points
		if err := judge(s, records, w, at); err != nil {
			t.Error(err)
		}
		if end, _ := records[len(records)-1].Body.(firedrill.Finished); end.Verdict != firedrill.Passed && end.Verdict != firedrill.Recovered {
			t.Errorf("%+v", end)
		}
		if t.Failed() {
			story(t, records)
		}
	})
	return moments, points, at
}

// takeUp lets another process take up what a crash left. Where again names a folder
// it gives every moment of that, too.
func (m *moment) takeUp(t *testing.T, s scenario, at start, boot, again string) (moments []*moment) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(m.at.Add(20 * time.Second)))
		home := filepath.Join(m.dir, "home")
		w := openWorld(t, filepath.Join(m.dir, "cloud"))
		defer w.close()
		var kept []string
		for _, r := range m.records {
			kept = append(kept, strings.ReplaceAll(r, m.home, home))
		}
		p := open(t, w, home, &memory{records: kept}, boot)
		p.injected.Store(m.injected)
		_, left, err := p.runner.Unfinished(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 { // nothing was begun, or all was over
			if holds := w.holds(); holds != at.good && (len(kept) > 0 || holds != at.found) {
				t.Errorf("nothing says that a run was interrupted, and the world is not as it was:\n%s\nbut\n%s", at.found, holds)
			}
			return
		}
		var c *collector
		if again != "" {
			c = watch(t, p, again)
		}
		records, err := p.runner.Resume(context.Background(), runID)
		if err != nil {
			t.Fatal(err)
		}
		if c != nil {
			moments = c.stop()
		}
		if err := judge(s, records, w, at); err != nil {
			t.Error(err)
		}
		if end, _ := records[len(records)-1].Body.(firedrill.Finished); s.incident && end.Verdict != firedrill.Recovered {
			t.Errorf("%s: %v", end.Verdict, end.Reasons)
		}
		if n := p.injected.Load(); n > 1 {
			t.Errorf("the injection was called %d times", n)
		}
		if t.Failed() {
			story(t, records)
		}
	})
	return moments
}

const (
	// lanes is how many worlds are taken up side by side.
	lanes = 2
	// every is how many points of a resume lie between two at which it is stopped,
	// when everything is tried; the next resume begins with the next point.
	every = 4
)

// TestACrashAtEveryPointIsTakenUp stops each drill, and the recovery of an incident,
// before and after every append and every request, and takes up what that leaves: by
// the same boot of the machine and, of every second moment, by another. Then it stops
// the process that takes it up, too, and lets a third one finish: at two points of the
// resumes of three moments by chance, or of all of them at every fourth point. Drills
// on scratch copies are for `make soak`.
func TestACrashAtEveryPointIsTakenUp(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, s := range scenarios() {
		if !soak() && s.class == firedrill.ClassStaging {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			began, dir := time.Now(), folder(t)
			moments, points, at := collect(t, s, dir)
			t.Logf("%d points, %d moments, collected in %s", points, len(moments), time.Since(began))
			twice := rand.New(rand.NewPCG(seed, 0)).Perm(len(moments)) // not for secrets
			if !soak() {
				twice = twice[:3]
			}
			for lane := range lanes {
				t.Run(fmt.Sprint(lane), func(t *testing.T) {
					t.Parallel()
					for i := lane; i < len(moments); i += lanes {
						again := ""
						if slices.Contains(twice, i) {
							again = filepath.Join(dir, fmt.Sprint("again-", i))
						}
						t.Run(fmt.Sprint(i), func(t *testing.T) {
							resumed := moments[i].takeUp(t, s, at, fmt.Sprintf("boot-%d", 1+i/lanes%2), again)
							for _, j := range stops(resumed, i, seed) {
								t.Run(fmt.Sprint(j), func(t *testing.T) { resumed[j].takeUp(t, s, at, "boot-3", "") })
							}
						})
						_ = os.RemoveAll(moments[i].dir) // the rest goes with the test
						_ = os.RemoveAll(again)
					}
				})
			}
		})
	}
}

// stops are the points of a resume at which it is stopped.
func stops(resumed []*moment, of int, seed uint64) []int {
	var at []int
	if !soak() {
		at = rand.New(rand.NewPCG(seed, uint64(of))).Perm(len(resumed)) // not for secrets
		return at[:min(2, len(at))]
	}
	for j := of % every; j < len(resumed); j += every {
		at = append(at, j)
	}
	return at
}
