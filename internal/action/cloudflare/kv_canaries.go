package cloudflare

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/backup"
)

// kvCanary is a key that a careless backup would lose or change.
type kvCanary struct {
	Key        string `json:"key"`
	Value      string `json:"value"`
	Base64     bool   `json:"base64,omitempty"`
	Expiration int64  `json:"expiration,omitempty"`
	Metadata   any    `json:"metadata,omitempty"`
}

// kvCanaries are the canaries of a run: every kind of value, and names that
// clients and shells like to mangle. Their expiration, in seconds since 1970,
// is given, and how many bytes the largest value has.
func kvCanaries(expires, large int64) []kvCanary {
	const at = ownKeys + "canary/"
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	list := []kvCanary{
		{Key: at + "text", Value: "plain text"},
		{Key: at + "json", Value: `{"a":[1,2.50,null,"ü"]}`},
		{Key: at + "bytes", Value: base64.StdEncoding.EncodeToString(bytes), Base64: true},
		{Key: at + "replacement character", Value: "real \ufffd"},
		{Key: at + "empty", Value: ""},
		{Key: at + "metadata", Value: "m", Metadata: map[string]any{"k": "v", "n": []any{1, nil, "🔥"}}},
		{Key: at + "expires", Value: "e", Expiration: expires},
		{Key: at + "both", Value: "b", Expiration: expires, Metadata: "text"},
		{Key: at + "large", Value: strings.Repeat("large ", int(large)/6)},
	}
	for _, name := range []string{"a b", "a//b", "%2F", "..x", "#", "?q=1&r=2", "ü🔥", "'\"$(x)`", "\ttab\n"} {
		list = append(list, kvCanary{Key: at + "name/" + name, Value: name})
	}
	long := at + "long/"
	return append(list, kvCanary{Key: long + strings.Repeat("k", 512-len(long)), Value: "long"})
}

// canaryLife is how far away the canaries' expiration is, in seconds: beyond
// any drill.
const canaryLife = 7 * 24 * 3600

type kvCanaryIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
}

type kvInsertIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Large     int64  `json:"large" doc:"bytes of the largest value; the platform takes up to 26214400"`
}

type kvCanaryOut struct {
	Keys int64 `json:"keys" doc:"canaries"`
}

func (p *pack) kvInsertCanaries() firedrill.Action {
	const name = "kv.insert-canaries"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimKV(true),
		Doc: "Write canaries into a namespace: text, JSON, bytes, an empty value, a large one, metadata, expirations, and names that are easily mangled. All begin with " + ownKeys + "."},
		func(ctx context.Context, call firedrill.Call, in kvInsertIn) (action.Result[kvCanaryOut], error) {
			var res action.Result[kvCanaryOut]
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return res, err
			}
			list := kvCanaries(call.Now().Wall.Unix()+canaryLife, in.Large)
			if err := ns.putPairs(ctx, name, list); err != nil {
				return res, err
			}
			res.Out.Keys = int64(len(list))
			res.Summary = count(res.Out.Keys, "canary key") + " in"
			return res, nil
		})
}

// putPairs writes some pairs, all of them.
func (k *KV) putPairs(ctx context.Context, op string, pairs []kvCanary) error {
	body, err := json.Marshal(pairs)
	if err != nil {
		return &firedrill.Error{Op: op, Kind: firedrill.KindInternal, Err: err}
	}
	req := k.request(op, http.MethodPut, "bulk")
	req.Body = body
	left, err := k.bulk(ctx, req, len(pairs))
	return k.all(op, "written", left, err)
}

// deleteKeys removes keys, all of them.
func (k *KV) deleteKeys(ctx context.Context, op string, keys []string) error {
	for some := range slices.Chunk(keys, backup.MaxPairs) {
		left, err := k.BulkDelete(ctx, some)
		if err := k.all(op, "deleted", left, err); err != nil {
			return err
		}
	}
	return nil
}

func (k *KV) all(op, done string, left []string, err error) error {
	if err != nil || len(left) == 0 {
		return err
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindUnavailable, Target: "KV namespace " + k.Title,
		Detail: count(int64(len(left)), "key") + " not " + done + ", for instance " + left[0], Remedy: "try again"}
}

// protectionKey is what kv.protect writes for a moment.
const protectionKey = ownKeys + "protection"

type kvRemoveIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace"`
	Settle    int64  `json:"settle,omitempty" doc:"seconds for which what was deleted may still be listed: it is looked again until then"`
}

func (p *pack) kvRemoveCanaries() firedrill.Action {
	const name = "kv.remove-canaries"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimKV(true),
		Doc: "Remove everything of firedrill's own from a namespace: all keys that begin with " + ownKeys + ". Afterwards it is looked for again."},
		func(ctx context.Context, call firedrill.Call, in kvRemoveIn) (action.Result[kvCanaryOut], error) {
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return action.Result[kvCanaryOut]{}, err
			}
			known := []string{protectionKey}
			for _, c := range kvCanaries(0, 0) {
				known = append(known, c.Key)
			}
			return ns.removeBelow(ctx, name, call, ownKeys, known, time.Duration(in.Settle)*time.Second)
		})
}

// removeBelow deletes the keys with a prefix: those that are listed, and those
// that are known, because a list may not show a key yet that was just written.
// It looks again until none is listed, or what was deleted had the time to
// vanish from the list.
func (k *KV) removeBelow(ctx context.Context, op string, call firedrill.Call, prefix string, known []string, settle time.Duration) (action.Result[kvCanaryOut], error) {
	var res action.Result[kvCanaryOut]
	listed, err := k.keysBelow(ctx, prefix)
	if err != nil {
		return res, err
	}
	if err := k.deleteKeys(ctx, op, slices.Compact(slices.Sorted(slices.Values(append(known, listed...))))); err != nil {
		return res, err
	}
	began := call.Now()
	for {
		left, err := k.keysBelow(ctx, prefix)
		if err != nil {
			return res, err
		}
		if waited, _ := call.Now().Since(began); len(left) > 0 && waited < settle {
			call.Progress(firedrill.Progress{Text: count(len(left), "deleted key") + " still listed; looking again"})
			if err := k.c.Sleep(ctx, k.pause()); err != nil {
				return res, err
			}
			continue
		}
		res.Out.Keys = int64(len(listed))
		res.Summary = count(res.Out.Keys, "key") + " of firedrill's own removed"
		if len(left) > 0 {
			res.Summary = fmt.Sprintf("%s of firedrill's own still listed, for instance %q", count(len(left), "key"), left[0])
		}
		res.Checks = []firedrill.Check{{OK: len(left) == 0, Compared: int64(len(listed)) + 1, Detail: res.Summary}}
		return res, nil
	}
}

// pause is how long to wait before looking again at a namespace that may not
// have settled.
func (k *KV) pause() time.Duration {
	if k.c.local {
		return 250 * time.Millisecond
	}
	return settlePause
}

// keysBelow lists the keys with a prefix.
func (k *KV) keysBelow(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	cursor := ""
	for {
		page, next, err := k.list(ctx, prefix, cursor)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			keys = append(keys, e.Name)
		}
		if next == "" {
			return keys, nil
		}
		cursor = next
	}
}
