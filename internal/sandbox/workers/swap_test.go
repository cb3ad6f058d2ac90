package workers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"firedrill/internal/sandbox/workers"
)

// load sends an open load: a request every interval, whether or not earlier
// ones were answered. stop ends it and returns how many were sent and what
// failed.
func (b *box) load(worker string, interval time.Duration) (stop func() (sent int64, failures []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var sent atomic.Int64
	var failures []string
	wg.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			wg.Go(func() {
				sent.Add(1)
				method, body := http.MethodGet, io.Reader(nil)
				if sent.Load()%3 == 0 {
					method, body = http.MethodPost, strings.NewReader("some body")
				}
				req, err := http.NewRequest(method, b.url, body)
				if err == nil {
					req.Host = worker + ".localhost"
					var resp *http.Response
					if resp, err = b.client.Do(req); err == nil {
						var text []byte
						text, err = io.ReadAll(resp.Body)
						err = errors.Join(err, resp.Body.Close())
						if resp.StatusCode != http.StatusOK {
							err = errors.Join(err, fmt.Errorf("status %d: %.200s", resp.StatusCode, text))
						}
					}
				}
				if err != nil {
					mu.Lock()
					failures = append(failures, err.Error())
					mu.Unlock()
				}
			})
		}
	})
	return func() (int64, []string) {
		cancel()
		wg.Wait()
		return sent.Load(), failures
	}
}

func TestDeploysAndRollbacksUnderLoadFailNoRequest(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	first := b.put("w", says("0")).Version.ID
	stop := b.load("w", time.Second/300)
	for i := range 8 {
		want := fmt.Sprint(i + 1)
		b.put("w", says(want))
		// The answer to a deployment means that every new request reaches it.
		b.wants("w", "/", want)
		d, err := b.Deploy(t.Context(), "w", workers.DeployRequest{Shares: []workers.Share{{VersionID: first, Percentage: 100}}})
		if err != nil {
			t.Error(err)
			break
		}
		if got := d.Annotations[workers.AnnotationTriggeredBy]; got != workers.TriggeredRollback {
			t.Errorf("a deployment of the first version is labelled %q", got)
		}
		b.wants("w", "/", "0")
	}
	sent, failures := stop()
	if sent < 50 {
		t.Errorf("only %d requests were sent", sent)
	}
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %.300s", len(failures), sent, failures[0])
	}
}

// A request that is in flight when its version is replaced ends in that
// version, also when that takes longer than a process has to end on request.
func TestARequestInFlightOutlivesItsDeployment(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("slow", js(`export default { fetch() {
  const { readable, writable } = new IdentityTransformStream(); const w = writable.getWriter(); const e = new TextEncoder();
  (async () => { await w.write(e.encode("begun\n")); await new Promise(r => setTimeout(r, 2500)); await w.write(e.encode("ended v1\n")); await w.close(); })();
  return new Response(readable); } };`))
	req, _ := http.NewRequest(http.MethodGet, b.url, nil)
	req.Host = "slow.localhost"
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	if line, err := r.ReadString('\n'); line != "begun\n" {
		t.Fatalf("the first line did not stream: %q %v", line, err)
	}
	b.put("slow", says("v2"))
	b.wants("slow", "/", "v2")
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "ended v1\n" {
		t.Errorf("rest %q, %v", rest, err)
	}
}

// A Worker reads a request while it answers, chunk by chunk.
func TestARequestBodyStreamsWhileTheAnswerDoes(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("echo", js(`export default { fetch(r) { return new Response(r.body, { headers: { "x-te": r.headers.get("transfer-encoding") ?? "" } }); } };`))
	pr, pw := io.Pipe()
	req, _ := http.NewRequest(http.MethodPost, b.url, pr)
	req.Host = "echo.localhost"
	go func() { _, _ = pw.Write([]byte("ping 0\n")) }() // the reader below sees whether it arrives
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for i := range 3 {
		if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("ping %d\n", i) {
			t.Fatalf("line %d: %q %v", i, line, err)
		}
		if _, err := fmt.Fprintf(pw, "ping %d\n", i+1); err != nil {
			t.Fatal(err)
		}
	}
	_ = pw.Close() // a pipe's Close cannot fail
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "ping 3\n" {
		t.Errorf("rest %q %v", rest, err)
	}
	if ct := resp.Header["Content-Type"]; ct != nil {
		t.Errorf("the front invented a content type %q", ct)
	}
}

// A body whose length is known streams as well: what comes first is there before
// the rest exists.
func TestABodyOfKnownLengthStreams(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("w", js(`export default { fetch() {
  const { readable, writable } = new FixedLengthStream(10); const w = writable.getWriter(), e = new TextEncoder();
  (async () => { await w.write(e.encode("first")); await scheduler.wait(300); await w.write(e.encode("-last")); await w.close(); })();
  return new Response(readable); } };`))
	req, _ := http.NewRequest(http.MethodGet, b.url, nil)
	req.Host = "w.localhost"
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 10)
	n, err := resp.Body.Read(first)
	if err != nil || string(first[:n]) != "first" || resp.ContentLength != 10 {
		t.Errorf("the first piece is %q of %d, %v", first[:n], resp.ContentLength, err)
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "-last" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// A Worker that does not read a large body answers all the same, and the next
// request is not hurt.
func TestAnUnreadBodyDoesNotHurt(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("deaf", says("did not listen"))
	for i := range 10 {
		req, _ := http.NewRequest(http.MethodPost, b.url, strings.NewReader(strings.Repeat("x", 1_000<<i)))
		req.Host = "deaf.localhost"
		resp, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "did not listen" {
			t.Errorf("%d %q %v", resp.StatusCode, body, err)
		}
		_ = resp.Body.Close() // read to its end
		b.wants("deaf", "/", "did not listen")
	}
}

// A WebSocket passes in both directions, and one that never ends does not hold
// its process beyond the drain deadline.
func TestWebSocketEchoAndDrainDeadline(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), func(o *workers.Options) { o.Drain = 300 * time.Millisecond })
	b.put("ws", js(`export default { fetch(r) { const [c, s] = Object.values(new WebSocketPair()); s.accept();
  s.addEventListener("message", e => s.send("echo " + e.data)); return new Response(null, { status: 101, webSocket: c }); } };`))
	ws := b.dialWebSocket("ws", "/")
	ws.say("hi")
	if got := ws.hear(); got != "echo hi" {
		t.Fatalf("heard %q", got)
	}
	b.put("ws", says("no more sockets"))
	ws.ended()
	if !strings.Contains(b.log.String(), "drain deadline") {
		t.Error("the broken connection was not reported")
	}
}

func TestAFailedDeployLeavesTheOldVersionServing(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	b.put("shop", js(`import { WorkerEntrypoint } from "cloudflare:workers";
export class Admin extends WorkerEntrypoint {} export default { fetch() { return new Response("with Admin"); } };`))
	b.put("gateway", js(`export default { fetch(r, env) { return env.SHOP.fetch(r); } };`,
		bind("SHOP", "service", func(u *workers.UploadBinding) { u.Service = "shop" }),
		bind("ADMIN", "service", func(u *workers.UploadBinding) { u.Service, u.Entrypoint = "shop", "Admin" })))
	_, err := b.Put(t.Context(), "shop", says("without Admin"))
	if e := wantCode(t, err, workers.CodeInvalid); !strings.Contains(e.Message, `no such named entrypoint`) {
		t.Errorf("message: %s", e.Message)
	}
	b.wants("gateway", "/", "with Admin")
	ds, err := b.Deployments(t.Context(), "shop", -1)
	if err != nil || len(ds) != 1 {
		t.Errorf("%d deployments, %v", len(ds), err)
	}
	if page, _ := b.Versions(t.Context(), "shop", -1, 0); page.Total != 1 {
		t.Errorf("%d versions: a version whose deployment failed is left behind", page.Total)
	}
}

func TestASplitSharesRequestsByWeight(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir())
	old := b.put("w", says("old")).Version.ID
	v, err := b.UploadVersion(t.Context(), "w", says("new"))
	if err != nil {
		t.Fatal(err)
	}
	b.wants("w", "/", "old")
	split := func(x, y float64) {
		t.Helper()
		_, err := b.Deploy(t.Context(), "w", workers.DeployRequest{Shares: []workers.Share{{VersionID: v.ID, Percentage: x}, {VersionID: old, Percentage: y}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func(header ...string) int {
		n := 0
		for range 1000 {
			if _, body := b.get("w", "/", header...); body == "new" {
				n++
			}
		}
		return n
	}
	split(20, 80)
	// 1000 draws at 20 %: less than one chance in a million to fall outside.
	if n := count(); n < 135 || n > 270 {
		t.Errorf("%d of 1000 requests reached a version at 20 %%", n)
	}
	if n := count("Cloudflare-Workers-Version-Key", "somebody"); n != 0 && n != 1000 {
		t.Errorf("one key reached the new version %d of 1000 times", n)
	}
	split(0, 100)
	if n := count(); n != 0 {
		t.Errorf("%d requests reached a version at 0 %%", n)
	}
	if n := count("Cloudflare-Workers-Version-Overrides", `w="`+v.ID+`"`); n != 1000 {
		t.Errorf("an override reached its version %d of 1000 times", n)
	}
	_, err = b.Deploy(t.Context(), "w", workers.DeployRequest{Shares: []workers.Share{{VersionID: v.ID, Percentage: 50}, {VersionID: old, Percentage: 49}}})
	wantCode(t, err, workers.CodeInvalid)
	_, err = b.Deploy(t.Context(), "w", workers.DeployRequest{Shares: []workers.Share{{VersionID: "00000000-0000-4000-8000-000000000000", Percentage: 100}}})
	wantCode(t, err, workers.CodeNoVersion)
}
