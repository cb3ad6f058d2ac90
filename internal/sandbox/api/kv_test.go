package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"firedrill/internal/sandbox/kv"
	"firedrill/internal/testkit/sandboxtest"
)

// awkward are keys that clients and servers like to mangle.
func awkward() []string {
	return []string{"/", "//", "a//b", "%", "%2F", "..x", " ", "a b", "#", "?", "?a=b#c", "🔥", "ü", "bulk", "values/x", strings.Repeat("k", 512)}
}

func TestKVValuesByAwkwardKeys(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ns := c.KV("n")
	for i, key := range awkward() {
		value := []byte{0, 255, byte(i)}
		path := sandboxtest.KVValue(ns, key)
		if r := c.Call("PUT", path, "", value); r.Status != http.StatusOK {
			t.Errorf("put %q: %d %s", key, r.Status, r.Body)
		}
		if r := c.Call("GET", path, "", nil); r.Status != http.StatusOK || !bytes.Equal(r.Body, value) {
			t.Errorf("get %q: %d %q", key, r.Status, r.Body)
		}
	}
	var listed []struct{ Name string }
	c.Must("GET", "storage/kv/namespaces/"+ns+"/keys", nil).Into(t, &listed)
	want := awkward()
	slices.Sort(want)
	var got []string
	for _, k := range listed {
		got = append(got, k.Name)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("listed:\n%s", d)
	}
	// Some clients leave slashes as they are.
	if r := c.Call("GET", "storage/kv/namespaces/"+ns+"/values/a//b", "", nil); r.Status != http.StatusOK {
		t.Errorf("a key with its slashes: %d %s", r.Status, r.Body)
	}
	for _, key := range awkward() {
		c.Must("DELETE", sandboxtest.KVValue(ns, key), nil)
		if r := c.Call("GET", sandboxtest.KVValue(ns, key), "", nil); r.Status != http.StatusNotFound || r.Code() != int(kv.CodeNoKey) {
			t.Errorf("deleted %q: %d %s", key, r.Status, r.Body)
		}
	}
	c.Must("DELETE", sandboxtest.KVValue(ns, "never there"), nil)
}

// valueForm is a value with metadata as wrangler sends it.
func valueForm(t *testing.T, parts map[string]string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, text := range parts {
		if err := w.WriteField(name, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

func TestKVMetadataAndExpiration(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ns := c.KV("n")
	path := sandboxtest.KVValue(ns, "k")
	contentType, body := valueForm(t, map[string]string{"value": "text", "metadata": `{"a":[1,"ü"]}`})
	if r := c.Call("PUT", path+"?expiration_ttl=60", contentType, body); r.Status != http.StatusOK {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	r := c.Call("GET", path, "", nil)
	at, err := strconv.ParseInt(r.Header.Get("Expiration"), 10, 64)
	if string(r.Body) != "text" || err != nil || at < time.Now().Unix()+50 || at > time.Now().Unix()+60 {
		t.Errorf("%s, expires %d, %v", r.Body, at, err)
	}
	if got := string(c.Must("GET", "storage/kv/namespaces/"+ns+"/metadata/k", nil).Result); got != `{"a":[1,"ü"]}` {
		t.Errorf("metadata %s", got)
	}
	var listed []struct {
		Expiration int64
		Metadata   any
	}
	c.Must("GET", "storage/kv/namespaces/"+ns+"/keys", nil).Into(t, &listed)
	if listed[0].Expiration != at || fmt.Sprint(listed[0].Metadata) != "map[a:[1 ü]]" {
		t.Errorf("listed %+v", listed)
	}
	for name, parts := range map[string]map[string]string{
		"no value": {"metadata": "{}"}, "broken metadata": {"value": "x", "metadata": "{"},
		"metadata taken apart, as one client does": {"value": "x", "metadata.a": "1"},
	} {
		contentType, body := valueForm(t, parts)
		if r := c.Call("PUT", path, contentType, body); r.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	for _, query := range []string{"expiration_ttl=59", "expiration=1", "expiration_ttl=x", "expiration=1.5"} {
		if r := c.Call("PUT", path+"?"+query, "", []byte("x")); r.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, r.Status, r.Body)
		}
	}
	if r := c.Call("GET", path, "", nil); string(r.Body) != "text" {
		t.Errorf("refused calls changed the value to %q", r.Body)
	}
}

func TestKVListsInPages(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ns := "storage/kv/namespaces/" + c.KV("n")
	var pairs []map[string]any
	for i := range 25 {
		pairs = append(pairs, map[string]any{"key": fmt.Sprintf("p%02d", i), "value": "v"})
	}
	c.Must("PUT", ns+"/bulk", append(pairs, map[string]any{"key": "other", "value": "v"}))
	cursor, sizes := "", []int{}
	for {
		r := c.Must("GET", ns+"/keys?prefix=p&limit=10&cursor="+url.QueryEscape(cursor), nil)
		var keys []struct{ Name string }
		r.Into(t, &keys)
		sizes = append(sizes, len(keys))
		var info struct {
			Count   int
			Cursor  string
			Cursors struct{ After string }
		}
		if err := json.Unmarshal(r.ResultInfo, &info); err != nil || info.Count != len(keys) || info.Cursors.After != info.Cursor {
			t.Fatalf("%v %s", err, r.ResultInfo)
		}
		if cursor = info.Cursor; cursor == "" {
			break
		}
	}
	if d := cmp.Diff([]int{10, 10, 5}, sizes); d != "" {
		t.Errorf("pages:\n%s", d)
	}
	for _, q := range []string{"limit=9", "limit=1001", "limit=x", "cursor=%21"} {
		if r := c.Call("GET", ns+"/keys?"+q, "", nil); r.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", q, r.Status, r.Body)
		}
	}
	// Namespaces come in pages that end with an empty one.
	for page, want := range map[string]int{"1": 1, "2": 0} {
		var list []any
		c.Must("GET", "storage/kv/namespaces?per_page=1000&page="+page, nil).Into(t, &list)
		if len(list) != want {
			t.Errorf("page %s has %d namespaces, want %d", page, len(list), want)
		}
	}
}

func TestKVBulkCallsAreAllOrNothing(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ns := "storage/kv/namespaces/" + c.KV("n")
	bytes3 := base64.StdEncoding.EncodeToString([]byte{0, 255, 1})
	r := c.Must("PUT", ns+"/bulk", []map[string]any{
		{"key": "text", "value": "ü", "metadata": map[string]any{"m": 1}, "expiration_ttl": 100},
		{"key": "bytes", "value": bytes3, "base64": true},
		{"key": "json", "value": `{"a":1}`},
	})
	if string(r.Result) != `{"successful_key_count":3,"unsuccessful_keys":[]}` {
		t.Errorf("result %s", r.Result)
	}
	for name, body := range map[string]string{
		"no array": `{"key":"new","value":"x"}`, "cut off": `[{"key":"new","value":"x"}`, "trailing": `[{"key":"new","value":"x"}] x`, "not base64": `[{"key":"new","value":"x"},{"key":"n2","value":"*","base64":true}]`,
		"no value": `[{"key":"new","value":"x"},{"key":"n2"}]`, "no key": `[{"key":"new","value":"x"},{"value":"x"}]`, "wrong type": `[{"key":"new","value":"x"},{"key":"n2","value":1}]`,
		"soon": `[{"key":"new","value":"x"},{"key":"n2","value":"x","expiration":1}]`, "dots": `[{"key":"new","value":"x"},{"key":"..","value":"x"}]`, "empty": ``,
	} {
		if r := c.Call("PUT", ns+"/bulk", "application/json", []byte(body)); r.Status != http.StatusBadRequest || r.Code() == 0 {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	if r := c.Call("GET", ns+"/values/new", "", nil); r.Status != http.StatusNotFound {
		t.Errorf("a refused bulk write stored something: %d %s", r.Status, r.Body)
	}

	get := func(body string) string {
		t.Helper()
		return string(c.Must("POST", ns+"/bulk/get", json.RawMessage(body)).Result)
	}
	if got := get(`{"keys":["text","absent","bytes"]}`); got != `{"values":{"absent":null,"bytes":"\u0000`+"\ufffd"+`\u0001","text":"ü"}}` {
		t.Errorf("bulk get %s", got)
	}
	if got := get(`{"keys":["json"],"type":"json"}`); got != `{"values":{"json":{"a":1}}}` {
		t.Errorf("bulk get of JSON %s", got)
	}
	if got := get(`{"keys":["text","absent"],"withMetadata":true}`); !strings.Contains(got, `"metadata":{"m":1},"value":"ü"`) || !strings.Contains(got, `"expiration":`) || !strings.Contains(got, `"absent":null`) {
		t.Errorf("bulk get with metadata %s", got)
	}
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprint(i))
	}
	for name, body := range map[string]any{"too many": map[string]any{"keys": many}, "none": map[string]any{"keys": []string{}}, "type": map[string]any{"keys": []string{"a"}, "type": "stream"},
		"not JSON": map[string]any{"keys": []string{"text"}, "type": "json"}} {
		data, _ := json.Marshal(body)
		if r := c.Call("POST", ns+"/bulk/get", "application/json", data); r.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	c.Must("DELETE", ns+"/bulk", []string{"text", "absent"})
	c.Must("POST", ns+"/bulk/delete", []string{"bytes"})
	if r := c.Call("POST", ns+"/bulk/delete", "application/json", []byte(`["json",".."]`)); r.Status != http.StatusBadRequest {
		t.Errorf("delete of an impossible key: %d %s", r.Status, r.Body)
	}
	var left []struct{ Name string }
	c.Must("GET", ns+"/keys", nil).Into(t, &left)
	if len(left) != 1 || left[0].Name != "json" {
		t.Errorf("left %+v", left)
	}
}

func TestKVNamespaces(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	a, b := c.KV("a"), c.KV("b")
	if r := c.Call("POST", "storage/kv/namespaces", "", []byte(`{"title":"a"}`)); r.Status != http.StatusBadRequest || r.Code() != int(kv.CodeTitleTaken) {
		t.Errorf("a title twice: %d %s", r.Status, r.Body)
	}
	c.Must("PUT", "storage/kv/namespaces/"+b, map[string]string{"title": "c"})
	var got struct {
		Title    string
		Encoding bool `json:"supports_url_encoding"`
	}
	c.Must("GET", "storage/kv/namespaces/"+b, nil).Into(t, &got)
	if got.Title != "c" || !got.Encoding {
		t.Errorf("renamed %+v", got)
	}
	c.Must("DELETE", "storage/kv/namespaces/"+a, nil)
	for _, call := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"GET", "/keys"}, {"GET", "/values/k"}, {"PUT", "/values/k"}, {"PUT", "/bulk"}, {"POST", "/bulk/get"}} {
		r := c.Call(call[0], "storage/kv/namespaces/"+a+call[1], "", []byte(`{"keys":["k"]}`))
		if r.Status != http.StatusNotFound || r.Code() != int(kv.CodeNoNamespace) {
			t.Errorf("%s %s of a deleted namespace: %d %s", call[0], call[1], r.Status, r.Body)
		}
	}
}

// TestKVValuesThatAreTooLargeAreRefused streams one byte more than allowed.
func TestKVValuesThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ns := c.KV("n")
	put := func(n int64) sandboxtest.Reply {
		req, err := http.NewRequest(http.MethodPut, c.API+"/accounts/"+c.Account+"/"+sandboxtest.KVValue(ns, "k"), io.LimitReader(zeros{}, n))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.Token())
		return c.Do(req)
	}
	if r := put(kv.MaxValue); r.Status != http.StatusOK {
		t.Errorf("25 MiB: %d %s", r.Status, r.Body)
	}
	if r := put(kv.MaxValue + 1); r.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("one byte more: %d %s", r.Status, r.Body)
	}
	if r := c.Call("GET", sandboxtest.KVValue(ns, "k"), "", nil); len(r.Body) != kv.MaxValue {
		t.Errorf("%d bytes came back", len(r.Body))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
