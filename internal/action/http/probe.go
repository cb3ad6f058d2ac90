package http

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/hold"
)

// Probe is a request to a service and the answer that counts as healthy; a
// plan's probes with the address of their resource.
type Probe struct {
	Name     string           `json:"name,omitempty" doc:"how it is shown; its address if left out"`
	URL      string           `json:"url" doc:"address"`
	Method   string           `json:"method,omitempty" doc:"HTTP method; GET if left out"`
	Status   int              `json:"status,omitempty" doc:"expected status; 200 if left out"`
	JSON     firedrill.Values `json:"json,omitempty" doc:"values that the JSON answer must hold; further keys are allowed"`
	Contains string           `json:"contains,omitempty" doc:"text that the answer must contain"`
	Headers  firedrill.Values `json:"headers,omitempty" doc:"headers to send; a value is a string or a reference to a secret"`

	ResponseHeaders firedrill.Values   `json:"response_headers,omitempty" doc:"headers that the answer must have, with their values"`
	Service         string             `json:"service,omitempty" doc:"resource that the probe belongs to"`
	Timeout         firedrill.Duration `json:"timeout,omitempty" doc:"time after which no answer is a bad answer"`
	Slow            firedrill.Duration `json:"slow,omitempty" doc:"time above which a good answer of a watched service counts as slow"`
}

// name is how a probe is shown.
func (p Probe) name() string {
	if p.Name != "" {
		return p.Name
	}
	return p.URL
}

// maxBody bounds an answer, in bytes. A longer one cannot be compared.
const maxBody = 1 << 20

// answer is what a service answered.
type answer struct {
	status int
	body   []byte
	header http.Header
}

// digest stands for the answer where it is compared.
func (a answer) digest() string {
	sum := sha256.Sum256(a.body)
	return hex.EncodeToString(sum[:])
}

// ask sends the probe's request once, and waits no longer than the probe says.
func (p *pack) ask(ctx context.Context, pr Probe) (answer, error) {
	patience, err := pr.Timeout.Parse()
	if err != nil {
		return answer{}, &firedrill.Error{Op: "http", Kind: firedrill.KindUsage, Target: pr.name(), Detail: "its timeout is no duration", Err: err, Remedy: "write for example timeout: 500ms"}
	}
	if patience > 0 {
		bound, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		ctx = bound
	}
	return p.send(ctx, pr, "")
}

// send sends a request with a body, which may be empty.
func (p *pack) send(ctx context.Context, pr Probe, body string) (answer, error) {
	method := pr.Method
	if method == "" {
		method = http.MethodGet
	}
	u, err := url.Parse(pr.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return answer{}, &firedrill.Error{Op: "http", Kind: firedrill.KindUsage, Target: pr.name(), Detail: fmt.Sprintf("%q is not an http address", pr.URL), Remedy: "set the url of the resource in the plan"}
	}
	req, err := http.NewRequestWithContext(hold.Sending(ctx), method, pr.URL, strings.NewReader(body))
	if err != nil {
		return answer{}, &firedrill.Error{Op: "http", Kind: firedrill.KindUsage, Target: pr.name(), Err: err, Remedy: "correct the probe in the plan"}
	}
	headers, err := action.Probe{Path: pr.name(), Headers: pr.Headers}.ResolveHeaders(ctx, p.secrets)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "firedrill")
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, &firedrill.Error{Op: "http", Kind: firedrill.KindUnavailable, Target: pr.name(), Detail: "no answer", Err: cause(err), Remedy: "look whether the service runs and whether the url in the plan is right"}
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is what counts
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return answer{}, &firedrill.Error{Op: "http", Kind: firedrill.KindUnavailable, Target: pr.name(), Detail: "the answer broke off", Err: cause(err), Remedy: "look at the service"}
	case len(got) > maxBody:
		return answer{}, &firedrill.Error{Op: "http", Kind: firedrill.KindUnsupported, Target: pr.name(), Detail: fmt.Sprintf("the answer is longer than %d bytes", maxBody), Remedy: "probe a route with a shorter answer"}
	}
	return answer{resp.StatusCode, got, resp.Header}, nil
}

// cause leaves out of a client's error the address, which may hold a secret in
// its query.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// check says what an answer lacks of what is declared, nil if nothing.
func (p Probe) check(a answer) error {
	want := p.Status
	if want == 0 {
		want = http.StatusOK
	}
	if a.status != want {
		return fmt.Errorf("status %d, expected %d", a.status, want)
	}
	for name, want := range p.ResponseHeaders {
		if got := a.header.Get(name); got != fmt.Sprint(want) {
			return fmt.Errorf("header %s is %q, expected %q", name, got, fmt.Sprint(want))
		}
	}
	if p.Contains != "" && !bytes.Contains(a.body, []byte(p.Contains)) {
		return fmt.Errorf("the answer does not contain %q", p.Contains)
	}
	if len(p.JSON) == 0 {
		return nil
	}
	got, err := firedrill.DecodeValue(a.body)
	if err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	return holds(map[string]any(p.JSON), got, "")
}

// holds tells whether got has everything that want has.
func holds(want, got any, path string) error {
	w, ok := want.(map[string]any)
	if !ok {
		if !reflect.DeepEqual(want, got) {
			return fmt.Errorf("%s is %v, expected %v", orRoot(path), got, want)
		}
		return nil
	}
	g, ok := got.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is no object", orRoot(path))
	}
	for k, v := range w {
		x, there := g[k]
		if !there {
			return fmt.Errorf("%s has no %q", orRoot(path), k)
		}
		if err := holds(v, x, path+"."+k); err != nil {
			return err
		}
	}
	return nil
}

func orRoot(path string) string {
	if path == "" {
		return "the answer"
	}
	return path[1:]
}

// Answer is what a probe answered before the drill.
type Answer struct {
	Name   string `json:"name" doc:"name of the probe"`
	Status int64  `json:"status" doc:"status"`
	Digest string `json:"digest" doc:"SHA-256 of the body"`
	Varies bool   `json:"varies" doc:"the body differs from request to request, so only what the probe declares is compared"`
}

// expectation is a probe with what it answered before.
type expectation struct {
	Probe
	before *Answer // nil: only what the probe declares
}

// expectations pairs probes with their answers.
func expectations(op string, probes []Probe, answers []Answer) ([]expectation, error) {
	if len(probes) == 0 {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindExpectation, Target: "probes", Detail: "there are none, so nothing can be shown",
			Remedy: "give a Worker of the environment a url and probes in the plan"}
	}
	byName := map[string]*Answer{}
	for i := range answers {
		byName[answers[i].Name] = &answers[i]
	}
	var all []expectation
	for _, p := range probes {
		e := expectation{Probe: p, before: byName[p.name()]}
		if len(answers) > 0 && e.before == nil {
			return nil, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "probe " + p.name(), Detail: "its answer before the drill was not taken", Remedy: "give http.baseline the same probes"}
		}
		all = append(all, e)
	}
	return all, nil
}

// judge says what is wrong with an answer, nil if nothing.
func (e expectation) judge(a answer) error {
	if err := e.check(a); err != nil {
		return err
	}
	switch {
	case e.before == nil:
		return nil
	case int64(a.status) != e.before.Status:
		return fmt.Errorf("status %d, it was %d", a.status, e.before.Status)
	case !e.before.Varies && a.digest() != e.before.Digest:
		return fmt.Errorf("the answer (%d bytes) is not the one before the drill", len(a.body))
	}
	return nil
}
