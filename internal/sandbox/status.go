package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"firedrill/internal/sandbox/meter"
)

// Status is what runs in a sandbox.
type Status struct {
	PID       int               `json:"pid"`
	Started   time.Time         `json:"started"`
	Workers   []WorkerStatus    `json:"workers"`
	Processes []ProcessStatus   `json:"processes"`
	Databases []ResourceStatus  `json:"databases"`
	KV        []ResourceStatus  `json:"kv_namespaces"`
	Buckets   []string          `json:"r2_buckets"`
	Objects   []ObjectStatus    `json:"durable_objects"`
	Stubs     []StubStatus      `json:"stubs"`
	Hosts     map[string]string `json:"hosts"`
	// Quotas tells whether what the platform counts over time is counted, and
	// KVLag how late one place learns of another's writes.
	Quotas     bool    `json:"quotas"`
	KVLag      float64 `json:"kv_lag_s"`
	Encryption bool    `json:"secrets_encrypted"`
}

// WorkerStatus is one Worker with what serves.
type WorkerStatus struct {
	Name     string        `json:"name"`
	URL      string        `json:"url"`
	Versions []ShareStatus `json:"versions"`
	Deployed time.Time     `json:"deployed"`
}

// ShareStatus is one version of a deployment.
type ShareStatus struct {
	ID         string  `json:"id"`
	Number     int     `json:"number"`
	Percentage float64 `json:"percentage"`
}

// ProcessStatus is one workerd process.
type ProcessStatus struct {
	Workers  []string `json:"workers"`
	PID      int      `json:"pid"` // 0 while it is down
	Restarts int      `json:"restarts"`
	InFlight int      `json:"requests_in_flight"`
}

// ResourceStatus is a database or a namespace.
type ResourceStatus struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Size int64  `json:"bytes"`
}

// ObjectStatus is a Durable Object class.
type ObjectStatus struct {
	ID      string `json:"id"`
	Worker  string `json:"worker"`
	Class   string `json:"class"`
	Objects int    `json:"objects"` // at most maxCounted
}

// maxCounted is how many objects of a class are counted for a status.
const maxCounted = 10000

// StubStatus is a binding that does nothing, because that was asked for.
type StubStatus struct {
	Worker  string `json:"worker"`
	Binding string `json:"binding"`
	Type    string `json:"type"`
}

// Status tells what runs.
func (s *Sandbox) Status(ctx context.Context) (Status, error) {
	e := s.Endpoint()
	st := Status{PID: e.PID, Started: e.Started, Workers: []WorkerStatus{}, Processes: []ProcessStatus{}, Databases: []ResourceStatus{},
		KV: []ResourceStatus{}, Buckets: []string{}, Objects: []ObjectStatus{}, Stubs: []StubStatus{}, Hosts: s.cfg.Hosts, Quotas: s.cfg.Quotas.Window > 0,
		KVLag: s.cfg.KVLag.Seconds(), Encryption: len(s.cfg.SecretKey) > 0}
	for _, d := range s.workers.AllDeployed() {
		w := WorkerStatus{Name: d.Script, URL: e.WorkerURL(d.Script), Deployed: d.Deployment.Created, Versions: []ShareStatus{}}
		for i, v := range d.Versions {
			w.Versions = append(w.Versions, ShareStatus{v.ID, v.Number, d.Deployment.Shares[i].Percentage})
		}
		st.Workers = append(st.Workers, w)
	}
	for _, p := range s.workers.Running() {
		st.Processes = append(st.Processes, ProcessStatus(p))
	}
	databases, err := s.db.List(ctx)
	if err != nil {
		return st, err
	}
	for _, d := range databases {
		st.Databases = append(st.Databases, ResourceStatus{d.ID, d.Name, d.Size})
	}
	for _, n := range s.kv.Namespaces() {
		st.KV = append(st.KV, ResourceStatus{n.ID, n.Title, s.kv.FileSize(n.ID)})
	}
	buckets, err := s.r2.Buckets(ctx)
	if err != nil {
		return st, err
	}
	for _, b := range buckets {
		st.Buckets = append(st.Buckets, b.Name)
	}
	namespaces, err := s.workers.Namespaces(ctx)
	if err != nil {
		return st, err
	}
	for _, n := range namespaces {
		page, err := s.workers.Objects(ctx, n.ID, "", maxCounted)
		if err != nil {
			return st, err
		}
		st.Objects = append(st.Objects, ObjectStatus{n.ID, n.Script, n.Class, len(page.Objects)})
	}
	for _, b := range s.workers.Stubbed() {
		st.Stubs = append(st.Stubs, StubStatus{b.Script, b.Name, b.Type})
	}
	return st, nil
}

// figures are the gauges of the metrics.
func (s *Sandbox) figures() meter.State {
	st := meter.State{Workers: len(s.workers.AllDeployed()), Namespaces: len(s.kv.Namespaces())}
	for _, p := range s.workers.Running() {
		st.Processes++
		st.Restarts += p.Restarts
		st.InFlight += p.InFlight
		if p.PID == 0 {
			st.Down++
		}
	}
	if databases, err := s.db.List(context.Background()); err == nil {
		st.Databases = len(databases)
	}
	return st
}

// Ask asks a sandbox of another process for its status.
func (e Endpoint) Ask(ctx context.Context) (Status, error) {
	var st Status
	fail := func(err error) (Status, error) {
		return st, &Error{"ask the sandbox", KindAbsent, e.API, "look into its log", err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.API+"/accounts/"+e.Account+"/sandbox/status", nil)
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fail(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fail(err)
	}
	env := struct{ Result *Status }{&st}
	if err := json.Unmarshal(body, &env); err != nil {
		return fail(err)
	}
	if resp.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("it answers with status %d", resp.StatusCode))
	}
	return st, nil
}
