package cloudflare

import (
	"context"
	"fmt"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// Whether anybody writes can only be told by what moves: the actions of all
// places that others write into. Each kind of place brings its own names and
// claims, and how its state is read.

// written is a place that others write into.
type written interface {
	// state stands for everything that a write changes: two that are equal say
	// that nobody wrote between them. partial says what cannot be told, "" if
	// nothing.
	state(ctx context.Context) (state, partial string, err error)
	// String names the place, for a person.
	String() string
}

// writers watches a place.
type writers struct {
	op       string
	place    written
	c        *Client
	now      func() firedrill.Stamp
	tell     func(firedrill.Progress)
	window   time.Duration
	patience time.Duration
}

// newWriters settles how long is watched: as asked for, or what a real
// platform's quota and delays bear, and much less where nobody counts.
func newWriters(op string, call firedrill.Call, c *Client, place written, windowMS, patience int64) (writers, error) {
	w := writers{op: op, place: place, c: c, now: call.Now, tell: call.Progress,
		window: time.Duration(windowMS) * time.Millisecond, patience: time.Duration(patience) * time.Second}
	if windowMS < 0 || patience < 0 {
		return w, &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: "inputs window_ms and patience", Detail: "must not be negative"}
	}
	if w.window == 0 {
		w.window = 10 * time.Second
		if c.local {
			w.window = 500 * time.Millisecond
		}
	}
	if w.patience == 0 {
		w.patience = 2 * time.Minute
		if c.local {
			w.patience = 15 * time.Second
		}
	}
	return w, nil
}

// pause is the time between two looks.
func (w writers) pause() time.Duration { return max(w.window/5, 20*time.Millisecond) }

// look is a state and the moments between which it was read.
type look struct {
	state, partial string
	began, ended   firedrill.Stamp
}

func (w writers) look(ctx context.Context) (look, error) {
	l := look{began: w.now()}
	var err error
	l.state, l.partial, err = w.place.state(ctx)
	l.ended = w.now()
	return l, err
}

// next looks again after a pause.
func (w writers) next(ctx context.Context) (look, error) {
	if err := w.c.Sleep(ctx, w.pause()); err != nil {
		return look{}, err
	}
	return w.look(ctx)
}

type watchWritesOut struct {
	Seen bool `json:"seen" doc:"something moved: somebody writes"`
}

// watch looks whether anything moves in the window.
func (w writers) watch(ctx context.Context) (action.Result[watchWritesOut], error) {
	var res action.Result[watchWritesOut]
	first, err := w.look(ctx)
	if err != nil {
		return res, err
	}
	for {
		l, err := w.next(ctx)
		if err != nil {
			return res, err
		}
		stood, _ := l.began.Since(first.ended)
		switch {
		case l.state != first.state:
			res.Out.Seen = true
			res.Summary = "somebody writes to " + w.place.String()
		case stood >= w.window:
			res.Summary = fmt.Sprintf("nobody wrote to %s in %s", w.place, stood.Round(time.Millisecond))
			res.Collateral = notTold(l.partial)
		default:
			continue
		}
		return res, nil
	}
}

type stillOut struct {
	StoodMS int64 `json:"stood_ms" doc:"milliseconds in which nothing moved"`
}

// still waits until nothing has moved for the whole window. Writers may learn
// late that they are to stop.
func (w writers) still(ctx context.Context) (action.Result[stillOut], error) {
	var res action.Result[stillOut]
	first, err := w.look(ctx)
	if err != nil {
		return res, err
	}
	since := first
	for looks := int64(1); ; looks++ {
		l, err := w.next(ctx)
		if err != nil {
			return res, err
		}
		if l.state != since.state {
			w.tell(firedrill.Progress{Text: "somebody still writes to " + w.place.String()})
			since = l
		}
		stood, _ := l.began.Since(since.ended)
		waited, _ := l.ended.Since(first.began)
		check := firedrill.Check{Compared: looks}
		switch {
		case stood >= w.window:
			res.Out.StoodMS = stood.Milliseconds()
			check.OK, check.Detail = true, fmt.Sprintf("nothing was written to %s for %s", w.place, stood.Round(time.Millisecond))
		case waited >= w.patience+w.window:
			check.Detail = fmt.Sprintf("somebody still writes to %s, %s after the writers were stopped", w.place, waited.Round(time.Second))
		default:
			continue
		}
		res.Summary, res.Checks, res.Collateral = check.Detail, []firedrill.Check{check}, notTold(l.partial)
		return res, nil
	}
}

type awaitWritesOut struct {
	Shown bool `json:"shown" doc:"somebody was seen writing; false where nobody was before, so that it cannot be shown"`
}

// again waits until something moves. Where nobody was seen writing before, there
// is nothing to wait for, and it says so.
func (w writers) again(ctx context.Context, seen bool) (action.Result[awaitWritesOut], error) {
	var res action.Result[awaitWritesOut]
	if !seen {
		res.Summary = "nobody was seen writing to " + w.place.String() + " before they were stopped, so it is not shown that writers go on"
		res.Collateral = []string{res.Summary}
		return res, nil
	}
	first, err := w.look(ctx)
	if err != nil {
		return res, err
	}
	for looks := int64(1); ; looks++ {
		l, err := w.next(ctx)
		if err != nil {
			return res, err
		}
		waited, _ := l.ended.Since(first.began)
		check := firedrill.Check{Compared: looks}
		switch {
		case l.state != first.state:
			res.Out.Shown = true
			check.OK, check.Detail = true, "somebody writes to "+w.place.String()+" again"
		case waited >= w.patience:
			check.Detail = fmt.Sprintf("nobody wrote to %s for %s after the writers were restarted, and before they were stopped somebody did", w.place, waited.Round(time.Second))
		default:
			continue
		}
		res.Summary, res.Checks = check.Detail, []firedrill.Check{check}
		return res, nil
	}
}

func notTold(partial string) []string {
	if partial == "" {
		return nil
	}
	return []string{"whether anybody writes is known in part: " + partial}
}

// theirs looks, where a difference was found, whether somebody writes: then it
// may be theirs, and nothing is known. nil says that nobody was seen.
func theirs(ctx context.Context, op string, call firedrill.Call, c *Client, place written, difference string) error {
	w, err := newWriters(op, call, c, place, 0, 0)
	if err != nil {
		return err
	}
	w.window *= 2
	w.tell(firedrill.Progress{Text: "there are differences; looking whether somebody writes"})
	seen, err := w.watch(ctx)
	if err != nil || !seen.Out.Seen {
		return err
	}
	return &firedrill.Error{Op: op, Kind: firedrill.KindConflict, Target: place.String(), Detail: "somebody writes, so that it is not known whose difference this is: " + difference,
		Remedy: "stop the writers (quiesce in the plan), then run again"}
}
