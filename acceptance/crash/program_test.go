package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"firedrill"
	"firedrill/internal/testkit/sandboxtest"
)

// site is a database on a real sandbox with an application that shows it, a state
// folder, and a gate through which all calls of the API go.
type site struct {
	*sandboxtest.Cloud
	t        *testing.T
	db, home string
	plan     string
	before   string
	serves   bool // it has a Worker

	mu sync.Mutex
	n  int                          // requests since the gate was given
	at func(n int, r *http.Request) // called before a request goes on; nil: nothing
	on func(n int, r *http.Request) // called when it has taken effect, before the answer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Cloud: sandboxtest.Start(t), t: t, home: t.TempDir()}
	s.db = s.Database("shop")
	s.Query(s.db, `CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, balance INTEGER NOT NULL)`)
	s.Query(s.db, `INSERT INTO accounts WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) SELECT i, 'account ' || i, i * 100 FROM n`)
	s.before = s.holds()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/health" {
			fmt.Fprint(w, `{"status":"healthy"}`)
			return
		}
		res := s.Call(http.MethodPost, "d1/database/"+s.db+"/query", "application/json", []byte(`{"sql":"SELECT name, balance FROM accounts WHERE id <= 30 ORDER BY id"}`))
		fmt.Fprintf(w, `{"ok":true,"rows":%q}`, regexp.MustCompile(`"results":\[.*?\]`).Find(res.Body))
	}))
	to, err := url.Parse(s.API)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	front := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }}
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.n++
		n, at, on := s.n, s.at, s.on
		s.mu.Unlock()
		if at != nil {
			at(n, r)
		}
		rec := httptest.NewRecorder()
		front.ServeHTTP(rec, r)
		if on != nil {
			on(n, r)
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()) // the program may be gone
	}))
	t.Cleanup(func() { gate.Close(); app.Close(); transport.CloseIdleConnections() })
	s.plan = filepath.Join(s.home, "firedrill.yaml")
	text := fmt.Sprintf(`version: 1
name: crash
environments:
  here:
    class: sandbox
    cloudflare: {api: "%s%s", account: %q, token: {env: TOKEN}}
    resources:
      primary: {kind: d1, name: shop}
      app: {kind: worker, name: app, url: %q, probes: [{path: /health, json: {status: healthy}}, {path: /rows, json: {ok: true}}]}
drills:
  d1-pitr: {use: d1-pitr, with: {database: primary, rows: 12}}
`, gate.URL, to.Path, s.Account, app.URL)
	if err := os.WriteFile(s.plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// deploy adds a Worker with a secret, and a drill of it.
func (s *site) deploy() {
	s.t.Helper()
	s.Deploy("served", `export default { fetch(r, env) { return new URL(r.url).pathname === "/health" ? Response.json({status: "healthy"}) : new Response("with " + env.KEY) } }`,
		[]map[string]any{{"type": "secret_text", "name": "KEY", "text": "a key"}}, nil)
	s.Must(http.MethodPost, "workers/scripts/served/subdomain", map[string]bool{"enabled": true})
	s.replace("\ndrills:\n", fmt.Sprintf(`
      served: {kind: worker, name: served, url: %q, probes: [{path: /health, json: {status: healthy}}]}
drills:
  worker-rollback: {use: worker-rollback, with: {worker: served}}
`, strings.Replace(s.Front, "127.0.0.1", "served.localhost", 1)))
	s.serves = true
	s.before = s.holds()
}

// replace changes the plan.
func (s *site) replace(old, by string) {
	s.t.Helper()
	data, err := os.ReadFile(s.plan)
	if err != nil || strings.Count(string(data), old) != 1 {
		s.t.Fatalf("%v: the plan does not hold %q", err, old)
	}
	if err := os.WriteFile(s.plan, []byte(strings.Replace(string(data), old, by, 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// served tells what the Worker answers; its secret is in it.
func (s *site) served() string {
	s.t.Helper()
	if !s.serves {
		return ""
	}
	_, health := s.Get("served", "/health")
	_, body := s.Get("served", "/")
	return health + body
}

// holds tells what is in the database, firedrill's own included, and what serves.
func (s *site) holds() string {
	s.t.Helper()
	tables := s.Query(s.db, `SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE '\_cf\_%' ESCAPE '\' ORDER BY name`)
	return fmt.Sprint(tables, s.Query(s.db, `SELECT * FROM accounts ORDER BY id`), s.served())
}

// gate gives what is done at requests that follow; they are counted from 1.
func (s *site) gate(at, on func(n int, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.at, s.on = 0, at, on
}

func (s *site) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// command prepares the program.
func (s *site) command(args ...string) *exec.Cmd {
	s.t.Helper()
	c := exec.CommandContext(s.t.Context(), os.Args[0], append(args, "--plan", s.plan, "--home", s.home)...)
	c.Env = append(os.Environ(), asProgram+"=1", "TOKEN="+s.Token())
	return c
}

// output runs the program to its end and gives what it said.
func (s *site) output(args ...string) (out, told string) {
	s.t.Helper()
	c := s.command(args...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	_ = c.Run() // the result tells
	return o.String(), e.String()
}

// restored fails unless the database is as before and the newest run says so.
func (s *site) restored() firedrill.Result {
	s.t.Helper()
	out, told := s.output("show", "latest", "--json")
	var doc firedrill.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil || len(doc.Runs) != 1 {
		s.t.Fatalf("%v: %s%s", err, out, told)
	}
	r := doc.Runs[0]
	if r.State != firedrill.Restored {
		s.t.Errorf("%s, %s: %v", r.Verdict, r.State, r.Reasons)
	}
	if after := s.holds(); after != s.before {
		s.t.Errorf("the database is not as before:\n%s\nbut\n%s", s.before, after)
	}
	return r
}

// atTheRestore runs a drill and calls then when the recovery is about to be sent:
// all is damaged. The request goes on when it returns. It gives how the drill ended.
func (s *site) atTheRestore(c *exec.Cmd, then func()) error {
	s.t.Helper()
	var once sync.Once
	started := make(chan struct{})
	s.gate(func(_ int, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/time_travel/restore") {
			once.Do(func() { <-started; then() })
		}
	}, nil)
	defer s.gate(nil, nil)
	return run(c, started)
}

// run runs a process, and tells when there is one that can be sent signals.
func run(c *exec.Cmd, started chan<- struct{}) error {
	err := c.Start()
	close(started)
	if err != nil {
		return err
	}
	return c.Wait()
}

// TestASignalPutsBack: each signal that asks a process to end makes the drill go
// back, a terminal that closes hangs up twice, and what nobody reads ends nothing.
func TestASignalPutsBack(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c := s.command("run", "d1-pitr", "--verbose")
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			told, err := c.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, told) //nolint:errcheck // until it is closed
			_ = s.atTheRestore(c, func() {
				if signal == syscall.SIGHUP {
					_, _ = out.Close(), told.Close() // the terminal is gone
					_ = c.Process.Signal(signal)
				}
				_ = c.Process.Signal(signal)
			})
			if r := s.restored(); r.Verdict != firedrill.Aborted {
				t.Errorf("%s: %v", r.Verdict, r.Reasons)
			}
		})
	}
}

// TestASecondInterruptSaysHowToRepair leaves in the middle, is reminded by the next
// command, and executes what was printed.
func TestASecondInterruptSaysHowToRepair(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.command("run", "d1-pitr")
	var told bytes.Buffer
	c.Stderr = &told
	gone := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.atTheRestore(c, func() {
			_ = c.Process.Signal(os.Interrupt)
			_ = c.Process.Signal(syscall.SIGTERM)
			<-gone // the recovery is never sent
			panic(http.ErrAbortHandler)
		})
	}()
	err := <-done
	close(gone)
	exit, is := err.(*exec.ExitError) //nolint:errorlint // as it comes from Run
	if !is || exit.ExitCode() != firedrill.ExitDirty {
		t.Fatalf("%v: %s", err, &told)
	}
	if s.holds() == s.before {
		t.Fatal("nothing is damaged")
	}
	for _, want := range []string{"damaged", "npx wrangler d1 time-travel restore shop --bookmark="} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("it did not say %q: %s", want, &told)
		}
	}
	_, reminded := s.output("drill", "list")
	if !strings.Contains(reminded, "did not finish") || !strings.Contains(reminded, "was changed and is not put back") {
		t.Errorf("the next command says %q", reminded)
	}
	printed := regexp.MustCompile(`firedrill resume --home '([^']+)'`).FindStringSubmatch(told.String())
	if printed == nil || printed[1] != s.home {
		t.Fatalf("no command that repairs it: %s", &told)
	}
	repair := exec.CommandContext(t.Context(), os.Args[0], "resume", "--home", printed[1])
	repair.Env = append(os.Environ(), asProgram+"=1", "TOKEN="+s.Token())
	if out, err := repair.CombinedOutput(); err != nil && !strings.Contains(string(out), "restored") {
		t.Errorf("%v: %s", err, out)
	}
	if r := s.restored(); r.Verdict == firedrill.Passed {
		t.Errorf("passed: %v", r.Reasons)
	}
	if _, after := s.output("drill", "list"); after != "" {
		t.Errorf("reminded of a run that is over: %s", after)
	}
}

// TestAKillOfTheProgramIsTakenUp kills the real program before and after requests to
// the real sandbox: all of them when everything is tried, else some by chance.
func TestAKillOfTheProgramIsTakenUp(t *testing.T) {
	t.Parallel()
	for _, drill := range []string{"d1-pitr", "worker-rollback"} {
		t.Run(drill, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if drill == "worker-rollback" {
				s.deploy()
			}
			s.killed(drill)
		})
	}
}

// killed kills a drill at points and takes each up.
func (s *site) killed(drill string) {
	t := s.t
	s.gate(nil, nil)
	s.output("run", drill, "--json")
	if r := s.restored(); r.Verdict != firedrill.Passed {
		t.Fatalf("%s: %v", r.Verdict, r.Reasons)
	}
	total := s.requests()
	var points []int // a request and, with an odd number, after it
	for i := 2; i < 2*total+2; i++ {
		points = append(points, i)
	}
	if !soak() {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		chance := rand.New(rand.NewPCG(seed, 0)) // not for secrets
		chance.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:3]
	}
	for _, point := range points {
		c := s.command("run", drill, "--json")
		started := make(chan struct{})
		kill := func(after bool) func(int, *http.Request) {
			return func(n int, _ *http.Request) {
				if n == point/2 && after == (point%2 == 1) {
					<-started
					_ = c.Process.Kill()
					panic(http.ErrAbortHandler)
				}
			}
		}
		s.gate(kill(false), kill(true))
		_ = run(c, started) // killed, unless it made fewer requests
		s.gate(nil, nil)
		out, told := s.output("resume", "--json")
		if strings.Contains(told, "no run was interrupted") {
			continue
		}
		if s.restored(); t.Failed() {
			t.Fatalf("killed at %d of %d: %s%s", point, total, out, told)
		}
	}
}
