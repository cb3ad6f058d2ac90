package workers

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Running is one workerd process that serves, or is about to come back.
type Running struct {
	Workers  []string
	PID      int // 0 while it is down
	Restarts int // how often it ended by itself
	InFlight int // requests
}

// Running lists the processes that serve.
func (m *Manager) Running() []Running {
	m.mu.Lock()
	list := slices.Collect(maps.Values(m.instances))
	m.mu.Unlock()
	out := []Running{}
	for _, in := range list {
		in.mu.Lock()
		r := Running{Workers: strings.Split(in.label, ","), Restarts: in.restarts, InFlight: in.up.InFlight()}
		if in.process != nil {
			r.PID = in.process.Pid()
		}
		in.mu.Unlock()
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Running) int {
		return cmp.Or(slices.Compare(a.Workers, b.Workers), cmp.Compare(a.PID, b.PID))
	})
	return out
}

// Deployed is a Worker with the deployment and the versions that serve.
type Deployed struct {
	Script     string
	Deployment Deployment
	Versions   []Version // in the order of Deployment.Shares
}

// AllDeployed lists what serves, by name.
func (m *Manager) AllDeployed() []Deployed {
	m.mu.Lock()
	all := m.live
	m.mu.Unlock()
	list := []Deployed{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, Deployed{name, all[name].deployment, all[name].versions})
	}
	return list
}
