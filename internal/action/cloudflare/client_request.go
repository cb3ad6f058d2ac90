package cloudflare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"firedrill"
)

// ID is something that a request refers to: a database by its id or its
// name, a Worker by its name, a version by its id. Guards decide on ids.
type ID struct {
	Kind  string // "d1", "worker", "version", "kv", "durable-object-namespace", …
	Value string
}

// Request is one call of the API.
type Request struct {
	Op     string // what it is for, e.g. "d1.restore"
	Target string // the thing it is about, as people call it: "database shop"
	Method string
	Path   string // escaped, below the base address; see [Client.AccountPath]
	Query  url.Values
	Body   []byte
	// Stream is a body that is read when it is sent, and again when the request is
	// repeated; it takes the place of Body. Its error is the request's: nothing was
	// sent to its end.
	Stream *Stream
	// ContentType of the body; "application/json" if there is a body and none is given.
	ContentType string
	// Ids are all ids that the request refers to, in its path and in its
	// body: also those of databases that an uploaded Worker binds.
	Ids []ID
	// Reads marks a request that changes nothing although its method could.
	// GET and HEAD always read.
	Reads bool
	// Safe marks a request that changes something and may be repeated
	// without harm when its outcome is not known.
	Safe bool
	// Raw marks an answer that is not an envelope: its body is given as it is.
	Raw bool
	// Accept may take the body of an answer by itself, where it is nothing but a
	// plain success; false: it is read like any other. nil: every answer is.
	Accept func(body []byte) bool
	// MaxBytes bounds the answer; 0: [MaxAnswer].
	MaxBytes int64
	// Patience is how long the request may stand still where that is longer than
	// the client's: for calls that the platform answers only when they are done.
	Patience time.Duration
	// Notify is told why a request waits. nil: nobody.
	Notify func(text string)
}

// Stream is a body of a known size.
type Stream struct {
	Size int64
	Open func() (io.ReadCloser, error)
}

// MaxAnswer is the size that an answer may have where its request sets no other.
const MaxAnswer = 64 << 20

// reads tells whether a request changes nothing.
func (r Request) reads() bool {
	return r.Reads || r.Method == http.MethodGet || r.Method == http.MethodHead
}

// Writes tells whether a request can change something.
func (r Request) Writes() bool { return !r.reads() }

// repeatable tells whether a request may be sent again when it is not known
// what became of it.
func (r Request) repeatable() bool { return r.Safe || r.reads() }

// Response is an answer that was understood and says that it succeeded.
type Response struct {
	Status int
	Header http.Header
	Result json.RawMessage // the envelope's result; nil for raw answers
	Info   ResultInfo
	Body   []byte // the whole answer
}

// ResultInfo is the paging part of an envelope.
type ResultInfo struct {
	Page       int64  `json:"page"`
	PerPage    int64  `json:"per_page"`
	Count      int64  `json:"count"`
	TotalCount int64  `json:"total_count"`
	Cursor     string `json:"cursor"`
	Cursors    struct {
		After string `json:"after"`
	} `json:"cursors"`
}

// Decode reads the result into out. An absent or null result is an error:
// whoever expects nothing does not call it. Numbers in untyped places become
// json.Number, so that integers stay exact.
func (r Response) Decode(req Request, out any) error {
	if len(r.Result) == 0 || string(r.Result) == "null" {
		return unreadable(req, "the answer has no result")
	}
	dec := json.NewDecoder(bytes.NewReader(r.Result))
	dec.UseNumber()
	if err := dec.Decode(out); err != nil {
		return unreadable(req, "the result has another shape than expected: "+err.Error())
	}
	if _, err := dec.Token(); err != io.EOF {
		return unreadable(req, "the result holds more than one value")
	}
	return nil
}

// unreadable is an answer that says nothing that can be relied on.
func unreadable(req Request, detail string) error {
	kind := firedrill.KindCorrupt
	remedy := "look at the API's address; is something else answering there?"
	if !req.reads() {
		kind = firedrill.KindUnknown
		remedy = "look whether it happened before doing it again"
	}
	return &firedrill.Error{Op: req.Op, Kind: kind, Target: req.Target, Detail: detail, Remedy: remedy}
}

// idLike finds path segments that are ids: 32 hexadecimal digits or a UUID.
var idLike = regexp.MustCompile(`(?i)^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// undeclared gives an id in the request's path or query that the request does
// not declare, "" if there is none. Such a request is a defect of ours: it
// would pass by the guard.
func (c *Client) undeclared(req Request) string {
	known := map[string]bool{strings.ToLower(c.cfg.Account): true}
	for _, id := range req.Ids {
		known[strings.ToLower(id.Value)] = true
	}
	for _, s := range strings.Split(req.Path, "/") {
		if p, err := url.PathUnescape(s); err == nil {
			s = p
		}
		if idLike.MatchString(s) && !known[strings.ToLower(s)] {
			return s
		}
	}
	for _, values := range req.Query {
		for _, s := range values {
			if idLike.MatchString(s) && !known[strings.ToLower(s)] {
				return s
			}
		}
	}
	return ""
}

// check refuses requests that are not complete, and asks the guard.
func (c *Client) check(req Request) error {
	defect := func(detail string) error {
		return &firedrill.Error{Op: req.Op, Kind: firedrill.KindInternal, Target: req.Target, Detail: detail, Remedy: "this is a defect of firedrill: please report it"}
	}
	if req.Op == "" || req.Method == "" || !strings.HasPrefix(req.Path, "/") {
		return defect(fmt.Sprintf("request %s %s is not complete", req.Method, req.Path))
	}
	if err := c.guarded(req); err != nil {
		return err
	}
	switch {
	case c.undeclared(req) != "":
		return defect("the request refers to " + c.undeclared(req) + " without declaring it")
	case strings.HasPrefix(req.Path, "/accounts/") && !idLike.MatchString(c.cfg.Account):
		return &firedrill.Error{Op: req.Op, Kind: firedrill.KindUsage, Target: "setting account",
			Detail: "is not an account id", Remedy: "write the 32 hexadecimal digits of the account, see: npx wrangler whoami"}
	}
	return nil
}

// guarded asks the guard.
func (c *Client) guarded(req Request) error {
	if c.cfg.Guard == nil {
		return nil
	}
	err := c.cfg.Guard.Check(req)
	if production := (inProduction{}); errors.As(err, &production) && c.mayScratch(req) {
		return nil
	}
	return err
}
