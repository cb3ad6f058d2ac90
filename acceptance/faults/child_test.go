package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"firedrill/internal/backup"
	"firedrill/internal/bucket"
	"firedrill/internal/cli"
)

// childOrder makes the test binary do one order instead of tests.
const childOrder = "FIREDRILL_TEST_ORDER"

func TestMain(m *testing.M) {
	if text := os.Getenv(childOrder); text != "" {
		var o order
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			panic(err)
		}
		os.Exit(o.run())
	}
	goleak.VerifyTestMain(m)
}

// order is what a child process does. It is the real command line, or a function
// of these tests that the command line has no flag for.
type order struct {
	Args []string // of the command line

	Do     string // "backup" or "restore"
	Target target
	Place  location
	// Journal of a restore.
	Journal string
	// Kill makes the process kill itself at a step of the place, counted from 1:
	// before it, or with After when it has taken effect.
	Kill  int
	After bool
	// Temp is the folder for temporary files; empty: as it is.
	Temp string
}

// location is a folder, or a prefix in a bucket.
type location struct {
	Folder           string
	Bucket, Endpoint string
	Keys             map[string]string // the environment of a bucket
}

func (l location) open() (backup.Place, func(), error) {
	if l.Folder != "" {
		return backup.Folder(l.Folder), func() {}, nil
	}
	b, err := bucket.New(bucket.Config{Address: l.Bucket, Endpoint: l.Endpoint, Getenv: func(name string) string { return l.Keys[name] }})
	if err != nil {
		return nil, nil, err
	}
	return b, b.Close, nil
}

// run does the order and gives the exit status.
func (o order) run() int {
	if len(o.Args) > 0 {
		return cli.Run(cli.Process{Args: o.Args, Stdin: bytes.NewReader(nil), Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now, Version: "test"})
	}
	ctx := context.Background()
	place, end, err := o.Place.open()
	if err != nil {
		panic(err)
	}
	defer end()
	if o.Kill > 0 {
		place = &killing{Place: place, at: o.Kill, after: o.After}
	}
	switch o.Do {
	case "backup":
		err = o.Target.backUp(ctx, place)
	case "restore":
		_, err = o.Target.restore(ctx, place, o.Journal)
	default:
		err = errors.New("no such order")
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// killing is a place at one of whose steps the process is killed.
type killing struct {
	backup.Place
	after bool
	at    int

	mu sync.Mutex
	n  int
}

func (p *killing) step(do func() error) error {
	p.mu.Lock()
	p.n++
	hit := p.n == p.at
	p.mu.Unlock()
	if hit && !p.after {
		suicide()
	}
	err := do()
	if hit {
		suicide()
	}
	return err
}

func suicide() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it comes
}

func (p *killing) Names(ctx context.Context) (names []string, err error) {
	err = p.step(func() error { names, err = p.Place.Names(ctx); return err })
	return names, err
}

func (p *killing) Create(ctx context.Context, name string) (backup.File, error) {
	var f backup.File
	err := p.step(func() (err error) { f, err = p.Place.Create(ctx, name); return err })
	if err != nil {
		return nil, err
	}
	return &killingFile{f, p}, nil
}

func (p *killing) Remove(ctx context.Context, name string) error {
	return p.step(func() error { return p.Place.Remove(ctx, name) })
}

type killingFile struct {
	backup.File
	p *killing
}

func (f *killingFile) Write(b []byte) (n int, err error) {
	err = f.p.step(func() error { n, err = f.File.Write(b); return err })
	return n, err
}

func (f *killingFile) Close() error { return f.p.step(f.File.Close) }

// process is a child that runs.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	alive  chan struct{} // closed when it has started
	dead   chan struct{} // closed when it has ended
	err    error         // valid then
}

// command prepares a child.
func command(t testing.TB, o order) *process {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(t.Context(), os.Args[0]), alive: make(chan struct{}), dead: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childOrder+"="+string(text))
	if o.Temp != "" {
		p.cmd.Env = append(p.cmd.Env, "TMPDIR="+o.Temp)
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	return p
}

// run runs it to its end.
func (p *process) run(t testing.TB) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(p.alive)
	p.err = p.cmd.Wait()
	close(p.dead)
}

// kill kills it and returns when it is dead.
func (p *process) kill() {
	<-p.alive
	_ = p.cmd.Process.Kill() // it may be dead
	<-p.dead
}

// killed tells whether it was killed; any other failure than one that the child
// reports itself fails the test.
func (p *process) killed(t testing.TB) bool {
	t.Helper()
	var exit *exec.ExitError
	if p.err == nil {
		return false
	}
	if errors.As(p.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	return false
}

// gallows stands between a child and an API, and kills the child when its n-th
// request arrives: before it goes on, or when the other side has answered.
type gallows struct {
	URL string

	mu    sync.Mutex
	n, at int
	after bool
	child *process
}

func newGallows(t testing.TB, address string) *gallows {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	g := &gallows{}
	transport := &http.Transport{DisableCompression: true}
	front := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host // signatures cover the host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		child, after := g.next()
		if child != nil && !after {
			child.kill()
			panic(http.ErrAbortHandler)
		}
		if child == nil {
			front.ServeHTTP(w, r)
			return
		}
		// What the child has sent takes effect, and it never learns of it.
		answer := httptest.NewRecorder()
		front.ServeHTTP(answer, r.WithContext(context.WithoutCancel(r.Context())))
		child.kill()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	g.URL = server.URL + to.Path
	return g
}

// next counts a request, and gives the child if its time has come.
func (g *gallows) next() (child *process, after bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n++; g.n == g.at {
		return g.child, g.after
	}
	return nil, false
}

// use says at which request the child is killed; 0: at none. It gives how many
// requests there were before.
func (g *gallows) use(child *process, at int, after bool) (before int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, g.n, g.at, g.after, g.child = g.n, 0, at, after, child
	return before
}
