package workers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"firedrill/internal/sandbox/workers/front"
	"firedrill/internal/sandbox/workers/workerd"
)

// live is a script as it is deployed. It is immutable.
type live struct {
	script     Script
	deployment Deployment
	versions   []Version // in the order of deployment.Shares
	namespaces []Namespace
}

// group is a set of scripts that call each other, and what has to run for them.
type group struct {
	route *front.Group
	runs  map[string][]member // the wanted processes: combination key -> versions
	keys  map[string]string   // combination key -> process key
}

// plan divides the scripts into groups that bindings to services and to Durable
// Objects connect.
func plan(all map[string]*live) ([]group, error) {
	present := map[string]bool{}
	names := make([]string, 0, len(all))
	for name := range all {
		present[name] = true
		names = append(names, name)
	}
	slices.Sort(names)
	owner := owners(all)
	parent := map[string]string{}
	var root func(string) string
	root = func(s string) string {
		if p, ok := parent[s]; ok && p != s {
			parent[s] = root(p)
			return parent[s]
		}
		return s
	}
	for _, name := range names {
		for _, v := range all[name].versions {
			for _, t := range v.targets(owner) {
				if present[t] {
					parent[root(name)] = root(t)
				}
			}
		}
	}
	members := map[string][]string{}
	var order []string
	for _, name := range names {
		r := root(name)
		if members[r] == nil {
			order = append(order, r)
		}
		members[r] = append(members[r], name)
	}
	var groups []group
	for _, r := range order {
		g, err := newGroup(all, members[r], present, owner)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// newGroup lists the combinations of versions that can meet in one request.
func newGroup(all map[string]*live, members []string, present map[string]bool, owner map[string]string) (group, error) {
	g := group{
		route: &front.Group{Upstreams: map[string]*front.Upstream{}},
		runs:  map[string][]member{},
		keys:  map[string]string{},
	}
	combos := [][]member{nil}
	storing := "" // a member that has Durable Objects
	for _, name := range members {
		l := all[name]
		if len(l.namespaces) > 0 {
			storing = name
		}
		split := front.Split{Script: name}
		var next [][]member
		for i, v := range l.versions {
			split.Shares = append(split.Shares, front.Share{Version: v.ID, Percent: l.deployment.Shares[i].Percentage})
			for _, c := range combos {
				next = append(next, append(slices.Clone(c), member{v, l.namespaces}))
			}
		}
		combos = next
		g.route.Splits = append(g.route.Splits, split)
	}
	if len(combos) > 1 && storing != "" {
		return group{}, refuse("deploy", strings.Join(members, ","), CodeUnsupported,
			"two versions at once are not possible here: the Worker %q has Durable Objects, and each process that runs a version would own their storage. Deploy one version at 100 %%.", storing)
	}
	if len(combos) > maxCombinations {
		return group{}, refuse("deploy", strings.Join(members, ","), CodeUnsupported,
			"these Workers call each other and have %d combinations of versions deployed; the sandbox runs at most %d: deploy one version of some of them at 100 %%", len(combos), maxCombinations)
	}
	for _, c := range combos {
		ids := make([]string, len(c))
		for i, m := range c {
			ids[i] = m.version.ID
		}
		key := front.Key(ids)
		g.runs[key] = c
		g.keys[key] = processKey(c, present, owner)
	}
	return g, nil
}

// transition is a change of what runs, prepared but not yet in force.
type transition struct {
	m       *Manager
	live    map[string]*live
	table   *front.Table
	started map[string]*instance
	parked  []*instance     // stopped, so that others could take over their storage
	wanted  map[string]bool // process keys
}

// job is a process that has to be started.
type job struct {
	key, label string
	members    []member
	storage    []string    // ids of the namespaces that it will own
	displaces  []*instance // those that own some of them now
	p          *workerd.Process
}

func (m *Manager) newJob(key string, members []member) *job {
	j := &job{key: key, members: members}
	var names []string
	for _, mem := range members {
		names = append(names, mem.version.Script)
		for _, n := range mem.namespaces {
			j.storage = append(j.storage, n.ID)
		}
	}
	j.label = strings.Join(names, ",")
	for _, in := range m.instances {
		if slices.ContainsFunc(in.storage, func(id string) bool { return slices.Contains(j.storage, id) }) {
			j.displaces = append(j.displaces, in)
		}
	}
	return j
}

// prepare starts the processes that next needs and that do not run yet. With
// patience, a process that does not start is tried again later instead of
// failing the whole. Where a process takes over the storage of Durable Objects,
// its predecessor is stopped first, while its requests wait. The caller holds
// m.mu, and calls commit or abort.
func (m *Manager) prepare(ctx context.Context, next map[string]*live, patience bool) (*transition, error) {
	groups, err := plan(next)
	if err != nil {
		return nil, err
	}
	t := &transition{m: m, live: next, table: &front.Table{Routes: map[string]*front.Route{}},
		started: map[string]*instance{}, wanted: map[string]bool{}}
	var free, displacing []*job
	for _, g := range groups {
		for combo, members := range g.runs {
			key := g.keys[combo]
			if t.wanted[key] {
				continue
			}
			t.wanted[key] = true
			if m.instances[key] != nil {
				continue
			}
			if j := m.newJob(key, members); len(j.displaces) > 0 {
				displacing = append(displacing, j)
			} else {
				free = append(free, j)
			}
		}
	}
	err = t.startAll(ctx, free, patience)
	if err == nil && len(displacing) > 0 {
		t.park(displacing)
		err = t.startAll(ctx, displacing, patience)
	}
	if err != nil {
		t.abort()
		return nil, err
	}
	for _, g := range groups {
		for combo, key := range g.keys {
			in := m.instances[key]
			if in == nil {
				in = t.started[key]
			}
			g.route.Upstreams[combo] = in.up
		}
		for _, s := range g.route.Splits {
			t.table.Routes[s.Script] = &front.Route{WorkersDev: next[s.Script].script.WorkersDev, Group: g.route}
		}
	}
	return t, nil
}

// startAll starts processes side by side.
func (t *transition) startAll(ctx context.Context, jobs []*job, patience bool) error {
	m := t.m
	eg, egCtx := errgroup.WithContext(ctx)
	eg.SetLimit(4)
	for _, j := range jobs {
		m.storage.take(j.storage)
		eg.Go(func() (err error) {
			if j.p, err = m.startProcess(egCtx, j.label, j.members); err != nil && patience && ctx.Err() == nil {
				m.log.Error("a deployed Worker does not start", "workers", j.label, "err", err)
				return nil
			}
			return err
		})
	}
	err := eg.Wait()
	for _, j := range jobs {
		if err == nil {
			t.started[j.key] = m.newInstance(j)
			continue
		}
		if j.p != nil {
			j.p.Stop()
		}
		m.storage.give(j.storage)
	}
	return err
}

// park stops the processes whose storage jobs take over. New requests wait;
// those in flight may end, up to a deadline.
func (t *transition) park(jobs []*job) {
	for _, j := range jobs {
		for _, in := range j.displaces {
			if !slices.Contains(t.parked, in) {
				t.parked = append(t.parked, in)
			}
		}
	}
	t.m.parkAll(t.parked)
}

// commit puts the change in force and lets go of what is not needed any more.
func (t *transition) commit() {
	m := t.m
	m.live = t.live
	for key, in := range t.started {
		m.instances[key] = in
	}
	m.front.Swap(t.table)
	for key, in := range m.instances {
		if !t.wanted[key] {
			delete(m.instances, key)
			m.retire(in)
		}
	}
}

// abort stops what prepare started, and lets what it stopped go on.
func (t *transition) abort() {
	for _, in := range t.started {
		t.m.retire(in)
	}
	for _, in := range t.started {
		if len(t.parked) > 0 {
			<-in.done // two processes must never own one storage
		}
	}
	for _, in := range t.parked {
		in.unpark()
	}
}

// startProcess starts the process for one combination of versions.
func (m *Manager) startProcess(ctx context.Context, label string, members []member) (*workerd.Process, error) {
	programs := make([]program, len(members))
	expose := make([]string, len(members))
	for i, mem := range members {
		v := mem.version
		modules, err := m.modules(ctx, v.ID)
		if err != nil {
			return nil, err
		}
		if len(modules) == 0 {
			return nil, fmt.Errorf("version %s of Worker %s has no modules in the store", v.ID, v.Script)
		}
		programs[i] = program{mem, modules}
		expose[i] = v.Script
	}
	cfg, err := compose(m.bindSocket(), m.objectsFolder(), programs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return m.sup.Start(ctx, workerd.Start{
		Config: cfg, Expose: expose,
		Output: func(_ workerd.Stream, line string) { m.logs.line(label, line) },
	})
}

// freshModules are the files of a version that is being deployed but is not
// stored yet: a version whose deployment fails must leave nothing behind.
type freshModules struct {
	mu sync.Mutex
	of map[string][]Module
}

func (f *freshModules) set(version string, modules []Module) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[string][]Module{}
	}
	f.of[version] = modules
}

func (f *freshModules) drop(version string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, version)
}

func (f *freshModules) get(version string) []Module {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[version]
}

// modules finds the files of a version, stored or about to be.
func (m *Manager) modules(ctx context.Context, version string) ([]Module, error) {
	if fresh := m.fresh.get(version); fresh != nil {
		return fresh, nil
	}
	return m.store.modules(ctx, version)
}

// resume starts what the store says is deployed.
func (m *Manager) resume(ctx context.Context) error {
	scripts, err := m.store.scripts(ctx)
	if err != nil {
		return err
	}
	namespaces, err := m.store.namespaces(ctx)
	if err != nil {
		return err
	}
	next := map[string]*live{}
	for _, sc := range scripts {
		ds, err := m.store.deployments(ctx, sc.Name, 1)
		if err != nil {
			return err
		}
		if len(ds) == 0 {
			continue
		}
		l := &live{script: sc, deployment: ds[0], namespaces: ofScript(namespaces, sc.Name)}
		for _, sh := range ds[0].Shares {
			v, ok, err := m.store.version(ctx, sc.Name, sh.VersionID)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("store of Workers: version %s of Worker %s is deployed but missing", sh.VersionID, sc.Name)
			}
			l.versions = append(l.versions, v)
		}
		next[sc.Name] = l
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t, err := m.prepare(ctx, next, true)
	if err != nil {
		return err
	}
	t.commit()
	return nil
}

// with returns a copy of what is deployed in which one script is replaced, or
// removed when l is nil.
func (m *Manager) with(name string, l *live) map[string]*live {
	next := make(map[string]*live, len(m.live)+1)
	for k, v := range m.live {
		next[k] = v
	}
	if l == nil {
		delete(next, name)
	} else {
		next[name] = l
	}
	return next
}

// enact is the one way in which a change becomes real: start, make durable,
// switch. When it returns an error nothing has changed for any client.
func (m *Manager) enact(ctx context.Context, next map[string]*live, durable func() error) error {
	if m.closed {
		return errors.New("the sandbox is stopping")
	}
	t, err := m.prepare(ctx, next, false)
	if err != nil {
		return err
	}
	if err := durable(); err != nil {
		t.abort()
		return err
	}
	t.commit()
	return nil
}
