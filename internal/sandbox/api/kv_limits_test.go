package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"firedrill/internal/sandbox/kv"
	"firedrill/internal/testkit/sandboxtest"
)

// TestKVBulkWritesAreHeldToTheLimits writes exactly what is allowed, and then
// one more of it, beside a pair that is good. (Values of 25 MiB are a test of
// the store: as JSON they would take the race detector minutes.)
func TestKVBulkWritesAreHeldToTheLimits(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ns := "storage/kv/namespaces/" + c.KV("n")
	now := time.Now().Unix()
	for name, limit := range map[string]struct {
		most, over map[string]any
		status     int
	}{
		"key": {map[string]any{"key": strings.Repeat("ü", 256), "value": ""}, map[string]any{"key": strings.Repeat("ü", 256) + "k", "value": ""}, http.StatusRequestURITooLong},
		"metadata": {map[string]any{"key": "k", "value": "", "metadata": strings.Repeat("m", 1022)}, map[string]any{"key": "k", "value": "", "metadata": strings.Repeat("m", 1023)},
			http.StatusRequestEntityTooLarge},
		"expiration":     {map[string]any{"key": "k", "value": "", "expiration": now + 3600}, map[string]any{"key": "k", "value": "", "expiration": now + 50}, http.StatusBadRequest},
		"expiration_ttl": {map[string]any{"key": "k", "value": "", "expiration_ttl": 60}, map[string]any{"key": "k", "value": "", "expiration_ttl": 59}, http.StatusBadRequest},
		"ttl wins":       {map[string]any{"key": "k", "value": "", "expiration": 1, "expiration_ttl": 60}, map[string]any{"key": "k", "value": "", "expiration": now + 3600, "expiration_ttl": 1}, http.StatusBadRequest},
	} {
		good := map[string]any{"key": "good " + name, "value": "v"}
		c.Must("PUT", ns+"/bulk", []any{limit.most})
		data, err := json.Marshal([]any{good, limit.over})
		if err != nil {
			t.Fatal(err)
		}
		if r := c.Call("PUT", ns+"/bulk", "application/json", data); r.Status != limit.status || r.Code() == 0 {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
		if r := c.Call("GET", ns+"/values/good%20"+name, "", nil); r.Status != http.StatusNotFound {
			t.Errorf("%s: the pair beside was stored: %d", name, r.Status)
		}
	}
}

func TestKVBulkDeletesTakeTenThousandKeys(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	id := c.KV("n")
	ns := "storage/kv/namespaces/" + id
	c.Must("PUT", sandboxtest.KVValue(id, "0"), "v")
	keys := make([]string, kv.MaxPairs+1)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	for _, call := range [][2]string{{"DELETE", "/bulk"}, {"POST", "/bulk/delete"}} {
		data, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		if r := c.Call(call[0], ns+call[1], "application/json", data); r.Status != http.StatusBadRequest || r.Code() != int(kv.CodeBadRequest) {
			t.Errorf("%s %s of one key too many: %d %s", call[0], call[1], r.Status, r.Body)
		}
	}
	if r := c.Call("GET", sandboxtest.KVValue(id, "0"), "", nil); r.Status != http.StatusOK {
		t.Errorf("a refused deletion deleted: %d %s", r.Status, r.Body)
	}
	c.Must("DELETE", ns+"/bulk", keys[:kv.MaxPairs])
	if r := c.Call("GET", sandboxtest.KVValue(id, "0"), "", nil); r.Status != http.StatusNotFound {
		t.Errorf("after the deletion: %d %s", r.Status, r.Body)
	}
}

// TestKVBulkWritesTakeAHundredMegabytes sends a byte more, which is refused for
// that before it is looked at.
func TestKVBulkWritesTakeAHundredMegabytes(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	path := c.API + "/accounts/" + c.Account + "/storage/kv/namespaces/" + c.KV("n") + "/bulk"
	req, err := http.NewRequest(http.MethodPut, path, io.LimitReader(zeros{}, kv.MaxBulkBody+1))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token())
	if r := c.Do(req); r.Status != http.StatusRequestEntityTooLarge || r.Code() != int(kv.CodeTooLarge) {
		t.Errorf("%d %s", r.Status, r.Body)
	}
}

// TestKVBulkGetIsHeldToTheLimits: of two values that have 25 MiB together the
// second is no JSON, which is told only when they are not too large.
func TestKVBulkGetIsHeldToTheLimits(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	id := c.KV("n")
	ns := "storage/kv/namespaces/" + id
	half := bytes.Repeat([]byte(" "), kv.MaxBulkAnswer/2)
	for key, value := range map[string][]byte{"a": append([]byte("1"), half[1:]...), "b": half, "c": {'x'}} {
		if r := c.Call("PUT", sandboxtest.KVValue(id, key), "", value); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
	}
	get := func(keys string) sandboxtest.Reply {
		return c.Call("POST", ns+"/bulk/get", "application/json", []byte(`{"type":"json","keys":`+keys+`}`))
	}
	if r := get(`["a","b"]`); r.Status != http.StatusBadRequest || r.Code() != int(kv.CodeBadRequest) {
		t.Errorf("25 MiB: %d %.200s", r.Status, r.Body)
	}
	if r := get(`["c","a"]`); r.Status != http.StatusBadRequest || r.Code() != int(kv.CodeBadRequest) {
		t.Errorf("no JSON: %d %.200s", r.Status, r.Body)
	}
	if r := c.Call("POST", ns+"/bulk/get", "application/json", []byte(`{"keys":["a","b","c"]}`)); r.Status != http.StatusRequestEntityTooLarge || r.Code() != int(kv.CodeTooLarge) {
		t.Errorf("one byte more: %d %.200s", r.Status, r.Body)
	}
	for name, keys := range map[string]string{"too long": `["` + strings.Repeat("k", 513) + `"]`, "empty": `[""]`, "dots": `[".."]`} {
		if r := get(keys); r.Status < 400 || r.Status > 499 || r.Code() == 0 {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
}

// TestKVBulkGetShowsThatAValueIsNoText: the call carries text only, and what is
// none must be seen in the answer, never look like another text.
func TestKVBulkGetShowsThatAValueIsNoText(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	id := c.KV("n")
	for name, value := range map[string][]byte{"lone": {0xff}, "cut off": []byte("ü")[:1], "surrogate": {0xed, 0xa0, 0x80}, "overlong": {0xc0, 0xaf}, "inside": []byte("a\xffb")} {
		if r := c.Call("PUT", sandboxtest.KVValue(id, name), "", value); r.Status != http.StatusOK {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		var got struct{ Values map[string]string }
		c.Must("POST", "storage/kv/namespaces/"+id+"/bulk/get", map[string]any{"keys": []string{name}}).Into(t, &got)
		if !strings.Contains(got.Values[name], "\ufffd") {
			t.Errorf("%s comes as %q", name, got.Values[name])
		}
		data, _ := json.Marshal(map[string]any{"keys": []string{name}, "type": "json"})
		if r := c.Call("POST", "storage/kv/namespaces/"+id+"/bulk/get", "application/json", data); r.Status != http.StatusBadRequest {
			t.Errorf("%s as JSON: %d %s", name, r.Status, r.Body)
		}
		if r := c.Call("GET", sandboxtest.KVValue(id, name), "", nil); !bytes.Equal(r.Body, value) {
			t.Errorf("%s by itself comes as %q", name, r.Body)
		}
	}
}
