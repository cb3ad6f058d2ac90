package api

import (
	"strconv"

	"firedrill/internal/sandbox/workers"
)

// Pages of versions have ten entries unless a client asks for another number.
const (
	defaultPerPage = 10
	maxPerPage     = 100
)

// pageQuery reads page and per_page, which is otherwise unless it is given.
func (c workersCall) pageQuery(otherwise, most int) (number, perPage int) {
	number, perPage = 1, otherwise
	q := c.r.URL.Query()
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 0 {
		number = n
	}
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 {
		perPage = min(n, most)
	}
	return number, perPage
}

func (a *WorkersAPI) listVersions(c workersCall) (workersReply, error) {
	number, perPage := c.pageQuery(defaultPerPage, maxPerPage)
	list, err := a.m.Versions(c.r.Context(), c.name(), perPage, (number-1)*perPage)
	if err != nil {
		return workersReply{}, err
	}
	items := []any{}
	for _, v := range list.Versions {
		items = append(items, versionView(v))
	}
	return workersReply{
		result: map[string]any{"items": items},
		info: page{Page: number, PerPage: perPage, Count: len(items), TotalCount: list.Total,
			TotalPages: (list.Total + perPage - 1) / perPage},
	}, nil
}

func (a *WorkersAPI) getVersion(c workersCall) (workersReply, error) {
	v, err := a.m.Version(c.r.Context(), c.name(), c.path[3])
	if err != nil {
		return workersReply{}, err
	}
	return workersReply{result: versionDetails(v)}, nil
}

// deploymentsShown is how many deployments the platform lists.
const deploymentsShown = 10

func (a *WorkersAPI) listDeployments(c workersCall) (workersReply, error) {
	list, err := a.m.Deployments(c.r.Context(), c.name(), deploymentsShown)
	if err != nil {
		return workersReply{}, err
	}
	views := []any{}
	for _, d := range list {
		views = append(views, deploymentView(d))
	}
	return workersReply{result: map[string]any{"deployments": views}}, nil
}

func (a *WorkersAPI) getDeployment(c workersCall) (workersReply, error) {
	d, err := a.m.Deployment(c.r.Context(), c.name(), c.path[3])
	if err != nil {
		return workersReply{}, err
	}
	return workersReply{result: deploymentView(d)}, nil
}

func (a *WorkersAPI) postDeployment(c workersCall) (workersReply, error) {
	// code_update_strategy says when Durable Objects get new code; here they get
	// it with the deployment, so it is passed over.
	var given struct {
		Strategy    string            `json:"strategy"`
		Versions    []workers.Share   `json:"versions"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := c.decode(&given); err != nil {
		return workersReply{}, err
	}
	if given.Strategy != "" && given.Strategy != "percentage" {
		return workersReply{}, badWorkersRequest("the strategy is %q, and only \"percentage\" exists", given.Strategy)
	}
	d, err := a.m.Deploy(c.r.Context(), c.name(), workers.DeployRequest{
		Shares: given.Versions, Annotations: given.Annotations, Source: c.source(), Force: c.flag("force"),
	})
	if err != nil {
		return workersReply{}, err
	}
	return workersReply{result: deploymentView(d)}, nil
}

func (a *WorkersAPI) deleteDeployment(c workersCall) (workersReply, error) {
	return workersReply{}, a.m.DeleteDeployment(c.r.Context(), c.name(), c.path[3])
}
