//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// syncLine says what each side brings to the disk before it answers a write.
type syncLine struct {
	Row      string         `json:"row"`
	Title    string         `json:"-"`
	Writes   int            `json:"writes"`
	Sandbox  map[string]int `json:"sandbox_syncs"` // by kind of file
	Wrangler map[string]int `json:"wrangler_syncs"`
	// Unknown is why nothing was counted.
	Unknown string `json:"unknown,omitempty"`
}

// watched is how many writes are watched, one after another.
const watched = 20

// syncs counts with strace the calls that sync a file, while writes are made
// one after another.
func syncs(ctx context.Context, r row, sides []*side, dir string) syncLine {
	l := syncLine{Row: r.Name, Title: r.Title, Writes: watched}
	for i, into := range []*map[string]int{&l.Sandbox, &l.Wrangler} {
		counted, err := sides[i].syncs(ctx, r, filepath.Join(dir, "strace"))
		if err != nil {
			l.Unknown = err.Error()
		}
		*into = counted
	}
	return l
}

func (s *side) syncs(ctx context.Context, r row, log string) (_ map[string]int, err error) {
	args := []string{"-f", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o", log}
	processes := 0
	for _, p := range s.tree() {
		args = append(args, "-p", strconv.Itoa(p.pid))
		processes++
	}
	cmd := exec.CommandContext(ctx, "strace", args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// It says for each process that it is attached; only then it sees all.
	attached, said := 0, ""
	in := bufio.NewScanner(stderr)
	for attached < processes && in.Scan() {
		said = in.Text()
		if strings.Contains(said, " attached") {
			attached++
		}
	}
	if attached == processes {
		for i := range watched {
			err = errors.Join(err, s.await(ctx, r.path(i), r.want(i)))
		}
	} else {
		err = fmt.Errorf("strace: %s", said)
	}
	err = errors.Join(err, ignore(cmd.Process.Signal(syscall.SIGINT), os.ErrProcessDone))
	_, copyErr := io.Copy(io.Discard, stderr)
	err = errors.Join(err, copyErr)
	_ = cmd.Wait() // it ends by the signal
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	return countSyncs(string(data)), nil
}

func ignore(err, known error) error {
	if errors.Is(err, known) {
		return nil
	}
	return err
}

// call is a line of strace that begins a call. One that is interrupted has a
// second line, "resumed", which does not count.
var call = regexp.MustCompile(`(?m)^\d+ +(?:fsync|fdatasync|sync_file_range|msync)\((?:\d+<([^>]*)>)?`)

// countSyncs counts calls by the kind of file: its suffix, or its name.
func countSyncs(log string) map[string]int {
	n := map[string]int{}
	for _, m := range call.FindAllStringSubmatch(log, -1) {
		kind := filepath.Ext(m[1])
		if kind == "" {
			kind = filepath.Base(m[1])
		}
		n[kind]++
	}
	return n
}

// durable tells whether at least one file was synced for each write.
func (l syncLine) durable(n map[string]int) bool {
	sum := 0
	for _, v := range n {
		sum += v
	}
	return sum >= l.Writes
}

func printSyncs(out io.Writer, lines []syncLine) {
	fmt.Fprintf(out, "\nDurability: syncs during %d writes, one after another, by kind of file (counted with strace):\n", watched)
	show := func(l syncLine, n map[string]int) string {
		var parts []string
		for _, kind := range slices.Sorted(maps.Keys(n)) {
			parts = append(parts, fmt.Sprintf("%d %s", n[kind], kind))
		}
		if !l.durable(n) {
			parts = append(parts, "NOT one for each write")
		}
		return strings.Join(parts, ", ")
	}
	for _, l := range lines {
		if l.Unknown != "" {
			fmt.Fprintf(out, "  %-10s unknown, not counted: %s\n", l.Title, l.Unknown)
			continue
		}
		fmt.Fprintf(out, "  %-10s sandbox: %s; wrangler dev: %s\n", l.Title, show(l, l.Sandbox), show(l, l.Wrangler))
	}
	fmt.Fprintln(out, "Wrangler dev keeps each value of KV in a file of its own (kv/NAMESPACE/blobs), which is not synced: only its index is.\n"+
		"The sandbox keeps the value in the database whose log it syncs. D1 is SQLite with a write-ahead log on both sides.")
}
