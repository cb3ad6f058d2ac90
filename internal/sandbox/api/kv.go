package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"firedrill/internal/sandbox/kv"
	"firedrill/internal/sandbox/workers/form"
)

// kvRoutes is the table of the calls of Workers KV.
func kvRoutes() []route {
	const n = "accounts/*/storage/kv/namespaces"
	return []route{
		{"POST", n, (*Server).createNamespace},
		{"GET", n, (*Server).listNamespaces},
		{"GET", n + "/*", (*Server).getNamespace},
		{"PUT", n + "/*", (*Server).renameNamespace},
		{"DELETE", n + "/*", (*Server).deleteNamespace},
		{"GET", n + "/*/keys", (*Server).listKeys},
		{"GET", n + "/*/values/*", (*Server).getValue},
		{"PUT", n + "/*/values/*", (*Server).putValue},
		{"DELETE", n + "/*/values/*", (*Server).deleteValue},
		{"GET", n + "/*/metadata/*", (*Server).getMetadata},
		{"PUT", n + "/*/bulk", (*Server).bulkPut},
		{"DELETE", n + "/*/bulk", (*Server).bulkDelete},
		{"POST", n + "/*/bulk/delete", (*Server).bulkDelete},
		{"POST", n + "/*/bulk/get", (*Server).bulkGet},
	}
}

// keySegment is the place of a key in a path.
const keySegment = 7

// joinKey makes one segment of the key at the end of a path: some clients leave
// the slashes in a key as they are.
func joinKey(parts []string) []string {
	var at int
	switch {
	case len(parts) > keySegment && parts[2] == "storage" && parts[3] == "kv" && (parts[6] == "values" || parts[6] == "metadata"):
		at = keySegment
	case len(parts) > objectSegment && parts[2] == "r2" && parts[5] == "objects":
		at = objectSegment
	default:
		return parts
	}
	return append(parts[:at:at], strings.Join(parts[at:], "/"))
}

func (q request) namespaceID() string { return q.path[5] }
func (q request) key() string         { return q.path[keySegment] }

func badKV(format string, args ...any) error {
	return &kv.Error{Status: http.StatusBadRequest, Code: kv.CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

func viewNamespace(n kv.Namespace) map[string]any {
	return map[string]any{"id": n.ID, "title": n.Title, "supports_url_encoding": true}
}

func (s *Server) createNamespace(q request) (answer, error) {
	var in struct {
		Title string `json:"title"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	n, err := s.cfg.KV.Create(in.Title)
	return answer{result: viewNamespace(n)}, err
}

func (s *Server) listNamespaces(q request) (answer, error) {
	views := []any{}
	for _, n := range s.cfg.KV.Namespaces() {
		views = append(views, viewNamespace(n))
	}
	if q.r.URL.Query().Get("direction") == "desc" {
		for i, j := 0, len(views)-1; i < j; i, j = i+1, j-1 {
			views[i], views[j] = views[j], views[i]
		}
	}
	return paged(q, views, 20)
}

func (s *Server) getNamespace(q request) (answer, error) {
	n, err := s.cfg.KV.Namespace(q.namespaceID())
	return answer{result: viewNamespace(n)}, err
}

func (s *Server) renameNamespace(q request) (answer, error) {
	var in struct {
		Title string `json:"title"`
	}
	if err := q.decode(&in); err != nil {
		return answer{}, err
	}
	n, err := s.cfg.KV.Rename(q.namespaceID(), in.Title)
	return answer{result: viewNamespace(n)}, err
}

// deleteNamespace removes a namespace also while a Worker is bound to it, whose
// calls fail from then on: the platform lets it happen.
func (s *Server) deleteNamespace(q request) (answer, error) {
	return answer{}, s.cfg.KV.Delete(q.namespaceID())
}

// keyView is a key as lists show it.
type keyView struct {
	Name       string          `json:"name"`
	Expiration int64           `json:"expiration,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
}

// cursors is the result_info of a list with a cursor, in both forms that
// clients read.
type cursors struct {
	Count   int    `json:"count"`
	Cursor  string `json:"cursor"`
	Cursors struct {
		After string `json:"after"`
	} `json:"cursors"`
}

func newCursors(count int, next string) cursors {
	c := cursors{Count: count, Cursor: next}
	c.Cursors.After = next
	return c
}

func (s *Server) listKeys(q request) (answer, error) {
	query := q.r.URL.Query()
	list := kv.Query{Prefix: query.Get("prefix"), Cursor: query.Get("cursor")}
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < kv.MinList || n > kv.MaxList {
			return answer{}, badKV("limit must be a number from %d to %d", kv.MinList, kv.MaxList)
		}
		list.Limit = n
	}
	page, err := s.cfg.KV.List(q.r.Context(), q.namespaceID(), list)
	if err != nil {
		return answer{}, err
	}
	views := make([]keyView, 0, len(page.Keys))
	for _, e := range page.Keys {
		views = append(views, keyView{e.Key, e.Expiration, e.Metadata})
	}
	return answer{result: views, info: newCursors(len(views), page.Cursor)}, nil
}

// read finds an entry; there must be one.
func (s *Server) read(q request) (kv.Entry, error) {
	if err := kv.CheckKey(q.key()); err != nil {
		return kv.Entry{}, err
	}
	e, ok, err := s.cfg.KV.Get(q.r.Context(), q.namespaceID(), q.key(), kv.Read{Place: kv.API})
	if err == nil && !ok {
		err = &kv.Error{Status: http.StatusNotFound, Code: kv.CodeNoKey, Message: "get: 'key not found'"}
	}
	return e, err
}

func (s *Server) getValue(q request) (answer, error) {
	e, err := s.read(q)
	if err != nil {
		return answer{}, err
	}
	h := q.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(e.Value)))
	if e.Expiration != 0 {
		h.Set("Expiration", strconv.FormatInt(e.Expiration, 10))
	}
	_, _ = q.w.Write(e.Value) // the client may be gone
	return answer{done: true}, nil
}

func (s *Server) getMetadata(q request) (answer, error) {
	e, err := s.read(q)
	return answer{result: e.Metadata}, err
}

func (s *Server) deleteValue(q request) (answer, error) {
	return answer{}, s.cfg.KV.DeleteKeys(q.r.Context(), q.namespaceID(), kv.API, []string{q.key()})
}

func (s *Server) putValue(q request) (answer, error) {
	// An unknown namespace is told before a large body is read.
	if _, err := s.cfg.KV.Namespace(q.namespaceID()); err != nil {
		return answer{}, err
	}
	e := kv.Entry{Key: q.key()}
	query := q.r.URL.Query()
	expiration, err := seconds("expiration", query.Get("expiration"))
	if err != nil {
		return answer{}, err
	}
	ttl, err := seconds("expiration_ttl", query.Get("expiration_ttl"))
	if err != nil {
		return answer{}, err
	}
	if e.Expiration, err = kv.Expires(s.cfg.Now(), expiration, ttl); err != nil {
		return answer{}, err
	}
	if media, _, err := mime.ParseMediaType(q.r.Header.Get("Content-Type")); err == nil && media == "multipart/form-data" {
		err = q.readValueForm(&e)
		if err != nil {
			return answer{}, err
		}
	} else if e.Value, err = q.readAll(kv.MaxValue); err != nil {
		return answer{}, err
	}
	return answer{}, s.cfg.KV.Put(q.r.Context(), q.namespaceID(), kv.API, e)
}

// readValueForm reads a value with metadata from the parts "value" and
// "metadata". A part of another name means that a client took the metadata
// apart; to store the value without it would lose it silently.
func (q request) readValueForm(e *kv.Entry) error {
	parts, err := form.Read(q.r.Body, q.r.Header.Get("Content-Type"), form.Limits{Parts: 10, Bytes: kv.MaxValue + kv.MaxMetadata + 4096})
	if errors.Is(err, form.ErrTooLarge) {
		return &kv.Error{Status: http.StatusRequestEntityTooLarge, Code: kv.CodeTooLarge, Message: fmt.Sprintf("Value length exceeds limit of %d.", kv.MaxValue)}
	}
	if err != nil {
		return badKV("the form could not be read: %v", err)
	}
	found := false
	for _, p := range parts {
		switch p.Name {
		case "value":
			e.Value, found = p.Data, true
		case "metadata":
			if e.Metadata = p.Data; !json.Valid(p.Data) {
				return badKV("the part \"metadata\" is not JSON")
			}
		case "expiration", "expiration_ttl":
			return badKV("%s belongs into the query, not into the form", p.Name)
		default:
			return badKV("the form has a part %q; a value is sent as the parts \"value\" and \"metadata\" (one JSON text)", p.Name)
		}
	}
	if !found {
		return badKV("the form has no part \"value\"")
	}
	return nil
}

// seconds reads a number of seconds; nil when it is not given.
func seconds(name, text string) (*int64, error) {
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, badKV("%s must be a whole number of seconds, not %q", name, text)
	}
	return &n, nil
}

// readAll reads a body of at most limit bytes.
func (q request) readAll(limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &kv.Error{Status: http.StatusRequestEntityTooLarge, Code: kv.CodeTooLarge, Message: fmt.Sprintf("The body exceeds the limit of %d bytes.", limit)}
	case err != nil:
		return nil, badKV("the body broke off: %v", err)
	}
	return body, nil
}
