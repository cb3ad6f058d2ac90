// Command history measures what looking back costs when much ran: status, certify
// and history, with ten runs in the state folder and with ten thousand, and what
// each of them reads.
//
// The runs are made up, through the real journal: of three drills, on two
// environments, most of them passed. One drill has told nothing for a long time, so
// that what decides lies far back. Each command runs in a process of its own, and
// the best of several counts, for what is measured is the work and not the machine's
// other guests. The exit status is 1 when a command takes 200 ms or more.
//
//	go run ./bench/history
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/cli"
	"firedrill/internal/testkit/history"
)

// most is how long a command may take.
const most = 200 * time.Millisecond

// planText is a plan with three drills on staging.
const planText = `version: 1
name: bench
environments:
  staging:
    class: staging
    cloudflare: {account: 0123456789abcdef0123456789abcdef, token: {env: TOKEN}}
    resources:
      primary: {kind: d1, name: db}
      cache: {kind: kv, name: kv}
      gateway: {kind: worker, name: gw, url: "https://gw.example.com", probes: [{path: /health, json: {status: healthy}}]}
  local:
    class: sandbox
    cloudflare: {api: "http://127.0.0.1:8787/client/v4", account: f17ed411f17ed411f17ed411f17ed411, token: {env: TOKEN}}
    resources:
      primary: {kind: d1, name: db}
      cache: {kind: kv, name: kv}
      gateway: {kind: worker, name: gw, url: "http://gw.localhost:8788", probes: [{path: /health, json: {status: healthy}}]}
drills:
  d1-pitr: {on: staging, use: d1-pitr, with: {database: primary}, every: quarterly, rto: 15m, rpo: 30m}
  worker-rollback: {on: staging, use: worker-rollback, with: {worker: gateway}, every: monthly, rto: 5m}
  kv-restore: {on: staging, use: kv-backup-restore, with: {namespace: cache}, every: quarterly, rto: 30m}
`

func main() {
	// A child is the command line alone, and tells at its end what it read.
	if len(os.Args) > 1 && os.Args[1] == "child" {
		os.Exit(child(os.Args[2:]))
	}
	few, many, rounds := 10, 0, 0
	flag.IntVar(&many, "runs", 10_000, "runs of the long history")
	flag.IntVar(&rounds, "rounds", 7, "how often each command is run")
	flag.Parse()
	slow, err := bench(context.Background(), []int{few, many}, rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/history:", err)
		os.Exit(1)
	}
	if slow {
		os.Exit(1)
	}
}

func child(args []string) int {
	status := cli.Run(cli.Process{Args: args, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now, Version: "bench"})
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		fmt.Fprintln(os.Stderr, "what is read is measured on Linux only:", err)
		return 1
	}
	fmt.Print(string(data))
	return status
}

func bench(ctx context.Context, sizes []int, rounds int) (slow bool, err error) {
	dir, err := os.MkdirTemp("", "firedrill-bench-history-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder := filepath.Join(dir, "plan") // the state folders lie beside it, as they do
	if err := os.MkdirAll(filepath.Join(folder, "api"), 0o750); err != nil {
		return false, err
	}
	for name, text := range map[string]string{"firedrill.yaml": planText, "api/wrangler.toml": "name = \"api\"\n[env.staging]\nname = \"api-staging\"\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return false, err
		}
	}
	fmt.Printf("%-8s  %-20s  %9s  %9s  %12s  %8s\n", "runs", "command", "best ms", "CPU ms", "read bytes", "reads")
	for _, n := range sizes {
		home := filepath.Join(dir, fmt.Sprint(n))
		begun := time.Now()
		if err := makeUp(ctx, home, n); err != nil {
			return slow, err
		}
		size, err := sizeOf(home)
		if err != nil {
			return slow, err
		}
		fmt.Printf("%-8d  made in %.1f s, %.1f MB\n", n, time.Since(begun).Seconds(), float64(size)/1e6)
		// Only evidence that verifies counts; as many as one command seals will do.
		if _, err := measure(ctx, folder, home, "evidence verify", 1); err != nil {
			return slow, err
		}
		for _, command := range []string{"version", "status", "certify", "certify --controls", "history", "history kv-restore", "show latest"} {
			m, err := measure(ctx, folder, home, command, rounds)
			if err != nil {
				return slow, err
			}
			fmt.Printf("%-8d  %-20s  %9.1f  %9.1f  %12d  %8d\n", n, command, ms(m.best), ms(m.cpu), m.bytes, m.reads)
			slow = slow || m.best >= most
		}
	}
	return slow, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// makeUp fills a state folder. The newest run is an hour old, the others are an hour
// apart.
func makeUp(ctx context.Context, home string, n int) (err error) {
	h, err := history.Open(ctx, home, "firedrill.yaml", []byte(planText))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	now := time.Now()
	drills := []string{"d1-pitr", "worker-rollback", "kv-restore"}
	for i := range n {
		run := history.Run{Drill: drills[i%3], Environment: "staging", Started: now.Add(-time.Duration(n-i) * time.Hour), Verdict: firedrill.Passed}
		switch {
		case i%7 == 0:
			run.Environment = "local"
		case i%20 == 0:
			run.Verdict = firedrill.Failed
		case run.Drill == "kv-restore" && i > n/10:
			run.Verdict = firedrill.Inconclusive
		}
		if _, err := h.Add(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// measured is what a command cost.
type measured struct {
	best, cpu    time.Duration // the least of each
	bytes, reads int64
}

func measure(ctx context.Context, dir, home, command string, rounds int) (measured, error) {
	self, err := os.Executable()
	if err != nil {
		return measured{}, err
	}
	var m measured
	for range rounds {
		args := append([]string{"child"}, strings.Fields(command)...)
		c := exec.CommandContext(ctx, self, append(args, "--home", home)...)
		c.Dir, c.Stderr = dir, os.Stderr
		begun := time.Now()
		out, err := c.Output()
		took := time.Since(begun)
		if err != nil {
			return m, fmt.Errorf("%s: %w", command, err)
		}
		m.best, m.cpu = least(m.best, took), least(m.cpu, c.ProcessState.UserTime()+c.ProcessState.SystemTime())
		for line := range strings.Lines(string(out)) {
			_, _ = fmt.Sscanf(line, "rchar: %d", &m.bytes)
			_, _ = fmt.Sscanf(line, "syscr: %d", &m.reads)
		}
	}
	return m, nil
}

// least gives the smaller of two, of which 0 is none.
func least(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}
