package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"firedrill/internal/sandbox/workers"
)

// WorkersAPI answers the Workers part of the API: the calls below
// /accounts/{account}/workers/.
type WorkersAPI struct {
	m   *workers.Manager
	log *slog.Logger
}

// NewWorkersAPI returns the handlers for one account's Workers.
func NewWorkersAPI(m *workers.Manager, log *slog.Logger) *WorkersAPI {
	return &WorkersAPI{m: m, log: log}
}

// workersCall is one request, its path taken apart.
type workersCall struct {
	w    http.ResponseWriter
	r    *http.Request
	path []string // decoded segments after "workers"
}

// workersReply is what a handler gives back: a result and, for a list in pages, where
// it stands. A handler that has written its answer itself says so.
type workersReply struct {
	result any
	info   any // page or cursors
	done   bool
}

// ServeWorkers answers a request whose decoded path segments after
// /accounts/{account}/workers/ are path, and returns the pattern that they
// matched. It returns "", and writes nothing, when there is no such call.
func (a *WorkersAPI) ServeWorkers(w http.ResponseWriter, r *http.Request, path []string) string {
	rt, ok := a.route(r.Method, path)
	if !ok {
		return ""
	}
	reply, err := rt.handler(workersCall{w: w, r: r, path: path})
	switch {
	case err != nil:
		a.fail(w, r, err)
	case !reply.done:
		finishWorkers(w, reply)
	}
	return rt.pattern
}

type workersHandler func(workersCall) (workersReply, error)

// route finds the line of the table for a call. In a pattern * stands for one
// segment.
func (a *WorkersAPI) route(method string, path []string) (workersRoute, bool) {
	for _, rt := range a.routes() {
		if rt.method == method && matchSegments(strings.Split(rt.pattern, "/"), path) {
			return rt, true
		}
	}
	return workersRoute{}, false
}

type workersRoute struct {
	method, pattern string
	handler         workersHandler
}

func (a *WorkersAPI) routes() []workersRoute {
	return append(a.objectRoutes(), []workersRoute{
		{"GET", "subdomain", a.accountSubdomain},
		{"GET", "scripts", a.listScripts},
		{"GET", "services/*", a.getService},
		{"DELETE", "services/*", a.deleteScript},
		{"GET", "tails/by-consumer/*", a.emptyList},

		{"PUT", "scripts/*", a.putScript},
		{"GET", "scripts/*", a.content},
		{"DELETE", "scripts/*", a.deleteScript},
		{"GET", "scripts/*/content", a.content},
		{"GET", "scripts/*/content/v2", a.content},
		{"POST", "scripts/*/versions", a.postVersion},
		{"GET", "scripts/*/versions", a.listVersions},
		{"GET", "scripts/*/versions/*", a.getVersion},
		{"POST", "scripts/*/deployments", a.postDeployment},
		{"GET", "scripts/*/deployments", a.listDeployments},
		{"GET", "scripts/*/deployments/*", a.getDeployment},
		{"DELETE", "scripts/*/deployments/*", a.deleteDeployment},
		{"GET", "scripts/*/settings", a.getSettings},
		{"PATCH", "scripts/*/settings", a.patchSettings},
		{"GET", "scripts/*/script-settings", a.getScriptSettings},
		{"PATCH", "scripts/*/script-settings", a.patchScriptSettings},
		{"GET", "scripts/*/secrets", a.listSecrets},
		{"GET", "scripts/*/secrets/*", a.getSecret},
		{"PUT", "scripts/*/secrets", a.putSecret},
		{"DELETE", "scripts/*/secrets/*", a.deleteSecret},
		{"PATCH", "scripts/*/secrets-bulk", a.patchSecrets},
		{"GET", "scripts/*/subdomain", a.getSubdomain},
		{"POST", "scripts/*/subdomain", a.postSubdomain},
		{"DELETE", "scripts/*/subdomain", a.deleteSubdomain},
		{"GET", "scripts/*/references", a.references},
		{"GET", "scripts/*/schedules", a.getSchedules},
		{"PUT", "scripts/*/schedules", a.putSchedules},
		{"POST", "scripts/*/tails", a.postTail},
	}...)
}

func matchSegments(pattern, path []string) bool {
	if len(pattern) != len(path) {
		return false
	}
	for i, p := range pattern {
		if p != "*" && p != path[i] || path[i] == "" {
			return false
		}
	}
	return true
}

// name is the script's name, which stands second in every path that has one.
func (c workersCall) name() string { return c.path[1] }

// source names the client, as the platform does in versions and deployments.
func (c workersCall) source() string {
	if strings.HasPrefix(c.r.UserAgent(), "wrangler/") {
		return "wrangler"
	}
	return "api"
}

func (c workersCall) flag(name string) bool {
	v, err := strconv.ParseBool(c.r.URL.Query().Get(name))
	return err == nil && v
}

// maxWorkersJSON bounds a JSON body; a hundred secrets fit many times.
const maxWorkersJSON = 8 << 20

// decode reads a JSON body.
func (c workersCall) decode(into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxWorkersJSON))
	if err != nil {
		return badWorkersRequest("the body could not be read: %v", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return badWorkersRequest("the body is not the JSON expected: %v", err)
	}
	return nil
}

func badWorkersRequest(format string, args ...any) error {
	return &workers.Error{Op: "read request", Code: workers.CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

// workersStatus is the HTTP status that goes with an error code. A refusal is
// never a 5xx: clients would send it again.
func workersStatus(code workers.Code) int {
	switch code {
	case workers.CodeNoWorker, workers.CodeNoSecret, workers.CodeNoDeployment, workers.CodeNoVersion, workers.CodeNoObjects, workers.CodeNoSnapshot:
		return http.StatusNotFound
	case workers.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case workers.CodeStillReferenced:
		return http.StatusConflict
	case workers.CodeMigrationTag:
		return http.StatusPreconditionFailed
	}
	return http.StatusBadRequest
}

// statusClientGone is what traces show for a call whose client did not wait.
const statusClientGone = 499

// codeWorkersInternal is the platform's code for an error of its own.
const codeWorkersInternal = 10001

func (a *WorkersAPI) fail(w http.ResponseWriter, r *http.Request, err error) {
	var refused *workers.Error
	if errors.As(err, &refused) {
		writeError(w, &Error{workersStatus(refused.Code), int(refused.Code), refused.Message})
		return
	}
	if r.Context().Err() != nil {
		writeError(w, &Error{statusClientGone, codeWorkersInternal, "The client went away"})
		return
	}
	a.log.Error("a call of the Workers API failed", "method", r.Method, "path", r.URL.Path, "err", err)
	writeError(w, &Error{http.StatusInternalServerError, codeWorkersInternal, "The sandbox could not do this: " + err.Error()})
}

func finishWorkers(w http.ResponseWriter, reply workersReply) {
	body := map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": reply.result}
	if reply.info != nil {
		body["result_info"] = reply.info
	}
	writeJSON(w, http.StatusOK, body)
}
