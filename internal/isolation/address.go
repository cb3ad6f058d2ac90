package isolation

import (
	"fmt"
	"strings"

	"firedrill"
)

// route is an address at which a Worker answers.
type route struct {
	pattern   string // as it stands, without scheme
	host      string // may begin with a wildcard; in lower case, without port
	path      string // without the first slash; may end with a wildcard
	zone      string // its name or id, in lower case; "" where the configuration leaves it to wrangler
	inherited bool   // from the top level
	at        firedrill.Position
}

// routeOf reads a pattern; a custom domain has all paths.
func routeOf(pattern string, domain bool, at firedrill.Position) route {
	if _, rest, found := strings.Cut(pattern, "://"); found {
		pattern = rest
	}
	host, path, _ := strings.Cut(pattern, "/")
	host, _, _ = strings.Cut(host, ":")
	if domain {
		path = "*"
	}
	return route{pattern: pattern, host: strings.ToLower(host), path: path, at: at}
}

// claimed is a route and the unit that has it.
type claimed struct {
	unit *unit
	route
}

// claims are the routes that units have themselves.
func (a *audit) claims() []claimed {
	var own []claimed
	for i := range a.units {
		for _, r := range a.units[i].routes {
			if !r.inherited {
				own = append(own, claimed{&a.units[i], r})
			}
		}
	}
	return own
}

// addresses finds routes that an environment shares with another one, or inherits.
func (a *audit) addresses() {
	for i := range a.units {
		a.inheritedRoutes(&a.units[i])
	}
	own := a.claims()
	for i, c := range own {
		if a.envs[c.unit.env].Production {
			continue
		}
		for j, o := range own {
			live := a.envs[o.unit.env].Production
			if i == j || !a.apart(c.unit.env, o.unit.env) || !live && j > i || !covers(c.route, o.route) {
				continue
			}
			how := "claims"
			if c.pattern != o.pattern {
				how = "claims with " + c.pattern
			}
			a.report(Finding{Rule: SharedRoute, Level: a.level(c.unit.env, o.unit.env), At: c.at, Environment: c.unit.env, Worker: c.unit.worker, Kind: kindRoute, Resource: c.pattern,
				Message: fmt.Sprintf("%s %s the address %s of %s", title(c.unit.env), how, o.pattern, title(o.unit.env)),
				Related: []Related{{o.at, title(o.unit.env) + " has it here"}}}, "routes."+c.pattern)
			break
		}
	}
}

// inheritedRoutes reports the routes that a unit has from a top level of another
// environment: where they are to be replaced, or at the top level if it is
// production that inherits them.
func (a *audit) inheritedRoutes(u *unit) {
	var patterns []string
	var related []Related
	for _, r := range u.routes {
		if r.inherited {
			patterns = append(patterns, r.pattern)
			related = append(related, Related{r.at, "the route " + r.pattern + " stands here"})
		}
	}
	top := a.topOf(u)
	if len(patterns) == 0 || top == nil || !a.apart(u.env, top.env) {
		return
	}
	all := strings.Join(patterns, ", ")
	f := Finding{Rule: InheritedRoute, Level: a.level(u.env, top.env), At: u.at, Environment: u.env, Worker: u.worker, Kind: kindRoute, Resource: all,
		Message: fmt.Sprintf("%s inherits %s of %s: deploying it takes the address over", title(u.env), all, title(top.env)), Related: related}
	if a.envs[u.env].Production {
		f.At, f.Environment, f.Worker = related[0].At, top.env, top.worker
		f.Message = fmt.Sprintf("%s has %s, which %s inherits: `wrangler deploy` without an environment takes the address over", title(top.env), all, title(u.env))
		f.Related = []Related{{u.at, title(u.env) + " inherits it here"}}
	}
	a.report(f, "routes")
}

// topOf gives the top level of a unit's configuration.
func (a *audit) topOf(u *unit) *unit {
	for i := range a.units {
		if a.units[i].file == u.file && a.units[i].key == "" {
			return &a.units[i]
		}
	}
	return nil
}

// covers tells whether a route takes requests that another one is for. The
// platform gives a request to the most specific pattern, so a wider one takes
// only what the other leaves; a wildcard in the host that production's host falls
// under is told nevertheless, because it serves production's name as soon as the
// other route is gone.
func covers(r, other route) bool {
	return hostCovers(r, other) && pathsMeet(r.path, other.path)
}

func hostCovers(r, other route) bool {
	suffix, wild := strings.CutPrefix(r.host, "*")
	switch {
	case r.host == "*" && other.host == "*": // all of a zone
		return r.zone == other.zone
	case r.host == "*":
		return r.zone != "" && (r.zone == other.zone || other.host == r.zone || strings.HasSuffix(other.host, "."+r.zone))
	}
	return r.host == other.host || wild && strings.HasSuffix(other.host, suffix)
}

// pathsMeet tells whether two paths have anything in common.
func pathsMeet(x, y string) bool {
	p, pWild := strings.CutSuffix(x, "*")
	q, qWild := strings.CutSuffix(y, "*")
	switch {
	case pWild && qWild:
		return strings.HasPrefix(p, q) || strings.HasPrefix(q, p)
	case pWild:
		return strings.HasPrefix(q, p)
	case qWild:
		return strings.HasPrefix(p, q)
	}
	return p == q
}
