// Package sandboxtest starts sandboxes for tests: each with a folder and ports
// of its own, so that they run side by side, and gone when the test ends.
package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox"
	"firedrill/internal/sandbox/workers/workerd"
)

// Cloud is a running sandbox with a client beside it.
type Cloud struct {
	*sandbox.Sandbox
	sandbox.Endpoint
	t      testing.TB
	client *http.Client
}

// Start starts a sandbox on an empty folder. The changes may set anything of
// the configuration, for instance the folder of an earlier one.
func Start(t testing.TB, changes ...func(*sandbox.Config)) *Cloud {
	t.Helper()
	b, err := workerd.Locate(context.Background(), workerd.Locator{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := sandbox.Config{Listen: "127.0.0.1:0", Front: "127.0.0.1:0", Workerd: b.Path, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for _, change := range changes {
		change(&cfg)
	}
	if cfg.StateDir == "" {
		cfg.StateDir = t.TempDir()
	}
	s, err := sandbox.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	c := &Cloud{Sandbox: s, Endpoint: s.Endpoint(), t: t, client: &http.Client{Transport: tr, Timeout: time.Minute}}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		c.Stop()
	})
	return c
}

// Stop stops the sandbox before the test ends.
func (c *Cloud) Stop() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		c.t.Error(err)
	}
}

// Reply is an answer of the API.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte // as it came

	Success bool
	Errors  []struct {
		Code    int
		Message string
	}
	Result     json.RawMessage
	ResultInfo json.RawMessage `json:"result_info"`
}

// Code is the first error's code, 0 without an error.
func (r Reply) Code() int {
	if len(r.Errors) == 0 {
		return 0
	}
	return r.Errors[0].Code
}

// Into decodes the result.
func (r Reply) Into(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal(r.Result, into); err != nil {
		t.Fatalf("%v in %s", err, r.Body)
	}
}

// Call sends a call below /accounts/{account}/, with the token, and gives the
// answer, whatever it is.
func (c *Cloud) Call(method, path, contentType string, body []byte) Reply {
	c.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, c.API+"/accounts/"+c.Account+"/"+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token())
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return c.Do(req)
}

// Token is the token of the API; it stands in both embedded values.
func (c *Cloud) Token() string { return c.Endpoint.Token }

// Do sends a request and reads the answer; an answer that is no envelope has
// only status, header and body.
func (c *Cloud) Do(req *http.Request) Reply {
	c.t.Helper()
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		c.t.Fatal(err)
	}
	r := Reply{Status: resp.StatusCode, Header: resp.Header, Body: data}
	_ = json.Unmarshal(data, &r) // not an envelope
	return r
}

// Must is Call for a call that has to succeed. A body that is not nil is sent
// as JSON.
func (c *Cloud) Must(method, path string, body any) Reply {
	c.t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			c.t.Fatal(err)
		}
	}
	r := c.Call(method, path, "application/json", data)
	if r.Status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %.500s", method, path, r.Status, r.Body)
	}
	return r
}

// Database makes a D1 database and gives its id.
func (c *Cloud) Database(name string) string {
	c.t.Helper()
	var d struct{ UUID string }
	c.Must("POST", "d1/database", map[string]string{"name": name}).Into(c.t, &d)
	return d.UUID
}

// Query runs SQL on a database and gives the rows of its first statement.
func (c *Cloud) Query(database, sql string, params ...any) []map[string]any {
	c.t.Helper()
	var res []struct{ Results []map[string]any }
	c.Must("POST", "d1/database/"+database+"/query", map[string]any{"sql": sql, "params": params}).Into(c.t, &res)
	return res[0].Results
}

// KV makes a KV namespace and gives its id.
func (c *Cloud) KV(title string) string {
	c.t.Helper()
	var n struct{ ID string }
	c.Must("POST", "storage/kv/namespaces", map[string]string{"title": title}).Into(c.t, &n)
	return n.ID
}

// KVValue is the path of a key's value.
func KVValue(namespace, key string) string {
	return "storage/kv/namespaces/" + namespace + "/values/" + url.PathEscape(key)
}

// Upload is the form of a Worker of one module. Bindings are those of the
// upload form; the rest of the metadata may be given too.
func Upload(t testing.TB, source string, bindings []map[string]any, more map[string]any) (contentType string, body []byte) {
	t.Helper()
	metadata := map[string]any{"main_module": "index.js", "compatibility_date": "2026-04-01", "bindings": bindings}
	if bindings == nil {
		metadata["bindings"] = []any{}
	}
	for k, v := range more {
		metadata[k] = v
	}
	head, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part := func(header textproto.MIMEHeader, data string) {
		p, err := w.CreatePart(header)
		if err == nil {
			_, err = io.WriteString(p, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	part(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="metadata"`}}, string(head))
	part(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="index.js"; filename="index.js"`}, "Content-Type": {"application/javascript+module"}}, source)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// Deploy uploads a Worker of one module and deploys it.
func (c *Cloud) Deploy(name, source string, bindings []map[string]any, more map[string]any) Reply {
	c.t.Helper()
	contentType, body := Upload(c.t, source, bindings, more)
	r := c.Call("PUT", "workers/scripts/"+name, contentType, body)
	if r.Status != http.StatusOK {
		c.t.Fatalf("deploy %s: %d %.500s", name, r.Status, r.Body)
	}
	return r
}

// Get asks a Worker.
func (c *Cloud) Get(worker, path string) (status int, body string) {
	c.t.Helper()
	status, body, err := c.TryGet(worker, path)
	if err != nil {
		c.t.Fatal(err)
	}
	return status, body
}

// TryGet is Get for a Worker that may not be there, and for other goroutines.
func (c *Cloud) TryGet(worker, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.Front+path, nil)
	if err != nil {
		return 0, "", err
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(c.Front, "http://"), ":")
	req.Host = fmt.Sprintf("%s.localhost:%s", worker, port)
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), errors.Join(err, resp.Body.Close())
}
