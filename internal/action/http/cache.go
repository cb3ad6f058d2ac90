package http

import (
	"errors"
	"strconv"
	"time"

	"firedrill"
	"firedrill/internal/observe"
)

// kept tells whether a cache may have kept an answer from before the
// injection, by the Age that every cache on the way has to name. Such an answer
// shows neither the damage nor that it is gone.
func kept(a answer, call firedrill.Call) error {
	age := a.age()
	at, damaged := injected(call)
	if age == 0 || !damaged {
		return nil // it was not kept, or there is nothing that it could hide
	}
	// A cache cuts the fraction of its seconds off.
	if since, _ := call.Now().Since(at); age+time.Second > since {
		return observe.Cached{Age: age}
	}
	return nil
}

// age is how long a cache kept the answer; 0 where none did.
func (a answer) age() time.Duration {
	seconds, err := strconv.ParseInt(a.header.Get("Age"), 10, 64)
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// injected tells when the first injection was sent, if it was.
func injected(call firedrill.Call) (at firedrill.Stamp, ok bool) {
	if call.Injected == nil {
		return at, false
	}
	return call.Injected()
}

// hidden turns the error of an answer that a cache had kept into one that says
// that nothing is known; nil for any other error.
func hidden(op string, e expectation, err error) error {
	var c observe.Cached
	if !errors.As(err, &c) {
		return nil
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindUnknown, Target: e.name(), Err: err, Remedy: "probe a route that no cache keeps"}
}
