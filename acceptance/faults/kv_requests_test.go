package faults

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/backup"
	"firedrill/internal/testkit/faultproxy"
)

// short is the patience of clients whose requests are made to stall. Where the
// machine is so slow that it ends others, too, a command fails and is repeated,
// which is what is tested.
const short = 250 * time.Millisecond

// everyFault is each kind of fault, and statuses that mean something of their own.
func everyFault() []faultproxy.Fault {
	var all []faultproxy.Fault
	for _, k := range faultproxy.Kinds() {
		if k != faultproxy.Pass {
			all = append(all, faultproxy.Fault{Kind: k})
		}
	}
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable} {
		all = append(all, faultproxy.Fault{Kind: faultproxy.Fail, Status: status}, faultproxy.Fault{Kind: faultproxy.FailLate, Status: status})
	}
	return all
}

// point is one fault at one request, or at it and all that follow.
type point struct {
	n     int
	fault faultproxy.Fault
	on    bool
}

func (p point) String() string {
	return fmt.Sprintf("request %d %s %d, from then on: %v", p.n, p.fault.Kind, p.fault.Status, p.on)
}

func (p point) script(n int, _ *http.Request) faultproxy.Fault {
	if n == p.n || n > p.n && p.on {
		return p.fault
	}
	return faultproxy.Fault{}
}

// points are all faults at all of so many requests, or a sample by a seed.
func points(t *testing.T, requests, sample int) []point {
	t.Helper()
	var all []point
	for n := 1; n <= requests; n++ {
		for _, f := range everyFault() {
			all = append(all, point{n, f, false}, point{n, f, true})
		}
	}
	seed := rand.Uint64()
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) // not for secrets
	total := len(all)
	if !soak() {
		all = all[:min(sample, total)]
	}
	t.Logf("%d of %d points at %d requests, seed %d", len(all), total, requests, seed)
	return all
}

// count lets all requests of a command pass and counts them.
func count(t *testing.T, p *faultproxy.Proxy, command func() error) int {
	t.Helper()
	before := p.Counts()[faultproxy.Pass]
	if err := command(); err != nil {
		t.Fatal(err)
	}
	return p.Counts()[faultproxy.Pass] - before
}

const lanes = 3 // of cases that run side by side

// TestEveryRequestOfABackupMayGoWrong does each fault to each request of a backup.
func TestEveryRequestOfABackupMayGoWrong(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("cache", want)
	proxy := faultproxy.Start(t, c.API)
	requests := count(t, proxy, func() error { return c.target(proxy.URL, id).backUp(t.Context(), backup.Folder(folder(t))) })
	all := points(t, requests, 12)
	t.Run("points", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				proxy := faultproxy.Start(t, c.API)
				root, ended, done := t.TempDir(), 0, 0
				for i := lane; i < len(all); i += lanes {
					p := all[i]
					place := backup.Folder(filepath.Join(root, fmt.Sprint(i)))
					through := c.target(proxy.URL, id)
					if p.fault.Kind == faultproxy.Stall {
						through.Patience = short
					}
					proxy.Use(p.script)
					err := through.backUp(t.Context(), place)
					proxy.Use(faultproxy.Always(faultproxy.Fault{}))
					if err != nil {
						ended++
						if firedrill.KindOf(err) == firedrill.KindUnclassified || firedrill.RemedyOf(err) == "" {
							t.Errorf("%s: %v of kind %s, remedy %q", p, err, firedrill.KindOf(err), firedrill.RemedyOf(err))
						}
						if err := halfWritten(t.Context(), place); err != nil {
							t.Fatalf("%s: %v", p, err)
						}
						if err := c.target(proxy.URL, id).backUp(t.Context(), place); err != nil {
							t.Fatalf("%s: the second attempt: %v", p, err)
						}
					} else {
						done++
					}
					if err := complete(t.Context(), place, want); err != nil {
						t.Fatalf("%s: %v", p, err)
					}
				}
				t.Logf("%d ended with an error and were repeated, %d were done at once", ended, done)
			})
		}
	})
	if d := differ(want, c.look(id)); d != "" {
		t.Errorf("a backup changed the namespace: %s", d)
	}
}

// TestEveryRequestOfARestoreMayGoWrong does each fault to each request of an exact
// restore over a damaged namespace with strangers.
func TestEveryRequestOfARestoreMayGoWrong(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	id := c.filled("source", want)
	place := backup.Folder(folder(t))
	if err := c.target(c.API, id).backUp(t.Context(), place); err != nil {
		t.Fatal(err)
	}
	proxy := faultproxy.Start(t, c.API)
	c.damage(id, want)
	requests := count(t, proxy, func() error {
		_, err := c.target(proxy.URL, id).restore(t.Context(), place, filepath.Join(t.TempDir(), "journal"))
		return err
	})
	all := points(t, requests, 12)
	for lane := range lanes {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			proxy, id := faultproxy.Start(t, c.API), c.filled(fmt.Sprint("lane ", lane), want)
			journal := filepath.Join(t.TempDir(), "journal")
			ended, once := 0, 0
			for i := lane; i < len(all); i += lanes {
				p := all[i]
				through := c.target(proxy.URL, id)
				if p.fault.Kind == faultproxy.Stall {
					through.Patience = short
				}
				c.damage(id, want)
				proxy.Use(p.script)
				done, err := through.restore(t.Context(), place, journal)
				proxy.Use(faultproxy.Always(faultproxy.Fault{}))
				if done {
					if d := differ(want, c.look(id)); d != "" {
						t.Fatalf("%s: said to be done (%v), and is not: %s", p, err, d)
					}
				}
				if err == nil {
					once++
					continue
				}
				ended++
				if firedrill.KindOf(err) == firedrill.KindUnclassified || firedrill.RemedyOf(err) == "" {
					t.Errorf("%s: %v of kind %s, remedy %q", p, err, firedrill.KindOf(err), firedrill.RemedyOf(err))
				}
				if _, err := c.target(proxy.URL, id).restore(t.Context(), place, journal); err != nil {
					t.Fatalf("%s: the second attempt: %v", p, err)
				}
				if d := differ(want, c.look(id)); d != "" {
					t.Fatalf("%s: after the second attempt: %s", p, d)
				}
			}
			t.Logf("%d ended with an error and were repeated, %d were done at once", ended, once)
		})
	}
}

// TestStormsOfFaults lets shares of all requests go wrong at once, by seeds: a
// command is given again until it ends.
func TestStormsOfFaults(t *testing.T) {
	t.Parallel()
	c, want := start(t), content()
	rounds := 6
	if soak() {
		rounds = 400
	}
	faults := everyFault()
	for i, f := range faults {
		if f.Kind == faultproxy.Stall {
			faults[i].Wait = 5 * time.Millisecond
		}
	}
	for lane := range lanes {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			id, proxy := c.filled(fmt.Sprint("lane ", lane), want), faultproxy.Start(t, c.API)
			root, repeated := t.TempDir(), 0
			for round := lane; round < rounds; round += lanes {
				share := []float64{0.01, 0.05, 0.2, 0.5}[round%4]
				proxy.UseRandom(rand.Uint64(), share, faults...)
				through := c.target(proxy.URL, id)
				place := backup.Folder(filepath.Join(root, fmt.Sprint(round)))
				again := func(command func() error, check func() error) {
					for n := 1; ; n++ {
						err := command()
						if err := check(); err != nil {
							t.Fatalf("round %d, share %g: %v", round, share, err)
						}
						if err == nil {
							return
						}
						if repeated++; n == 10 {
							proxy.Use(faultproxy.Always(faultproxy.Fault{})) // storms pass
						}
						if n > 11 {
							t.Fatalf("round %d: it does not end: %v", round, err)
						}
					}
				}
				ended := false
				again(func() error { err := through.backUp(t.Context(), place); ended = err == nil; return err }, func() error {
					if ended {
						return complete(t.Context(), place, want)
					}
					return halfWritten(t.Context(), place)
				})
				c.damage(id, want)
				done := false
				again(func() (err error) {
					done, err = through.restore(t.Context(), place, filepath.Join(root, "journal"))
					return err
				}, func() error {
					if d := differ(want, c.look(id)); done && d != "" {
						return fmt.Errorf("said to be done, and is not: %s", d)
					}
					return nil
				})
			}
			t.Logf("%d commands were repeated; %v", repeated, proxy.Counts())
		})
	}
}
