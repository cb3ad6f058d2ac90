package observe

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"firedrill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func stamps() func() firedrill.Stamp {
	start := time.Now()
	return func() firedrill.Stamp {
		return firedrill.Stamp{Wall: time.Now(), Mono: int64(time.Since(start)) + 1, Boot: "test"}
	}
}

// run starts a watch and gives what it emitted.
func run(t *testing.T, cfg WatchConfig) (*Watch, func() []firedrill.Edge) {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = stamps()
	}
	cfg.Name, cfg.Every = "w", time.Millisecond
	w := NewWatch(cfg)
	var mu sync.Mutex
	var edges []firedrill.Edge
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(context.Background(), func(e firedrill.Edge) {
			mu.Lock()
			defer mu.Unlock()
			edges = append(edges, e)
		})
	}()
	t.Cleanup(func() { w.Stop(); w.Stop(); <-done })
	return w, func() []firedrill.Edge {
		mu.Lock()
		defer mu.Unlock()
		return append([]firedrill.Edge(nil), edges...)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestEdgesFollowTheTarget(t *testing.T) {
	t.Parallel()
	var bad atomic.Bool
	var lines bytes.Buffer
	w, edges := run(t, WatchConfig{Samples: &lines, Targets: []Target{{Name: "a", Check: func(context.Context) error {
		if bad.Load() {
			return errors.New("status 500")
		}
		return nil
	}}}})
	if _, err := w.Await(deadline(t), firedrill.Green, 0); err != nil {
		t.Fatal(err)
	}
	bad.Store(true)
	red, err := w.Await(deadline(t), firedrill.Red, 0)
	if err != nil || red.Detail != "status 500" || red.Target != "a" {
		t.Fatalf("%+v %v", red, err)
	}
	bad.Store(false)
	green, err := w.Await(deadline(t), firedrill.Green, 5*time.Millisecond)
	if err != nil || !green.At.After(red.At) {
		t.Fatalf("%+v %v", green, err)
	}
	w.Stop()
	var seen []string
	for _, e := range edges() {
		seen = append(seen, string(e.State))
	}
	if strings.Join(seen, " ") != "green red green" {
		t.Errorf("edges %v", seen)
	}
	if o := w.Observation(); o.Probes < 3 || o.Failed < 1 || o.Failed >= o.Probes || int64(bytes.Count(lines.Bytes(), []byte("\n"))) != o.Probes {
		t.Errorf("observation %+v, %d lines", o, bytes.Count(lines.Bytes(), []byte("\n")))
	}
}

func TestAStalledTargetIsRedAndDelaysNobody(t *testing.T) {
	t.Parallel()
	var inFlight, most, others atomic.Int64
	w, _ := run(t, WatchConfig{Timeout: 60 * time.Millisecond, Targets: []Target{
		{Name: "stalls", Check: func(ctx context.Context) error {
			most.Store(max(most.Load(), inFlight.Add(1)))
			defer inFlight.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}},
		{Name: "answers", Check: func(context.Context) error { others.Add(1); return nil }},
	}})
	red, err := w.Await(deadline(t), firedrill.Red, 0)
	if err != nil || red.Target != "stalls" || !strings.Contains(red.Detail, "no answer in") {
		t.Fatalf("%+v %v", red, err)
	}
	if most.Load() != 1 || others.Load() < 3 {
		t.Errorf("%d requests in flight at once, %d answers of the other target", most.Load(), others.Load())
	}
}

func TestAwaitSaysWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	w, _ := run(t, WatchConfig{Targets: []Target{{Name: "a", Check: func(context.Context) error { return errors.New("broken") }}}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.Await(ctx, firedrill.Green, 0); firedrill.KindOf(err) != firedrill.KindTimeout || !strings.Contains(err.Error(), "a: broken") {
		t.Errorf("error %v", err)
	}
	good, _ := run(t, WatchConfig{Targets: []Target{{Name: "a", Check: func(context.Context) error { return nil }}}})
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := good.Await(ctx, firedrill.Red, 0); firedrill.KindOf(err) != firedrill.KindTimeout {
		t.Errorf("error %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	if _, err := good.Await(ctx, firedrill.Red, 0); firedrill.KindOf(err) != firedrill.KindInterrupted {
		t.Errorf("error %v", err)
	}
}

func TestStopBeforeRun(t *testing.T) {
	t.Parallel()
	w := NewWatch(WatchConfig{Name: "w", Now: stamps(), Targets: []Target{{Name: "a", Check: func(context.Context) error { t.Error("asked"); return nil }}}})
	w.Stop()
	w.Run(context.Background(), func(firedrill.Edge) {})
}

// TestSlowIsNotDown: slow answers are counted and keep the target green; the
// latency is that of the good answers, and one that stalls others counts for them.
func TestSlowIsNotDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		cfg := WatchConfig{Name: "w", Every: 50 * time.Millisecond, Timeout: time.Second, Now: stamps(), Targets: []Target{{Name: "a", Service: "app", Slow: 20 * time.Millisecond, Check: func(ctx context.Context) error {
			n++
			switch n {
			case 10:
				time.Sleep(400 * time.Millisecond)
			case 20:
				return errors.New("down")
			case 21:
				return errors.New("still down")
			default:
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		}}}}
		w := NewWatch(cfg)
		var edges []firedrill.Edge
		go w.Run(t.Context(), func(e firedrill.Edge) { edges = append(edges, e) })
		time.Sleep(2 * time.Second)
		w.Stop()
		if len(edges) != 3 || edges[1].Detail != "down" || edges[2].Last == nil || edges[2].Last.Detail != "still down" || edges[2].Service != "app" {
			t.Errorf("edges %+v", edges)
		}
		seen := w.Observation().Targets[0]
		l := seen.Latency
		if seen.Slow != 1 || seen.SlowOverMS != 20 || seen.Failed != 2 || seen.Last.Detail != "still down" {
			t.Errorf("%+v", seen)
		}
		if l == nil || l.P50 < 4.9 || l.P50 > 5.1 || l.Max < 399 || l.Max > 401 || l.P95 < 200 {
			t.Errorf("latency %+v", l)
		}
	})
}

// TestACachedAnswerSaysNothing: neither that the service is bad nor that it is
// good again.
func TestACachedAnswerSaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answer atomic.Value // of [1]error
		answer.Store([1]error{})
		w := NewWatch(WatchConfig{Name: "w", Every: 10 * time.Millisecond, Now: stamps(), Targets: []Target{{Name: "a", Check: func(context.Context) error { return answer.Load().([1]error)[0] }}}})
		edges := 0
		go w.Run(t.Context(), func(firedrill.Edge) { edges++ })
		for _, c := range []struct {
			answer error
			colour firedrill.Colour
			edges  int
		}{{nil, firedrill.Green, 1}, {Cached{time.Minute}, firedrill.Green, 1}, {errors.New("bad"), firedrill.Red, 2}, {Cached{time.Minute}, firedrill.Red, 2}, {nil, firedrill.Green, 3}} {
			answer.Store([1]error{c.answer})
			time.Sleep(95 * time.Millisecond)
			synctest.Wait()
			if got := w.Colours()["a"]; got != c.colour || edges != c.edges {
				t.Errorf("%v: %s after %d edges, want %s after %d", c.answer, got, edges, c.colour, c.edges)
			}
		}
		w.Stop()
		if seen := w.Observation().Targets[0]; seen.Cached < 15 || seen.Probes < 45 || seen.Failed > 11 {
			t.Errorf("%+v", seen)
		}
	})
}
