package faultproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// answer is an answer of the other side, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

const (
	envelope = `{"success":false,"errors":[{"code":10000,"message":"a fault that was ordered"}],"messages":[],"result":null}`
	page     = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Sign in to use this network.</body></html>\n"
	garbage  = "\x00\x1f\x8b\xff{[\"\xfe<"
)

// invent gives an answer of our own, where the fault has one.
func invent(f Fault) (answer, bool) {
	text := func(status int, contentType, body string) (answer, bool) {
		return answer{status, http.Header{"Content-Type": {contentType}}, []byte(body)}, true
	}
	switch f.kind() {
	case Fail, FailLate:
		return text(f.status(), "text/plain", fmt.Sprintln(http.StatusText(f.status())))
	case Limit:
		a, _ := text(http.StatusTooManyRequests, "text/plain", "slower\n")
		a.header.Set("Retry-After", strconv.Itoa(int(f.Wait/time.Second)))
		return a, true
	case Deny, DenyLate:
		return text(http.StatusOK, "application/json", envelope)
	case Page, PageLate:
		return text(http.StatusOK, "text/html", page)
	case Garbage:
		return text(http.StatusOK, "application/octet-stream", garbage)
	}
	return answer{}, false
}

// head writes what comes before the body.
func (a answer) head(w http.ResponseWriter, r *http.Request) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if r.Method != http.MethodHead && a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
}

func (a answer) send(w http.ResponseWriter, r *http.Request) {
	a.head(w, r)
	_, _ = w.Write(a.body) // the client may be gone
}

// drip sends the body byte by byte, a long one in a thousand pieces.
func (a answer) drip(w http.ResponseWriter, r *http.Request, pause time.Duration) {
	a.head(w, r)
	for piece := range slices.Chunk(a.body, 1+len(a.body)/1000) {
		_, err := w.Write(piece)
		if err != nil || http.NewResponseController(w).Flush() != nil || !sleep(r.Context(), pause) {
			return
		}
	}
}

// cut sends half of the body and breaks off; of an answer without a body, half
// of the head.
func (a answer) cut(w http.ResponseWriter) {
	conn, out := hijack(w)
	_, _ = fmt.Fprintf(out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	if len(a.body) > 0 {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
		_ = a.header.Write(out)
		_, _ = io.WriteString(out, "\r\n")
		_, _ = out.Write(a.body[:len(a.body)/2])
	}
	_ = out.Flush()
	_ = conn.Close()
}

// hijack takes the connection from the server.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // HTTP/1 on TCP always gives it
	}
	return conn, rw
}
