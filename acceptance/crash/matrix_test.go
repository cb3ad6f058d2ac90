package crash

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
		data, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // gone meanwhile
		}
		rel, err := filepath.Rel(dir, path)
		see(rel, data)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// collect runs a drill to its end and gives every moment of it.
func collect(t *testing.T, s scenario) (moments []*moment, points int, before string) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := openWorld(t, filepath.Join(dir, "cloud"))
		defer w.close()
		w.fill()
		before = w.holds()
		p := start(t, w, filepath.Join(dir, "home"), &memory{}, s, "boot-1")
		c := &collector{t: t, p: p, dir: filepath.Join(dir, "moments"), moments: map[[sha256.Size]byte]*moment{}}
		w.boundary = c.look
		p.journal.boundary = func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			c.look()
		}
		records, err := p.runner.Run(context.Background(), p.program)
		if err != nil {
			t.Error(err)
		}
		w.boundary, p.journal.boundary = nil, nil
		if err := judge(s, records, w, before); err != nil {
			t.Error(err)
		}
		if end, _ := records[len(records)-1].Body.(firedrill.Finished); end.Verdict != firedrill.Passed {
			t.Errorf("%+v", end)
		}
		if t.Failed() {
			story(t, records)
		}
		moments, points = c.order, c.points
	})
	return moments, points, before
}

// takeUp lets another process take up what a crash left.
func (m *moment) takeUp(t *testing.T, s scenario, before, boot string) {
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
		p := start(t, w, home, &memory{records: kept}, s, boot)
		_, left, err := p.runner.Unfinished(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 { // nothing was begun, or all was over
			if after := w.holds(); after != before {
				t.Errorf("nothing says that a run was interrupted, and the world is not as before:\n%s\nbut\n%s", before, after)
			}
			return
		}
		records, err := p.runner.Resume(context.Background(), runID)
		if err != nil {
			t.Fatal(err)
		}
		if err := judge(s, records, w, before); err != nil {
			t.Error(err)
		}
		if n := m.injected + p.injected.Load(); n > 1 {
			t.Errorf("the injection was called %d times", n)
		}
		if t.Failed() {
			story(t, records)
		}
	})
}

// lanes is how many worlds are taken up side by side.
const lanes = 2

// TestACrashAtEveryPointIsTakenUp stops each drill before and after every append
// and every request, and takes up what that leaves: by the same boot of the machine
// and, of every second moment, by another. Drills on scratch copies
// are for `make soak`.
func TestACrashAtEveryPointIsTakenUp(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		if !soak() && s.class == firedrill.ClassStaging {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			moments, points, before := collect(t, s)
			t.Logf("%d points, %d moments, collected in %s", points, len(moments), time.Since(began))
			for lane := range lanes {
				t.Run(fmt.Sprint(lane), func(t *testing.T) {
					t.Parallel()
					for i := lane; i < len(moments); i += lanes {
						t.Run(fmt.Sprint(i), func(t *testing.T) {
							moments[i].takeUp(t, s, before, fmt.Sprintf("boot-%d", 1+i/lanes%2))
						})
						_ = os.RemoveAll(moments[i].dir) // the rest goes with the test
					}
				})
			}
		})
	}
}
