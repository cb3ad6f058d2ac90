package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"firedrill/internal/backup"
)

// memoryD1 measures the peak memory of the program with a large database, by both
// methods.
func (b *bench) memoryD1(ctx context.Context) error {
	text := filepath.Join(b.dir, "large.sql")
	rows, err := writeSQL(text, int64(b.o.memoryMB)*1_000_000)
	if err != nil {
		return err
	}
	source, err := b.client.CreateD1(ctx, "bench", "large", nil)
	if err != nil {
		return err
	}
	info, err := os.Stat(text)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := source.Import(ctx, backup.Body{Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(text) }}); err != nil {
		return err
	}
	fmt.Printf("\n%d rows, %.0f MB of SQL, imported in %.0f s\n%-44s %10s %10s\n", rows, float64(info.Size())/1e6, time.Since(began).Seconds(), "peak memory of the program alone", "seconds", "MiB")
	if err := os.Remove(text); err != nil {
		return err
	}
	if err := b.plan("source: {kind: d1, name: large}", "export: {kind: d1, name: large-export}", "sql: {kind: d1, name: large-sql}"); err != nil {
		return err
	}
	for _, method := range []string{"export", "sql"} {
		folder := filepath.Join(b.dir, "large "+method)
		for _, c := range []struct {
			what string
			args []string
		}{
			{"backup", []string{"backup", "d1", "source", "-o", folder, "--method", method}},
			{"verify", []string{"backup", "verify", folder}},
			{"restore", []string{"restore", folder, "--into", method}},
		} {
			took, peak, err := b.apart(ctx, c.args...)
			if err != nil {
				return err
			}
			fmt.Printf("%-44s %10.2f %10.0f\n", fmt.Sprintf("%s by %s", c.what, method), took.Seconds(), peak)
		}
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	return nil
}

// writeSQL writes a table with an index and rows of about a kilobyte.
func writeSQL(path string, size int64) (rows int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	filler := make([]byte, 900)
	written, err := fmt.Fprintln(w, "CREATE TABLE events(id INTEGER PRIMARY KEY, at REAL, who TEXT NOT NULL, what TEXT, n INTEGER);")
	for total := int64(written); total < size && err == nil; total += int64(written) {
		for i := range filler {
			filler[i] = 'a' + byte(random.IntN(26))
		}
		rows++
		written, err = fmt.Fprintf(w, "INSERT INTO events VALUES(%d,%d.5,'user%d','%s',%d);\n", rows, rows, rows%1000, filler, random.Int64N(1<<50))
	}
	if err == nil {
		_, err = fmt.Fprintln(w, "CREATE INDEX events_by_who ON events(who);")
	}
	return rows, errors.Join(err, w.Flush())
}
