package isolation

import (
	"path"
	"slices"
	"strings"

	"firedrill"
)

// Deployment is a Worker in one environment, as `wrangler deploy` puts it in place.
type Deployment struct {
	At          firedrill.Position
	Environment Environment
	// Guessed is set where nothing but its place at the top level of the
	// configuration says which environment it is.
	Guessed bool
	Worker  string // its name
	Base    string // its name without the words for environments
	Account string // "" where the configuration does not say
	Main    string // path of its first module, as paths of configurations are; "" if there is none
	Hosts   []Host
	// WorkersDev tells whether it is reached below workers.dev.
	WorkersDev bool
	Resources  []Resource
}

// Host is an address at which a deployment answers.
type Host struct {
	Name string // may hold a wildcard
	Path string // begins with a slash, may end with a wildcard; "/*" for a custom domain
	// Inherited is set where the route stands at the top level, for another environment.
	Inherited bool
	At        firedrill.Position
}

// Resource is a database or a namespace that a deployment is bound to.
type Resource struct {
	Kind    string // d1 or kv
	Binding string // what the Worker calls it
	ID      string // "" where there is none, or a placeholder
	Name    string
	At      firedrill.Position
}

// Deployments reads what configurations deploy, and into which environments. What
// cannot be read is left out; [Audit] tells of it.
func Deployments(files []File) []Deployment {
	a := &audit{envs: map[string]Environment{}}
	roots := map[string]*node{}
	for _, f := range files {
		if !IsConfig(path.Base(f.Path)) {
			continue
		}
		root, err := parse(f.Path, f.Data)
		if err != nil || generated(root) {
			continue
		}
		roots[f.Path] = root
		us := units(f.Path, root)
		a.add(us, place(us, nil))
	}
	a.unify()
	a.resolve()
	var out []Deployment
	for _, u := range a.units {
		if u.worker != "" {
			out = append(out, a.deployment(u, roots[u.file]))
		}
	}
	return out
}

func (a *audit) deployment(u unit, top *node) Deployment {
	n := top
	if u.key != "" {
		n = top.get("env", u.key)
	}
	d := Deployment{At: u.workerAt, Environment: a.envs[u.env], Guessed: u.env == topLevel, Worker: u.worker, Account: u.account, Base: baseName(u.worker)}
	if main := inherited(n, top, "main"); main != "" {
		d.Main = path.Join(path.Dir(u.file), main)
	}
	if name := top.string("name"); name != "" {
		d.Base = baseName(name)
	}
	for _, r := range u.routes {
		d.Hosts = append(d.Hosts, Host{r.host, "/" + r.path, r.inherited && a.isApart(u), r.at})
	}
	// wrangler turns it off by itself where there are routes.
	d.WorkersDev = len(u.routes) == 0
	for _, from := range []*node{n, top} {
		if v := from.get("workers_dev"); v != nil && v.shape == another {
			d.WorkersDev = v.text == "true"
			break
		}
	}
	for _, r := range u.refs {
		if r.preview || r.kind != kindDatabase && r.kind != "kv" {
			continue
		}
		res := Resource{Kind: r.kind, Binding: r.binding[strings.LastIndex(r.binding, ".")+1:], ID: r.id, Name: r.name, At: r.at}
		if r.placeholder {
			res.ID = ""
		}
		if (reference{kind: r.kind, name: r.name}).isPlaceholder() {
			res.Name = ""
		}
		d.Resources = append(d.Resources, res)
	}
	return d
}

// isApart tells whether a unit is of another environment than the top level of its file.
func (a *audit) isApart(u unit) bool {
	top := a.topOf(&u)
	return top != nil && a.apart(u.env, top.env)
}

// baseName takes the words for environments off a name: "api-staging" is "api".
func baseName(name string) string {
	words := append(suffixWords(), productionWords()...)
	parts := strings.Split(name, "-")
	for len(parts) > 1 && slices.Contains(words, strings.ToLower(parts[len(parts)-1])) {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, "-")
}
