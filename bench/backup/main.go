// Command backup measures the backup and the restore of a KV namespace against
// what a user has without them, all against one sandbox in one run:
//
//   - firedrill's own backup and restore, as the command line does them;
//   - a bare client that sends the same requests and throws the answers away;
//   - wrangler's `kv bulk put`, and `kv bulk get` in batches of a hundred keys
//     (its most), of which some are run and the rest is extrapolated;
//   - a loop of `wrangler kv key get` and `put`, one process a key, of which
//     fifty keys are run and the rest is extrapolated.
//
// The exit status is 1 when something fails.
//
//	go run ./bench/backup
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"firedrill/internal/action/cloudflare"
	"firedrill/internal/backup"
	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

type options struct {
	keys, size, loop, batches int
	memoryKeys                int
	memoryMB                  int
	wrangler                  bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == childFlag {
		os.Exit(child(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.keys, "keys", 100_000, "keys")
	flag.IntVar(&o.size, "size", 200, "bytes of a value")
	flag.IntVar(&o.loop, "loop", 50, "keys of the loop that are run")
	flag.IntVar(&o.batches, "batches", 20, "batches of wrangler's bulk get that are run")
	flag.BoolVar(&o.wrangler, "wrangler", true, "compare with wrangler")
	flag.IntVar(&o.memoryKeys, "memory-keys", 1_000_000, "keys with which memory is measured; 0: it is not")
	flag.IntVar(&o.memoryMB, "memory-mb", 2000, "size of the database with which memory is measured, in MB; 0: it is not")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/backup:", err)
		os.Exit(1)
	}
}

// bench is a sandbox with a client.
type bench struct {
	o        options
	dir      string
	endpoint sandbox.Endpoint
	client   *cloudflare.Client
}

func run(ctx context.Context, o options) (err error) {
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
	b := &bench{o: o, dir: dir, endpoint: s.Endpoint()}
	b.client, err = cloudflare.New(cloudflare.Config{API: b.endpoint.API, Account: b.endpoint.Account, Token: func(context.Context) (string, error) { return b.endpoint.Token, nil }})
	if err != nil {
		return err
	}
	return b.measure(ctx)
}

// namespace makes an empty namespace.
func (b *bench) namespace(ctx context.Context, title string) (*cloudflare.KV, error) {
	req := cloudflare.Request{Op: "bench", Method: http.MethodPost, Path: b.client.AccountPath("storage", "kv", "namespaces"), Body: []byte(`{"title":"` + title + `"}`)}
	if _, err := b.client.Do(ctx, req); err != nil {
		return nil, err
	}
	return b.client.KV(ctx, "bench", title, nil)
}

func (b *bench) measure(ctx context.Context) error {
	o := b.o
	source, err := b.namespace(ctx, "source")
	if err != nil {
		return err
	}
	if err := fill(ctx, source, o.keys, o.size, false); err != nil {
		return err
	}
	fmt.Printf("%d keys with values of %d bytes, one sandbox, %d processors\n\n%-44s %10s %10s %8s\n", o.keys, o.size, runtime.NumCPU(), "", "seconds", "keys/s", "factor")
	var base float64
	line := func(what string, took time.Duration, note string) {
		seconds := took.Seconds()
		if base == 0 {
			base = seconds
		}
		fmt.Printf("%-44s %10.2f %10.0f %8.2f  %s\n", what, seconds, float64(o.keys)/seconds, seconds/base, note)
	}
	folder := filepath.Join(b.dir, "backup")
	took, err := timed(func() error {
		_, err := backup.WriteKV(ctx, source, backup.Folder(folder), backup.WriteOptions{Source: source.Source(), Tool: "bench", Now: time.Now})
		return err
	})
	if err != nil {
		return err
	}
	line("backup: firedrill", took, "")
	if took, err = timed(func() error { return b.bareRead(ctx, source) }); err != nil {
		return err
	}
	line("backup: the same requests, answers dropped", took, "one after another, as a client without a pipeline")
	if o.wrangler {
		if err := b.wranglerRead(ctx, source, line); err != nil {
			return err
		}
	}
	fmt.Println()
	base = 0
	target, err := b.namespace(ctx, "target")
	if err != nil {
		return err
	}
	took, err = timed(func() error {
		b, err := backup.Open(ctx, backup.Folder(folder))
		if err != nil {
			return err
		}
		_, err = b.RestoreKV(ctx, target, backup.RestoreOptions{Now: time.Now, Sleep: pause})
		return err
	})
	if err != nil {
		return err
	}
	line("restore: firedrill, the backup verified first", took, "")
	bare, err := b.namespace(ctx, "bare")
	if err != nil {
		return err
	}
	if took, err = timed(func() error { return bareWrite(ctx, folder, bare) }); err != nil {
		return err
	}
	line("restore: the same requests, answers dropped", took, "")
	if o.wrangler {
		if err := b.wranglerWrite(ctx, folder, line); err != nil {
			return err
		}
	}
	took, err = timed(func() error {
		b, err := backup.Open(ctx, backup.Folder(folder))
		if err != nil {
			return err
		}
		n, err := b.Check(ctx, target, backup.RestoreOptions{Now: time.Now})
		if err == nil && n != int64(o.keys) {
			err = fmt.Errorf("compared %d keys", n)
		}
		return err
	})
	if err != nil {
		return err
	}
	line("every key read back and compared", took, "beside the restore")
	if o.memoryKeys > 0 {
		if err := b.memoryKV(ctx); err != nil {
			return err
		}
	}
	if o.memoryMB > 0 {
		return b.memoryD1(ctx)
	}
	return nil
}

// fill writes keys with values of a size: digits, or bytes that are no text.
func fill(ctx context.Context, ns *cloudflare.KV, keys, size int, binary bool) error {
	most := max(1, min(backup.MaxPairs, (60<<20)/size))
	for from := 0; from < keys; from += most {
		var pairs []map[string]any
		for i := from; i < min(from+most, keys); i++ {
			p := map[string]any{"key": fmt.Sprintf("key/%07d", i), "value": fmt.Sprintf("%07d", i) + strings.Repeat("x", max(0, size-7))}
			if binary {
				data := bytes.Repeat([]byte{0xff, byte(i)}, size/2)
				p["value"], p["base64"] = base64.StdEncoding.EncodeToString(data), true
			}
			pairs = append(pairs, p)
		}
		body, err := json.Marshal(pairs)
		if err != nil {
			return err
		}
		if _, err := ns.BulkPut(ctx, bytesBody(body), len(pairs)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) deleteNamespace(ctx context.Context, ns *cloudflare.KV) error {
	req := cloudflare.Request{Op: "bench", Method: http.MethodDelete, Path: b.client.AccountPath("storage", "kv", "namespaces", ns.ID), Ids: []cloudflare.ID{{Kind: "kv", Value: ns.ID}}}
	_, err := b.client.Do(ctx, req)
	return err
}

func bytesBody(data []byte) backup.Body {
	return backup.Body{Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

func timed(f func() error) (time.Duration, error) {
	began := time.Now()
	err := f()
	return time.Since(began), err
}

func pause(context.Context, time.Duration) error {
	return errors.New("nothing has to be sent again here")
}

// bareRead sends the requests of a backup and does nothing with the answers.
func (b *bench) bareRead(ctx context.Context, ns *cloudflare.KV) error {
	base := b.endpoint.API + "/accounts/" + b.endpoint.Account + "/storage/kv/namespaces/" + ns.ID
	cursor := ""
	for {
		page, err := b.send(ctx, http.MethodGet, base+"/keys?limit=1000&cursor="+url.QueryEscape(cursor), nil)
		if err != nil {
			return err
		}
		var list struct {
			Result []struct{ Name string }
			Info   struct{ Cursor string } `json:"result_info"`
		}
		if err := json.Unmarshal(page, &list); err != nil {
			return err
		}
		for from := 0; from < len(list.Result); from += backup.MaxBulkGet {
			var names []string
			for _, k := range list.Result[from:min(from+backup.MaxBulkGet, len(list.Result))] {
				names = append(names, k.Name)
			}
			body, err := json.Marshal(map[string]any{"keys": names, "withMetadata": true})
			if err != nil {
				return err
			}
			if _, err := b.send(ctx, http.MethodPost, base+"/bulk/get", body); err != nil {
				return err
			}
		}
		if cursor = list.Info.Cursor; cursor == "" {
			return nil
		}
	}
}

func bareWrite(ctx context.Context, folder string, ns *cloudflare.KV) error {
	parts, err := filepath.Glob(filepath.Join(folder, "kv-*.json"))
	if err != nil {
		return err
	}
	for _, p := range parts {
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if _, err := ns.BulkPut(ctx, bytesBody(body), bytes.Count(body, []byte("\n{"))); err != nil { // one pair a line
			return err
		}
	}
	return nil
}

func (b *bench) send(ctx context.Context, method, address string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+b.endpoint.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %d %.300s", method, address, resp.StatusCode, data)
	}
	return data, nil
}

// run runs the wrangler that the acceptance tests installed.
func (b *bench) run(ctx context.Context, args ...string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(cache, "firedrill", "wrangler-4.86.0", "node_modules", ".bin", "wrangler"), args...)
	cmd.Dir = b.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "CI=1", "CLOUDFLARE_API_BASE_URL=" + b.endpoint.API, "CLOUDFLARE_API_TOKEN=" + b.endpoint.Token,
		"CLOUDFLARE_ACCOUNT_ID=" + b.endpoint.Account, "WRANGLER_SEND_METRICS=false", "WRANGLER_HIDE_BANNER=true", "npm_config_registry=http://127.0.0.1:9/"}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("wrangler is not installed: run the acceptance tests once (go test ./acceptance/...), or give --wrangler=false")
	}
	if err != nil {
		return fmt.Errorf("wrangler %s: %w\n%.500s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *bench) wranglerRead(ctx context.Context, ns *cloudflare.KV, line func(string, time.Duration, string)) error {
	took, err := timed(func() error {
		for i := range b.o.batches {
			var names []string
			for k := range backup.MaxBulkGet {
				names = append(names, fmt.Sprintf("key/%07d", i*backup.MaxBulkGet+k))
			}
			data, err := json.Marshal(names)
			if err != nil {
				return err
			}
			file := filepath.Join(b.dir, "keys.json")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				return err
			}
			if err := b.run(ctx, "kv", "bulk", "get", file, "--remote", "--namespace-id", ns.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	line("backup: wrangler kv bulk get", b.extrapolate(took, b.o.batches*backup.MaxBulkGet), fmt.Sprintf("extrapolated from %d batches; without the list", b.o.batches))
	took, err = timed(func() error {
		for i := range b.o.loop {
			if err := b.run(ctx, "kv", "key", "get", fmt.Sprintf("key/%07d", i), "--remote", "--namespace-id", ns.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	line("backup: a loop of wrangler kv key get", b.extrapolate(took, b.o.loop), fmt.Sprintf("extrapolated from %d keys", b.o.loop))
	return nil
}

func (b *bench) wranglerWrite(ctx context.Context, folder string, line func(string, time.Duration, string)) error {
	ns, err := b.namespace(ctx, "by wrangler")
	if err != nil {
		return err
	}
	parts, err := filepath.Glob(filepath.Join(folder, "kv-*.json"))
	if err != nil {
		return err
	}
	took, err := timed(func() error {
		for _, p := range parts {
			if err := b.run(ctx, "kv", "bulk", "put", p, "--remote", "--namespace-id", ns.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	line("restore: wrangler kv bulk put", took, "the same parts, one command each")
	took, err = timed(func() error {
		for i := range b.o.loop {
			if err := b.run(ctx, "kv", "key", "put", fmt.Sprintf("loop/%07d", i), "value", "--remote", "--namespace-id", ns.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	line("restore: a loop of wrangler kv key put", b.extrapolate(took, b.o.loop), fmt.Sprintf("extrapolated from %d keys", b.o.loop))
	return nil
}

// extrapolate tells how long all keys would take at the pace of some.
func (b *bench) extrapolate(took time.Duration, keys int) time.Duration {
	return time.Duration(float64(took) * float64(b.o.keys) / float64(keys))
}
