package cloudflare

import (
	"cmp"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"firedrill"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// Protected is a resource that belongs to an environment, as a configuration says
// that lies beside the plan.
type Protected struct {
	Kind, ID, Name string // an empty ID or Name is not known
	Account        string // "" where nothing says which
	Environment    string // of the plan; "" for one that the plan does not know
	Owner          string // whose it is, for a person: "production (api/wrangler.jsonc:12:7)"
}

// Guard refuses requests that change what does not belong to its environment. All
// that it protects only ever grows: by what the API says about it, see
// [Client.learn].
type Guard struct {
	env firedrill.Environment

	mu        sync.Mutex
	protected map[ID]string // whose it is
}

// GuardPlan gives the guard of each environment of a plan. A guarded client
// sends nothing that changes an environment of class production, and nothing
// that changes, or refers to while changing something, a resource that another
// environment names, in the plan or in a configuration beside it: by id or by
// name, in the path or in the body, whether the request declares it or not. What
// only reads may pass, and in production what a client does to a scratch resource
// that it made itself. The one exemption is an environment that
// is opened for the recovery of an incident, and it opens no other environment.
//
// An environment that names no account protects its names in every account. The
// guards keep what they are told here: whatever becomes of the plan later, they
// protect no less.
func GuardPlan(environments map[string]firedrill.Environment, configured ...Protected) func(firedrill.Environment) *Guard {
	environments, configured = maps.Clone(environments), slices.Clone(configured)
	return func(env firedrill.Environment) *Guard {
		g := &Guard{env: env, protected: map[ID]string{}}
		own := account(env)
		protect := func(kind, id, name, acc, owner string) {
			owner = cmp.Or(owner, "another environment")
			if id != "" {
				g.protected[ID{kind, canonical(id)}] = owner
			}
			// Names may repeat in another account; ids may not, and stay protected.
			if name != "" && (acc == "" || own == "" || acc == own) {
				g.protected[ID{kind, canonical(name)}] = owner
			}
		}
		if !sandboxHere(env) {
			for _, p := range configured {
				if p.Environment != env.Name {
					protect(p.Kind, p.ID, p.Name, strings.ToLower(p.Account), p.Owner)
				}
			}
		}
		for name, other := range environments {
			if name == env.Name {
				continue
			}
			for _, r := range other.Resources {
				id, _ := r.Attrs["id"].(string)
				called, _ := r.Attrs["name"].(string)
				protect(r.Kind, id, called, account(other), "environment "+name)
			}
		}
		return g
	}
}

// sandboxHere tells whether an environment is a sandbox on this machine, into which
// the configurations of the real platform are deployed as they are: what they name
// is there by the same names and ids, and is the sandbox's own.
func sandboxHere(env firedrill.Environment) bool {
	api, _ := env.Settings["api"].(string)
	u, err := url.Parse(api)
	return env.Class == firedrill.ClassSandbox && err == nil && isLoopback(u.Hostname())
}

// Check refuses a request, or lets it pass. The error is of kind
// [firedrill.KindGuard] and says whose the resource is.
func (g *Guard) Check(req Request) error {
	if !req.Writes() {
		return nil
	}
	refuse := func(detail, remedy string) error {
		return &firedrill.Error{Op: req.Op, Kind: firedrill.KindGuard, Target: req.Target, Detail: detail, Remedy: remedy}
	}
	const elsewhere = "drill another environment; nothing was sent"
	if disguised(req.Path) {
		return refuse("its path can be read in two ways: "+req.Path, "correct the name; nothing was sent")
	}
	said, err := bodyIDs(req)
	if err != nil {
		return refuse("its body cannot be read, so it is not known what it refers to: "+err.Error(), "nothing was sent")
	}
	for _, values := range req.Query {
		for _, v := range values {
			said = append(said, ID{textKind, v})
		}
	}
	for _, id := range slices.Concat(req.Ids, pathIDs(req.Path), said) {
		if what, owner := g.owner(id); owner != "" {
			return refuse(what+" belongs to "+owner, elsewhere)
		}
	}
	if g.env.Class == firedrill.ClassProduction && !g.env.Incident {
		return inProduction{refuse("environment "+g.env.Name+" is production: nothing is changed there", elsewhere)}
	}
	return nil
}

// owner tells whose something is and what it is called; "" if it is not protected.
// A text belongs to whom any id in it belongs.
func (g *Guard) owner(id ID) (what, owner string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	value := canonical(id.Value)
	if owner := g.protected[ID{id.Kind, value}]; owner != "" {
		return id.Kind + " " + id.Value, owner
	}
	for p, owner := range g.protected {
		// An id says what it is without its kind; a name does not.
		if idLike.MatchString(p.Value) && (p.Value == value || id.Kind == textKind && strings.Contains(value, p.Value)) {
			return p.Kind + " " + p.Value, owner
		}
	}
	return "", ""
}

// kinds are the kinds of what is protected.
func (g *Guard) kinds() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []string
	for id := range g.protected {
		if !slices.Contains(list, id.Kind) {
			list = append(list, id.Kind)
		}
	}
	return list
}

// learn is told what the API says: that an id has a name at this moment. Either of
// them protects the other, from now on.
func (g *Guard) learn(kind, id, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	byID, byName := ID{kind, canonical(id)}, ID{kind, canonical(name)}
	switch {
	case g.protected[byID] != "" && g.protected[byName] == "":
		g.protected[byName] = g.protected[byID]
	case g.protected[byName] != "" && g.protected[byID] == "":
		g.protected[byID] = g.protected[byName]
	}
}

// canonical writes an id or a name as it is compared. The platform takes ids in
// either case.
func canonical(value string) string { return strings.ToLower(strings.TrimSpace(value)) }

func account(env firedrill.Environment) string {
	acc, _ := env.Settings["account"].(string)
	return strings.ToLower(acc)
}

// inProduction is the refusal of a change because of the environment's class
// alone. See [Client.mayScratch] for the one exception.
type inProduction struct{ error }

func (e inProduction) Unwrap() error { return e.error }
