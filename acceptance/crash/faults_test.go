package crash

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"firedrill"
)

// faults are the ways in which a request goes wrong.
func faults() map[string]fault {
	plain := http.Header{"Content-Type": {"text/plain"}}
	all := map[string]fault{
		"refused": {refuse: true}, "took effect": {lose: true}, "times out": {stall: true}, "cut off": {cut: true},
		"429":     {status: 429, body: "slower\n", header: http.Header{"Retry-After": {"7"}}},
		"html":    {status: 200, body: "<!DOCTYPE html><title>Welcome</title>", header: http.Header{"Content-Type": {"text/html"}}},
		"nothing": {status: 200},
	}
	for _, status := range []int{500, 502, 503} {
		all[fmt.Sprint(status)] = fault{status: status, body: "a fault\n", header: plain}
	}
	return all
}

// through runs a drill in a new world while requests go wrong, and holds its end to
// the promise. It gives the number of requests, the end, and what was told meanwhile.
func through(t *testing.T, s scenario, bend func(w *world, p *process) func(n int, r *http.Request) fault) (requests int, end firedrill.Finished, rto *float64, notices []string) {
	t.Helper()
	dir := folder(t)
	synctest.Test(t, func(t *testing.T) {
		w := openWorld(t, filepath.Join(dir, "cloud"))
		defer w.close()
		at := w.begin(s)
		p := open(t, w, filepath.Join(dir, "home"), &memory{}, "boot-1")
		program := p.program(t, s, at.point)
		w.bend = bend(w, p)
		records, err := p.runner.Run(context.Background(), program)
		if err != nil {
			t.Error(err)
		}
		if err := judge(s, records, w, at); err != nil {
			t.Error(err)
		}
		if n := p.injected.Load(); n > 1 {
			t.Errorf("the injection was called %d times", n)
		}
		if t.Failed() {
			story(t, records)
		}
		if len(records) > 0 {
			end, _ = records[len(records)-1].Body.(firedrill.Finished)
			for _, r := range records {
				if m, is := r.Body.(firedrill.Measured); is {
					rto = m.Measurement.RTO.Actual
				}
			}
		}
		requests, notices = w.requests, p.notices
	})
	return requests, end, rto, notices
}

// TestAnOutageOfTenMinutesIsWaitedFor takes the API away the moment the damage is
// done: the recovery waits, says so, and goes on.
func TestAnOutageOfTenMinutesIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios() {
		for name, away := range map[string]fault{"refused": faults()["refused"], "503": faults()["503"]} {
			if s.incident || !soak() && (s.drill != "kv-backup-restore" || s.class != firedrill.ClassStaging || name != "refused") {
				continue // ten minutes of probes, or of numbered writes that are answered, are many, also on a virtual clock
			}
			t.Run(s.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				var since time.Time
				_, end, rto, notices := through(t, s, func(_ *world, p *process) func(int, *http.Request) fault {
					return func(int, *http.Request) fault {
						if since.IsZero() && p.injected.Load() > 0 && p.damaged(s) {
							since = time.Now()
						}
						if !since.IsZero() && time.Since(since) < 10*time.Minute {
							return away
						}
						return fault{}
					}
				})
				// It recovered when it could, and the time that it took is told.
				if end.Environment != firedrill.Restored || rto == nil || *rto < 600 {
					t.Errorf("%+v, RTO %v", end, rto)
				}
				if told := strings.Join(notices, "\n"); !strings.Contains(told, "waiting up to") || !strings.Contains(told, "it answers again after") {
					t.Errorf("told: %q", told)
				}
			})
		}
	}
}

// TestEveryRequestMayFail lets each request of each drill go wrong in one way after
// the other: all of them when everything is tried, else some by chance.
func TestEveryRequestMayFail(t *testing.T) {
	t.Parallel()
	const sample = 3
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, s := range scenarios() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			total, _, _, _ := through(t, s, func(*world, *process) func(int, *http.Request) fault { return nil })
			ways := faults()
			if !soak() {
				delete(ways, "times out") // ten minutes each, as above
			}
			names := slices.Sorted(maps.Keys(ways))
			points := rand.New(rand.NewPCG(seed, 0)).Perm(total * len(names)) // not for secrets
			if !soak() {
				points = points[:sample]
			}
			for _, point := range points {
				name, at := names[point%len(names)], 1+point/len(names)
				t.Run(fmt.Sprintf("%s at %d", name, at), func(t *testing.T) {
					through(t, s, func(*world, *process) func(int, *http.Request) fault {
						return func(n int, _ *http.Request) fault {
							if n == at {
								return ways[name]
							}
							return fault{}
						}
					})
				})
			}
		})
	}
}

// TestAFifthOfAllRequestsMayFail lets requests go wrong by chance.
func TestAFifthOfAllRequestsMayFail(t *testing.T) {
	t.Parallel()
	if !soak() {
		t.Skip("FIREDRILL_SOAK is not set; see TestEveryRequestMayFail")
	}
	const seeds = 50
	first := rand.Uint64()
	var all []fault
	for _, name := range []string{"refused", "took effect", "times out", "cut off", "429", "html", "nothing", "500", "502", "503"} {
		all = append(all, faults()[name])
	}
	for _, s := range scenarios() {
		for i := range seeds {
			seed := first + uint64(i)
			t.Run(fmt.Sprintf("%s %d", s, seed), func(t *testing.T) {
				t.Parallel()
				chance := rand.New(rand.NewPCG(seed, 0)) // not for secrets
				through(t, s, func(*world, *process) func(int, *http.Request) fault {
					return func(int, *http.Request) fault {
						if chance.Float64() < 0.2 {
							return all[chance.IntN(len(all))]
						}
						return fault{}
					}
				})
			})
		}
	}
}
