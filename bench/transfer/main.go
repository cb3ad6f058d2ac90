// Command transfer measures an import and an export of D1 through the API of a
// sandbox in this process: how long they take, how much memory the process has
// at most, and what is left on the disk.
//
//	go run ./bench/transfer -mb 500
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the platform's protocol compares uploads by MD5
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

type options struct{ mb, row int }

func main() {
	var o options
	flag.IntVar(&o.mb, "mb", 500, "size of the text, in MB")
	flag.IntVar(&o.row, "row", 1000, "bytes of a row")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/transfer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "fd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	text := filepath.Join(dir, "dump.sql")
	etag, rows, err := write(text, o)
	if err != nil {
		return err
	}
	bin, err := workerd.Locate(ctx, workerd.Locator{Progress: func(s string) { fmt.Fprintln(os.Stderr, s) }})
	if err != nil {
		return err
	}
	s, err := sandbox.Start(ctx, sandbox.Config{StateDir: filepath.Join(dir, "state"), Listen: "127.0.0.1:0", Front: "127.0.0.1:0", Workerd: bin.Path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	c := client{s.Endpoint()}
	peak("before")

	var d struct{ UUID string }
	if err := c.call(ctx, "", map[string]any{"name": "d"}, &d); err != nil {
		return err
	}
	var begun struct {
		Filename string
		URL      string `json:"upload_url"`
	}
	if err := c.call(ctx, "/"+d.UUID+"/import", map[string]any{"action": "init", "etag": etag}, &begun); err != nil {
		return err
	}
	if err := timed("upload", o, func() error { return upload(ctx, begun.URL, text) }); err != nil {
		return err
	}
	if err := timed("import", o, func() error {
		return c.call(ctx, "/"+d.UUID+"/import", map[string]any{"action": "ingest", "etag": etag, "filename": begun.Filename}, nil)
	}); err != nil {
		return err
	}
	if err := timed("export", o, func() error {
		return c.call(ctx, "/"+d.UUID+"/export", map[string]any{"output_format": "polling"}, nil)
	}); err != nil {
		return err
	}
	var counted []struct{ Results []struct{ N int } }
	if err := c.call(ctx, "/"+d.UUID+"/query", map[string]any{"sql": "SELECT count(*) AS n FROM t"}, &counted); err != nil {
		return err
	}
	if counted[0].Results[0].N != rows {
		return fmt.Errorf("%d rows were imported, not %d", counted[0].Results[0].N, rows)
	}
	fmt.Printf("%d rows\n", rows)
	return sizes(filepath.Join(dir, "state", "d1", d.UUID))
}

// write makes the text, as an export writes it, with an index so that pages
// are written in no order.
func write(path string, o options) (etag string, rows int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", 0, err
	}
	sum := md5.New() //nolint:gosec // see the import
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 1<<20)
	n, err := w.WriteString("CREATE TABLE t(id INTEGER PRIMARY KEY, mixed INTEGER, v TEXT);\nCREATE INDEX by_mixed ON t(mixed);\n")
	fill := strings.Repeat("it''s a row; ", 1+o.row/12)[:o.row-o.row%13]
	for ; err == nil && n < o.mb*1_000_000; rows++ {
		var m int
		m, err = fmt.Fprintf(w, "INSERT INTO \"t\" VALUES(%d,%d,'%s');\n", rows, uint32(rows)*2654435761, fill)
		n += m
	}
	err = errors.Join(err, w.Flush(), f.Close())
	return hex.EncodeToString(sum.Sum(nil)), rows, err
}

func timed(what string, o options, work func() error) error {
	start := time.Now()
	if err := work(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	took := time.Since(start)
	fmt.Printf("%-8s %8.1f s %8.1f MB/s\n", what, took.Seconds(), float64(o.mb)/took.Seconds())
	peak(what)
	return nil
}

// peak shows the most memory that the process ever had (Linux).
func peak(when string) {
	data, _ := os.ReadFile("/proc/self/status") // not Linux: nothing is shown
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "RssAnon") {
			fmt.Printf("%-8s %s", when, line)
		}
	}
}

func sizes(dir string) error {
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if st, serr := f.Info(); serr == nil {
			fmt.Printf("%-16s %8.1f MB\n", f.Name(), float64(st.Size())/1e6)
		}
	}
	return err
}

func upload(ctx context.Context, url, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, f)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

type client struct{ sandbox.Endpoint }

// call posts to a path below the databases.
func (c client) call(ctx context.Context, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.API+"/accounts/"+c.Account+"/d1/database"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	answer := struct {
		Success bool
		Result  any
	}{Result: into}
	if err := json.Unmarshal(got, &answer); err != nil || !answer.Success {
		return fmt.Errorf("%s: %.300s", resp.Status, got)
	}
	return nil
}
