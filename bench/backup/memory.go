package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"firedrill/bench/peak"
	"firedrill/internal/cli"
)

// childFlag marks a process that runs the program's own command line, and then
// writes its peak memory into the file named by peakVariable. The sandbox is in
// the parent, so the memory is the program's alone.
const (
	childFlag    = "-child"
	peakVariable = "FIREDRILL_BENCH_PEAK"
)

func child(args []string) int {
	status := cli.Run(cli.Process{Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now, Version: "bench", Exit: os.Exit})
	if status != 0 {
		return status
	}
	most, err := peak.MiB(0)
	if err == nil {
		err = os.WriteFile(os.Getenv(peakVariable), fmt.Append(nil, most), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/backup:", err)
		return 1
	}
	return 0
}

// apart runs the program in a process of its own.
func (b *bench) apart(ctx context.Context, args ...string) (took time.Duration, peak float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	file := filepath.Join(b.dir, "peak")
	cmd := exec.CommandContext(ctx, self, append([]string{childFlag}, args...)...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), peakVariable+"="+file, "FIREDRILL_HOME="+filepath.Join(b.dir, "home"), "BENCH_TOKEN="+b.endpoint.Token)
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("firedrill %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	took = time.Since(began)
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscan(string(data), &peak)
	return took, peak, err
}

// plan writes a plan with some resources.
func (b *bench) plan(resources ...string) error {
	return os.WriteFile(filepath.Join(b.dir, "firedrill.yaml"), fmt.Appendf(nil, `version: 1
name: bench
environments:
  bench:
    class: ci
    cloudflare: {api: %q, account: %q, token: {env: BENCH_TOKEN}}
    resources:
      %s
`, b.endpoint.API, b.endpoint.Account, strings.Join(resources, "\n      ")), 0o600)
}

// memoryKV measures the peak memory of the program with many keys, and with large
// values.
func (b *bench) memoryKV(ctx context.Context) error {
	fmt.Printf("\n%-44s %10s %10s\n", "peak memory of the program alone", "seconds", "MiB")
	for _, load := range []struct {
		name       string
		keys, size int
		binary     bool
	}{
		{"many keys", b.o.memoryKeys, 100, false},
		{"large text", b.o.memoryKeys / 1000, 1 << 20, false},
		{"large bytes", b.o.memoryKeys / 20000, 20 << 20, true},
	} {
		source, err := b.namespace(ctx, "memory "+load.name)
		if err != nil {
			return err
		}
		if err := fill(ctx, source, load.keys, load.size, load.binary); err != nil {
			return err
		}
		target, err := b.namespace(ctx, "memory target "+load.name)
		if err != nil {
			return err
		}
		if err := b.plan("source: {kind: kv, id: "+source.ID+"}", "target: {kind: kv, id: "+target.ID+"}"); err != nil {
			return err
		}
		folder := filepath.Join(b.dir, "memory "+load.name)
		for _, c := range []struct {
			what string
			args []string
		}{
			{"backup", []string{"backup", "kv", "source", "-o", folder}},
			{"verify", []string{"backup", "verify", folder}},
			{"restore", []string{"restore", folder, "--into", "target"}},
		} {
			took, peak, err := b.apart(ctx, c.args...)
			if err != nil {
				return err
			}
			fmt.Printf("%-44s %10.2f %10.0f\n", fmt.Sprintf("%s: %d keys of %d bytes", c.what, load.keys, load.size), took.Seconds(), peak)
		}
		if err := errors.Join(b.deleteNamespace(ctx, source), b.deleteNamespace(ctx, target), os.RemoveAll(folder)); err != nil {
			return err
		}
	}
	return nil
}
