package cloudflare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"firedrill"
)

// Holdings are what an account holds, as far as the API tells. Reading them changes
// nothing.
type Holdings struct {
	Databases  []Database
	Namespaces []Holding // of KV
	Buckets    []Holding // of the default jurisdiction
	Queues     []Holding
	Workers    []ServingWorker
	Addresses  []WorkerAddress
	// Listed tells which of these were read to their end.
	Listed struct{ Databases, Namespaces, Buckets, Queues, Workers bool }
	Unseen []Unseen
}

// Holding is a resource by its id and its name; buckets have the name alone.
type Holding struct{ ID, Name string }

// ServingWorker is a Worker and what the versions that serve are bound to.
type ServingWorker struct {
	Name string
	// Read is set where the bindings could be read. One that was uploaded and never
	// deployed serves nothing.
	Read     bool
	Bindings []map[string]any
	Consumes []string // names of queues
}

// WorkerAddress is a route or a custom domain that leads to a Worker.
type WorkerAddress struct {
	Pattern, Zone, Worker string
	Domain                bool
}

// Unseen is what could not be looked at, and why.
type Unseen struct {
	What, Why string
	// Grave is set for what an account cannot be judged without.
	Grave bool
}

// Holdings reads what the account holds. What the token may not read or the API does
// not have is in Unseen; what could not be reached is an error.
func (c *Client) Holdings(ctx context.Context, op string, tell func(string)) (Holdings, error) {
	h := &holdings{c: c, op: op, tell: tell}
	for _, read := range []func(context.Context) error{h.databases, h.namespaces, h.buckets, h.queues, h.workers, h.domains, h.routes} {
		if err := read(ctx); err != nil {
			return Holdings{}, err
		}
	}
	return h.Holdings, nil
}

// holdings are being read.
type holdings struct {
	Holdings
	c         *Client
	op        string
	tell      func(string)
	consumers map[string][]string // queues by the Worker that consumes them; read before the Workers
}

// noSuchCall is the API's code for a path that it does not know.
const noSuchCall = 7003

// unseen takes an error that says that something is not to be read, and gives back
// any other.
func (h *holdings) unseen(what string, grave bool, err error) (seen bool, other error) {
	var e *firedrill.Error
	if !errors.As(err, &e) {
		return err == nil, err
	}
	why := ""
	switch {
	case e.Kind == firedrill.KindDenied:
		why = "the token may not read it (" + e.Detail + ")"
	case e.Code == noSuchCall:
		why = "the API has no such call"
	case slices.Contains([]firedrill.Kind{firedrill.KindNotFound, firedrill.KindUnsupported, firedrill.KindInvalid}, e.Kind):
		why = "the API does not give it (" + e.Detail + ")"
	default:
		return false, err
	}
	h.Unseen = append(h.Unseen, Unseen{what, why, grave})
	return false, nil
}

func (h *holdings) databases(ctx context.Context) (err error) {
	all, err := h.c.listDatabases(ctx, h.op, h.tell)
	h.Databases = all
	h.Listed.Databases, err = h.unseen("databases", false, err)
	return err
}

func (h *holdings) namespaces(ctx context.Context) (err error) {
	all, err := h.c.listNamespaces(ctx, h.op, h.tell)
	for _, n := range all {
		h.Namespaces = append(h.Namespaces, Holding{n.ID, n.Title})
	}
	h.Listed.Namespaces, err = h.unseen("KV namespaces", false, err)
	return err
}

// each asks for a list page by page, until one brings nothing new. take gives how
// many entries of the page are new, and the cursor of the next page where the list
// goes by cursors.
func (h *holdings) each(ctx context.Context, req Request, take func(Request, Response) (fresh int, cursor string, err error)) error {
	const mostPages = 1000
	req.Op, req.Method, req.Notify = h.op, http.MethodGet, h.tell
	for page, cursor := 1, ""; page <= mostPages; page++ {
		query := url.Values{}
		for key, values := range req.Query {
			query[key] = values
		}
		if cursor != "" {
			query.Set("cursor", cursor)
		} else {
			query.Set("page", strconv.Itoa(page))
		}
		ask := req
		ask.Query = query
		resp, err := h.c.Do(ctx, ask)
		if err != nil {
			return err
		}
		fresh, next, err := take(ask, resp)
		if err != nil || fresh == 0 || next == "" && cursor != "" {
			return err
		}
		cursor = next
	}
	return &firedrill.Error{Op: h.op, Kind: firedrill.KindCorrupt, Target: req.Target, Detail: "does not end"}
}

func (h *holdings) buckets(ctx context.Context) (err error) {
	seen := map[string]bool{}
	err = h.each(ctx, Request{Target: "list of buckets", Path: h.c.AccountPath("r2", "buckets"), Query: url.Values{"per_page": {"1000"}}}, func(req Request, resp Response) (int, string, error) {
		var out struct{ Buckets []struct{ Name string } }
		if err := resp.Decode(req, &out); err != nil {
			return 0, "", err
		}
		fresh := 0
		for _, b := range out.Buckets {
			if !seen[b.Name] {
				seen[b.Name], fresh = true, fresh+1
				h.Buckets = append(h.Buckets, Holding{Name: b.Name})
			}
		}
		return fresh, cmp.Or(resp.Info.Cursor, resp.Info.Cursors.After), nil
	})
	h.Listed.Buckets, err = h.unseen("buckets", false, err)
	return err
}

func (h *holdings) queues(ctx context.Context) (err error) {
	h.consumers = map[string][]string{}
	seen := map[string]bool{}
	err = h.each(ctx, Request{Target: "list of queues", Path: h.c.AccountPath("queues")}, func(req Request, resp Response) (int, string, error) {
		var some []struct {
			ID        string `json:"queue_id"`
			Name      string `json:"queue_name"`
			Consumers []struct {
				Script  string `json:"script"`
				Service string `json:"service"`
				Name    string `json:"script_name"`
			} `json:"consumers"`
		}
		if err := resp.Decode(req, &some); err != nil {
			return 0, "", err
		}
		fresh := 0
		for _, q := range some {
			if seen[q.ID] {
				continue
			}
			seen[q.ID], fresh = true, fresh+1
			h.Queues = append(h.Queues, Holding{q.ID, q.Name})
			for _, x := range q.Consumers {
				if worker := cmp.Or(x.Name, x.Script, x.Service); worker != "" {
					h.consumers[worker] = append(h.consumers[worker], q.Name)
				}
			}
		}
		return fresh, "", nil
	})
	h.Listed.Queues, err = h.unseen("queues", false, err)
	return err
}

// workers reads the bindings of the versions that serve: those of the newest one say
// nothing about what is deployed.
func (h *holdings) workers(ctx context.Context) error {
	req := Request{Op: h.op, Target: "list of Workers", Method: http.MethodGet, Path: h.c.AccountPath("workers", "scripts"), Notify: h.tell}
	var list []struct{ ID string }
	resp, err := h.c.Do(ctx, req)
	if err == nil {
		err = resp.Decode(req, &list)
	}
	if h.Listed.Workers, err = h.unseen("Workers", true, err); err != nil || !h.Listed.Workers {
		return err
	}
	slices.SortFunc(list, func(a, b struct{ ID string }) int { return strings.Compare(a.ID, b.ID) })
	if len(list) > 20 && h.tell != nil {
		h.tell(fmt.Sprintf("reading the bindings of %d Workers", len(list)))
	}
	for _, x := range list {
		w := ServingWorker{Name: x.ID, Consumes: h.consumers[x.ID]}
		w.Bindings, err = script{h.c, x.ID, h.op, h.tell}.bound(ctx)
		switch firedrill.KindOf(err) {
		case firedrill.KindConflict: // it was never deployed
			err = nil
		case firedrill.KindNotFound: // it has gone meanwhile
			continue
		default:
			w.Read, err = h.unseen("bindings of Worker "+x.ID, true, err)
		}
		if err != nil {
			return err
		}
		h.Workers = append(h.Workers, w)
	}
	return nil
}

// bound gives the bindings of all versions that serve.
func (s script) bound(ctx context.Context) ([]map[string]any, error) {
	all, err := s.deployments(ctx)
	if err != nil {
		return nil, err
	}
	var bindings []map[string]any
	for _, share := range all[0].Versions {
		v, err := s.version(ctx, share.Version)
		if err != nil {
			return nil, err
		}
		bindings = append(bindings, v.Resources.Bindings...)
	}
	return bindings, nil
}

func (h *holdings) domains(ctx context.Context) (err error) {
	req := Request{Op: h.op, Target: "custom domains", Method: http.MethodGet, Path: h.c.AccountPath("workers", "domains"), Notify: h.tell}
	var all []struct {
		Hostname, Service string
		Zone              string `json:"zone_name"`
	}
	resp, err := h.c.Do(ctx, req)
	if err == nil {
		err = resp.Decode(req, &all)
	}
	for _, d := range all {
		h.Addresses = append(h.Addresses, WorkerAddress{Pattern: d.Hostname, Zone: d.Zone, Worker: d.Service, Domain: true})
	}
	_, err = h.unseen("custom domains", false, err)
	return err
}

// zone is a zone as a list shows it.
type zone struct{ ID, Name string }

func (h *holdings) routes(ctx context.Context) error {
	var zones []zone
	seen := map[string]bool{}
	err := h.each(ctx, Request{Target: "list of zones", Path: "/zones", Query: url.Values{"account.id": {h.c.Account()}, "per_page": {"50"}}}, func(req Request, resp Response) (int, string, error) {
		var some []zone
		if err := resp.Decode(req, &some); err != nil {
			return 0, "", err
		}
		fresh := 0
		for _, z := range some {
			if !seen[z.ID] {
				seen[z.ID], fresh = true, fresh+1
				zones = append(zones, z)
			}
		}
		return fresh, "", nil
	})
	if known, err := h.unseen("routes", false, err); err != nil || !known {
		return err
	}
	for _, z := range zones {
		if err := h.routesOf(ctx, z); err != nil {
			return err
		}
	}
	return nil
}

func (h *holdings) routesOf(ctx context.Context, z zone) error {
	req := Request{Op: h.op, Target: "routes of zone " + z.Name, Method: http.MethodGet, Path: "/zones/" + url.PathEscape(z.ID) + "/workers/routes", Ids: []ID{{"zone", z.ID}}, Notify: h.tell}
	var all []struct{ Pattern, Script string }
	resp, err := h.c.Do(ctx, req)
	if err == nil && string(resp.Result) != "null" {
		err = resp.Decode(req, &all)
	}
	for _, r := range all {
		h.Addresses = append(h.Addresses, WorkerAddress{Pattern: r.Pattern, Zone: z.Name, Worker: r.Script})
	}
	_, err = h.unseen("routes of zone "+oneLine(z.Name), false, err)
	return err
}
