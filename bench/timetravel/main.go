// Command timetravel measures what Time Travel costs on this machine, side by
// side in one run: rewinding a database of about 500 MB with about 2,000
// damaged pages in place, a copy of the whole file, a Litestream restore of the
// same state, and a bare fsync; then what capturing adds to a commit.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	_ "modernc.org/sqlite" // for the plain database beside ours

	"firedrill/internal/sandbox/d1"
)

func main() {
	megabytes := flag.Int("mb", 500, "size of the database")
	pages := flag.Int("pages", 2000, "pages to damage, about")
	flag.Parse()
	if err := run(context.Background(), *megabytes, *pages); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, megabytes, pages int) (err error) {
	dir, err := os.MkdirTemp("", "firedrill-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := d1.Open(ctx, d1.Options{Dir: filepath.Join(dir, "d1"), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	d, err := s.Create(ctx, d1.Database{Name: "bench"})
	if err != nil {
		return err
	}
	exec := func(text string) error {
		_, _, err := s.Query(ctx, d.ID, []d1.Statement{{SQL: text}})
		return err
	}
	rows := megabytes * 1000 // of about a kilobyte
	if err := exec("CREATE TABLE t(n INTEGER PRIMARY KEY, v TEXT)"); err != nil {
		return err
	}
	const batch = 10000
	for from := 0; from < rows; from += batch {
		fmt.Fprintf(os.Stderr, "\rfilling %d of %d MB", from/1000, megabytes)
		if err := exec(fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO t SELECT i, hex(randomblob(490)) FROM n", from+1, from+batch)); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr)
	good, err := s.Bookmark(ctx, d.ID)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil { // everything into the main file
		return err
	}
	file := filepath.Join(dir, "d1", d.ID, "db.sqlite")
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	copied, err := timed(func() error { return copyFile(file, filepath.Join(dir, "copy.sqlite")) })
	if err != nil {
		return err
	}
	litestream, note := litestreamRestore(ctx, dir, filepath.Join(dir, "copy.sqlite"))
	if s, err = d1.Open(ctx, d1.Options{Dir: filepath.Join(dir, "d1"), Now: time.Now, Log: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	step := rows / pages
	if err := exec(fmt.Sprintf("UPDATE t SET v = 'damaged' || substr(v, 8) WHERE n %% %d = 0", step)); err != nil {
		return err
	}
	if err := exec("CREATE INDEX damage ON t(n) WHERE n < 1000"); err != nil {
		return err
	}
	if _, err := s.Get(ctx, d.ID); err != nil { // opened and warm
		return err
	}
	rewound, err := timed(func() error { _, _, err := s.Restore(ctx, d.ID, good); return err })
	if err != nil {
		return err
	}
	res, _, err := s.Query(ctx, d.ID, []d1.Statement{{SQL: "SELECT count(*) FROM t WHERE v LIKE 'damaged%'"}})
	if err != nil {
		return err
	}
	if res[0].Rows[0][0] != int64(0) {
		return fmt.Errorf("%v rows are still damaged: the measurement means nothing", res[0].Rows[0][0])
	}
	bare, err := bareSync(filepath.Join(dir, "sync"), 200)
	if err != nil {
		return err
	}
	fmt.Printf("back to the state before, %d MB database, about %d damaged pages\n", info.Size()>>20, pages)
	fmt.Printf("  rewind in place          %8.3f s\n", rewound.Seconds())
	fmt.Printf("  copy of the whole file   %8.3f s   (%.1f times)\n", copied.Seconds(), copied.Seconds()/rewound.Seconds())
	if litestream > 0 {
		fmt.Printf("  litestream restore       %8.3f s   (%.1f times)\n", litestream.Seconds(), litestream.Seconds()/rewound.Seconds())
	} else {
		fmt.Printf("  litestream restore       not measured: %s\n", note)
	}
	fmt.Printf("  a bare append and fsync  %8.3f ms\n", float64(bare.Microseconds())/1000)
	return errors.Join(commits(ctx, s, d.ID, dir, bare), s.Close())
}

func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close(), in.Close())
}

// bareSync is the median of an append of 4 KiB and an fsync.
func bareSync(path string, times int) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	block := make([]byte, 4096)
	var took []time.Duration
	for range times {
		d, err := timed(func() error {
			if _, err := f.Write(block); err != nil {
				return err
			}
			return f.Sync()
		})
		if err != nil {
			return 0, errors.Join(err, f.Close())
		}
		took = append(took, d)
	}
	return median(took), f.Close()
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// commits compares single-row commits with and without capture.
func commits(ctx context.Context, s *d1.Store, id, dir string, bare time.Duration) error {
	const times = 1000
	plain, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "plain.sqlite")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	plain.SetMaxOpenConns(1)
	if _, err := plain.ExecContext(ctx, "CREATE TABLE c(n INTEGER PRIMARY KEY, v TEXT)"); err != nil {
		return errors.Join(err, plain.Close())
	}
	if _, _, err := s.Query(ctx, id, []d1.Statement{{SQL: "CREATE TABLE c(n INTEGER PRIMARY KEY, v TEXT)"}}); err != nil {
		return errors.Join(err, plain.Close())
	}
	var without, with []time.Duration
	for i := range times {
		text := fmt.Sprintf("INSERT INTO c VALUES (%d, 'a row of a usual size, no more and no less')", i)
		d, err := timed(func() error { _, err := plain.ExecContext(ctx, text); return err })
		if err != nil {
			return errors.Join(err, plain.Close())
		}
		without = append(without, d)
		if d, err = timed(func() error { _, _, err := s.Query(ctx, id, []d1.Statement{{SQL: text}}); return err }); err != nil {
			return errors.Join(err, plain.Close())
		}
		with = append(with, d)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Printf("a durable commit of one row, median of %d\n", times)
	fmt.Printf("  plain SQLite             %8.3f ms\n", ms(median(without)))
	fmt.Printf("  with the page history    %8.3f ms   (with limits, counters and transaction round it)\n", ms(median(with)))
	fmt.Printf("  a bare append and fsync  %8.3f ms\n", ms(bare))
	return plain.Close()
}

// litestreamRestore replicates a copy of the good state with the real
// Litestream and times its restore to a new file.
func litestreamRestore(ctx context.Context, dir, db string) (time.Duration, string) {
	bin := filepath.Join(dir, "litestream")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/benbjohnson/litestream/cmd/litestream")
	build.Dir = filepath.Join("bench", "litestream")
	fmt.Fprintln(os.Stderr, "building litestream")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Sprintf("it could not be built (run from the top of the tree): %v %.200s", err, out)
	}
	replica := "file://" + filepath.Join(dir, "replica")
	fmt.Fprintln(os.Stderr, "replicating with litestream")
	limited, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	rep := exec.CommandContext(limited, bin, "replicate", "-once", db, replica)
	if out, err := rep.CombinedOutput(); err != nil {
		return 0, fmt.Sprintf("replicate: %v %.300s", err, out)
	}
	took, err := timed(func() error {
		out, err := exec.CommandContext(limited, bin, "restore", "-o", filepath.Join(dir, "restored.sqlite"), replica).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w %.300s", err, out)
		}
		return nil
	})
	if err != nil {
		return 0, "restore: " + err.Error()
	}
	return took, ""
}
