//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is the CPU time of a side: that of workerd, and that of the rest (the
// sandbox itself; for wrangler node and esbuild).
type usage struct{ own, workerd time.Duration }

// tick is the unit of times in /proc, the same on all of Linux's platforms.
const tick = time.Second / 100

// usage adds up the CPU time of a process and of all below it; ok is false
// where there is no /proc to read it from.
func (s *side) usage() (u usage, ok bool) {
	tree := s.tree()
	for _, p := range tree {
		if strings.HasPrefix(p.name, "workerd") {
			u.workerd += p.cpu
		} else {
			u.own += p.cpu
		}
	}
	return u, len(tree) > 0
}

type process struct {
	pid, parent int
	name        string
	cpu         time.Duration
}

// tree lists a side's process and all below it.
func (s *side) tree() []process {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	children := map[int][]process{}
	var tree []process
	for _, f := range files {
		p, ok := readStat(f)
		switch {
		case !ok:
		case p.pid == s.cmd.Process.Pid:
			tree = append(tree, p)
		default:
			children[p.parent] = append(children[p.parent], p)
		}
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree
}

// readStat reads a process's line in /proc (proc_pid_stat(5)). A process may
// have ended meanwhile.
func readStat(file string) (process, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return process{}, false
	}
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	fields := strings.Fields(string(data[end+1:]))
	if len(fields) < 13 {
		return process{}, false
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // the kernel writes numbers
		return n
	}
	return process{pid: number(filepath.Base(filepath.Dir(file))), parent: number(fields[1]), name: string(data[open+1 : end]),
		cpu: time.Duration(number(fields[11])+number(fields[12])) * tick}, true
}
