package binding

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"firedrill/internal/sandbox/kv"
)

// KindKV is the value of HeaderKind for a KV namespace.
const KindKV = "kv"

// headerMetadata carries a key's metadata, as JSON in ASCII.
const headerMetadata = "Cf-Kv-Metadata"

// Namespaces is what the binding needs of the key-value service; *kv.Store is
// one.
type Namespaces interface {
	Namespace(id string) (kv.Namespace, error)
	Get(ctx context.Context, id, key string, r kv.Read) (kv.Entry, bool, error)
	Put(ctx context.Context, id string, place kv.Place, e kv.Entry) error
	DeleteKeys(ctx context.Context, id string, place kv.Place, keys []string) error
	List(ctx context.Context, id string, q kv.Query) (kv.Page, error)
}

// KV speaks the protocol of workerd's kvNamespace bindings, observed on version
// 1.20261117.1. A key is one escaped segment of the path, so the escaped path
// is what counts: a key may be named "bulk/get".
type KV struct {
	Namespaces Namespaces
	Now        func() time.Time
}

// ServeBinding implements Backend.
func (b KV) ServeBinding(w http.ResponseWriter, r *http.Request, id string) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	var err error
	switch {
	case r.Method == http.MethodPost && path == "bulk/get":
		err = b.bulkGet(w, r, id)
	case r.Method == http.MethodGet && path == "":
		err = b.list(w, r, id)
	default:
		var key string
		if key, err = url.PathUnescape(path); err != nil {
			err = kvRefusal(http.StatusBadRequest, "the key is not escaped correctly")
			break
		}
		switch r.Method {
		case http.MethodGet:
			err = b.get(w, r, id, key)
		case http.MethodPut:
			err = b.put(r, id, key)
		case http.MethodDelete:
			err = b.Namespaces.DeleteKeys(r.Context(), id, kv.Workers, []string{key})
		default:
			err = kvRefusal(http.StatusMethodNotAllowed, r.Method+" is no call of a KV binding")
		}
	}
	if err != nil {
		kvFail(w, r, err)
	}
}

func kvRefusal(status int, text string) error { return &kv.Error{Status: status, Message: text} }

func (b KV) get(w http.ResponseWriter, r *http.Request, id, key string) error {
	e, ok, err := b.Namespaces.Get(r.Context(), id, key, kv.Read{Place: kv.Workers, CacheTTL: ttl(r.URL.Query().Get("cache_ttl"))})
	if err != nil {
		return err
	}
	if !ok {
		w.WriteHeader(http.StatusNotFound) // null in JavaScript
		return nil
	}
	h := w.Header()
	h["Content-Type"] = nil // workerd converts by what the code asks for
	h.Set("Content-Length", strconv.Itoa(len(e.Value)))
	if e.Metadata != nil {
		h.Set(headerMetadata, asciiJSON(e.Metadata))
	}
	if e.Expiration != 0 {
		h.Set("Cf-Expiration", strconv.FormatInt(e.Expiration, 10))
	}
	_, _ = w.Write(e.Value) // the Worker may be gone
	return nil
}

// ttl reads a number of seconds that only ever makes a place remember longer;
// what cannot be read counts as not given.
func ttl(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}

func (b KV) put(r *http.Request, id, key string) error {
	q := r.URL.Query()
	e := kv.Entry{Key: key}
	var given [2]*int64
	for i, name := range []string{"expiration", "expiration_ttl"} {
		if text := q.Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return kvRefusal(http.StatusBadRequest, fmt.Sprintf("Invalid %s of %s. Please specify integer greater than 0.", name, text))
			}
			given[i] = &n
		}
	}
	var err error
	if e.Expiration, err = kv.Expires(b.Now(), given[0], given[1]); err != nil {
		return err
	}
	if text := r.Header.Get(headerMetadata); text != "" {
		e.Metadata = json.RawMessage(text)
	}
	// One byte more than allowed shows that there is too much.
	if e.Value, err = io.ReadAll(io.LimitReader(r.Body, kv.MaxValue+1)); err != nil {
		return kvRefusal(http.StatusBadRequest, "the value broke off")
	}
	return b.Namespaces.Put(r.Context(), id, kv.Workers, e)
}

func (b KV) list(w http.ResponseWriter, r *http.Request, id string) error {
	q := r.URL.Query()
	query := kv.Query{Prefix: q.Get("prefix"), Cursor: q.Get("cursor")}
	if text := q.Get("key_count_limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return kvRefusal(http.StatusBadRequest, fmt.Sprintf("Invalid key_count_limit of %s. Please specify an integer greater than 0.", text))
		}
		query.Limit = min(n, kv.MaxList)
	}
	page, err := b.Namespaces.List(r.Context(), id, query)
	if err != nil {
		return err
	}
	type listed struct {
		Name       string `json:"name"`
		Expiration int64  `json:"expiration,omitempty"`
		Metadata   string `json:"metadata,omitempty"` // JSON as text: workerd parses it
	}
	out := struct {
		Keys     []listed `json:"keys"`
		Complete bool     `json:"list_complete"`
		Cursor   string   `json:"cursor,omitempty"`
	}{Keys: []listed{}, Complete: page.Cursor == "", Cursor: page.Cursor}
	for _, e := range page.Keys {
		out.Keys = append(out.Keys, listed{e.Key, e.Expiration, string(e.Metadata)})
	}
	return writeKV(w, out)
}

func (b KV) bulkGet(w http.ResponseWriter, r *http.Request, id string) error {
	var in struct {
		Keys         []string `json:"keys"`
		Type         string   `json:"type"`
		WithMetadata bool     `json:"withMetadata"`
		CacheTTL     string   `json:"cacheTtl"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in); err != nil {
		return kvRefusal(http.StatusBadRequest, "the list of keys is not the JSON expected")
	}
	switch {
	case len(in.Keys) == 0:
		return kvRefusal(http.StatusBadRequest, "You must request a minimum of 1 key")
	case len(in.Keys) > kv.MaxBulkGet:
		return kvRefusal(http.StatusBadRequest, fmt.Sprintf("You can request a maximum of %d keys", kv.MaxBulkGet))
	case in.Type != "" && in.Type != "text" && in.Type != "json":
		return kvRefusal(http.StatusBadRequest, fmt.Sprintf("\"%s\" is not a valid type. Use \"json\" or \"text\"", in.Type))
	}
	out := make(map[string]any, len(in.Keys))
	total := 0
	for _, key := range in.Keys {
		e, ok, err := b.Namespaces.Get(r.Context(), id, key, kv.Read{Place: kv.Workers, CacheTTL: ttl(in.CacheTTL)})
		if err != nil {
			return err
		}
		if total += len(e.Value); total > kv.MaxBulkAnswer {
			return kvRefusal(http.StatusRequestEntityTooLarge, "Total size of request exceeds the limit of 25MB")
		}
		if !ok {
			out[key] = nil
			continue
		}
		var value any = strings.ToValidUTF8(string(e.Value), string(utf8.RuneError))
		if in.Type == "json" {
			if !json.Valid(e.Value) {
				return kvRefusal(http.StatusBadRequest, "At least one of the requested keys corresponds to a non-JSON value")
			}
			value = json.RawMessage(e.Value)
		}
		if in.WithMetadata {
			value = map[string]any{"value": value, "metadata": e.Metadata}
		}
		out[key] = value
	}
	return writeKV(w, out)
}

func writeKV(w http.ResponseWriter, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data) // the Worker may be gone
	return nil
}

// asciiJSON writes JSON so that a header can carry it.
func asciiJSON(raw json.RawMessage) string {
	var b strings.Builder
	for _, r := range string(raw) {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteByte(' ') // between tokens: inside a string JSON has them escaped
		case r < 0x7f:
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
	}
	return b.String()
}

// kvFail answers with the text in the status line, which is all of an error
// that workerd shows to the Worker. net/http writes its own texts there, so the
// answer is written by hand, and the connection ends with it.
func kvFail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := http.StatusInternalServerError, "the sandbox's KV failed: "+err.Error()
	var refused *kv.Error
	if errors.As(err, &refused) {
		status, text = refused.Status, refused.Message
	}
	if status == http.StatusNotFound {
		status = http.StatusBadRequest // 404 would be read as an absent key
	}
	// What is left unread of the body would break the connection before the
	// answer is read.
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, kv.MaxBulkBody)) // a reader that fails has nothing left
	conn, buf, hijack := http.NewResponseController(w).Hijack()
	if hijack != nil {
		http.Error(w, text, status)
		return
	}
	defer func() { _ = conn.Close() }() // the answer ends with the connection
	writeStatus(buf.Writer, status, text)
}

func writeStatus(w *bufio.Writer, status int, text string) {
	line := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, text)
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, line) // the Worker may be gone
	_ = w.Flush()                                                                                           // likewise
}
