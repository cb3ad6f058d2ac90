package cloudflare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"firedrill"
)

// apiError is one error of an envelope.
type apiError struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Chain   []apiError `json:"error_chain"`
}

type envelope struct {
	Success *bool           `json:"success"`
	Errors  []apiError      `json:"errors"`
	Result  json.RawMessage `json:"result"`
	Info    ResultInfo      `json:"result_info"`
}

// noValue knows answers that claim success and cannot be a value as the API sends
// it: a web page, and an envelope that says that it failed.
func noValue(resp Response) bool {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return false // nothing is said of it
	}
	var env envelope
	return media == "text/html" || media == "application/json" && json.Unmarshal(resp.Body, &env) == nil && env.Success != nil && !*env.Success
}

// read turns an answer into a response or an error.
func read(req Request, h *http.Response, body []byte) (Response, error) {
	resp := Response{Status: h.StatusCode, Header: h.Header, Body: body}
	if h.Header.Get("cf-mitigated") == "challenge" {
		return Response{}, &firedrill.Error{Op: req.Op, Kind: firedrill.KindDenied, Target: req.Target,
			Detail: "a firewall in front of the API asks for a browser", Remedy: "call from another network, or let this address pass"}
	}
	if away := redirected(req, h); away != nil {
		return Response{}, away
	}
	ok := h.StatusCode >= 200 && h.StatusCode < 300
	if ok && req.Raw && noValue(resp) {
		return Response{}, unreadable(req, "the answer is a web page or an error, not a value")
	}
	if ok && (req.Raw || (len(body) == 0 && h.StatusCode == http.StatusNoContent)) {
		return resp, nil
	}
	if ok && req.Accept != nil && req.Accept(body) {
		return resp, nil
	}
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil || env.Success == nil {
		return Response{}, notEnvelope(req, h, body)
	}
	if !*env.Success {
		return Response{}, refused(req, h.StatusCode, env.Errors)
	}
	if !ok || len(env.Errors) > 0 {
		return Response{}, unreadable(req, fmt.Sprintf("the answer contradicts itself: success with status %d and %d errors", h.StatusCode, len(env.Errors)))
	}
	resp.Result, resp.Info = env.Result, env.Info
	return resp, nil
}

// redirected refuses an answer that points somewhere else: it is never followed.
// nil where it does not, or where it may follow a change that was performed.
func redirected(req Request, h *http.Response) error {
	kept := h.StatusCode == http.StatusTemporaryRedirect || h.StatusCode == http.StatusPermanentRedirect
	if h.StatusCode < 300 || h.StatusCode > 399 || !kept && !req.reads() {
		return nil
	}
	return &firedrill.Error{Op: req.Op, Kind: firedrill.KindGuard, Target: req.Target,
		Detail: fmt.Sprintf("the API points somewhere else (status %d) and is not followed", h.StatusCode), Remedy: "look at the API's address; is something else answering there?"}
}

// notEnvelope is the error of an answer that is no envelope.
func notEnvelope(req Request, h *http.Response, body []byte) error {
	what := "not the API's form"
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		what = "empty"
	case strings.Contains(h.Header.Get("Content-Type"), "html") || text[0] == '<':
		what = "a web page"
	}
	kind, known := kindOfStatus(req, h.StatusCode)
	if !known {
		return unreadable(req, fmt.Sprintf("the answer (status %d) is %s", h.StatusCode, what))
	}
	return &firedrill.Error{Op: req.Op, Kind: kind, Target: req.Target, Code: 0,
		Detail: fmt.Sprintf("the answer (status %d) is %s", h.StatusCode, what), Remedy: remedy(kind)}
}

// refused is the error of an envelope that says no.
func refused(req Request, status int, errs []apiError) error {
	e := &firedrill.Error{Op: req.Op, Target: req.Target, Detail: fmt.Sprintf("refused without a reason (status %d)", status)}
	if len(errs) > 0 {
		e.Code = errs[0].Code
		var messages []string
		for _, x := range errs {
			messages = append(messages, oneLine(x.Message))
			for _, y := range x.Chain {
				messages = append(messages, oneLine(y.Message))
			}
		}
		e.Detail = fmt.Sprintf("%s [code %d]", strings.Join(messages, "; "), e.Code)
	}
	// Under a server's failure the code does not tell whether a change happened.
	if status < 500 {
		e.Kind = kindOfCode(e.Code)
	}
	if e.Kind == firedrill.KindInvalid && !req.reads() && lostOnTheWay(e.Detail) {
		e.Kind = firedrill.KindUnknown
	}
	if e.Kind == "" {
		kind, known := kindOfStatus(req, status)
		if !known {
			kind = firedrill.KindInvalid
		}
		e.Kind = kind
	}
	e.Remedy = remedy(e.Kind)
	return e
}

// lostOnTheWay knows the messages by which a database says, with the code of
// a plain SQL error, that it does not know what became of a request.
func lostOnTheWay(message string) bool {
	for _, s := range []string{"Network connection lost", "storage operation exceeded timeout", "storage caused object to be reset", "reset because its code was updated", "Internal error"} {
		if strings.Contains(message, s) {
			return true
		}
	}
	return false
}

// kindOfCode classifies the API's own codes; "" where the status must tell.
func kindOfCode(code int) firedrill.Kind {
	switch {
	case slices.Contains([]int{10000, 9109, 1000, 7403, 6003, 6111}, code):
		return firedrill.KindDenied
	case slices.Contains([]int{7404, 10007, 10090, 10092, 10009, 10013, 10056, 10221, 10222, 100146}, code):
		return firedrill.KindNotFound
	case slices.Contains([]int{7502, 10014, 10215, 10214, 10220, 10079, 10074}, code):
		return firedrill.KindConflict
	case slices.Contains([]int{7400, 7500, 10021, 10027, 10057, 10211}, code):
		return firedrill.KindInvalid
	case slices.Contains([]int{971, 10429}, code):
		return firedrill.KindLimited
	}
	return ""
}

// kindOfStatus classifies a status that says no. A change that met a server's
// failure may have happened.
func kindOfStatus(req Request, status int) (firedrill.Kind, bool) {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return firedrill.KindDenied, true
	case status == http.StatusNotFound || status == http.StatusGone:
		return firedrill.KindNotFound, true
	case status == http.StatusConflict || status == http.StatusPreconditionFailed:
		return firedrill.KindConflict, true
	case status == http.StatusTooManyRequests:
		return firedrill.KindLimited, true
	case status >= 500 && req.reads():
		return firedrill.KindUnavailable, true
	case status >= 500:
		return firedrill.KindUnknown, true
	case status >= 400:
		return firedrill.KindInvalid, true
	}
	return "", false
}

func remedy(kind firedrill.Kind) string {
	switch kind {
	case firedrill.KindDenied:
		return "check the token: is it valid, and has it the permission for this account?"
	case firedrill.KindNotFound:
		return "check the name or id in the plan, and that the account is the right one"
	case firedrill.KindLimited:
		return "wait for the quota: the platform allows 1,200 requests in 5 minutes, all tokens together"
	case firedrill.KindUnavailable:
		return "the platform has a fault of its own: repeat later"
	case firedrill.KindUnknown:
		return "look whether it happened before doing it again"
	case firedrill.KindConflict:
		return "look at what is there now, then repeat"
	case firedrill.KindInvalid:
		return "check the inputs of the step"
	}
	return ""
}

// withoutAddress takes the address off an error of net/http: queries may be
// long, and what failed is named elsewhere.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// oneLine keeps a text that the other side sent to one line of sane length.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 500 {
		s = string(r[:500]) + "…"
	}
	return s
}
