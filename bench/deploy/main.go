// Command deploy measures what deployments and rollbacks cost the users of a
// Worker in the sandbox.
//
// A Worker is called at a fixed rate, whether or not earlier requests were
// answered: first one that reads a database, then one whose Durable Objects
// write with every request, so that two processes may never own their storage. For the first half of the time nothing else
// happens: that is the steady state. In the second half versions are deployed
// and rolled back, spread evenly. Printed are failures and latencies of both
// halves of the same run, and how long a deployment took. The exit status is 1
// when a request failed.
//
//	go run ./bench/deploy
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/workers"
	"firedrill/internal/sandbox/workers/workerd"
)

type options struct {
	rate    int
	half    time.Duration
	deploys int
}

func main() {
	var opt options
	flag.IntVar(&opt.rate, "rate", 500, "requests a second")
	flag.DurationVar(&opt.half, "half", 15*time.Second, "length of each half")
	flag.IntVar(&opt.deploys, "deploys", 20, "deployments, and as many rollbacks")
	flag.Parse()
	failed, err := run(context.Background(), opt)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/deploy:", err)
		os.Exit(1)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// subject is a Worker that is measured.
type subject struct {
	name, title string
	upload      func(n int) workers.Upload
}

// objectsSource is a Worker whose every request is a durable write of one of
// sixteen objects.
const objectsSource = `import { DurableObject } from "cloudflare:workers";
export class Count extends DurableObject {
  constructor(ctx, env) { super(ctx, env); ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS n(id INTEGER PRIMARY KEY, v INTEGER)"); }
  add() { return this.ctx.storage.sql.exec("INSERT INTO n VALUES (1, 1) ON CONFLICT(id) DO UPDATE SET v = v + 1 RETURNING v").one().v; }
}
export default { async fetch(request, env) {
  const stub = env.COUNT.get(env.COUNT.idFromName("object " + Math.floor(Math.random() * 16)));
  return Response.json({ version: %d, count: await stub.add() }); } };`

// source is the Worker: every answer comes out of the database and says which
// version gave it.
const source = `export default { async fetch(request, env) {
  const row = await env.DB.prepare("SELECT name, email FROM users WHERE id = ?").bind(1 + Math.floor(Math.random() * 1000)).first();
  return Response.json({ version: %d, row }, { status: row ? 200 : 500 }); } };`

func run(ctx context.Context, opt options) (failures int, err error) {
	dir, err := os.MkdirTemp("", "fd-bench-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err := workerd.Locate(ctx, workerd.Locator{Progress: func(s string) { fmt.Fprintln(os.Stderr, s) }})
	if err != nil {
		return 0, err
	}
	store, id, err := database(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	m, err := workers.Open(ctx, workers.Options{Dir: dir + "/workers", Workerd: bin.Path, D1: store})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close(ctx)) }()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	srv := &http.Server{Handler: m.Front(), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		err = errors.Join(err, srv.Close())
		if s := <-served; !errors.Is(s, http.ErrServerClosed) {
			err = errors.Join(err, s)
		}
	}()

	fmt.Printf("workerd %s (%s), %d requests/s, %v steady, then %v with %d deployments and %d rollbacks\n",
		bin.Version, bin.Source, opt.rate, opt.half, opt.half, opt.deploys, opt.deploys)
	for _, s := range []subject{
		{"stateless", "a Worker that reads a database", func(n int) workers.Upload { return version(n, id) }},
		{"objects", "a Worker whose Durable Objects write", objects},
	} {
		n, err := measure(ctx, m, s, "http://"+l.Addr().String()+"/", opt)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", s.name, err)
		}
		failures += n
	}
	return failures, nil
}

// measure runs both halves for one Worker and counts the requests that failed.
func measure(ctx context.Context, m *workers.Manager, s subject, target string, opt options) (int, error) {
	first, err := m.Put(ctx, s.name, s.upload(0))
	if err != nil {
		return 0, err
	}
	fmt.Printf("\n%s\n", s.title)
	if _, err := attack(target, s.name, opt.rate, 2*time.Second, nil); err != nil { // warm up
		return 0, err
	}
	steady, err := attack(target, s.name, opt.rate, opt.half, nil)
	if err != nil {
		return 0, err
	}
	var swaps []time.Duration
	swapping, err := attack(target, s.name, opt.rate, opt.half, func() error {
		swaps, err = swap(ctx, m, s, first.Version.ID, opt)
		return err
	})
	if err != nil {
		return 0, err
	}
	report("steady", steady)
	report("swapping", swapping)
	slices.Sort(swaps)
	fmt.Printf("%d swaps: call p50 %v, max %v\n", len(swaps), round(swaps[len(swaps)/2]), round(swaps[len(swaps)-1]))
	return bad(steady) + bad(swapping), nil
}

// objects is a version of the Worker with Durable Objects; the first one makes
// their class.
func objects(n int) workers.Upload {
	up := workers.Upload{
		Source: "bench",
		Metadata: workers.Metadata{
			MainModule: "index.js", CompatibilityDate: "2026-04-01",
			Bindings: []workers.UploadBinding{{Binding: workers.Binding{Name: "COUNT", Type: "durable_object_namespace", ClassName: "Count"}}},
		},
		Modules: []workers.Module{{Name: "index.js", ContentType: "application/javascript+module", Data: fmt.Appendf(nil, objectsSource, n)}},
	}
	if n == 0 {
		up.Metadata.Migrations = json.RawMessage(`{"new_tag":"v1","new_sqlite_classes":["Count"]}`)
	}
	return up
}

// database makes one with a thousand rows.
func database(ctx context.Context, dir string) (*d1.Store, string, error) {
	store, err := d1.Open(ctx, d1.Options{Dir: dir + "/d1", Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, "", err
	}
	db, err := store.Create(ctx, d1.Database{Name: "bench"})
	if err == nil {
		_, _, err = store.Query(ctx, db.ID, []d1.Statement{
			{SQL: "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL)"},
			{SQL: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO users SELECT i, 'user ' || i, i || '@example.com' FROM n"},
		})
	}
	if err != nil {
		return nil, "", errors.Join(err, store.Close())
	}
	return store, db.ID, nil
}

func version(n int, database string) workers.Upload {
	return workers.Upload{
		Source: "bench",
		Metadata: workers.Metadata{
			MainModule: "index.js", CompatibilityDate: "2026-04-01",
			Bindings: []workers.UploadBinding{{Binding: workers.Binding{Name: "DB", Type: "d1", DatabaseID: database}}},
		},
		Modules: []workers.Module{{Name: "index.js", ContentType: "application/javascript+module", Data: fmt.Appendf(nil, source, n)}},
	}
}

// swap deploys a new version and rolls back to the first one, again and again,
// and returns how long each took until it was answered. An upload is checked by
// a start of its own; that time is in the deployments.
func swap(ctx context.Context, m *workers.Manager, s subject, first string, opt options) ([]time.Duration, error) {
	tick := time.NewTicker(opt.half / time.Duration(2*opt.deploys+2))
	defer tick.Stop()
	var took []time.Duration
	timed := func(f func() error) error {
		<-tick.C
		began := time.Now()
		err := f()
		took = append(took, time.Since(began))
		return err
	}
	for i := range opt.deploys {
		if err := timed(func() error {
			_, err := m.Put(ctx, s.name, s.upload(i+1))
			return err
		}); err != nil {
			return nil, fmt.Errorf("deployment %d: %w", i+1, err)
		}
		if err := timed(func() error {
			_, err := m.Deploy(ctx, s.name, workers.DeployRequest{Source: "bench", Shares: []workers.Share{{VersionID: first, Percentage: 100}}})
			return err
		}); err != nil {
			return nil, fmt.Errorf("rollback %d: %w", i+1, err)
		}
	}
	return took, nil
}

// attack sends requests at a fixed rate for a time, while beside runs.
func attack(url, worker string, rate int, d time.Duration, beside func() error) (*vegeta.Metrics, error) {
	atk := vegeta.NewAttacker(vegeta.KeepAlive(true), vegeta.Connections(512), vegeta.Timeout(30*time.Second))
	targets := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: url, Header: http.Header{"Host": {worker + ".localhost"}}})
	done := make(chan error, 1)
	go func() {
		if beside == nil {
			done <- nil
			return
		}
		done <- beside()
	}()
	var m vegeta.Metrics
	for res := range atk.Attack(targets, vegeta.Rate{Freq: rate, Per: time.Second}, d, "") {
		m.Add(res)
	}
	m.Close()
	return &m, <-done
}

// bad counts the requests that were not answered with 200.
func bad(m *vegeta.Metrics) int { return int(m.Requests) - m.StatusCodes["200"] }

func report(name string, m *vegeta.Metrics) {
	fmt.Printf("%-9s %6d requests, %d failed   p50 %-8v p95 %-8v p99 %-8v max %v\n", name, m.Requests, bad(m),
		round(m.Latencies.P50), round(m.Latencies.P95), round(m.Latencies.P99), round(m.Latencies.Max))
	for _, e := range m.Errors {
		fmt.Println("          ", e)
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
