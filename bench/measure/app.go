package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/runner"
)

// application is what is damaged. It keeps numbers, answers a page, and knows
// what happened to it.
type application struct {
	now func() firedrill.Stamp

	mu    sync.Mutex
	there map[int64]firedrill.Stamp // when each number was stored
	truth truth
	up    time.Time // when it is good again; zero: it is not damaged
	fires time.Time // when the alert begins to fire
}

// truth is what happened to the application in a drill.
type truth struct {
	Down, Up firedrill.Stamp // the first moment of wrong answers, and the first of right ones
	Alert    firedrill.Stamp // the alert fires from then on
	Cut      firedrill.Stamp // the recovery brings this moment back
	Acked    []acked
}

type acked struct {
	N    int64
	At   firedrill.Stamp
	Lost bool
}

// notRepaired stands for the end of a damage that goes on.
const notRepaired = 24 * time.Hour

// beApp serves until its input ends, so that it never outlives who started it.
func beApp(in io.Reader, out io.Writer) error {
	a := &application{now: runner.Clock(), there: map[int64]firedrill.Stamp{}}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", a.page)
	mux.HandleFunc("GET /alert", a.alert)
	mux.HandleFunc("POST /canaries/{n}", a.write)
	mux.HandleFunc("GET /canaries", a.list)
	mux.HandleFunc("DELETE /canaries", a.clear)
	mux.HandleFunc("POST /disaster", a.disaster)
	mux.HandleFunc("POST /restore", a.restore)
	mux.HandleFunc("GET /truth", a.tell)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	fmt.Fprintln(out, l.Addr())
	_, err = io.Copy(io.Discard, in)
	err = errors.Join(err, srv.Close())
	if s := <-served; !errors.Is(s, http.ErrServerClosed) {
		err = errors.Join(err, s)
	}
	return err
}

func (a *application) page(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Before(a.up) {
		http.Error(w, "the data is gone", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprint(w, `{"ok":true}`)
}

// alert fires when the page was wrong for a while.
func (a *application) alert(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := "normal"
	if now := time.Now(); now.Before(a.up) && now.After(a.fires) {
		state = "firing"
	}
	fmt.Fprintf(w, `{"state":%q}`, state)
}

func (a *application) write(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil {
		http.Error(w, "no number", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.there[n] = a.now()
	a.truth.Acked = append(a.truth.Acked, acked{N: n, At: a.there[n]})
}

func (a *application) list(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	numbers := slices.AppendSeq([]int64{}, maps.Keys(a.there))
	slices.Sort(numbers)
	_ = json.NewEncoder(w).Encode(numbers) // a client that went away sees nothing
}

func (a *application) clear(http.ResponseWriter, *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.there)
	a.truth, a.up = truth{}, time.Time{}
}

// disaster begins the damage. What was stored in the last while before it is
// what the recovery will lose.
func (a *application) disaster(http.ResponseWriter, *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.truth.Down, a.up = a.now(), time.Now().Add(notRepaired)
	alert := rand.N(900 * time.Millisecond)
	a.truth.Alert, a.fires = a.truth.Down, time.Now().Add(alert)
	a.truth.Alert.Mono += int64(alert)
	a.truth.Cut = a.truth.Down
	a.truth.Cut.Mono -= int64(rand.N(800 * time.Millisecond))
}

// restore loses what was stored since the cut, and three older numbers; the
// page is right again a little later.
func (a *application) restore(http.ResponseWriter, *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := 0
	for _, w := range a.truth.Acked {
		if !w.At.After(a.truth.Cut) {
			kept++
		}
	}
	for i, w := range a.truth.Acked {
		a.truth.Acked[i].Lost = w.At.After(a.truth.Cut) || i > 0 && i < 4 && kept > 8
		if a.truth.Acked[i].Lost {
			delete(a.there, w.N)
		}
	}
	after := rand.N(700 * time.Millisecond)
	a.up = time.Now().Add(after)
	a.truth.Up = a.now()
	a.truth.Up.Mono += int64(after)
}

func (a *application) tell(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = json.NewEncoder(w).Encode(a.truth) // a client that went away sees nothing
}

// app is the application as this process sees it.
type app struct {
	url   string
	stdin io.Closer
	cmd   *exec.Cmd
}

func startApp(ctx context.Context) (*app, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-app")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a := &app{stdin: in, cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, a.end())
	}
	a.url = "http://" + strings.TrimSpace(line)
	return a, nil
}

func (a *app) end() error { return errors.Join(a.stdin.Close(), a.cmd.Wait()) }

// call asks the application something that is no part of the drill.
func (a *app) call(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is what counts
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: status %d", method, path, resp.StatusCode)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
