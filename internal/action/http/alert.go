package http

import (
	"context"
	"fmt"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

type alertIn struct {
	URL      string             `json:"url" doc:"address that shows the alert"`
	Method   string             `json:"method,omitempty" doc:"HTTP method; GET if left out"`
	Status   int                `json:"status,omitempty" doc:"status of the answer while it fires; 200 if left out"`
	JSON     firedrill.Values   `json:"json,omitempty" doc:"values that the JSON answer holds while it fires"`
	Contains string             `json:"contains,omitempty" doc:"text that the answer contains while it fires"`
	Headers  firedrill.Values   `json:"headers,omitempty" doc:"headers to send; a value is a string or a reference to a secret"`
	Every    firedrill.Duration `json:"every,omitempty" doc:"time between two requests; 1s if left out"`
	Within   firedrill.Duration `json:"within,omitempty" doc:"how long the recovery waits for it to fire; 5m if left out"`
}

type alertOut struct {
	Alert string `json:"alert" doc:"its name, for http.await-alert"`
}

func (p *pack) alert() firedrill.Action {
	const name = "http.alert"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Observer: true,
		Doc: "Watch from now on whether the user's own alert fires: a route is asked again and again, and it fires while the answer is as described. It says nothing about the service; a route that does not answer says nothing at all."},
		func(_ context.Context, call firedrill.Call, in alertIn) (action.Result[alertOut], error) {
			var res action.Result[alertOut]
			every, err := orDuration(in.Every, time.Second)
			if err == nil {
				_, err = orDuration(in.Within, 0)
			}
			if err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "inputs every and within", Err: err, Remedy: "write for example every: 1s, within: 5m"}
			}
			route := Probe{Name: "alert", URL: in.URL, Method: in.Method, Status: in.Status, JSON: in.JSON, Contains: in.Contains, Headers: in.Headers, Timeout: "10s"}
			a := &alerting{name: call.Step, every: every, now: call.Now, stop: make(chan struct{}), ended: make(chan struct{})}
			a.ask = func(ctx context.Context) (bool, error) {
				got, err := p.ask(ctx, route)
				return err == nil && route.check(got) == nil, err
			}
			if err := call.Observers.Start(call.Step, a); err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: "alert " + call.Step, Err: err}
			}
			res.Out.Alert, res.Summary = call.Step, fmt.Sprintf("the alert is looked at every %s", every)
			return res, nil
		})
}

// orDuration reads a length of time that may be left out, and refuses one that
// is negative.
func orDuration(d firedrill.Duration, otherwise time.Duration) (time.Duration, error) {
	got, err := d.Parse()
	switch {
	case err != nil:
		return 0, err
	case got < 0:
		return 0, fmt.Errorf("%s is negative", d)
	case got == 0:
		return otherwise, nil
	}
	return got, nil
}

// alerting looks at the user's alert, with one request at a time. It implements
// [firedrill.Observer].
type alerting struct {
	name  string
	ask   func(ctx context.Context) (fires bool, err error)
	every time.Duration
	now   func() firedrill.Stamp
	stop  chan struct{}
	once  sync.Once
	ended chan struct{} // closed when Run has ended

	mu      sync.Mutex
	running bool
	since   *firedrill.Stamp // when it was first seen to fire, of this time; nil: it does not
	silent  error            // of the latest request, when there was no answer
}

// Run implements [firedrill.Observer]. An edge tells when the alert began to
// fire, and when it no longer did.
func (a *alerting) Run(ctx context.Context, emit func(firedrill.Edge)) {
	a.mu.Lock()
	a.running = true
	a.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer close(a.ended)
	defer cancel()
	go func() {
		select {
		case <-a.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(a.every)
	defer tick.Stop()
	for {
		fires, err := a.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		at := a.now()
		if state, changed := a.saw(at, fires, err); changed {
			emit(firedrill.Edge{Observer: a.name, Target: "alert", State: state, At: at, Alert: true})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// saw takes an answer into account; one that did not come changes nothing.
func (a *alerting) saw(at firedrill.Stamp, fires bool, err error) (state firedrill.Colour, changed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silent = err
	switch {
	case err != nil || fires == (a.since != nil):
		return "", false
	case fires:
		a.since = &at
		return firedrill.Red, true
	}
	a.since = nil
	return firedrill.Green, true
}

// Stop implements [firedrill.Observer].
func (a *alerting) Stop() {
	a.once.Do(func() { close(a.stop) })
	a.mu.Lock()
	running := a.running
	a.mu.Unlock()
	if running {
		<-a.ended
	}
}

// firing tells since when the alert fires, and what went wrong when it was last
// asked.
func (a *alerting) firing() (since *firedrill.Stamp, silent error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.since, a.silent
}

type awaitAlertIn struct {
	Alert  string             `json:"alert" doc:"output of http.alert"`
	Within firedrill.Duration `json:"within,omitempty" doc:"how long to wait; 5m if left out"`
}

type awaitAlertOut struct {
	Fired bool `json:"fired" doc:"it was seen to fire after the injection"`
}

func (p *pack) awaitAlert() firedrill.Action {
	const name = "http.await-alert"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Timeout: 24 * time.Hour,
		Doc: "Wait until the user's own alert fires, as the people would who then begin the recovery. One that does not fire in time is no failure: the result says that nobody would have been told."},
		func(ctx context.Context, call firedrill.Call, in awaitAlertIn) (action.Result[awaitAlertOut], error) {
			var res action.Result[awaitAlertOut]
			within, err := orDuration(in.Within, 5*time.Minute)
			if err != nil {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "input within", Err: err, Remedy: "write for example within: 5m"}
			}
			a, err := find[*alerting](ctx, name, call, "alert", in.Alert, "http.alert")
			if err != nil {
				return res, err
			}
			over := time.NewTimer(within)
			defer over.Stop()
			for {
				since, silent := a.firing()
				switch {
				case since != nil && fromBefore(*since, call):
					res.Summary = "the alert fired already"
					res.Notes = []string{"the alert fired already before the injection, so it does not tell when it would have noticed"}
					return res, nil
				case since != nil:
					res.Out.Fired, res.Summary = true, "the alert fires"
					return res, nil
				}
				select {
				case <-ctx.Done():
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindInterrupted, Target: "alert " + in.Alert, Detail: "it was waited for", Err: ctx.Err()}
				case <-over.C:
					res.Summary = fmt.Sprintf("the alert did not fire within %s", within)
					if silent != nil {
						res.Notes = []string{"the route of the alert gave no answer: " + silent.Error()}
					}
					return res, nil
				case <-time.After(lookAgain):
				}
			}
		})
}

// fromBefore tells whether a moment is before the injection.
func fromBefore(at firedrill.Stamp, call firedrill.Call) bool {
	sent, known := injected(call)
	return known && sent.After(at)
}
