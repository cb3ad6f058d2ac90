// Command fingerprint measures what it costs to fingerprint a database through
// the API, and to find a few changed rows in it, all against one sandbox in one
// run:
//
//   - a bare client that reads every row in pages and drops the answers;
//   - the fingerprint of the whole database, as a drill takes it;
//   - the comparison with it when nothing and when three rows have changed;
//   - both at the level quick.
//
// Each runs in a process of its own, so that its peak memory is its alone. The
// exit status is 1 when something fails, and when the three rows are not exactly
// what is found.
//
//	go run ./bench/fingerprint
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"firedrill/internal/action/cloudflare"
	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == childFlag {
		if err := child(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench/fingerprint:", err)
			os.Exit(1)
		}
		return
	}
	rows := flag.Int("rows", 1_000_000, "rows of the database; 200 bytes each")
	flag.Parse()
	if err := run(context.Background(), *rows); err != nil {
		fmt.Fprintln(os.Stderr, "bench/fingerprint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rows int) (err error) {
	dir, err := os.MkdirTemp("", "fd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err := workerd.Locate(ctx, workerd.Locator{Progress: func(s string) { fmt.Fprintln(os.Stderr, s) }})
	if err != nil {
		return err
	}
	s, err := sandbox.Start(ctx, sandbox.Config{StateDir: filepath.Join(dir, "state"), Listen: "127.0.0.1:0", Front: "127.0.0.1:0", Workerd: bin.Path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	end := s.Endpoint()
	client, err := cloudflare.New(cloudflare.Config{API: end.API, Account: end.Account, Token: func(context.Context) (string, error) { return end.Token, nil }})
	if err != nil {
		return err
	}
	db, err := fill(ctx, client, rows)
	if err != nil {
		return err
	}
	size, err := onDisk(filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	fmt.Printf("%d rows, %.0f MB, one sandbox, %d processors\n\n%-44s %10s %10s %10s %8s\n", rows, float64(size)/1e6, runtime.NumCPU(), "", "seconds", "rows/s", "MiB", "factor")
	b := apart{dir: dir, endpoint: end, database: db.ID, rows: rows}
	return b.all(ctx, db)
}

// fill makes the database: one table whose rows have about 200 bytes, with two
// indexes, and a few small tables beside it.
func fill(ctx context.Context, client *cloudflare.Client, rows int) (*cloudflare.D1, error) {
	db, err := client.CreateD1(ctx, "bench", "fingerprint", nil)
	if err != nil {
		return nil, err
	}
	script := []string{
		"CREATE TABLE events(id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, email TEXT NOT NULL, kind TEXT, amount REAL, body TEXT, seen INTEGER, mark BLOB)",
		"CREATE TABLE tenants(id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID",
		"INSERT INTO tenants VALUES('a','one'),('b','two'),('c','three')",
	}
	const most = 50_000
	for from := 0; from < rows; from += most {
		script = append(script, fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i+1 FROM n WHERE i < %d)
			INSERT INTO events SELECT i, i %% 977, 'user' || (i %% 50021) || '@example.com', CASE i %% 3 WHEN 0 THEN 'created' WHEN 1 THEN NULL ELSE 'changed' END,
			i / 7.0, hex(randomblob(65)), i * 1000003, randomblob(8) FROM n`, from+1, min(from+most, rows)))
	}
	for _, s := range script {
		if err := db.Exec(ctx, s); err != nil {
			return nil, err
		}
	}
	return db, nil
}

// onDisk is the size of the largest file below a folder: the database.
func onDisk(dir string) (largest int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			largest = max(largest, info.Size())
		}
		return err
	})
	return largest, err
}
