package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox/api"
	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/kv"
	"firedrill/internal/sandbox/r2"
	"firedrill/internal/testkit/sandboxtest"
)

// TestGarbageGetsTheRightError sends what no client should send.
func TestGarbageGetsTheRightError(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	c.Deploy("w", "export default { fetch() { return new Response('fine'); } };", nil, nil)
	ns := c.KV("n")
	contentType, form := sandboxtest.Upload(t, "export default {}", nil, nil)
	a := "/accounts/" + c.Account
	other := "/accounts/" + strings.Repeat("0", 32)
	for name, g := range map[string]struct {
		method, path, contentType string
		body                      []byte
		token                     string // "-": none
		status, code              int
	}{
		"no token":            {"GET", a + "/d1/database", "", nil, "-", 401, 10000},
		"wrong token":         {"GET", a + "/d1/database", "", nil, "nope", 401, 10000},
		"another account":     {"GET", other + "/d1/database", "", nil, "", 403, 7403},
		"another's Worker":    {"GET", other + "/workers/scripts", "", nil, "", 403, 7403},
		"no such path":        {"GET", a + "/zork", "", nil, "", 404, 7003},
		"wrong method":        {"PATCH", a + "/storage/kv/namespaces", "", nil, "", 405, 10405},
		"climbing":            {"GET", a + "/../../../../etc/passwd", "", nil, "", 404, 7003},
		"climbing, escaped":   {"GET", a + "/storage/kv/namespaces/..%2f..%2fsandbox.json/keys", "", nil, "", 404, 10013},
		"climbing snapshots":  {"GET", a + "/workers/sandbox/namespaces/..%2f..%2f/objects/x/snapshots", "", nil, "", 404, 10066},
		"a transfer":          {"GET", "/../../transfer/../../sandbox.json", "", nil, "", 404, 7003},
		"no JSON":             {"POST", a + "/d1/database", "", []byte("{"), "", 400, 7400},
		"two JSON values":     {"POST", a + "/d1/database", "", []byte("{}{}"), "", 400, 7400},
		"wrong JSON":          {"POST", a + "/storage/kv/namespaces", "", []byte(`{"title":7}`), "", 400, 7400},
		"empty body":          {"POST", a + "/storage/kv/namespaces", "", nil, "", 400, 7400},
		"a form cut off":      {"PUT", a + "/workers/scripts/w", contentType, form[:len(form)/2], "", 400, 10026},
		"no form":             {"PUT", a + "/workers/scripts/w", "text/plain", []byte("x"), "", 400, 10026},
		"no boundary":         {"PUT", a + "/workers/scripts/w", "multipart/form-data", form, "", 400, 10026},
		"a name with slashes": {"PUT", a + "/workers/scripts/" + url.PathEscape("../w"), contentType, form, "", 400, 10021},
		"value form cut off":  {"PUT", a + "/storage/kv/namespaces/" + ns + "/values/k", contentType, form[:100], "", 400, 10012},
		"page zero":           {"GET", a + "/d1/database?page=0", "", nil, "", 400, 7400},
	} {
		req, err := http.NewRequest(g.method, c.API+g.path, bytes.NewReader(g.body))
		if err != nil {
			t.Fatal(err)
		}
		switch g.token {
		case "-":
		case "":
			req.Header.Set("Authorization", "Bearer "+c.Token())
		default:
			req.Header.Set("Authorization", "Bearer "+g.token)
		}
		if g.contentType != "" {
			req.Header.Set("Content-Type", g.contentType)
		}
		r := c.Do(req)
		if r.Status != g.status || r.Code() != g.code || r.Success {
			t.Errorf("%s: %d, code %d, want %d, code %d: %.300s", name, r.Status, r.Code(), g.status, g.code, r.Body)
		}
		if bytes.Contains(r.Body, []byte(c.Token())) {
			t.Errorf("%s: the answer holds the token: %s", name, r.Body)
		}
	}
	if _, body := c.Get("w", "/"); body != "fine" {
		t.Errorf("afterwards the Worker answers %q", body)
	}
}

// TestHugeHeadersEndInAnError sends 100 MB of headers.
func TestHugeHeadersEndInAnError(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	for _, base := range []string{c.API, c.Front} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s/user HTTP/1.1\r\nHost: x\r\n", u.Path)
		go func() {
			line := "X-Junk: " + strings.Repeat("j", 1<<20) + "\r\n"
			for range 100 {
				if _, err := io.WriteString(conn, line); err != nil {
					return // refused, as it should be
				}
			}
		}()
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
			t.Errorf("%s answers %q, %v", base, answer, err)
		}
		_ = conn.Close() // broken off on purpose
	}
	c.Must("GET", "d1/database", nil)
}

// FuzzCalls sends any call to the part of the API that runs without workerd.
// Whatever comes, the answer is an envelope or a value, never a panic, and no
// file beside the stores appears or is served.
func FuzzCalls(f *testing.F) {
	const account, token = "f17ed411f17ed411f17ed411f17ed411", "secret-token-of-the-fuzzer"
	for _, seed := range [][3]string{
		{"GET", "/client/v4/accounts/" + account + "/d1/database?page=1&per_page=x", ""},
		{"POST", "/client/v4/accounts/" + account + "/d1/database", `{"name":"x","read_replication":{"mode":"auto"}}`},
		{"POST", "/client/v4/accounts/" + account + "/d1/database/x/query", `{"sql":"SELECT ?1","params":[1,null,"x",[0,255],1e400]}`},
		{"POST", "/client/v4/accounts/" + account + "/d1/database/x/import", `{"action":"ingest","filename":"../x","etag":"e"}`},
		{"POST", "/client/v4/accounts/" + account + "/storage/kv/namespaces", `{"title":"n"}`},
		{"PUT", "/client/v4/accounts/" + account + "/storage/kv/namespaces/x/bulk", `[{"key":"k","value":"v","metadata":{"a":[]}}]`},
		{"GET", "/client/v4/accounts/" + account + "/storage/kv/namespaces/x/values/%2F..%2f%00", ""},
		{"POST", "/client/v4/accounts/" + account + "/r2/buckets", `{"name":"files"}`},
		{"PUT", "/client/v4/accounts/" + account + "/r2/buckets/files/objects/../../x", "bytes"},
		{"GET", "/client/v4/accounts/" + account + "/r2/buckets/files/objects?per_page=x&cursor=zz&delimiter=/", ""},
		{"PUT", "/transfer/../x", "body"}, {"GET", "/transfer/%2e%2e/x", ""}, {"GET", "/metrics", ""}, {"POST", "/client/v4/graphql", "{"}, {"", "", ""},
	} {
		f.Add(seed[0], seed[1], []byte(seed[2]))
	}
	dir := f.TempDir()
	log := slog.New(slog.DiscardHandler)
	databases, err := d1.Open(context.Background(), d1.Options{Dir: filepath.Join(dir, "d1"), Now: time.Now, Log: log})
	if err != nil {
		f.Fatal(err)
	}
	keys, err := kv.Open(kv.Options{Dir: filepath.Join(dir, "kv"), Now: time.Now, Random: rand.Reader, Log: log})
	if err != nil {
		f.Fatal(err)
	}
	objects, err := r2.Open(context.Background(), r2.Options{Dir: filepath.Join(dir, "r2"), Now: time.Now, Random: rand.Reader, Log: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := errors.Join(databases.Close(), keys.Close(), objects.Close()); err != nil {
			f.Error(err)
		}
	})
	canary := "a file that is not the API's"
	if err := os.WriteFile(filepath.Join(dir, "canary"), []byte(canary), 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o700); err != nil {
		f.Fatal(err)
	}
	s := api.New(api.Config{Account: account, Token: token, D1: databases, KV: keys, R2: objects, Base: func() string { return "http://127.0.0.1" },
		Spool: filepath.Join(dir, "spool"), Now: time.Now, Log: log, Status: func(context.Context) (any, error) { return "fine", nil }})
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		u, err := url.Parse(path)
		if err != nil || strings.ContainsAny(method, " \r\n\t") {
			t.Skip("no HTTP server would let it through")
		}
		r := &http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "x", Body: io.NopCloser(bytes.NewReader(body)),
			ContentLength: int64(len(body)), Header: http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"multipart/form-data; boundary=x"}}}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		answer := w.Body.Bytes()
		if bytes.Contains(answer, []byte(canary)) || bytes.Contains(answer, []byte(token)) {
			t.Fatalf("%s %s gives away %q", method, path, answer)
		}
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, answer)
		}
		if w.Code >= 400 && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(answer) {
			t.Fatalf("%s %s: %d %q", method, path, w.Code, answer)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 5 {
			t.Fatalf("%v, %v", entries, err)
		}
	})
}
