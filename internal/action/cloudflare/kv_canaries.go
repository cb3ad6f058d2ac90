package cloudflare

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"firedrill"
	"firedrill/internal/action"
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

// deleteKeys removes some keys, all of them.
func (k *KV) deleteKeys(ctx context.Context, op string, keys []string) error {
	left, err := k.BulkDelete(ctx, keys)
	return k.all(op, "deleted", left, err)
}

func (k *KV) all(op, done string, left []string, err error) error {
	if err != nil || len(left) == 0 {
		return err
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindUnavailable, Target: "KV namespace " + k.Title,
		Detail: count(int64(len(left)), "key") + " not " + done + ", for instance " + left[0], Remedy: "try again"}
}

func (p *pack) kvRemoveCanaries() firedrill.Action {
	const name = "kv.remove-canaries"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimKV(true),
		Doc: "Remove everything of firedrill's own from a namespace: all keys that begin with " + ownKeys + "."},
		func(ctx context.Context, call firedrill.Call, in kvCanaryIn) (action.Result[kvCanaryOut], error) {
			var res action.Result[kvCanaryOut]
			ns, err := p.namespace(ctx, name, call, in.Namespace)
			if err != nil {
				return res, err
			}
			keys, err := ns.ownKeys(ctx)
			if err != nil {
				return res, err
			}
			if len(keys) > 0 {
				if err := ns.deleteKeys(ctx, name, keys); err != nil {
					return res, err
				}
			}
			left, err := ns.ownKeys(ctx)
			if err != nil {
				return res, err
			}
			res.Out.Keys = int64(len(keys))
			res.Summary = count(res.Out.Keys, "key") + " of firedrill's own removed"
			res.Checks = []firedrill.Check{{OK: len(left) == 0, Compared: int64(len(keys)) + 1, Detail: res.Summary}}
			return res, nil
		})
}

// ownKeys lists the keys of firedrill's own.
func (k *KV) ownKeys(ctx context.Context) ([]string, error) {
	var keys []string
	cursor := ""
	for {
		page, next, err := k.list(ctx, ownKeys, cursor)
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
