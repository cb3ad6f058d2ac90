// Package sandbox is a staging cloud in one process: Cloudflare's v4 API, D1
// databases with Time Travel, KV namespaces, R2 buckets, and Workers with
// Durable Objects that the real workerd runs. It is an
// emulator for rehearsal and CI: where it cannot be faithful it answers with
// an error that says so (docs/sandbox-fidelity.md lists the differences).
//
// It imports nothing of firedrill outside itself: what is drilled against it
// meets it as it would meet the platform, over HTTP. Its state survives a
// kill; a restart finds it.
package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"firedrill/internal/sandbox/api"
	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/kv"
	"firedrill/internal/sandbox/meter"
	"firedrill/internal/sandbox/r2"
	"firedrill/internal/sandbox/workers"
)

// Where a sandbox listens when nothing else is asked for.
const (
	DefaultListen = "127.0.0.1:8787"
	DefaultFront  = "127.0.0.1:8788"
)

// Subdomain is the account's part of NAME.<subdomain>.workers.dev.
const Subdomain = "sandbox"

// Config says how to run a sandbox.
type Config struct {
	StateDir string // everything that survives a restart; one sandbox at a time
	Listen   string // address of the API; empty: [DefaultListen]
	Front    string // address of the Workers; empty: [DefaultFront]
	Workerd  string // path of the binary
	Now      func() time.Time
	Log      *slog.Logger
	Logs     io.Writer // what the Workers print, beside the file; nil drops it
	// Trace is told about every call of the API; nil: nobody.
	Trace func(api.Call)
	// Hosts leads further host names to Workers, beside NAME.localhost and
	// NAME.sandbox.workers.dev.
	Hosts map[string]string
	// Stubs are types of bindings that are accepted although the sandbox has
	// nothing behind them; see [workers.Stubs].
	Stubs []string
	// SecretKey encrypts the Workers' secrets at rest. Without it they are
	// readable in a file that only the owner can open.
	SecretKey []byte
	// Quotas counts what the platform counts over time; the zero value does not.
	Quotas api.Quotas
	// KVLag is how late the API and the Workers learn of each other's writes
	// to KV; 0: at once.
	KVLag time.Duration
}

// Sandbox is a running sandbox.
type Sandbox struct {
	cfg      Config
	identity identity
	lock     *os.File
	db       *d1.Store
	kv       *kv.Store
	r2       *r2.Store
	workers  *workers.Manager
	logs     *logFile
	servers  []*server
	started  time.Time

	once     sync.Once
	closeErr error
}

// Error is an error of a sandbox's own, with what to do about it.
type Error struct {
	Op     string
	Kind   Kind
	Target string
	Remedy string
	Err    error
}

// Kind classifies errors of a sandbox.
type Kind string

// The kinds of error.
const (
	KindBusy    Kind = "busy"    // port or folder in use
	KindFormat  Kind = "format"  // the folder is of a newer version
	KindStorage Kind = "storage" // the folder cannot be used
	KindWorkers Kind = "workers" // the Workers cannot run
	KindAbsent  Kind = "absent"  // no sandbox there
)

func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Op, e.Target, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Start starts a sandbox and returns when it serves.
func Start(ctx context.Context, cfg Config) (_ *Sandbox, err error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Front == "" {
		cfg.Front = DefaultFront
	}
	s := &Sandbox{cfg: cfg, started: cfg.Now()}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			err = errors.Join(err, s.Close(stop))
		}
	}()
	if s.lock, err = takeFolder(cfg.StateDir); err != nil {
		return nil, err
	}
	if s.identity, err = loadIdentity(cfg.StateDir); err != nil {
		return nil, err
	}
	apiListener, err := listen(cfg.Listen, "--listen")
	if err != nil {
		return nil, err
	}
	s.servers = append(s.servers, newServer(apiListener))
	frontListener, err := listen(cfg.Front, "--front")
	if err != nil {
		return nil, err
	}
	s.servers = append(s.servers, newServer(frontListener))
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if err := writeEndpoint(cfg.StateDir, s.Endpoint()); err != nil {
		return nil, err
	}
	return s, nil
}

// open opens what is stored, starts the Workers, and serves.
func (s *Sandbox) open(ctx context.Context) (err error) {
	cfg := s.cfg
	below := func(name string) string { return filepath.Join(cfg.StateDir, name) }
	stored := func(what string, err error) error {
		return &Error{"start the sandbox", KindStorage, what, "use the version that wrote it, or: firedrill sandbox reset", err}
	}
	if err := errors.Join(os.RemoveAll(below(spoolFolder)), os.MkdirAll(below(spoolFolder), 0o700)); err != nil {
		return &Error{"start the sandbox", KindStorage, below(spoolFolder), "free the folder, or name another with --state", err}
	}
	if s.logs, err = openLog(below(workersLog), logSize); err != nil {
		return &Error{"start the sandbox", KindStorage, below(workersLog), "free the file, or name another folder with --state", err}
	}
	if s.db, err = d1.Open(ctx, d1.Options{Dir: below(d1Folder), Now: cfg.Now, Log: cfg.Log}); err != nil {
		return stored("its databases", err)
	}
	if s.kv, err = kv.Open(kv.Options{Dir: below(kvFolder), Now: cfg.Now, Random: rand.Reader, Log: cfg.Log, Lag: cfg.KVLag}); err != nil {
		return stored("its KV namespaces", err)
	}
	if s.r2, err = r2.Open(ctx, r2.Options{Dir: below(r2Folder), Now: cfg.Now, Random: rand.Reader, Log: cfg.Log}); err != nil {
		return stored("its R2 buckets", err)
	}
	count := meter.New(s.figures)
	logs := io.Writer(s.logs)
	if cfg.Logs != nil {
		logs = io.MultiWriter(s.logs, cfg.Logs)
	}
	s.workers, err = workers.Open(ctx, workers.Options{Dir: below(workersFolder), Workerd: cfg.Workerd, D1: s.db, KV: s.kv, R2: s.r2,
		Subdomain: Subdomain, Hosts: cfg.Hosts, Stubs: cfg.Stubs, SecretKey: cfg.SecretKey, Seen: count.Request, Now: cfg.Now, Log: cfg.Log, Logs: logs})
	if err != nil {
		return &Error{"start the sandbox", KindWorkers, "its Workers", "see the log; firedrill sandbox reset begins anew", err}
	}
	trace := func(c api.Call) {
		count.Call(c.Method, c.Route, c.Status, c.Took)
		if cfg.Trace != nil {
			cfg.Trace(c)
		}
	}
	s.servers[0].serve(api.New(api.Config{Account: s.identity.Account, Token: s.identity.Token, D1: s.db, KV: s.kv, R2: s.r2,
		Workers: api.NewWorkersAPI(s.workers, cfg.Log), Base: func() string { return "http://" + s.servers[0].addr() }, Spool: below(spoolFolder),
		Quotas: cfg.Quotas, Status: func(ctx context.Context) (any, error) { return s.Status(ctx) }, Metrics: count.Handler(),
		Now: cfg.Now, Log: cfg.Log, Trace: trace}), cfg.Log)
	s.servers[1].serve(s.workers.Front(), cfg.Log)
	return nil
}

// Close lets requests in flight finish until ctx ends and stops everything.
// It may be called twice.
func (s *Sandbox) Close(ctx context.Context) error {
	s.once.Do(func() { s.closeErr = s.close(ctx) })
	return s.closeErr
}

func (s *Sandbox) close(ctx context.Context) error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.stop(ctx))
	}
	if s.workers != nil {
		errs = append(errs, s.workers.Close(ctx))
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.kv != nil {
		errs = append(errs, s.kv.Close())
	}
	if s.r2 != nil {
		errs = append(errs, s.r2.Close())
	}
	if s.logs != nil {
		errs = append(errs, s.logs.Close())
	}
	if s.lock != nil {
		errs = append(errs, removeEndpoint(s.cfg.StateDir), s.lock.Close())
	}
	return errors.Join(errs...)
}

// APIURL is the base address of the API.
func (s *Sandbox) APIURL() string { return s.Endpoint().API }

// FrontURL is the address of the Workers, which are told apart by host name.
func (s *Sandbox) FrontURL() string { return s.Endpoint().Front }

// Token is the token that the API takes.
func (s *Sandbox) Token() string { return s.identity.Token }

// AccountID is the id of the only account.
func (s *Sandbox) AccountID() string { return s.identity.Account }

// Endpoint is where this sandbox is reached.
func (s *Sandbox) Endpoint() Endpoint {
	return Endpoint{PID: os.Getpid(), API: "http://" + s.servers[0].addr() + api.Prefix, Front: "http://" + s.servers[1].addr(),
		Account: s.identity.Account, Token: s.identity.Token, Started: s.started.UTC()}
}

// listen opens an address, and says which flag changes it when it is taken.
func listen(addr, flag string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, &Error{"start the sandbox", KindBusy, "address " + addr, "free the port, or choose another: " + flag + " 127.0.0.1:0", reason(err)}
	}
	return l, nil
}

// reason leaves out of a network error what the target says already.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// server is one HTTP server and its listener.
type server struct {
	listener net.Listener
	http     *http.Server
	done     chan error
}

func newServer(l net.Listener) *server { return &server{listener: l} }

func (s *server) addr() string { return s.listener.Addr().String() }

func (s *server) serve(h http.Handler, log *slog.Logger) {
	s.http = &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 1 << 17,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	s.done = make(chan error, 1)
	go func() { s.done <- s.http.Serve(s.listener) }()
}

func (s *server) stop(ctx context.Context) error {
	if s.http == nil {
		return s.listener.Close()
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if serve := <-s.done; !errors.Is(serve, http.ErrServerClosed) {
		err = errors.Join(err, serve)
	}
	return err
}

// WorkerURL is the address of a Worker through the front.
func (e Endpoint) WorkerURL(name string) string {
	_, port, _ := strings.Cut(strings.TrimPrefix(e.Front, "http://"), ":")
	return "http://" + name + ".localhost:" + port
}
