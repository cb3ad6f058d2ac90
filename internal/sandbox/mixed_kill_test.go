package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mixedSource is a Worker that writes to everything a Worker can write to, and
// tells which version of it serves.
const mixedSource = `import { DurableObject } from "cloudflare:workers";
export class Count extends DurableObject {
  add(n) { this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS n(v INTEGER)"); if (n) this.ctx.storage.sql.exec("INSERT INTO n VALUES (?)", n);
    return this.ctx.storage.sql.exec("SELECT count(*) AS c FROM n").one().c; }
}
export default { async fetch(request, env) {
  const url = new URL(request.url), n = Number(url.searchParams.get("n"));
  switch (url.pathname) {
    case "/version": return new Response("%[1]d");
    case "/kv": await env.KV.put("worker", String(n)); return new Response("ok");
    case "/d1": await env.DB.prepare("INSERT INTO worker VALUES (?)").bind(n).run(); return new Response("ok");
    case "/object": return new Response(String(await env.COUNT.get(env.COUNT.idFromName("one")).add(n)));
  }
} };`

// mixed is the state that the sandbox must not lose: for each thing that is
// written, the last number that was acknowledged and the last that was sent.
type mixed struct {
	t      *testing.T
	dir    string
	e      Endpoint
	client *http.Client

	mu    sync.Mutex
	acked map[string]int
	sent  map[string]int
	db    string // path of the database
	kv    string // path of the namespace
	r2    string // path of the bucket
}

// write sends number n of a thing and notes what became of it. It reports false
// when the sandbox is gone.
func (m *mixed) write(thing string, send func(n int) error) bool {
	m.mu.Lock()
	n := m.acked[thing] + 1
	m.sent[thing] = n
	m.mu.Unlock()
	if err := send(n); err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked[thing] = n
	return true
}

func (m *mixed) api(method, path, body string) error {
	r, err := call(m.e, m.e.Token, method, path, body)
	if err == nil && !r.Success {
		err = fmt.Errorf("%s %s: %+v", method, path, r)
	}
	return err
}

func (m *mixed) worker(path string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, m.e.Front+path, nil)
	if err != nil {
		return "", err
	}
	req.Host = "mixed.localhost"
	resp, err := m.client.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %d %s", path, resp.StatusCode, body)
	}
	return string(body), nil
}

func (m *mixed) deploy(n int) error {
	metadata := fmt.Sprintf(`{"main_module":"index.js","compatibility_date":"2026-04-01","bindings":[{"name":"KV","type":"kv_namespace","namespace_id":%q},{"name":"DB","type":"d1","id":%q},
{"name":"COUNT","type":"durable_object_namespace","class_name":"Count"},{"name":"S","type":"secret_text","text":"%d"}]%%s}`, m.kv[strings.LastIndex(m.kv, "/")+1:], m.db[strings.LastIndex(m.db, "/")+1:], n)
	if n == 1 {
		metadata = fmt.Sprintf(metadata, `,"migrations":{"new_tag":"v1","new_sqlite_classes":["Count"]}`)
	} else {
		metadata = fmt.Sprintf(metadata, "")
	}
	const boundary = "a-boundary-of-the-tests"
	body := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n" + metadata +
		"\r\n--" + boundary + "\r\nContent-Disposition: form-data; name=\"index.js\"; filename=\"index.js\"\r\nContent-Type: application/javascript+module\r\n\r\n" +
		fmt.Sprintf(mixedSource, n) + "\r\n--" + boundary + "--\r\n"
	req, err := http.NewRequest(http.MethodPut, m.e.API+"/accounts/"+m.e.Account+"/workers/scripts/mixed", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+m.e.Token)
	req.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	resp, err := m.client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("deploy: %d %s", resp.StatusCode, answer)
	}
	return nil
}

// writers are the parts of the load; each goes on until the sandbox is gone.
func (m *mixed) writers() map[string]func(n int) error {
	viaWorker := func(path string) func(int) error {
		return func(n int) error {
			_, err := m.worker(path + "?n=" + strconv.Itoa(n))
			return err
		}
	}
	return map[string]func(int) error{
		"kv by API":    func(n int) error { return m.api("PUT", m.kv+"/values/api", strconv.Itoa(n)) },
		"kv in bulk":   func(n int) error { return m.api("PUT", m.kv+"/bulk", bulk(n)) },
		"kv by Worker": viaWorker("/kv"),
		"r2 by API":    func(n int) error { return m.api("PUT", m.r2+"/objects/api", strconv.Itoa(n)) },
		"d1 by API": func(n int) error {
			return m.api("POST", m.db+"/query", fmt.Sprintf(`{"sql":"INSERT INTO api VALUES (%d)"}`, n))
		},
		"d1 by Worker":     viaWorker("/d1"),
		"object by Worker": viaWorker("/object"),
		"deployment":       m.deploy,
	}
}

const bulkKeys = 40

func bulk(n int) string {
	var pairs []string
	for i := range bulkKeys {
		pairs = append(pairs, fmt.Sprintf(`{"key":"bulk%02d","value":"%d"}`, i, n))
	}
	return "[" + strings.Join(pairs, ",") + "]"
}

// check compares what is there after a restart with what was acknowledged, and
// takes it as the state from which the next round goes on.
func (m *mixed) check(round int) {
	t := m.t
	t.Helper()
	number := func(text string) int {
		n, err := strconv.Atoi(strings.Trim(text, `"`))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		return n
	}
	read := func(path string) int {
		req, err := http.NewRequest(http.MethodGet, m.e.API+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+m.e.Token)
		resp, err := m.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusNotFound {
			return 0
		}
		return number(string(body))
	}
	value := func(key string) int { return read(m.kv + "/values/" + key) }
	rows := func(table string) int {
		var res []struct{ Results []struct{ N, Most int } }
		if err := json.Unmarshal(must(t, m.e, "POST", m.db+"/query", `{"sql":"SELECT count(*) AS N, coalesce(max(n), 0) AS Most FROM `+table+`"}`).Result, &res); err != nil {
			t.Fatal(err)
		}
		if r := res[0].Results[0]; r.N != r.Most {
			t.Errorf("round %d: table %s has %d rows up to %d", round, table, r.N, r.Most)
		}
		return res[0].Results[0].N
	}
	asked := func(path string) int {
		text, err := m.worker(path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		return number(text)
	}
	found := map[string]int{
		"kv by API": value("api"), "kv in bulk": value("bulk00"), "kv by Worker": value("worker"),
		"d1 by API": rows("api"), "d1 by Worker": rows("worker"), "object by Worker": asked("/object?n=0"), "deployment": asked("/version"),
		"r2 by API": read(m.r2 + "/objects/api"),
	}
	for i := range bulkKeys {
		if got := value(fmt.Sprintf("bulk%02d", i)); got != found["kv in bulk"] {
			t.Errorf("round %d: a bulk write is there by half: key %d holds %d, key 0 %d", round, i, got, found["kv in bulk"])
		}
	}
	for thing, n := range found {
		if n < m.acked[thing] || n > m.sent[thing] {
			t.Errorf("round %d: %s: %d is there, %d was acknowledged, %d sent", round, thing, n, m.acked[thing], m.sent[thing])
		}
		m.acked[thing] = n
	}
	// A deployment is there whole: as many versions as deployments, and the
	// newest of both is what serves.
	var versions struct{ Items []struct{ Number int } }
	var info struct {
		Total int `json:"total_count"`
	}
	r := must(t, m.e, "GET", "/accounts/"+m.e.Account+"/workers/scripts/mixed/versions?per_page=1", "")
	raw, err := json.Marshal(r.ResultInfo)
	if err := errors.Join(err, json.Unmarshal(r.Result, &versions), json.Unmarshal(raw, &info)); err != nil {
		t.Fatal(err)
	}
	if n := found["deployment"]; versions.Items[0].Number != n || info.Total != n {
		t.Errorf("round %d: version %d serves, the newest is %d of %d", round, n, versions.Items[0].Number, info.Total)
	}
}

// TestKillsUnderAMixedLoadLoseNothing kills the sandbox with everything it
// started, at moments that follow from the seed. FIREDRILL_SOAK=1 runs 200
// rounds.
func TestKillsUnderAMixedLoadLoseNothing(t *testing.T) {
	t.Parallel()
	rounds := 6
	if os.Getenv("FIREDRILL_SOAK") != "" {
		rounds = 200
	}
	const seed = 20261124
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // the moments must be the same again
	transport := &http.Transport{DisableKeepAlives: true}
	m := &mixed{t: t, dir: t.TempDir(), acked: map[string]int{}, sent: map[string]int{}, client: &http.Client{Transport: transport, Timeout: time.Minute}}
	// On a busy machine a round gets little done: then there are more of them.
	least := 2 + rounds/10
	round := 0
	for ; round < rounds || round < 5*rounds && m.least() < least; round++ {
		e, kill := startChild(t, m.dir)
		m.e = e
		if round == 0 {
			m.db = newDatabase(t, e, "mixed")
			must(t, e, "POST", m.db+"/query", `{"sql":"CREATE TABLE api(n INTEGER PRIMARY KEY); CREATE TABLE worker(n INTEGER PRIMARY KEY)"}`)
			var n struct{ ID string }
			if err := json.Unmarshal(must(t, e, "POST", "/accounts/"+e.Account+"/storage/kv/namespaces", `{"title":"mixed"}`).Result, &n); err != nil {
				t.Fatal(err)
			}
			m.kv = "/accounts/" + e.Account + "/storage/kv/namespaces/" + n.ID
			must(t, e, "POST", "/accounts/"+e.Account+"/r2/buckets", `{"name":"mixed"}`)
			m.r2 = "/accounts/" + e.Account + "/r2/buckets/mixed"
			if !m.write("deployment", m.deploy) {
				t.Fatal("the first deployment failed")
			}
		}
		m.check(round)
		if t.Failed() {
			t.Fatalf("seed %d, round %d: acknowledged %v, sent %v", seed, round, m.acked, m.sent)
		}
		var load sync.WaitGroup
		for thing, send := range m.writers() {
			load.Go(func() {
				for m.write(thing, send) {
					continue
				}
			})
		}
		time.Sleep(time.Duration(50+random.IntN(650)) * time.Millisecond)
		kill()
		load.Wait()
	}
	e, kill := startChild(t, m.dir)
	defer kill()
	m.e = e
	m.check(round)
	if n := m.least(); n < least {
		t.Errorf("only %d of something: the test tested little", n)
	}
	t.Logf("%d rounds: %v", round, m.acked)
}

// least is how many writes were acknowledged of the thing that got the fewest.
func (m *mixed) least() int {
	least := math.MaxInt
	for _, n := range m.acked {
		least = min(least, n)
	}
	return least
}
