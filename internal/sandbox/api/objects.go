package api

import (
	"strconv"

	"firedrill/internal/sandbox/workers"
)

// objectRoutes is the table of the calls of Durable Objects. The platform has
// no call that touches what an object has stored; the snapshots are the
// sandbox's own, and so stand in a place of their own.
func (a *WorkersAPI) objectRoutes() []workersRoute {
	const n = "durable_objects/namespaces"
	const s = "sandbox/namespaces/*/objects/*/snapshots"
	return []workersRoute{
		{"GET", n, a.listObjectNamespaces},
		{"GET", n + "/*", a.getObjectNamespace},
		{"GET", n + "/*/objects", a.listObjects},
		{"GET", s, a.listSnapshots},
		{"POST", s, a.takeSnapshot},
		{"DELETE", s + "/*", a.dropSnapshot},
		{"POST", s + "/*/restore", a.putBackSnapshot},
	}
}

func viewObjectNamespace(n workers.Namespace) map[string]any {
	return map[string]any{"id": n.ID, "name": n.Name(), "script": n.Script, "class": n.Class, "use_sqlite": n.SQLite}
}

func (a *WorkersAPI) listObjectNamespaces(c workersCall) (workersReply, error) {
	all, err := a.m.Namespaces(c.r.Context())
	if err != nil {
		return workersReply{}, err
	}
	number, perPage := c.pageQuery(maxNamespacesPerPage, maxNamespacesPerPage)
	from := min((number-1)*perPage, len(all))
	to := min(from+perPage, len(all))
	views := []any{}
	for _, n := range all[from:to] {
		views = append(views, viewObjectNamespace(n))
	}
	return workersReply{result: views, info: page{Page: number, PerPage: perPage, Count: len(views), TotalCount: len(all),
		TotalPages: (len(all) + perPage - 1) / perPage}}, nil
}

// maxNamespacesPerPage is the page of a client that asks for none.
const maxNamespacesPerPage = 1000

func (a *WorkersAPI) getObjectNamespace(c workersCall) (workersReply, error) {
	n, err := a.m.Namespace(c.r.Context(), c.path[2])
	view := viewObjectNamespace(n)
	view["environment"] = "production"
	return workersReply{result: view}, err
}

// The limits of a page of objects.
const (
	minObjects     = 10
	defaultObjects = 1000
	maxObjects     = 10000
)

func (a *WorkersAPI) listObjects(c workersCall) (workersReply, error) {
	q := c.r.URL.Query()
	limit := defaultObjects
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < minObjects || n > maxObjects {
			return workersReply{}, badWorkersRequest("limit must be a number from %d to %d", minObjects, maxObjects)
		}
		limit = n
	}
	list, err := a.m.Objects(c.r.Context(), c.path[2], q.Get("cursor"), limit)
	if err != nil {
		return workersReply{}, err
	}
	views := []any{}
	for _, o := range list.Objects {
		views = append(views, map[string]any{"id": o.ID, "hasStoredData": o.HasStored})
	}
	return workersReply{result: views, info: newCursors(len(views), list.Cursor)}, nil
}

func viewSnapshot(s workers.Snapshot) map[string]any {
	return map[string]any{"id": s.ID, "created_on": stamp(s.Created), "size": s.Size}
}

func (a *WorkersAPI) listSnapshots(c workersCall) (workersReply, error) {
	list, err := a.m.Snapshots(c.r.Context(), c.path[2], c.path[4])
	if err != nil {
		return workersReply{}, err
	}
	views := []any{}
	for _, s := range list {
		views = append(views, viewSnapshot(s))
	}
	return workersReply{result: views}, nil
}

func (a *WorkersAPI) takeSnapshot(c workersCall) (workersReply, error) {
	s, err := a.m.TakeSnapshot(c.r.Context(), c.path[2], c.path[4])
	return workersReply{result: viewSnapshot(s)}, err
}

func (a *WorkersAPI) dropSnapshot(c workersCall) (workersReply, error) {
	return workersReply{}, a.m.DropSnapshot(c.r.Context(), c.path[2], c.path[4], c.path[6])
}

func (a *WorkersAPI) putBackSnapshot(c workersCall) (workersReply, error) {
	return workersReply{}, a.m.PutBack(c.r.Context(), c.path[2], c.path[4], c.path[6])
}
