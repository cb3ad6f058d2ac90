package observe

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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
	w, edges := run(t, WatchConfig{Samples: &lines, Targets: []Target{{"a", func(context.Context) error {
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
		{"stalls", func(ctx context.Context) error {
			most.Store(max(most.Load(), inFlight.Add(1)))
			defer inFlight.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}},
		{"answers", func(context.Context) error { others.Add(1); return nil }},
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
	w, _ := run(t, WatchConfig{Targets: []Target{{"a", func(context.Context) error { return errors.New("broken") }}}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.Await(ctx, firedrill.Green, 0); firedrill.KindOf(err) != firedrill.KindTimeout || !strings.Contains(err.Error(), "a: broken") {
		t.Errorf("error %v", err)
	}
	good, _ := run(t, WatchConfig{Targets: []Target{{"a", func(context.Context) error { return nil }}}})
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
	w := NewWatch(WatchConfig{Name: "w", Now: stamps(), Targets: []Target{{"a", func(context.Context) error { t.Error("asked"); return nil }}}})
	w.Stop()
	w.Run(context.Background(), func(firedrill.Edge) {})
}
