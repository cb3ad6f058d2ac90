// Package hold lets whoever is about to send a request ask, at the last moment,
// whether it still may.
//
// A process that was stopped, or whose machine slept, wakes up in the middle of
// what it did. A context that was derived before knows nothing of that: it is over
// only once somebody had the time to end it. So the context carries the question
// itself, and the sender asks when the connection is there, and when the body goes
// out. What remains is the instant between the answer and the system call.
package hold

import (
	"context"
	"net/http/httptrace"
)

type key struct{}

// While gives a context whose requests may be sent while gone tells false. gone may
// be called at any time, by many at once.
func While(ctx context.Context, gone func() bool) context.Context {
	return context.WithValue(ctx, key{}, gone)
}

// Gone tells whether nothing may be sent any more; false for a context that does not
// know.
func Gone(ctx context.Context) bool {
	gone, ok := ctx.Value(key{}).(func() bool)
	return ok && gone()
}

// Sending gives the context for an HTTP request whose connection is closed, before
// anything goes out on it, if nothing may be sent any more.
func Sending(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		if Gone(ctx) {
			_ = got.Conn.Close()
		}
	}})
}
