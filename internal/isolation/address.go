package isolation

import (
	"fmt"
	"strings"
)

// addresses finds routes that an environment shares with another one, or inherits.
func (a *audit) addresses() {
	type claimed struct {
		unit *unit
		route
	}
	var own []claimed
	for i := range a.units {
		u := &a.units[i]
		told := map[string]bool{}
		for _, r := range u.routes {
			if !r.inherited {
				own = append(own, claimed{u, r})
				continue
			}
			top := a.topOf(u)
			if top == nil || !a.apart(u.env, top.env) || told[r.pattern] {
				continue
			}
			told[r.pattern] = true
			a.report(Finding{Rule: InheritedRoute, Level: a.level(u.env, top.env), At: u.at, Environment: u.env, Worker: u.worker, Kind: kindRoute, Resource: r.pattern,
				Message: fmt.Sprintf("%s inherits the route %s of %s: deploying it takes the address over", a.title(u.env), r.pattern, a.title(top.env)),
				Related: []Related{{r.at, "the route stands here"}}}, "routes."+r.pattern)
		}
	}
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
				Message: fmt.Sprintf("%s %s the address %s of %s", a.title(c.unit.env), how, o.pattern, a.title(o.unit.env)),
				Related: []Related{{o.at, a.title(o.unit.env) + " has it here"}}}, "routes."+c.pattern)
			break
		}
	}
}

// topOf gives the top level of a unit's configuration.
func (a *audit) topOf(u *unit) *unit {
	for i := range a.units {
		if a.units[i].file == u.file && a.units[i].key == "" && a.units[i].worker != "" {
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
	if r.pattern == other.pattern || r.host() == other.host() {
		return pathsMeet(r.pattern, other.pattern)
	}
	suffix, wild := strings.CutPrefix(r.host(), "*")
	return wild && suffix != "" && strings.HasSuffix(other.host(), suffix)
}

// pathsMeet tells whether the paths of two patterns with one host have anything
// in common.
func pathsMeet(x, y string) bool {
	_, p, _ := strings.Cut(x, "/")
	_, q, _ := strings.Cut(y, "/")
	p, pWild := strings.CutSuffix(p, "*")
	q, qWild := strings.CutSuffix(q, "*")
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
