package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"firedrill/internal/sandbox/kv"
)

// pair is one element of a bulk write.
type pair struct {
	Key           *string         `json:"key"`
	Value         *string         `json:"value"`
	Base64        bool            `json:"base64"`
	Metadata      json.RawMessage `json:"metadata"`
	Expiration    *int64          `json:"expiration"`
	ExpirationTTL *int64          `json:"expiration_ttl"`
}

func (s *Server) bulkPut(q request) (answer, error) {
	if _, err := s.cfg.KV.Namespace(q.namespaceID()); err != nil {
		return answer{}, err
	}
	body, err := q.readAll(kv.MaxBulkBody)
	if err != nil {
		return answer{}, err
	}
	// Decoded pair by pair: a body has up to 100 MB.
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return answer{}, badKV("the body is not a JSON array of pairs")
	}
	at := 0
	n, err := s.cfg.KV.PutAll(q.r.Context(), q.namespaceID(), kv.API, func() (kv.Entry, bool, error) {
		if !dec.More() {
			return kv.Entry{}, false, endOfArray(dec)
		}
		var p pair
		if err := dec.Decode(&p); err != nil {
			return kv.Entry{}, false, badKV("pair %d is not the JSON expected: %v", at, err)
		}
		e, err := s.entryOf(p, at)
		at++
		return e, true, err
	})
	return answer{result: bulkResult(n)}, err
}

// endOfArray makes sure that an array is closed and nothing follows it.
func endOfArray(dec *json.Decoder) error {
	if t, err := dec.Token(); err != nil || t != json.Delim(']') {
		return badKV("the array of pairs is cut off")
	}
	if _, err := dec.Token(); err != io.EOF {
		return badKV("something follows the array of pairs")
	}
	return nil
}

func (s *Server) entryOf(p pair, at int) (kv.Entry, error) {
	if p.Key == nil || p.Value == nil {
		return kv.Entry{}, badKV("pair %d has no key or no value", at)
	}
	e := kv.Entry{Key: *p.Key, Value: []byte(*p.Value)}
	if p.Base64 {
		data, err := base64.StdEncoding.DecodeString(*p.Value)
		if err != nil {
			return kv.Entry{}, badKV("the value of pair %d (%q) is not base64", at, e.Key)
		}
		e.Value = data
	}
	if len(p.Metadata) > 0 && string(p.Metadata) != "null" {
		var compact bytes.Buffer
		if err := json.Compact(&compact, p.Metadata); err != nil {
			return kv.Entry{}, badKV("the metadata of pair %d is not JSON", at)
		}
		e.Metadata = compact.Bytes()
	}
	var err error
	e.Expiration, err = kv.Expires(s.cfg.Now(), p.Expiration, p.ExpirationTTL)
	return e, err
}

func bulkResult(n int) map[string]any {
	return map[string]any{"successful_key_count": n, "unsuccessful_keys": []string{}}
}

func (s *Server) bulkDelete(q request) (answer, error) {
	var keys []string
	if err := q.decode(&keys); err != nil {
		return answer{}, err
	}
	if len(keys) > kv.MaxPairs {
		return answer{}, badKV("A bulk delete takes at most %d keys, not %d.", kv.MaxPairs, len(keys))
	}
	err := s.cfg.KV.DeleteKeys(q.r.Context(), q.namespaceID(), kv.API, keys)
	return answer{result: bulkResult(len(keys))}, err
}

// bulkGet reads up to a hundred keys. It carries text only: bytes that are not
// UTF-8 become U+FFFD, as on the platform.
func (s *Server) bulkGet(q request) (answer, error) {
	var in struct {
		Keys         []string `json:"keys"`
		Type         string   `json:"type"`
		WithMetadata bool     `json:"withMetadata"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	if len(in.Keys) == 0 || len(in.Keys) > kv.MaxBulkGet {
		return answer{}, badKV("You can request 1 to %d keys at a time, not %d.", kv.MaxBulkGet, len(in.Keys))
	}
	if in.Type != "" && in.Type != "text" && in.Type != "json" {
		return answer{}, badKV("type must be \"text\" or \"json\", not %q", in.Type)
	}
	values := make(map[string]any, len(in.Keys))
	total := 0
	for _, key := range in.Keys {
		if err := kv.CheckKey(key); err != nil {
			return answer{}, err
		}
		e, ok, err := s.cfg.KV.Get(q.r.Context(), q.namespaceID(), key, kv.Read{Place: kv.API})
		if err != nil {
			return answer{}, err
		}
		if total += len(e.Value); total > kv.MaxBulkAnswer {
			return answer{}, &kv.Error{Status: http.StatusRequestEntityTooLarge, Code: kv.CodeTooLarge, Message: "The values together exceed 25 MiB: ask for fewer keys."}
		}
		if !ok {
			values[key] = nil
			continue
		}
		var value any = strings.ToValidUTF8(string(e.Value), string(utf8.RuneError))
		if in.Type == "json" {
			if !json.Valid(e.Value) {
				return answer{}, badKV("the value of %q is not JSON", key)
			}
			value = json.RawMessage(e.Value)
		}
		if !in.WithMetadata {
			values[key] = value
			continue
		}
		view := map[string]any{"value": value, "metadata": e.Metadata}
		if e.Expiration != 0 {
			view["expiration"] = e.Expiration
		}
		values[key] = view
	}
	return answer{result: map[string]any{"values": values}}, nil
}
