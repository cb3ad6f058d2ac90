package action

import (
	"context"
	"net/http"
	"sort"

	"firedrill"
)

// Probe is a request to the drilled service and the answer that counts as
// healthy, as plans write it below a Worker.
type Probe struct {
	Path   string `json:"path" doc:"path and query, beginning with a slash"`
	Method string `json:"method,omitempty" doc:"HTTP method; GET if left out"`
	Status int    `json:"status,omitempty" doc:"expected status; 200 if left out"`
	// JSON must be contained in the answer: every key with its value, further
	// keys are allowed. Integers compare exactly.
	JSON     firedrill.Values `json:"json,omitempty" doc:"values that the JSON answer must hold; further keys are allowed"`
	Contains string           `json:"contains,omitempty" doc:"text that the answer must contain"`
	// ResponseHeaders must be in the answer, with these values.
	ResponseHeaders firedrill.Values `json:"response_headers,omitempty" doc:"headers that the answer must have, with their values"`
	// Timeout and Slow are told apart: an answer that takes too long is red, a
	// slow one is green and counted.
	Timeout firedrill.Duration `json:"timeout,omitempty" doc:"time after which no answer is a bad answer, 2s if left out"`
	Slow    firedrill.Duration `json:"slow,omitempty" doc:"time above which a good answer counts as slow; slow is not down"`
	// Headers holds strings or references to secrets ({env: NAME}).
	Headers firedrill.Values `json:"headers,omitempty" doc:"headers to send; a value is a string or a reference to a secret: {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}"`
}

// Name is how a probe is shown: "/health", or "POST /login".
func (p Probe) Name() string {
	if p.Method == "" || p.Method == http.MethodGet {
		return p.Path
	}
	return p.Method + " " + p.Path
}

// ResolveHeaders gives the headers with the values of their secrets.
func (p Probe) ResolveHeaders(ctx context.Context, secrets Secrets) (map[string]string, error) {
	names := make([]string, 0, len(p.Headers))
	for name := range p.Headers {
		names = append(names, name)
	}
	sort.Strings(names)
	headers := make(map[string]string, len(names))
	for _, name := range names {
		switch v := p.Headers[name].(type) {
		case string:
			headers[name] = v
		case map[string]any:
			var s Secret
			if err := firedrill.Values(v).Into(&s); err != nil {
				return nil, &firedrill.Error{Op: "read header", Kind: firedrill.KindUsage, Target: "header " + name + " of probe " + p.Name(),
					Detail: "is neither a string nor a reference to a secret", Remedy: "write a string, {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}"}
			}
			value, err := secrets.Resolve(ctx, s)
			if err != nil {
				return nil, err
			}
			headers[name] = value
		default:
			return nil, &firedrill.Error{Op: "read header", Kind: firedrill.KindUsage, Target: "header " + name + " of probe " + p.Name(),
				Detail: "is neither a string nor a reference to a secret", Remedy: "quote it, or write {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}"}
		}
	}
	return headers, nil
}
