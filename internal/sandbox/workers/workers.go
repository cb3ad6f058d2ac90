package workers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"firedrill/internal/sandbox/workers/binding"
	"firedrill/internal/sandbox/workers/front"
	"firedrill/internal/sandbox/workers/workerd"
)

// Options configure a Manager. Dir, Workerd and D1 are required.
type Options struct {
	// Dir is the folder for everything that survives a restart. It is created
	// when missing and belongs to one Manager at a time.
	Dir string
	// Workerd is the path of the binary; see package workerd for how to find it.
	Workerd string
	// D1 answers the database bindings.
	D1 binding.Databases
	// KV answers the bindings of KV namespaces; without it such bindings are
	// refused.
	KV binding.Namespaces
	// R2 answers the bindings of buckets; without it such bindings are refused.
	R2 binding.Buckets
	// Stubs are types of bindings that are accepted although the sandbox does
	// not run them; every call on such a binding is refused. See [Stubs].
	Stubs []string
	// Hosts leads further host names to Workers, beside NAME.localhost and
	// NAME.<subdomain>.workers.dev.
	Hosts map[string]string
	// Seen is told about every request to a Worker; nil: nobody.
	Seen func(worker string, status int, took time.Duration)
	// Subdomain is the account's part of NAME.<subdomain>.workers.dev; empty
	// means "sandbox".
	Subdomain string
	// SecretKey encrypts secrets at rest. Without it they are readable in a
	// file that only the owner can open.
	SecretKey []byte
	// Logs receives what the Workers print, one line each, with the Worker's
	// name in front. nil drops it.
	Logs io.Writer
	// Drain is how long a replaced process may go on serving requests that it
	// has begun, such as WebSockets, before it is ended. 0 means 30 seconds.
	Drain time.Duration
	// Now and Random are the clock and the source of randomness; nil means the
	// real ones.
	Now    func() time.Time
	Random io.Reader
	// Log receives what the Manager does; nil drops it.
	Log *slog.Logger
}

// Limits that the sandbox enforces or lives with.
const (
	// validateTime bounds the dry start of an upload; its global code may loop.
	validateTime = 10 * time.Second
	// startTime bounds the start of a process that serves.
	startTime = 20 * time.Second
	// parkTime bounds how long new requests wait for those in flight, where
	// Durable Objects keep two processes from running side by side.
	parkTime = 15 * time.Second
	// maxCombinations bounds the processes of one group of Workers: two for
	// each Worker with a split deployment, multiplied.
	maxCombinations = 16
)

// Manager keeps and runs Workers. Its methods may be called concurrently;
// changes happen one after the other.
type Manager struct {
	opt      Options
	log      *slog.Logger
	lock     *os.File
	store    *store
	front    *front.Proxy
	sup      *workerd.Supervisor
	bind     *binding.Server
	run      string // folder of the sockets
	absolute string // Dir as an absolute path
	logs     *lineWriter

	// mu is held by every operation that changes something, from its first
	// read to the switch of the front.
	mu        sync.Mutex
	closed    bool
	live      map[string]*live     // what is deployed, by script name
	instances map[string]*instance // the processes, by key
	fresh     freshModules
	storage   storageUse
	retiring  sync.WaitGroup // instances on their way out
	closing   chan struct{}  // closed when draining must end
}

// Open opens the folder, starts what was deployed when it was last open, and
// returns when it serves or has been found unable to. A Worker that cannot
// start does not keep the others from running: it is logged and tried again.
func Open(ctx context.Context, opt Options) (_ *Manager, err error) {
	if opt.Dir == "" || opt.Workerd == "" || opt.D1 == nil {
		return nil, errors.New("open Workers: Dir, Workerd and D1 are required")
	}
	if opt.Subdomain == "" {
		opt.Subdomain = "sandbox"
	}
	if opt.Drain == 0 {
		opt.Drain = 30 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Random == nil {
		opt.Random = rand.Reader
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Logs == nil {
		opt.Logs = io.Discard
	}
	m := &Manager{
		opt: opt, log: opt.Log, logs: &lineWriter{w: opt.Logs},
		live: map[string]*live{}, instances: map[string]*instance{}, closing: make(chan struct{}),
	}
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open Workers: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.release(ctx))
		}
	}()
	if m.lock, err = acquireLock(ctx, filepath.Join(opt.Dir, "lock")); err != nil {
		return nil, err
	}
	seal, err := newSealer(opt.SecretKey, opt.Random)
	if err != nil {
		return nil, err
	}
	if m.store, err = openStore(ctx, opt.Dir, seal); err != nil {
		return nil, err
	}
	if m.run, err = runFolder(opt.Dir); err != nil {
		return nil, err
	}
	if err := m.openObjects(ctx); err != nil {
		return nil, err
	}
	if m.bind, err = binding.Listen(ctx, m.bindSocket(), backends(opt), opt.Log); err != nil {
		return nil, err
	}
	m.sup, err = workerd.NewSupervisor(workerd.Options{
		Binary: opt.Workerd, RunDir: m.run, Held: []*os.File{m.lock}, Log: opt.Log,
	})
	if err != nil {
		return nil, err
	}
	m.front = front.New(front.Options{
		Domain: opt.Subdomain + ".workers.dev",
		Random: func(p []byte) {
			if _, err := io.ReadFull(opt.Random, p); err != nil {
				opt.Log.Error("no randomness for the front", "err", err)
			}
		},
		Hosts: opt.Hosts,
		Seen:  opt.Seen,
		Wait:  10 * time.Second,
		Log:   opt.Log,
	})
	if err := m.resume(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// backends are the services that answer bindings.
func backends(opt Options) map[string]binding.Backend {
	all := map[string]binding.Backend{binding.KindD1: binding.D1{DB: opt.D1}}
	if opt.KV != nil {
		all[binding.KindKV] = binding.KV{Namespaces: opt.KV, Now: opt.Now}
	}
	if opt.R2 != nil {
		all[binding.KindR2] = binding.R2{Buckets: opt.R2}
	}
	return all
}

// Front is the handler through which the Workers are reached: by the host
// names NAME.<subdomain>.workers.dev and NAME.localhost, with any port.
func (m *Manager) Front() http.Handler { return m.front }

// Subdomain is the account's part of the workers.dev names.
func (m *Manager) Subdomain() string { return m.opt.Subdomain }

// Close ends the intake, lets requests in flight finish until ctx ends, and
// stops every process. The servers in front should be shut down before.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.front.Swap(&front.Table{})
	for key, in := range m.instances {
		delete(m.instances, key)
		m.retire(in)
	}
	m.mu.Unlock()

	stop := context.AfterFunc(ctx, func() { close(m.closing) })
	m.retiring.Wait()
	stop()
	return m.release(ctx)
}

// release gives back what Open took, in reverse order, as far as it came.
func (m *Manager) release(ctx context.Context) error {
	var err error
	if m.sup != nil {
		err = errors.Join(err, m.sup.Close())
	}
	if m.bind != nil {
		err = errors.Join(err, m.bind.Close(ctx))
	}
	if m.run != "" {
		err = errors.Join(err, os.RemoveAll(m.run))
	}
	if m.store != nil {
		err = errors.Join(err, m.store.close())
	}
	if m.lock != nil {
		err = errors.Join(err, m.lock.Close())
	}
	return err
}

func (m *Manager) bindSocket() string { return filepath.Join(m.run, "b") }

// now is the current time as the API shows it: UTC, microseconds.
func (m *Manager) now() time.Time { return m.opt.Now().UTC().Truncate(time.Microsecond) }

// newID returns a random UUID.
func (m *Manager) newID() (string, error) {
	id, err := uuid.NewRandomFromReader(m.opt.Random)
	if err != nil {
		return "", fmt.Errorf("new id: %w", err)
	}
	return id.String(), nil
}

// lineWriter writes whole lines from several goroutines.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) line(label, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = fmt.Fprintf(l.w, "[%s] %s\n", label, text) // a full disk must not stop a Worker
}
