package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"firedrill/internal/backup"
	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/api"
	"firedrill/internal/testkit/sandboxtest"
)

// paced is a sandbox with the platform's quota and a namespace in it, all on a
// clock of its own.
type paced struct {
	*sandboxtest.Cloud
	clock   *sandboxtest.Clock
	ns      string
	refused atomic.Int64 // calls of the client that met a 429
	waits   atomic.Int64
}

func newPaced(t *testing.T, keys int) *paced {
	t.Helper()
	p := &paced{clock: sandboxtest.NewClock()}
	p.Cloud = sandboxtest.Start(t, p.clock.Drive, func(c *sandbox.Config) { c.Quotas.Window = api.PlatformWindow })
	p.ns = p.KV("cache")
	for from := 0; from < keys; from += backup.MaxPairs {
		var pairs []map[string]any
		for i := from; i < min(from+backup.MaxPairs, keys); i++ {
			pairs = append(pairs, map[string]any{"key": fmt.Sprintf("key/%06d", i), "value": "v"})
		}
		p.Must("PUT", "storage/kv/namespaces/"+p.ns+"/bulk", pairs)
	}
	return p
}

// use makes calls as another client, until the API is shut, and tells how many
// were refused.
func (p *paced) use(calls int) (refused int) {
	for range calls {
		if r := p.Call("GET", "storage/kv/namespaces", "", nil); r.Status == http.StatusTooManyRequests {
			return 1
		}
	}
	return 0
}

// backup backs the namespace up with a share of the quota.
func (p *paced) backup(t *testing.T, pace float64) backup.Manifest {
	t.Helper()
	c, err := New(Config{API: p.API, Account: p.Account, Pace: pace, Now: p.clock.Now, Sleep: p.clock.Sleep,
		Token: func(context.Context) (string, error) { return p.Token(), nil },
		Trace: func(e Exchange) {
			if e.Status == http.StatusTooManyRequests {
				p.refused.Add(1)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	ns, err := c.KV(context.Background(), "test", p.ns, func(string) { p.waits.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	m, err := backup.WriteKV(context.Background(), ns, backup.Folder(filepath.Join(t.TempDir(), "backup")), backup.WriteOptions{Source: ns.Source(), Tool: "test", Now: p.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestABackupStaysBelowTheQuota backs up 20,000 keys twice beside another
// client, which together is more than the platform allows in a window, and never
// meets a refusal.
func TestABackupStaysBelowTheQuota(t *testing.T) {
	t.Parallel()
	const keys = 20_000
	p := newPaced(t, keys)
	began := p.clock.Now()
	if p.use(900) != 0 {
		t.Fatal("the other client was refused")
	}
	for range 2 { // each by a client of its own, whose burst comes anew
		if m := p.backup(t, 0.5); m.Keys != keys {
			t.Fatalf("%d keys", m.Keys)
		}
	}
	if n := p.refused.Load(); n != 0 {
		t.Errorf("%d calls were refused", n)
	}
	if took := p.clock.Now().Sub(began); took == 0 {
		t.Error("nothing waited: the quota was not counted")
	}
}

// TestABackupWaitsWhenOthersUseTheQuotaUp lets another client use up the quota
// before and during a backup: it waits, says so, and ends.
func TestABackupWaitsWhenOthersUseTheQuotaUp(t *testing.T) {
	t.Parallel()
	const keys = 20_000
	p := newPaced(t, keys)
	p.use(api.MaxCalls - 100)
	began := p.clock.Now()
	if m := p.backup(t, 1); m.Keys != keys {
		t.Fatalf("%d keys", m.Keys)
	}
	if n := p.refused.Load(); n != 0 {
		t.Errorf("nearly used up: %d calls were refused", n)
	}
	if p.waits.Load() == 0 || p.clock.Now().Sub(began) == 0 {
		t.Error("nearly used up: it did not wait")
	}
	if p.use(api.MaxCalls) == 0 {
		t.Fatal("the other client was never refused")
	}
	began = p.clock.Now()
	if m := p.backup(t, 1); m.Keys != keys {
		t.Fatalf("%d keys", m.Keys)
	}
	if p.refused.Load() == 0 || p.clock.Now().Sub(began) < 4*time.Minute {
		t.Errorf("shut by another client: %d refusals, %v", p.refused.Load(), p.clock.Now().Sub(began))
	}
}
