package front

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Over many draws each version gets its share, whatever the shares are.
func TestPickFollowsTheShares(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := float64(rapid.IntRange(0, 1000).Draw(t, "a")) / 10
		s := Split{Script: "w", Shares: []Share{{"a", a}, {"b", 100 - a}}}
		src := rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
		random := func(p []byte) { _, _ = src.Read(p) }
		const n = 4000
		got := 0
		for range n {
			if s.pick("", "", random) == "a" {
				got++
			}
		}
		// Six standard deviations.
		p := a / 100
		if d := float64(got) - n*p; d*d > 36*n*p*(1-p)+1e-9 {
			t.Fatalf("%d of %d at %v %%", got, n, a)
		}
		if s.pick("b", "", random) != "b" || s.pick("a", "key", random) != "a" {
			t.Fatal("an override was not followed")
		}
		if s.pick("unknown", "k", random) != s.pick("", "k", random) {
			t.Fatal("an override that is not deployed changed the choice")
		}
	})
}

// Keys that look alike spread over the versions.
func TestAffinityKeysSpread(t *testing.T) {
	t.Parallel()
	s := Split{Script: "w", Shares: []Share{{"a", 30}, {"b", 70}}}
	got := 0
	for i := range 2000 {
		if s.pick("", fmt.Sprintf("user-%d", i), nil) == "a" {
			got++
		}
	}
	if got < 500 || got > 700 {
		t.Errorf("%d of 2000 keys chose a version at 30 %%", got)
	}
}

func TestOverridesAreRead(t *testing.T) {
	t.Parallel()
	got := parseOverrides(`gateway="id-1", shop="id-2",broken, x=y`)
	if got["gateway"] != "id-1" || got["shop"] != "id-2" || got["x"] != "y" || len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func TestHostsLeadToWorkers(t *testing.T) {
	t.Parallel()
	p := &Proxy{opt: Options{Domain: "sandbox.workers.dev"}}
	for host, want := range map[string]string{
		"a.sandbox.workers.dev": "a true", "A.Sandbox.Workers.Dev.:80": "a true", "a.localhost:8788": "a false", "a.localhost": "a false",
		"localhost": " false", "127.0.0.1:8788": " false", "a.b.localhost": " false", "a.b.sandbox.workers.dev": " false", "evil.workers.dev": " false", "": " false", ".localhost": " false",
	} {
		name, dev := p.scriptOf(host)
		if got := fmt.Sprint(name, " ", dev); got != want {
			t.Errorf("%q leads to %q, want %q", host, got, want)
		}
	}
}

// Retire tells when the last reference is gone, and not before; and no
// reference is given out after it.
func TestRetireCountsReferences(t *testing.T) {
	t.Parallel()
	for range 200 {
		u := NewUpstream()
		u.Up(nil)
		var wg sync.WaitGroup
		hold := make(chan struct{})
		for range 8 {
			wg.Go(func() {
				if _, err := u.acquire(context.Background(), time.Second); err != nil {
					if !errors.Is(err, errRetired) {
						t.Error(err)
					}
					return
				}
				<-hold
				u.release(false)
			})
		}
		for u.InFlight() == 0 {
			time.Sleep(time.Microsecond)
		}
		idle := u.Retire()
		select {
		case <-idle:
			t.Fatal("idle with a reference held")
		default:
		}
		close(hold)
		wg.Wait()
		<-idle
		if _, err := u.acquire(context.Background(), time.Second); !errors.Is(err, errRetired) {
			t.Fatalf("after Retire: %v", err)
		}
		u.Close()
	}
}

func TestADownProcessIsWaitedFor(t *testing.T) {
	t.Parallel()
	u := NewUpstream()
	if _, err := u.acquire(context.Background(), time.Millisecond); !errors.Is(err, errDown) {
		t.Errorf("a process that never comes: %v", err)
	}
	go u.Up(map[string]string{"w": "/nowhere"})
	if _, err := u.acquire(context.Background(), time.Minute); err != nil {
		t.Errorf("a process that comes: %v", err)
	}
	u.Down()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := u.acquire(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that leaves: %v", err)
	}
}

// TestAWaitForACrashedProcessEndsAlthoughItWasParked lets a process crash under
// a request, and be parked and replaced before it came back.
func TestAWaitForACrashedProcessEndsAlthoughItWasParked(t *testing.T) {
	t.Parallel()
	u := NewUpstream()
	u.Up(map[string]string{"w": "/nonexistent"})
	at, err := u.acquire(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	u.Down()
	u.Park()
	done := make(chan error, 1)
	go func() {
		_, err := u.renewed(t.Context(), time.Millisecond, at)
		done <- err
	}()
	u.Retire()
	u.Close()
	if err := <-done; !errors.Is(err, errDown) {
		t.Errorf("the wait ends with %v", err)
	}
}
