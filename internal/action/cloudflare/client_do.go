package cloudflare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"firedrill"
	"firedrill/internal/hold"
)

const (
	attempts      = 4                      // of one request, the first included
	lockOuts      = 6                      // that one request waits for: others may use up the quota again and again
	firstPause    = 250 * time.Millisecond // doubled with every attempt
	longestPause  = 10 * time.Second
	longestRetry  = 310 * time.Second // the platform locks out for 5 minutes at most
	defaultLocked = 30 * time.Second  // where a 429 does not say how long
)

// Do performs a request: it asks the guard, waits for its turn, sends, and
// reads the answer. What may be repeated is repeated a few times: anything
// that was not sent or was refused for lack of quota, and, if the request is
// [Request.Safe] or reads, also what was not answered, or not in a way that can be
// read.
//
// Its errors are of type [firedrill.Error]. Of their kinds,
// [firedrill.KindUnknown] alone means that a change may have happened.
func (c *Client) Do(ctx context.Context, req Request) (Response, error) {
	// What is refused as it stands costs no question; the rest is judged by what
	// the answer teaches.
	if req.Writes() && c.guarded(req) == nil {
		if err := c.learn(ctx, req); err != nil {
			return Response{}, err
		}
	}
	if err := c.check(req); err != nil {
		return Response{}, err
	}
	pause := firstPause
	attempt, limited := 0, 0
	for {
		attempt++
		if err := c.pace.wait(ctx, req.Notify); err != nil {
			return Response{}, interrupted(ctx, req, err)
		}
		resp, after, err := c.once(ctx, req, attempt+limited)
		if err == nil {
			return resp, nil
		}
		if !again(req, err) || attempt == attempts || ctx.Err() != nil {
			return Response{}, err
		}
		wait := pause
		if firedrill.KindOf(err) == firedrill.KindLimited {
			// It was not performed, so it does not count as an attempt.
			attempt, limited = attempt-1, limited+1
			wait = after
			if wait > longestRetry || limited > lockOuts {
				return Response{}, err
			}
			c.pace.lock(wait)
		}
		if req.Notify != nil {
			req.Notify(fmt.Sprintf("%v; trying again in %s", err, wait.Round(time.Millisecond)))
		}
		if cerr := c.cfg.Sleep(ctx, wait); cerr != nil {
			return Response{}, err
		}
		pause = min(2*pause, longestPause)
	}
}

// errTooLarge marks an answer that was not read because of its size.
var errTooLarge = errors.New("too large an answer")

// again tells whether a request may be repeated after an error.
func again(req Request, err error) bool {
	switch firedrill.KindOf(err) {
	case firedrill.KindNotSent, firedrill.KindLimited:
		return true
	case firedrill.KindUnavailable, firedrill.KindUnknown:
		return req.repeatable()
	case firedrill.KindCorrupt: // something else may have answered for a moment
		return req.reads() && !errors.Is(err, errTooLarge)
	}
	return false
}

// once sends a request one time. after is how long to wait before another
// attempt where the platform lacks quota.
func (c *Client) once(ctx context.Context, req Request, attempt int) (resp Response, after time.Duration, err error) {
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return Response{}, 0, err
	}
	began := c.cfg.Now()
	status := 0
	defer func() {
		if c.cfg.Trace != nil {
			c.cfg.Trace(Exchange{Op: req.Op, Method: req.Method, Path: req.Path, Status: status, Attempt: attempt, Took: c.cfg.Now().Sub(began), Err: err})
		}
	}()
	patience, wctx := newWatchdog(ctx, max(req.Patience, c.cfg.Patience))
	defer patience.end()
	var connected atomic.Bool // until then nothing can have been sent
	tctx := httptrace.WithClientTrace(hold.Sending(wctx), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			connected.Store(!hold.Gone(ctx))
			patience.moved()
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { patience.moved() },
	})
	address := c.base + req.Path
	if len(req.Query) > 0 {
		address += "?" + req.Query.Encode()
	}
	content, size, err := req.content()
	if err != nil {
		return Response{}, 0, err
	}
	content.moved, content.gone = patience.moved, func() bool { return hold.Gone(ctx) }
	hreq, err := http.NewRequestWithContext(tctx, req.Method, address, content)
	if err != nil {
		return Response{}, 0, &firedrill.Error{Op: req.Op, Kind: firedrill.KindInternal, Target: req.Target, Detail: "the request cannot be formed: " + withoutAddress(err).Error()}
	}
	hreq.Header.Set("Authorization", "Bearer "+token)
	hreq.Header.Set("User-Agent", "firedrill")
	hreq.Header.Set("Accept", "application/json")
	hreq.ContentLength = size
	if size > 0 {
		contentType := req.ContentType
		if contentType == "" {
			contentType = "application/json"
		}
		hreq.Header.Set("Content-Type", contentType)
	}
	hresp, err := c.http.Do(hreq)
	if broken := content.broken.Load(); broken != nil {
		if err == nil {
			_ = hresp.Body.Close() // an answer to half a request says nothing
		}
		return Response{}, 0, broken
	}
	if err != nil {
		return Response{}, 0, noAnswer(ctx, req, connected.Load(), patience.why(withoutAddress(err)))
	}
	defer func() { _ = hresp.Body.Close() }() // everything that counts was read by then
	status = hresp.StatusCode
	c.pace.heed(hresp.Header)
	limit := req.MaxBytes
	if limit == 0 {
		limit = MaxAnswer
	}
	patience.moved()
	hresp.Body = moving{hresp.Body, patience.moved}
	body, err := readBody(hresp, limit+1)
	if err != nil {
		return Response{}, 0, noAnswer(ctx, req, true, fmt.Errorf("the answer broke off after %d bytes: %w", len(body), patience.why(err)))
	}
	if int64(len(body)) > limit {
		err := unreadable(req, fmt.Sprintf("the answer is larger than %d bytes", limit))
		return Response{}, 0, errors.Join(err, errTooLarge)
	}
	resp, err = read(req, hresp, body)
	return resp, retryAfter(hresp.Header, c.cfg.Now()), err
}

// readBody reads up to limit bytes of an answer. What it announces of its length
// spares growing.
func readBody(h *http.Response, limit int64) ([]byte, error) {
	var b bytes.Buffer
	if h.ContentLength > 0 && h.ContentLength < limit {
		b.Grow(int(h.ContentLength) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.LimitReader(h.Body, limit))
	return b.Bytes(), err
}

// content gives the request's body.
func (r Request) content() (*content, int64, error) {
	if r.Stream == nil {
		return &content{ReadCloser: io.NopCloser(bytes.NewReader(r.Body))}, int64(len(r.Body)), nil
	}
	in, err := r.Stream.Open()
	if err != nil {
		return nil, 0, err
	}
	return &content{ReadCloser: in}, r.Stream.Size, nil
}

// content is a body that remembers why it could not be read to its end, where
// that was its own fault and not the connection's.
type content struct {
	io.ReadCloser
	broken atomic.Pointer[firedrill.Error]
	moved  func()      // is told of every piece that is taken
	gone   func() bool // tells whether nothing may be sent any more
}

// errGone is why a request ends that was on its way out when the process learnt
// that it no longer holds what it works on.
var errGone = errors.New("what it is about was taken over")

func (c *content) Read(to []byte) (int, error) {
	c.moved()
	if c.gone() {
		return 0, errGone
	}
	n, err := c.ReadCloser.Read(to)
	c.moved()
	if own := (*firedrill.Error)(nil); errors.As(err, &own) {
		c.broken.Store(own)
	}
	return n, err
}

// noAnswer is the error of a request that got no answer.
func noAnswer(ctx context.Context, req Request, sent bool, cause error) error {
	e := &firedrill.Error{Op: req.Op, Target: req.Target, Err: cause}
	over := ctx.Err()
	if over == nil && hold.Gone(ctx) {
		over = errGone
	}
	switch {
	case over != nil && (!sent || req.reads()):
		return interrupted(ctx, req, over)
	case !sent:
		e.Kind, e.Detail = firedrill.KindNotSent, "the API cannot be reached"
		e.Remedy = "check the address of the API and the network, then repeat"
	case req.reads():
		e.Kind, e.Detail = firedrill.KindUnavailable, "the API did not answer"
		e.Remedy = "repeat later"
	default:
		e.Kind, e.Detail = firedrill.KindUnknown, "sent, but not answered"
		e.Remedy = "look whether it happened before doing it again"
	}
	return e
}

// interrupted is the error of a request that was given up before it was sent,
// or that only reads.
func interrupted(ctx context.Context, req Request, cause error) error {
	e := &firedrill.Error{Op: req.Op, Kind: firedrill.KindInterrupted, Target: req.Target, Detail: "stopped before it was done", Err: cause}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		e.Kind, e.Detail, e.Remedy = firedrill.KindTimeout, "took too long", "raise the step's timeout, or see why the API is slow"
	}
	return e
}

// retryAfter reads how long the platform asks to wait: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseFloat(v, 64); err == nil && n >= 0 && n < 1e6 {
		return time.Duration(n * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return defaultLocked
}
