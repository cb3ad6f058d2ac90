//go:build !linux

package runner

import "time"

// bootID: without a boot clock that processes share, times compare inside this
// process only; across processes the wall clock is used and the gap is marked.
func bootID() string { return processID() }

func sinceBoot() int64 { return time.Now().UnixNano() }
