// Package workerd finds, fetches and runs the real Workers runtime.
//
// Three subjects, one per file group:
//
//   - binary.go, fetch.go, pins.go: which workerd to run. A binary that the
//     user names, or that is found on PATH or in node_modules, is taken as it
//     is. A cached or fetched one must have the checksum that is pinned here.
//   - config.go: the configuration of one process, rendered as Cap'n Proto
//     text. It carries secrets, so it never becomes a file: the process reads
//     it from memory that is erased as soon as it is running.
//   - supervisor.go, process.go, spawn_*.go: starting and stopping. A process
//     counts as started when workerd itself reports that it listens; it dies
//     with its parent; it is always waited for.
//
// The package knows nothing of scripts, versions or deployments.
package workerd
