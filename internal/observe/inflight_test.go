package observe

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"firedrill"
)

// meter counts what is asked of one thing, and how much of it at once.
type meter struct {
	mu                sync.Mutex
	asked, now, most  int
	took              time.Duration // until it answers; 0: not before it is given up
	answered, refused int
}

func (m *meter) ask(ctx context.Context) error {
	m.mu.Lock()
	m.asked, m.now = m.asked+1, m.now+1
	m.most = max(m.most, m.now)
	m.mu.Unlock()
	var answer <-chan time.Time
	if m.took > 0 {
		t := time.NewTimer(m.took)
		defer t.Stop()
		answer = t.C
	}
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-answer:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now--
	if err != nil {
		m.refused++
	} else {
		m.answered++
	}
	return err
}

// Write implements [Numbered].
func (m *meter) Write(ctx context.Context, _ int64) error { return m.ask(ctx) }

// Survivors implements [Numbered].
func (m *meter) Survivors(context.Context, []int64, []int64) (map[int64]bool, error) {
	return map[int64]bool{}, nil
}

// String implements [Numbered].
func (m *meter) String() string { return "meter" }

// TestObserversDoNotDistort: each target and each store has one request in
// flight at most, and what stalls delays nobody else: the others are asked
// exactly as often as when nothing stalls.
func TestObserversDoNotDistort(t *testing.T) {
	t.Parallel()
	const every, lasts, patience = 50 * time.Millisecond, 5*time.Second - 10*time.Millisecond, 400 * time.Millisecond
	play := func(t *testing.T, stalls time.Duration) (targets, stores [3]*meter) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			cfg := WatchConfig{Name: "w", Every: every, Timeout: patience, Now: stamps()}
			var sentinels []*Sentinel
			var wait sync.WaitGroup
			for i := range targets {
				took := 3 * time.Millisecond
				if i == 1 {
					took = stalls
				}
				targets[i], stores[i] = &meter{took: took}, &meter{took: took}
				cfg.Targets = append(cfg.Targets, Target{Name: fmt.Sprint(i), Check: targets[i].ask})
				s, err := NewSentinel(SentinelConfig{Op: "test", Place: stores[i], File: filepath.Join(dir, fmt.Sprint(i)), Every: every, Now: cfg.Now})
				if err != nil {
					t.Fatal(err)
				}
				sentinels = append(sentinels, s)
			}
			ctx, end := context.WithTimeout(t.Context(), lasts)
			defer end()
			w := NewWatch(cfg)
			wait.Go(func() { w.Run(ctx, func(firedrill.Edge) {}) })
			for _, s := range sentinels {
				wait.Go(func() { s.Run(ctx, nil) })
			}
			wait.Wait()
			for _, s := range sentinels {
				s.Stop()
			}
		})
		return targets, stores
	}
	quiet, quietStores := play(t, 3*time.Millisecond)
	for _, stalls := range []time.Duration{0, 7 * every, time.Hour} {
		targets, stores := play(t, stalls)
		for i := range targets {
			if targets[i].most != 1 || stores[i].most != 1 {
				t.Errorf("%s: %d and %d requests at once", stalls, targets[i].most, stores[i].most)
			}
			if i != 1 && (targets[i].asked != quiet[i].asked || stores[i].asked != quietStores[i].asked) {
				t.Errorf("%s: asked %d and %d times, %d and %d when nothing stalls", stalls, targets[i].asked, stores[i].asked, quiet[i].asked, quietStores[i].asked)
			}
		}
		if targets[1].asked >= quiet[1].asked || targets[1].asked < int(lasts/(patience+every)) {
			t.Errorf("%s: what stalls was asked %d times", stalls, targets[1].asked)
		}
	}
	if quiet[0].asked != int(lasts/every)+1 {
		t.Errorf("asked %d times in %s, one every %s", quiet[0].asked, lasts, every)
	}
}
