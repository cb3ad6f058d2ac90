package cloudflare

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// canaryToken must never be seen in an error, a trace or a file.
const canaryToken = "cfut_canary-7f3a9"

// bench is a pack with everything that its actions need.
type bench struct {
	t       *testing.T
	actions map[string]firedrill.Action
	pack    action.Pack
	call    firedrill.Call

	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func newBench(t *testing.T, api string) *bench {
	t.Helper()
	b := &bench{t: t, actions: map[string]firedrill.Action{}, now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}
	pack := Pack(Deps{
		Secrets: action.Secrets{LookupEnv: func(string) (string, bool) { return canaryToken, true }},
		Now:     b.time,
		Sleep: func(ctx context.Context, d time.Duration) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.slept = append(b.slept, d)
			b.now = b.now.Add(d)
			return ctx.Err()
		},
		Restores: FileRestores{Path: t.TempDir() + "/state/restores"},
	})
	b.pack = pack
	if _, err := action.NewRegistry(pack); err != nil {
		t.Fatal(err)
	}
	for _, a := range pack.Actions {
		b.actions[a.Spec().Name] = a
	}
	b.call = firedrill.Call{Run: "run-1", Op: "op-1", Attempt: 1, Dir: t.TempDir(), Progress: func(firedrill.Progress) {},
		Now: func() firedrill.Stamp {
			now := b.time()
			return firedrill.Stamp{Wall: now, Mono: now.UnixNano(), Boot: "boot"}
		},
		Environment: firedrill.Environment{Name: "test", Class: firedrill.ClassCI, Settings: firedrill.Values{
			"api": api, "account": testAccount, "token": map[string]any{"env": "TOKEN"}}}}
	return b
}

func (b *bench) time() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(time.Millisecond)
	return b.now
}

// try performs an action.
func (b *bench) try(step, name string, in firedrill.Values) (firedrill.Outcome, error) {
	b.t.Helper()
	a := b.actions[name]
	if a == nil {
		b.t.Fatalf("action %s does not exist", name)
	}
	call := b.call
	call.Step, call.Inputs = step, in
	out, err := a.Do(context.Background(), call)
	if err != nil && strings.Contains(fmt.Sprintf("%+v %s", err, firedrill.RemedyOf(err)), canaryToken) {
		b.t.Errorf("%s: the error holds the token", name)
	}
	return out, err
}

// do performs an action that must succeed.
func (b *bench) do(step, name string, in firedrill.Values) firedrill.Outcome {
	b.t.Helper()
	out, err := b.try(step, name, in)
	if err != nil {
		b.t.Fatalf("%s: %v (%s)", name, err, firedrill.RemedyOf(err))
	}
	return out
}

// fails performs an action that must fail in a certain way.
func (b *bench) fails(kind firedrill.Kind, name string, in firedrill.Values) error {
	b.t.Helper()
	out, err := b.try("fails", name, in)
	if firedrill.KindOf(err) != kind {
		b.t.Fatalf("%s: got %+v and error %v of kind %q, want kind %q", name, out, err, firedrill.KindOf(err), kind)
	}
	return err
}

// ok tells whether an outcome has checks and all of them hold.
func ok(o firedrill.Outcome) bool {
	for _, c := range o.Checks {
		if !c.OK {
			return false
		}
	}
	return len(o.Checks) > 0
}
