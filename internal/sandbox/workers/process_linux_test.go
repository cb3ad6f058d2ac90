package workers_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// children lists the living workerd processes that this test binary started.
func children(t testing.TB) []int { return childrenOf(t, os.Getpid()) }

func childrenOf(t testing.TB, parent int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		s := string(data)
		name := s[strings.IndexByte(s, '(')+1 : strings.LastIndexByte(s, ')')]
		rest := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
		if name == "workerd" && rest[0] != "Z" && rest[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(fmt.Errorf("%s: %w", path, err))
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// alive tells whether a process still runs; one that has ended but was not
// waited for does not.
func alive(t testing.TB, pid int) bool {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	s := string(data)
	state := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])[0]
	return state != "Z" && state != "X"
}
