// Package api answers the Cloudflare v4 API for the sandbox: the envelope, the
// token, the account, D1, KV, R2 and (in workers*.go and objects.go) Workers. What each call answers
// follows the platform's documentation and what its real clients need; where
// the sandbox cannot be like the platform it answers with an error that says
// so, never with a stub.
//
// A call is found by hand on the escaped path: a multiplexer that cleans paths
// would change names that hold "//" or "%2F".
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill/internal/sandbox/d1"
	"firedrill/internal/sandbox/kv"
	"firedrill/internal/sandbox/r2"
)

// Prefix is where the API begins.
const Prefix = "/client/v4"

// metricsPath is where counters are shown. They need the token: the names of
// Workers are in them.
const metricsPath = "/metrics"

// maxBody bounds the body of a call that is JSON, in bytes.
const maxBody = 64 << 20

// Config says what a server answers for.
type Config struct {
	Account string // id, 32 hexadecimal digits
	Token   string
	D1      *d1.Store
	KV      *kv.Store
	R2      *r2.Store
	Workers *WorkersAPI
	// Base is the address of the API as clients see it, for the addresses of
	// uploads and downloads; http://host:port without a path.
	Base func() string
	// Spool is a folder for bodies on their way in and out.
	Spool string
	Now   func() time.Time
	Log   *slog.Logger
	// Trace is told about every call; nil: nobody.
	Trace func(Call)
	// Quotas are counted when their window is set.
	Quotas Quotas
	// Status tells what runs, for the sandbox's own call.
	Status func(context.Context) (any, error)
	// Metrics shows counters, under /metrics; nil: none.
	Metrics http.Handler
}

// Call is what a trace sees of a call: no token, no body.
type Call struct {
	Began        time.Time
	Method, Path string
	Route        string // the pattern that the path matched; empty: none
	TraceID      string // what the client gave in Cf-Trace-Id
	Status       int
	Took         time.Duration
}

// Server answers the API.
type Server struct {
	cfg      Config
	files    *transfers
	calls    *limiter
	restores *limiter
}

// New makes a server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, files: newTransfers(cfg.Spool, cfg.Now),
		calls: newLimiter(cfg.Quotas.Window, MaxCalls, cfg.Now), restores: newLimiter(2*cfg.Quotas.Window, MaxRestores, cfg.Now)}
	s.calls.lockOut = true
	return s
}

// Error is a refusal in the platform's form.
type Error struct {
	Status  int
	Code    int
	Message string
}

func (e *Error) Error() string { return e.Message }

// request is one call, its path taken apart.
type request struct {
	w    http.ResponseWriter
	r    *http.Request
	path []string // decoded segments after Prefix
}

// page is the result_info of a list in pages.
type page struct {
	Page       int `json:"page"`
	PerPage    int `json:"per_page"`
	Count      int `json:"count"`
	TotalCount int `json:"total_count"`
	TotalPages int `json:"total_pages"`
}

// answer is what a handler gives back.
type answer struct {
	result any
	info   any    // result_info: a page or cursors
	raw    []byte // instead of an envelope
	done   bool   // the handler has answered itself
}

type handler func(*Server, request) (answer, error)

// route is one line of the table of calls. In a pattern * stands for one
// segment.
type route struct {
	method, pattern string
	handler         handler
}

func routes() []route {
	const b = "accounts/*/d1/database"
	return slices.Concat(kvRoutes(), r2Routes(), []route{
		{"GET", "user/tokens/verify", (*Server).verifyToken},
		{"GET", "accounts/*/tokens/verify", (*Server).verifyToken},
		{"GET", "user/tokens/*", (*Server).getToken},
		{"GET", "accounts/*/tokens/*", (*Server).getToken},
		{"GET", "user", (*Server).user},
		{"GET", "accounts", (*Server).accounts},
		{"GET", "accounts/*", (*Server).account},
		{"GET", "memberships", (*Server).memberships},
		{"POST", "graphql", (*Server).graphql},
		{"GET", "accounts/*/sandbox/status", (*Server).status},

		{"POST", b, (*Server).createDatabase},
		{"GET", b, (*Server).listDatabases},
		{"GET", b + "/*", (*Server).getDatabase},
		{"PUT", b + "/*", (*Server).updateDatabase},
		{"PATCH", b + "/*", (*Server).updateDatabase},
		{"DELETE", b + "/*", (*Server).deleteDatabase},
		{"POST", b + "/*/query", (*Server).query},
		{"POST", b + "/*/raw", (*Server).query},
		{"GET", b + "/*/time_travel/bookmark", (*Server).bookmark},
		{"POST", b + "/*/time_travel/restore", (*Server).restore},
		{"POST", b + "/*/import", (*Server).importSQL},
		{"POST", b + "/*/export", (*Server).exportSQL},
	})
}

// ServeHTTP answers one call. A defect of ours becomes an answer and a line in
// the log, not a closed connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.cfg.Now()
	rec := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		if p := recover(); p != nil && p != any(http.ErrAbortHandler) {
			s.cfg.Log.Error("a call broke", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			writeError(rec, &Error{http.StatusInternalServerError, 10001, "The sandbox broke on this call; its log says where"})
		}
		if s.cfg.Trace != nil {
			s.cfg.Trace(Call{start, r.Method, r.URL.Path, rec.route, r.Header.Get("Cf-Trace-Id"), rec.status, s.cfg.Now().Sub(start)})
		}
	}()
	s.serve(rec, r)
}

func (s *Server) serve(w *statusWriter, r *http.Request) {
	if s.files.serve(w, r) {
		w.route = transferPrefix + "*"
		return
	}
	if r.URL.Path == metricsPath && s.cfg.Metrics != nil {
		w.route = metricsPath
		if err := s.authorize(r); err != nil {
			writeError(w, err)
			return
		}
		s.cfg.Metrics.ServeHTTP(w, r)
		return
	}
	path, err := segments(r.URL.EscapedPath())
	if err != nil {
		writeError(w, err)
		return
	}
	if err := s.authorize(r); err != nil {
		writeError(w, err)
		return
	}
	if own := len(path) > 2 && path[2] == "sandbox"; !own { // what the platform does not have, it does not count
		if err := s.countCall(w); err != nil {
			writeError(w, err)
			return
		}
	}
	if len(path) >= 2 && path[0] == "accounts" && subtle.ConstantTimeCompare([]byte(path[1]), []byte(s.cfg.Account)) == 0 {
		writeError(w, &Error{http.StatusForbidden, 7403, "The given account is not valid or is not authorized to access this service"})
		return
	}
	if len(path) > 3 && path[0] == "accounts" && path[2] == "workers" && s.cfg.Workers != nil {
		if pattern := s.cfg.Workers.ServeWorkers(w, r, path[3:]); pattern != "" {
			w.route = "accounts/*/workers/" + pattern
			return
		}
	}
	for _, rt := range routes() {
		if rt.method == r.Method && matchSegments(strings.Split(rt.pattern, "/"), path) {
			w.route = rt.pattern
			a, err := rt.handler(s, request{w, r, path})
			s.finish(w, r, a, err)
			return
		}
	}
	writeError(w, s.noRoute(r, path))
}

// noRoute tells an unknown path from a method that a known path does not take.
func (s *Server) noRoute(r *http.Request, path []string) error {
	for _, rt := range routes() {
		if matchSegments(strings.Split(rt.pattern, "/"), path) {
			return &Error{http.StatusMethodNotAllowed, 10405, fmt.Sprintf("Method %s is not available here", r.Method)}
		}
	}
	return &Error{http.StatusNotFound, 7003, fmt.Sprintf("Could not route to %s, perhaps your object identifier is invalid? (The sandbox has no such call.)", r.URL.Path)}
}

// segments takes a path apart and decodes each segment on its own.
func segments(escaped string) ([]string, error) {
	rest, ok := strings.CutPrefix(escaped, Prefix+"/")
	if !ok {
		return nil, &Error{http.StatusNotFound, 7003, "Could not route: the API begins at " + Prefix}
	}
	parts := joinKey(strings.Split(rest, "/"))
	for i, p := range parts {
		d, err := url.PathUnescape(p)
		if err != nil {
			return nil, &Error{http.StatusBadRequest, 7003, "Could not route: the path is not escaped correctly"}
		}
		parts[i] = d
	}
	return parts, nil
}

// authorize compares the token in constant time.
func (s *Server) authorize(r *http.Request) error {
	header := r.Header.Get("Authorization")
	if header == "" {
		return &Error{http.StatusUnauthorized, 10000, "Authentication error: the request carries no token"}
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || token == "" {
		return &Error{http.StatusBadRequest, 6003, "Invalid request headers: invalid format for Authorization header"}
	}
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.cfg.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return &Error{http.StatusUnauthorized, 10000, "Authentication error"}
	}
	return nil
}

func (s *Server) finish(w http.ResponseWriter, r *http.Request, a answer, err error) {
	switch {
	case err != nil:
		s.fail(w, r, err)
	case a.done:
	case a.raw != nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(a.raw) // the client may be gone
	default:
		body := map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": a.result}
		if a.info != nil {
			body["result_info"] = a.info
		}
		writeJSON(w, http.StatusOK, body)
	}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var own *Error
	var db *d1.Error
	var keys *kv.Error
	var objects *r2.Error
	switch {
	case errors.As(err, &own):
	case errors.As(err, &db):
		own = &Error{db.Status, db.Code, db.Message}
	case errors.As(err, &keys):
		own = &Error{keys.Status, int(keys.Code), keys.Message}
	case errors.As(err, &objects):
		own = &Error{objects.Status, int(objects.Code), objects.Message}
	case r.Context().Err() != nil:
		own = &Error{499, 10001, "The client went away"}
	default:
		s.cfg.Log.Error("a call failed", "method", r.Method, "path", r.URL.Path, "err", err)
		own = &Error{http.StatusInternalServerError, 10001, "The sandbox could not do this: " + err.Error()}
	}
	writeError(w, own)
}

func writeError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{http.StatusInternalServerError, 10001, err.Error()}
	}
	writeJSON(w, e.Status, map[string]any{"success": false, "errors": []any{map[string]any{"code": e.Code, "message": e.Message}}, "messages": []any{}, "result": nil})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"success":false,"errors":[{"code":10001,"message":"the answer could not be encoded"}],"messages":[],"result":null}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone
}

// statusWriter remembers for the trace what was answered, and by which route.
type statusWriter struct {
	http.ResponseWriter
	status int
	route  string
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// decode reads a JSON body; numbers stay exact.
func (q request) decode(into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, maxBody))
	if err != nil {
		return &Error{http.StatusBadRequest, d1.CodeBadRequest, "The body could not be read: " + err.Error()}
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return &Error{http.StatusBadRequest, d1.CodeBadRequest, "The body is not the JSON expected: " + err.Error()}
	}
	if _, err := dec.Token(); err != io.EOF {
		return &Error{http.StatusBadRequest, d1.CodeBadRequest, "The body holds more than one JSON value"}
	}
	return nil
}

// paged cuts a page out of a list. A page past the end is empty: clients ask
// for pages until they get an empty one.
func paged[T any](q request, all []T, perPage int) (answer, error) {
	number := func(name string, def, most int) (int, error) {
		text := q.r.URL.Query().Get(name)
		if text == "" {
			return def, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return 0, &Error{http.StatusBadRequest, d1.CodeBadRequest, fmt.Sprintf("%s must be a number from 1 to %d", name, most)}
		}
		return n, nil
	}
	size, err := number("per_page", perPage, 10000)
	if err != nil {
		return answer{}, err
	}
	at, err := number("page", 1, 1<<30)
	if err != nil {
		return answer{}, err
	}
	from := min((at-1)*size, len(all))
	to := min(from+size, len(all))
	return answer{result: all[from:to:to], info: page{at, size, to - from, len(all), (len(all) + size - 1) / size}}, nil
}
