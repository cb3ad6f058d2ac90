// Command kv measures a large KV namespace in the sandbox: a million keys of a
// hundred bytes are written in bulk, listed, read and deleted through the API
// of a sandbox in a process of its own. Printed are the times of each tenth,
// which must not grow with what is there already, and the process's memory.
// The exit status is 1 when the memory exceeds its bound or a key is missing.
//
//	go run ./bench/kv
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"firedrill/bench/peak"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	pairsPerCall = 10_000 // the platform's most
	keysPerGet   = 100    // likewise
	valueSize    = 100
	mostMemory   = 300 // MiB
)

func main() {
	keys := flag.Int("keys", 1_000_000, "keys")
	flag.Parse()
	if err := run(context.Background(), *keys); err != nil {
		fmt.Fprintln(os.Stderr, "bench/kv:", err)
		os.Exit(1)
	}
}

// cloud is the sandbox as a client sees it.
type cloud struct {
	api, token string
	pid        int
}

func run(ctx context.Context, keys int) (err error) {
	dir, err := os.MkdirTemp("", "fd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, stop, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var ns struct{ ID string }
	if err := c.call(ctx, "POST", "", map[string]string{"title": "bench"}, &ns); err != nil {
		return err
	}
	fmt.Printf("%d keys with values of %d bytes, sandbox in a process of its own, every call synced before it is answered\n\n", keys, valueSize)
	fmt.Printf("%-34s %9s   seconds for each tenth\n", "", "total s")
	order := rand.New(rand.NewPCG(1, 1)).Perm(keys) // not in the order of the keys, which would flatter a tree
	steps := []struct {
		name string
		one  func(from, to int) error
	}{
		{"bulk put, 10,000 pairs a call", func(from, to int) error { return c.put(ctx, ns.ID, order[from:to]) }},
		{"list, 1,000 keys a call", lister(ctx, c, ns.ID)},
		{"bulk get, 100 keys a call", func(from, to int) error { return c.get(ctx, ns.ID, order[from:to]) }},
		{"bulk delete, 10,000 keys a call", func(from, to int) error { return c.delete(ctx, ns.ID, order[from:to]) }},
	}
	for _, s := range steps {
		var tenths []string
		begin := time.Now()
		for i := range 10 {
			at := time.Now()
			if err := s.one(i*keys/10, (i+1)*keys/10); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			tenths = append(tenths, fmt.Sprintf("%.2f", time.Since(at).Seconds()))
		}
		fmt.Printf("%-34s %9.2f   %s\n", s.name, time.Since(begin).Seconds(), strings.Join(tenths, " "))
	}
	most, err := peak.MiB(c.pid)
	if err != nil {
		return err
	}
	fmt.Printf("\npeak memory of the sandbox: %.0f MiB (bound: %d MiB)\n", most, mostMemory)
	if most > mostMemory {
		return errors.New("the memory exceeds its bound")
	}
	return nil
}

// start builds the program and runs a sandbox with it.
func start(ctx context.Context, dir string) (c cloud, stop func() error, err error) {
	bin := filepath.Join(dir, "firedrill")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/firedrill")
	if out, err := build.CombinedOutput(); err != nil {
		return c, nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	state := filepath.Join(dir, "state")
	cmd := exec.CommandContext(ctx, bin, "sandbox", "up", "--listen", "127.0.0.1:0", "--front", "127.0.0.1:0", "--state", state)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return c, nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return c, nil, err
	}
	stop = func() error { return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()) }
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return c, nil, errors.Join(fmt.Errorf("the sandbox did not start: %w", err), stop())
	}
	var e struct{ API, Account, Token string }
	data, err := os.ReadFile(filepath.Join(state, "endpoint.json"))
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		return c, nil, errors.Join(err, stop())
	}
	return cloud{e.API + "/accounts/" + e.Account + "/storage/kv/namespaces", e.Token, cmd.Process.Pid}, stop, nil
}

// call sends a call below the namespaces and decodes the result.
func (c cloud) call(ctx context.Context, method, path string, body, into any) error {
	_, err := c.page(ctx, method, path, body, into)
	return err
}

// page is call for a list; it gives the next cursor.
func (c cloud) page(ctx context.Context, method, path string, body, into any) (cursor string, err error) {
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return "", err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.api+path, bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	var env struct {
		Success bool
		Result  json.RawMessage
		Info    struct{ Cursor string } `json:"result_info"`
	}
	if err := json.Unmarshal(answer, &env); err != nil {
		return "", err
	}
	if !env.Success {
		return "", fmt.Errorf("%s %s: %.300s", method, path, answer)
	}
	if into == nil {
		return env.Info.Cursor, nil
	}
	return env.Info.Cursor, json.Unmarshal(env.Result, into)
}

func key(i int) string { return fmt.Sprintf("key/%07d", i) }

func value(i int) string { return fmt.Sprintf("%0*d", valueSize, i) }

func (c cloud) put(ctx context.Context, ns string, numbers []int) error {
	for len(numbers) > 0 {
		n := min(pairsPerCall, len(numbers))
		pairs := make([]map[string]string, n)
		for i, k := range numbers[:n] {
			pairs[i] = map[string]string{"key": key(k), "value": value(k)}
		}
		if err := c.call(ctx, "PUT", "/"+ns+"/bulk", pairs, nil); err != nil {
			return err
		}
		numbers = numbers[n:]
	}
	return nil
}

// lister lists on from where it stopped, and checks that no key is missing.
func lister(ctx context.Context, c cloud, ns string) func(from, to int) error {
	cursor, next := "", 0
	return func(_, to int) error {
		for next < to {
			var keys []struct{ Name string }
			var err error
			if cursor, err = c.page(ctx, "GET", "/"+ns+"/keys?limit=1000&cursor="+url.QueryEscape(cursor), nil, &keys); err != nil {
				return err
			}
			for _, k := range keys {
				if k.Name != key(next) {
					return fmt.Errorf("%s follows, want %s", k.Name, key(next))
				}
				next++
			}
			if cursor == "" && next < to {
				return fmt.Errorf("the list ends after %d keys", next)
			}
		}
		return nil
	}
}

func (c cloud) get(ctx context.Context, ns string, numbers []int) error {
	for len(numbers) > 0 {
		n := min(keysPerGet, len(numbers))
		var names []string
		for _, k := range numbers[:n] {
			names = append(names, key(k))
		}
		var got struct{ Values map[string]string }
		if err := c.call(ctx, "POST", "/"+ns+"/bulk/get", map[string]any{"keys": names}, &got); err != nil {
			return err
		}
		for _, k := range numbers[:n] {
			if got.Values[key(k)] != value(k) {
				return fmt.Errorf("%s holds %q", key(k), got.Values[key(k)])
			}
		}
		numbers = numbers[n:]
	}
	return nil
}

func (c cloud) delete(ctx context.Context, ns string, numbers []int) error {
	for len(numbers) > 0 {
		n := min(pairsPerCall, len(numbers))
		var names []string
		for _, k := range numbers[:n] {
			names = append(names, key(k))
		}
		if err := c.call(ctx, "POST", "/"+ns+"/bulk/delete", names, nil); err != nil {
			return err
		}
		numbers = numbers[n:]
	}
	return nil
}
