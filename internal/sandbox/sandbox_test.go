package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"firedrill/internal/sandbox/workers/workerd"
)

// childFolder makes the test binary run a sandbox on a folder instead of tests.
const childFolder = "FIREDRILL_TEST_SANDBOX"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		s, err := start(dir)
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("ready", s.APIURL())
		select {}
	}
	os.Exit(m.Run())
}

func start(dir string) (*Sandbox, error) {
	b, err := workerd.Locate(context.Background(), workerd.Locator{})
	if err != nil {
		return nil, err
	}
	return Start(context.Background(), Config{StateDir: dir, Listen: "127.0.0.1:0", Front: "127.0.0.1:0", Workerd: b.Path, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

func startTest(t *testing.T, dir string) *Sandbox {
	t.Helper()
	s, err := start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Sandbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// reply is an envelope.
type reply struct {
	status  int
	Success bool
	Errors  []struct {
		Code    int
		Message string
	}
	Result     json.RawMessage
	ResultInfo map[string]int `json:"result_info"`
}

func (r reply) code() int {
	if len(r.Errors) == 0 {
		return 0
	}
	return r.Errors[0].Code
}

func call(e Endpoint, token, method, path, body string) (reply, error) {
	req, err := http.NewRequest(method, e.API+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: resp.StatusCode}
	return r, json.Unmarshal(data, &r)
}

func must(t *testing.T, e Endpoint, method, path, body string) reply {
	t.Helper()
	r, err := call(e, e.Token, method, path, body)
	if err != nil || !r.Success {
		t.Fatalf("%s %s: %+v %v", method, path, r, err)
	}
	return r
}

func newDatabase(t *testing.T, e Endpoint, name string) string {
	t.Helper()
	var d struct{ UUID string }
	if err := json.Unmarshal(must(t, e, "POST", "/accounts/"+e.Account+"/d1/database", `{"name":"`+name+`"}`).Result, &d); err != nil {
		t.Fatal(err)
	}
	return "/accounts/" + e.Account + "/d1/database/" + d.UUID
}

func TestTheAPIAnswersAsThePlatformDoes(t *testing.T) {
	t.Parallel()
	s := startTest(t, t.TempDir())
	e := s.Endpoint()
	db := newDatabase(t, e, "shop")
	all := "/accounts/" + e.Account + "/d1/database"
	for _, c := range []struct {
		what, token, method, path, body string
		status, code                    int
	}{
		{"no token", "", "GET", "/user/tokens/verify", "", 401, 10000},
		{"wrong token", "wrong", "GET", "/user/tokens/verify", "", 401, 10000},
		{"other account", e.Token, "GET", "/accounts/0123456789abcdef0123456789abcdef/d1/database", "", 403, 7403},
		{"no such call", e.Token, "GET", "/accounts/" + e.Account + "/nope", "", 404, 7003},
		{"path tricks", e.Token, "GET", "/accounts/" + e.Account + "/d1/database/..%2f..%2fetc", "", 404, 7404},
		{"wrong method", e.Token, "DELETE", "/user", "", 405, 10405},
		{"unknown database", e.Token, "GET", all + "/nope", "", 404, 7404},
		{"name taken", e.Token, "POST", all, `{"name":"shop"}`, 400, 7502},
		{"truncated JSON", e.Token, "POST", db + "/query", `{"sql":`, 400, 7400},
		{"no sql", e.Token, "POST", db + "/query", `{}`, 400, 7400},
		{"two documents", e.Token, "POST", db + "/query", `{"sql":"SELECT 1"} {}`, 400, 7400},
		{"object parameter", e.Token, "POST", db + "/query", `{"sql":"SELECT ?","params":[{}]}`, 400, 7400},
		{"bad SQL", e.Token, "POST", db + "/query", `{"sql":"SELECT * FROM nope"}`, 400, 7500},
		{"bad bookmark", e.Token, "POST", db + "/time_travel/restore?bookmark=x", "", 400, 7400},
		{"no bookmark", e.Token, "POST", db + "/time_travel/restore", "", 400, 7400},
		{"bad time", e.Token, "GET", db + "/time_travel/bookmark?timestamp=yesterday", "", 400, 7400},
		{"old time", e.Token, "GET", db + "/time_travel/bookmark?timestamp=2020-01-01T00:00:00Z", "", 400, 7400},
		{"unknown action", e.Token, "POST", db + "/import", `{"action":"x"}`, 400, 7400},
		{"bad page", e.Token, "GET", all + "?page=0", "", 400, 7400},
	} {
		r, err := call(e, c.token, c.method, c.path, c.body)
		if err != nil || r.Success || r.status != c.status || r.code() != c.code {
			t.Errorf("%s: status %d code %d (%v) %+v, want %d %d", c.what, r.status, r.code(), err, r.Errors, c.status, c.code)
		}
	}
	r := must(t, e, "POST", db+"/query", `{"batch":[{"sql":"SELECT 9007199254740993 AS z, NULL AS a, x'00ff' AS m, ? AS t","params":["é"]},{"sql":"SELECT 2 AS two"}]}`)
	if want := `[{"results":[{"z":9007199254740993,"a":null,"m":[0,255],"t":"é"}],`; !bytes.HasPrefix(r.Result, []byte(want)) {
		t.Errorf("answer %s, want %s…", r.Result, want)
	}
	r = must(t, e, "POST", db+"/raw", `{"sql":"SELECT 1 AS a, 2 AS a"}`)
	if want := `[{"results":{"columns":["a","a"],"rows":[[1,2]]},`; !bytes.HasPrefix(r.Result, []byte(want)) {
		t.Errorf("answer %s, want %s…", r.Result, want)
	}
	if r := must(t, e, "GET", all+"?page=2&per_page=10", ""); string(r.Result) != "[]" || r.ResultInfo["total_count"] != 1 {
		t.Errorf("a page past the end: %s %v", r.Result, r.ResultInfo)
	}
}

func TestAFolderHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startTest(t, dir)
	_, err := start(dir)
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindBusy || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second sandbox on the folder: %v", err)
	}
	if got, err := Running(dir); err != nil || got.API != s.APIURL() {
		t.Errorf("running: %+v %v", got, err)
	}
	_, err = Start(context.Background(), Config{StateDir: t.TempDir(), Listen: strings.TrimSuffix(strings.TrimPrefix(s.APIURL(), "http://"), "/client/v4"),
		Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if !errors.As(err, &e) || e.Kind != KindBusy || !strings.Contains(e.Remedy, "--listen") {
		t.Errorf("a port in use: %v", err)
	}
}

func TestANewerFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"layout":99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := start(dir)
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindFormat {
		t.Errorf("error %v", err)
	}
}

// TestAKillLosesNothingAcknowledged kills a real sandbox under writes, again
// and again, and looks whether each acknowledged row is there and whether Time
// Travel still leads to the bookmarks that were given.
func TestAKillLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type point struct {
		mark string
		rows int64
	}
	var db string
	var points []point
	acknowledged := int64(0)
	for round := range 3 {
		e, kill := startChild(t, dir)
		if round == 0 {
			db = newDatabase(t, e, "killed")
			must(t, e, "POST", db+"/query", `{"sql":"CREATE TABLE t(n INTEGER PRIMARY KEY, pad TEXT)"}`)
		}
		if n := count(t, e, db); n != acknowledged && n != acknowledged+1 {
			t.Fatalf("round %d: %d rows, %d were acknowledged", round, n, acknowledged)
		} else {
			acknowledged = n
		}
		var killer sync.WaitGroup
		var written atomic.Int64 // of this round: on a busy machine the kill waits for some
		killer.Go(func() {
			time.Sleep(time.Duration(150+70*round) * time.Millisecond)
			for waited := 0; written.Load() < 15 && waited < 3000; waited++ {
				time.Sleep(10 * time.Millisecond)
			}
			kill()
		})
		for {
			r, err := call(e, e.Token, "POST", db+"/query", fmt.Sprintf(`{"sql":"INSERT INTO t VALUES (%d, hex(randomblob(300)))"}`, acknowledged+1))
			if err != nil || !r.Success {
				break
			}
			acknowledged++
			written.Add(1)
			if acknowledged%7 == 0 {
				if r, err := call(e, e.Token, "GET", db+"/time_travel/bookmark", ""); err == nil && r.Success {
					var b struct{ Bookmark string }
					if err := json.Unmarshal(r.Result, &b); err != nil {
						t.Fatal(err)
					}
					points = append(points, point{b.Bookmark, acknowledged})
				}
			}
		}
		killer.Wait()
	}
	if acknowledged < 20 || len(points) < 3 {
		t.Fatalf("only %d writes and %d bookmarks: the test tested nothing", acknowledged, len(points))
	}
	e, kill := startChild(t, dir)
	defer kill()
	for _, p := range []point{points[0], points[len(points)-1], points[len(points)/2]} {
		must(t, e, "POST", db+"/time_travel/restore?bookmark="+p.mark, "")
		if n := count(t, e, db); n != p.rows {
			t.Errorf("bookmark %s leads to %d rows, it was given at %d", p.mark, n, p.rows)
		}
	}
}

func count(t *testing.T, e Endpoint, db string) int64 {
	t.Helper()
	var res []struct {
		Results struct{ Rows [][]int64 }
	}
	if err := json.Unmarshal(must(t, e, "POST", db+"/raw", `{"sql":"SELECT count(*) FROM t"}`).Result, &res); err != nil {
		t.Fatal(err)
	}
	return res[0].Results.Rows[0][0]
}

// startChild runs a sandbox in a process of its own; kill is SIGKILL.
func startChild(t *testing.T, dir string) (Endpoint, func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill := func() {
		once.Do(func() {
			_ = cmd.Process.Kill() // it may be dead already
			_ = cmd.Wait()
		})
	}
	t.Cleanup(kill)
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "ready") {
		t.Fatalf("the child says %q (%v)", line[:n], err)
	}
	e, err := Running(dir)
	if err != nil {
		t.Fatal(err)
	}
	return e, kill
}
