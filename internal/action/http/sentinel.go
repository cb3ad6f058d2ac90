package http

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// routes is an application that takes numbered writes by routes of its own. It
// implements [observe.Numbered].
type routes struct {
	p                   *pack
	op                  string
	base, run           string
	write, read, remove action.Route
	numbers             []string // keys that lead to the numbers
	every, settle       time.Duration
	tell                func(firedrill.Progress)
}

const (
	sentinelEvery  = 100 * time.Millisecond
	routePatience  = "5s"
	firstAfter     = "0"                    // numbers begin above it
	removedLookGap = 200 * time.Millisecond // between two looks at what was removed
)

// routesOf checks what a plan says about a sentinel. Its address must be one of
// the environment's own: it is written to.
func (p *pack) routesOf(op string, call firedrill.Call, base string, s action.Sentinel) (*routes, error) {
	wrong := func(target, detail, remedy string) error {
		return &firedrill.Error{Op: op, Kind: firedrill.KindUsage, Target: target, Detail: detail, Remedy: remedy}
	}
	r := &routes{p: p, op: op, base: strings.TrimRight(base, "/"), run: call.Run, write: s.Write, read: s.Read, remove: s.Remove, tell: call.Progress}
	if !slices.ContainsFunc(slices.Collect(maps.Values(call.Environment.Resources)), func(x firedrill.Resource) bool {
		own, _ := x.Attrs["url"].(string)
		return own != "" && strings.TrimRight(own, "/") == r.base
	}) {
		return nil, &firedrill.Error{Op: op, Kind: firedrill.KindGuard, Target: base, Detail: "is the address of no resource of environment " + call.Environment.Name, Remedy: "give the url of a resource: ${{ resources.NAME.url }}"}
	}
	for _, d := range []struct {
		route  *action.Route
		method string
	}{{&r.write, http.MethodPost}, {&r.read, http.MethodGet}, {&r.remove, http.MethodDelete}} {
		if d.route.Method == "" {
			d.route.Method = d.method
		}
		if d.route.Timeout == "" {
			d.route.Timeout = routePatience
		}
		if !strings.HasPrefix(d.route.Path, "/") {
			return nil, wrong("sentinel", fmt.Sprintf("path %q does not begin with a slash", d.route.Path), "write for example path: /canaries")
		}
	}
	if !strings.Contains(r.write.Path+r.write.Body, "{n}") {
		return nil, wrong("sentinel write", "nothing in it is the number", "write {n} where the number stands, in the path or in the body")
	}
	if s.Numbers != "" {
		r.numbers = strings.Split(s.Numbers, ".")
	}
	var err error
	if r.every, err = orDuration(s.Every, sentinelEvery); err == nil {
		r.settle, err = orDuration(s.Settle, 0)
	}
	if err != nil {
		return nil, wrong("sentinel", "every or settle is no duration: "+err.Error(), "write for example every: 100ms")
	}
	return r, nil
}

// String names the place.
func (r *routes) String() string { return "service " + r.base + r.write.Path }

// send asks a route with its placeholders filled in.
func (r *routes) send(ctx context.Context, what string, route action.Route, n, after string) (answer, error) {
	fill := strings.NewReplacer("{n}", n, "{run}", r.run, "{after}", after)
	p := Probe{Name: what + " of the sentinel", URL: r.base + fill.Replace(route.Path), Method: route.Method, Status: route.Status, JSON: route.JSON, Contains: route.Contains, Headers: route.Headers}
	patience, err := route.Timeout.Parse()
	if err != nil {
		return answer{}, &firedrill.Error{Op: r.op, Kind: firedrill.KindUsage, Target: p.Name, Detail: "its timeout is no duration", Err: err, Remedy: "write for example timeout: 5s"}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := r.p.send(ctx, p, fill.Replace(route.Body))
	if err != nil {
		return a, err
	}
	if err := p.check(a); err != nil {
		return a, &firedrill.Error{Op: r.op, Kind: firedrill.KindUnavailable, Target: p.Name, Detail: err.Error(), Remedy: "look at the service, or correct the route in the plan"}
	}
	return a, nil
}

// Write stores a number as the application's own clients would. It is not
// repeated: an acknowledgement is one, or there is none.
func (r *routes) Write(ctx context.Context, n int64) error {
	_, err := r.send(ctx, "write", r.write, strconv.FormatInt(n, 10), "")
	return err
}

// Survivors reads the numbers, once writes have to be visible, and twice: where
// two answers differ nothing is known.
func (r *routes) Survivors(ctx context.Context, _, _ []int64) (map[int64]bool, error) {
	if r.settle > 0 {
		r.tell(firedrill.Progress{Text: "waiting until writes have to be visible"})
		if err := pause(ctx, r.settle); err != nil {
			return nil, err
		}
	}
	there, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	again, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(there, again) {
		return nil, &firedrill.Error{Op: r.op, Kind: firedrill.KindUnknown, Target: r.String(), Detail: fmt.Sprintf("two reads in a row differ: %d numbers and %d", len(there), len(again)),
			Remedy: "give a longer settle"}
	}
	return there, nil
}

// all reads every page.
func (r *routes) all(ctx context.Context) (map[int64]bool, error) {
	there := map[int64]bool{}
	last, paged := int64(0), strings.Contains(r.read.Path, "{after}")
	for after := firstAfter; ; after = strconv.FormatInt(last, 10) {
		a, err := r.send(ctx, "read", r.read, "", after)
		if err != nil {
			return nil, err
		}
		if age := a.age(); age > 0 {
			return nil, &firedrill.Error{Op: r.op, Kind: firedrill.KindUnknown, Target: r.String(), Detail: fmt.Sprintf("a cache answered the read, %s old", age), Remedy: "give a route that no cache keeps"}
		}
		page, err := numbersIn(a.body, r.numbers)
		if err != nil {
			return nil, &firedrill.Error{Op: r.op, Kind: firedrill.KindCorrupt, Target: r.String(), Detail: "its numbers cannot be read: " + err.Error(), Remedy: "say where they stand: numbers: KEY.KEY"}
		}
		for _, n := range page {
			if paged && n <= last {
				return nil, &firedrill.Error{Op: r.op, Kind: firedrill.KindCorrupt, Target: r.String(), Detail: fmt.Sprintf("the page after %d holds %d", last, n), Remedy: "let the route give numbers above {after}, in their order"}
			}
			there[n], last = true, n
		}
		if !paged || len(page) == 0 {
			return there, nil
		}
	}
}

// numbersIn reads the numbers in an answer: integers, or texts of them, in a
// list somewhere on the way that the keys lead.
func numbersIn(body []byte, keys []string) ([]int64, error) {
	v, err := firedrill.DecodeValue(body)
	if err != nil {
		return nil, err
	}
	return collect(v, keys, false)
}

func collect(v any, keys []string, listed bool) ([]int64, error) {
	switch x := v.(type) {
	case []any:
		var all []int64
		for _, e := range x {
			some, err := collect(e, keys, true)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case map[string]any:
		if len(keys) == 0 {
			return nil, fmt.Errorf("an object stands where a number should")
		}
		next, there := x[keys[0]]
		if !there {
			return nil, fmt.Errorf("there is no %q", keys[0])
		}
		return collect(next, keys[1:], listed)
	}
	switch {
	case len(keys) > 0:
		return nil, fmt.Errorf("%v has no %q", v, keys[0])
	case !listed:
		return nil, fmt.Errorf("there is no list")
	}
	if n, is := v.(int64); is {
		return []int64{n}, nil
	}
	n, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	return []int64{n}, err
}

// pause waits, and gives an error when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
