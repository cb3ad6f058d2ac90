package cloudflare

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"firedrill"
	kvsandbox "firedrill/internal/sandbox/kv"
)

// put writes an entry behind the API's back.
func (p *platform) put(id string, e kvsandbox.Entry) {
	p.t.Helper()
	if err := p.kv.Put(p.t.Context(), id, kvsandbox.API, e); err != nil {
		p.t.Fatal(err)
	}
}

func TestKeysDifferByBytesMetadataAndExpiration(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.cache(0)
	later := time.Now().Unix() + 100_000
	entries := []kvsandbox.Entry{
		{Key: "a/bytes", Value: []byte("0123456789\x00\xff")}, {Key: "a/expires", Value: []byte("x"), Expiration: later},
		{Key: "a/gone", Value: []byte("x")}, {Key: "a/meta", Value: []byte("x"), Metadata: json.RawMessage(`{"v":1}`)}, {Key: "a/same", Value: []byte{}},
		{Key: "session/hidden-canary-key", Value: []byte("hidden-canary-value"), Metadata: json.RawMessage(`"hidden-canary-meta"`)},
	}
	for _, e := range entries {
		p.put(id, e)
	}
	b := newBench(t, p.url)
	b.now = time.Now()
	b.call.Environment.Resources = map[string]firedrill.Resource{"cache": {Kind: "kv", Attrs: firedrill.Values{"name": "cache", "redact": []any{"session/*"}}}}
	ns := func(more ...any) firedrill.Values {
		in := firedrill.Values{"namespace": id, "backup": "backup", "settle": int64(0)}
		for i := 0; i+1 < len(more); i += 2 {
			in[more[i].(string)] = more[i+1]
		}
		return in
	}
	b.do("backup", "kv.backup", firedrill.Values{"namespace": id})
	for _, level := range []string{"full", "quick"} {
		o := b.do("same", "kv.compare", ns("level", level))
		if !ok(o) || o.Checks[0].Partial != (level == "quick") || o.Outputs["level"] != level || strings.Contains(o.Summary, "proves nothing") != (level == "quick") {
			t.Errorf("%s: %+v", level, o)
		}
	}
	p.put(id, kvsandbox.Entry{Key: "a/bytes", Value: []byte("01234X6789\x00\xff!")})
	p.put(id, kvsandbox.Entry{Key: "session/hidden-canary-key", Value: []byte("hidden-canary-other"), Metadata: json.RawMessage(`"hidden-canary-meta"`)})
	if o := b.do("quick", "kv.compare", ns("level", "quick")); !ok(o) || !o.Checks[0].Partial {
		t.Errorf("only values differ, which a list does not show: %+v", o)
	}
	p.put(id, kvsandbox.Entry{Key: "a/expires", Value: []byte("x"), Expiration: later + 5})
	p.put(id, kvsandbox.Entry{Key: "a/meta", Value: []byte("x"), Metadata: json.RawMessage(`{"v":2}`)})
	p.put(id, kvsandbox.Entry{Key: "a/new", Value: []byte("n")})
	p.put(id, kvsandbox.Entry{Key: "session/hidden-canary-new", Value: []byte("hidden-canary-value")})
	if err := p.kv.DeleteKeys(t.Context(), id, kvsandbox.API, []string{"a/gone"}); err != nil {
		t.Fatal(err)
	}
	o := b.do("full", "kv.compare", ns())
	all, err := json.Marshal(o.Outputs["differences"])
	if err != nil {
		t.Fatal(err)
	}
	for _, shows := range []string{
		`key \"a/bytes\" has another value: 12 bytes (SHA-256 `, `) is now 13 bytes (SHA-256 `, `; the first 5 bytes are the same`, `key \"a/gone\" is missing`,
		`key \"a/meta\" has other metadata: {\"v\":1} is now {\"v\":2}`, `key \"a/new\" is a stranger: 1 bytes`, `key \"a/expires\" expires at`,
		`a key [redacted] has another value"`, `a key [redacted] is a stranger"`,
	} {
		if !strings.Contains(string(all), shows) {
			t.Errorf("%s does not show %s", all, shows)
		}
	}
	if ok(o) || o.Outputs["differing"] != int64(7) || showsHidden(t, o) {
		t.Errorf("%+v", o)
	}
	o = b.do("quick", "kv.compare", ns("level", "quick"))
	if ok(o) || o.Outputs["differing"] != int64(5) || showsHidden(t, o) {
		t.Errorf("quick: %+v", o)
	}
	b.fails(firedrill.KindUsage, "kv.compare", ns("level", "none"))
}

// TestKeysOfOthersAreListed damages a namespace while somebody else writes into it.
func TestKeysOfOthersAreListed(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.cache(50)
	b := newBench(t, p.url)
	b.call.Environment.Resources = map[string]firedrill.Resource{"cache": {Kind: "kv", Attrs: firedrill.Values{"redact": []any{"session/*"}}}}
	b.do("backup", "kv.backup", firedrill.Values{"namespace": id})
	damage := b.do("damage", "kv.damage", firedrill.Values{"namespace": id, "backup": "backup", "keys": int64(9)})
	in := firedrill.Values{"namespace": id, "backup": "backup", "settle": int64(0), "damage": damage.Outputs["file"]}
	if o := b.do("seen", "kv.compare", in); !ok(o) || len(o.Collateral) != 0 || o.Outputs["others"] != int64(0) {
		t.Errorf("nobody else wrote: %+v", o)
	}
	p.put(id, kvsandbox.Entry{Key: "theirs", Value: []byte("x")})
	p.put(id, kvsandbox.Entry{Key: "session/hidden-canary-key", Value: []byte("x")})
	o := b.do("seen", "kv.compare", in)
	if !ok(o) || o.Outputs["others"] != int64(2) || len(o.Collateral) != 1 || o.Collateral[0] != `2 keys of others that the restore undoes: a key [redacted] is a stranger, key "theirs" is a stranger` {
		t.Errorf("%+v", o)
	}
}
