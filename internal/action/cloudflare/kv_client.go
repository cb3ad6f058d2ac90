package cloudflare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"firedrill"
	"firedrill/internal/backup"
)

// KV is a namespace that is read and written through the API.
type KV struct {
	c         *Client
	ID, Title string
	tell      func(string)
}

var _ backup.KVSink = (*KV)(nil)

// kvID is what the id of a namespace looks like.
var kvID = regexp.MustCompile(`(?i)^[0-9a-f]{32}$`)

// The bounds of the API's answers to calls about KV, in bytes.
const (
	maxKVValue = 25 << 20
	maxKVBulk  = 64 << 20 // 25 MiB of values as JSON, with names and metadata
	kvListSize = 1000
)

// KV finds a namespace by its id or its title.
func (c *Client) KV(ctx context.Context, op, ref string, tell func(string)) (*KV, error) {
	if ref == "" {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Detail: "no namespace is given", Remedy: "give its id or its title"}
	}
	if kvID.MatchString(ref) {
		req := Request{Op: op, Target: "namespace " + ref, Method: http.MethodGet, Path: c.AccountPath("storage", "kv", "namespaces", ref), Ids: []ID{{"kv", ref}}, Notify: tell}
		resp, err := c.Do(ctx, req)
		if err != nil {
			return nil, err
		}
		var n struct{ ID, Title string }
		if err := resp.Decode(req, &n); err != nil {
			return nil, err
		}
		return &KV{c, n.ID, n.Title, tell}, nil
	}
	all, err := c.listNamespaces(ctx, op, tell)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.Title == ref {
			return &KV{c, n.ID, n.Title, tell}, nil
		}
	}
	return nil, &firedrill.Error{Op: op, Kind: firedrill.KindNotFound, Target: "KV namespace " + ref, Detail: "there is none of this title", Remedy: "see: npx wrangler kv namespace list"}
}

// namespace is a KV namespace as a list shows it.
type namespace struct{ ID, Title string }

// listNamespaces gives all KV namespaces of the account. A list that does not end
// is an error.
func (c *Client) listNamespaces(ctx context.Context, op string, tell func(string)) ([]namespace, error) {
	var all []namespace
	const mostPages = 1000
	for page := 1; page <= mostPages; page++ {
		req := Request{Op: op, Target: "the KV namespaces", Method: http.MethodGet, Path: c.AccountPath("storage", "kv", "namespaces"),
			Query: url.Values{"per_page": {"100"}, "page": {strconv.Itoa(page)}}, Notify: tell}
		resp, err := c.Do(ctx, req)
		if err != nil {
			return nil, err
		}
		var some []namespace
		if err := resp.Decode(req, &some); err != nil {
			return nil, err
		}
		all = append(all, some...)
		if len(some) == 0 || resp.Info.TotalCount > 0 && int64(len(all)) >= resp.Info.TotalCount {
			return all, nil
		}
	}
	return nil, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "the KV namespaces", Detail: "the list does not end"}
}

// Source names the namespace for a backup's manifest.
func (k *KV) Source() backup.Source {
	return backup.Source{API: k.c.API(), Account: k.c.Account(), Namespace: k.ID, Title: k.Title}
}

// request gives a request about the namespace with both things it is known by.
func (k *KV) request(op, method string, segments ...string) Request {
	return Request{Op: op, Target: "KV namespace " + k.Title, Method: method, Notify: k.tell,
		Path: k.c.AccountPath(append([]string{"storage", "kv", "namespaces", k.ID}, segments...)...),
		Ids:  []ID{{"kv", k.ID}, {"kv", k.Title}}}
}

// List implements backup.KVSource.
func (k *KV) List(ctx context.Context, cursor string) ([]backup.Key, string, error) {
	return k.list(ctx, "", cursor)
}

// list gives a page of the keys with a prefix.
func (k *KV) list(ctx context.Context, prefix, cursor string) ([]backup.Key, string, error) {
	req := k.request("kv.list", http.MethodGet, "keys")
	req.Query = url.Values{"limit": {strconv.Itoa(kvListSize)}}
	if prefix != "" {
		req.Query.Set("prefix", prefix)
	}
	if cursor != "" {
		req.Query.Set("cursor", cursor)
	}
	resp, err := k.c.Do(ctx, req)
	if err != nil {
		return nil, "", err
	}
	var list []struct {
		Name       string
		Expiration int64
		Metadata   json.RawMessage
	}
	if err := resp.Decode(req, &list); err != nil {
		return nil, "", err
	}
	keys := make([]backup.Key, len(list))
	for i, e := range list {
		keys[i] = backup.Key{Name: e.Name, Expiration: e.Expiration, Metadata: orNone(e.Metadata)}
	}
	return keys, resp.Info.Cursor, nil
}

// orNone takes JSON's null for no metadata.
func orNone(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

// BulkGet implements backup.KVSource.
func (k *KV) BulkGet(ctx context.Context, keys []string) (map[string]backup.Text, error) {
	body, err := json.Marshal(map[string]any{"keys": keys, "type": "text", "withMetadata": true})
	if err != nil {
		return nil, err
	}
	req := k.request("kv.bulk-get", http.MethodPost, "bulk", "get")
	req.Body, req.Reads, req.MaxBytes = body, true, maxKVBulk
	resp, err := k.c.Do(ctx, req)
	if firedrill.KindOf(err) == firedrill.KindInvalid || errors.Is(err, errTooLarge) {
		// Too much for one answer, or something that it cannot carry: smaller
		// reads tell, and in the end the raw value.
		return nil, backup.ErrTooLarge
	}
	if err != nil {
		return nil, err
	}
	var out struct {
		Values map[string]*struct {
			Value      *string
			Expiration int64
			Metadata   json.RawMessage
		}
	}
	if err := resp.Decode(req, &out); err != nil {
		return nil, err
	}
	texts := make(map[string]backup.Text, len(keys))
	for _, key := range keys {
		v, asked := out.Values[key]
		if !asked {
			return nil, unreadable(req, fmt.Sprintf("the answer does not mention key %q", key))
		}
		if v == nil {
			continue
		}
		if v.Value == nil {
			return nil, unreadable(req, fmt.Sprintf("the answer has no value for key %q", key))
		}
		texts[key] = backup.Text{Value: *v.Value, Expiration: v.Expiration, Metadata: orNone(v.Metadata)}
	}
	return texts, nil
}

// Get implements backup.KVSource.
func (k *KV) Get(ctx context.Context, key string) ([]byte, bool, error) {
	req := k.request("kv.get", http.MethodGet, "values", key)
	req.Ids = append(req.Ids, ID{"kv-key", key}) // a key may look like an id
	req.Raw, req.MaxBytes = true, maxKVValue
	resp, err := k.c.Do(ctx, req)
	// Only the API itself can say that there is no such key. A 404 of something in
	// front of it, or of a namespace that is gone, says nothing about the key.
	if own := (*firedrill.Error)(nil); errors.As(err, &own) && own.Kind == firedrill.KindNotFound && own.Code == noSuchKey {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return resp.Body, true, nil
}

// noSuchKey is the API's code for a key that is not there.
const noSuchKey = 10009

// bulkAnswer is the answer to a bulk write or delete.
type bulkAnswer struct {
	Successful   *int64   `json:"successful_key_count"`
	Unsuccessful []string `json:"unsuccessful_keys"`
}

// bulk sends a bulk write or delete of n keys; both may be repeated.
func (k *KV) bulk(ctx context.Context, req Request, n int) ([]string, error) {
	req.Safe = true
	resp, err := k.c.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	var out bulkAnswer
	if err := resp.Decode(req, &out); err != nil {
		return nil, err
	}
	if out.Successful == nil || *out.Successful+int64(len(out.Unsuccessful)) != int64(n) {
		return nil, unreadable(req, fmt.Sprintf("the answer does not account for all of %d keys", n))
	}
	return out.Unsuccessful, nil
}

// BulkPut implements backup.KVSink.
func (k *KV) BulkPut(ctx context.Context, body backup.Body, n int) ([]string, error) {
	req := k.request("kv.bulk-put", http.MethodPut, "bulk")
	req.Stream = &Stream{Size: body.Size, Open: body.Open}
	return k.bulk(ctx, req, n)
}

// BulkDelete implements backup.KVSink.
func (k *KV) BulkDelete(ctx context.Context, keys []string) ([]string, error) {
	body, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	req := k.request("kv.bulk-delete", http.MethodPost, "bulk", "delete")
	req.Body = body
	return k.bulk(ctx, req, len(keys))
}
