package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/http"
	"firedrill/internal/runner"
)

// costEvery is the time between two samples while their cost is measured.
const costEvery = 5 * time.Millisecond

// costs prints the processor time of this process for each sample. The
// application's is not in it: it is a process of its own.
func costs(ctx context.Context, a *app, dir string, opt options) error {
	registry, err := action.NewRegistry(http.Pack(http.Deps{}))
	if err != nil {
		return err
	}
	c := &calls{registry: registry, dir: dir, now: runner.Clock(), running: map[string]firedrill.Observer{},
		env: firedrill.Environment{Resources: map[string]firedrill.Resource{"app": {Attrs: firedrill.Values{"url": a.url}}}}}
	routes := firedrill.Values{"url": a.url, "routes": map[string]any{"write": map[string]any{"path": "/canaries/{n}"},
		"read": map[string]any{"path": "/canaries"}, "remove": map[string]any{"path": "/canaries"}, "every": costEvery.String()}}
	fmt.Printf("\nprocessor time of a sample, %s each at one every %s\n", opt.look, costEvery)
	for _, m := range []struct {
		what, start, stop string
		in                firedrill.Values
		sent              string // output that counts the samples
	}{
		{"probe", "http.watch", "http.unwatch", firedrill.Values{"probes": []any{map[string]any{"url": a.url + "/page", "json": map[string]any{"ok": true}}}, "every_ms": costEvery.Milliseconds()}, "probes"},
		{"sentinel", "http.sentinel", "http.sentinel-stop", routes, "acknowledged"},
	} {
		started, err := c.do(ctx, m.start, m.in)
		if err != nil {
			return err
		}
		before := used()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(opt.look):
		}
		spent := used() - before
		in := firedrill.Values{"watch": started.Outputs["watch"]}
		if m.what == "sentinel" {
			in = firedrill.Values{"url": routes["url"], "routes": routes["routes"], "sentinel": started.Outputs["observer"]}
		}
		ended, err := c.do(ctx, m.stop, in)
		if err != nil {
			return err
		}
		c.wait.Wait()
		n, _ := ended.Outputs[m.sent].(int64)
		fmt.Printf("%-9s %6d samples  %8s each\n", m.what, n, (spent / time.Duration(max(n, 1))).Round(time.Microsecond))
	}
	return a.call(ctx, "DELETE", "/canaries", nil)
}

// used is the processor time that this process used so far.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail for oneself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// calls performs actions outside a run.
type calls struct {
	registry *action.Registry
	dir      string
	now      func() firedrill.Stamp
	env      firedrill.Environment

	mu      sync.Mutex
	running map[string]firedrill.Observer
	wait    sync.WaitGroup
}

func (c *calls) do(ctx context.Context, name string, in firedrill.Values) (firedrill.Outcome, error) {
	a, ok := c.registry.Lookup(name)
	if !ok {
		return firedrill.Outcome{}, fmt.Errorf("no action %s", name)
	}
	return a.Do(ctx, firedrill.Call{Run: "costs", Step: name, Attempt: 1, Inputs: in, Dir: c.dir, Environment: c.env, Observers: c, Now: c.now, Progress: func(firedrill.Progress) {}})
}

// Start implements [firedrill.Observers].
func (c *calls) Start(name string, o firedrill.Observer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[name] = o
	c.wait.Go(func() { o.Run(context.Background(), func(firedrill.Edge) {}) })
	return nil
}

// Get implements [firedrill.Observers].
func (c *calls) Get(name string) (firedrill.Observer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.running[name]
	return o, ok
}
