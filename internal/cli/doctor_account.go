package cli

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/cli/term"
)

const (
	// expiresSoon is how long a token should live on: a drill every quarter should
	// not find it expired by surprise.
	expiresSoon = 14 * 24 * time.Hour
	// wrongClock is how far this machine's clock may be from the API's. Points in
	// time are given by it.
	wrongClock = 5 * time.Second
	// fewCalls is how many calls should be left for a drill.
	fewCalls = 200
)

// examineAccount looks at what an environment's account says.
func (a *app) examineAccount(ctx context.Context, p *firedrill.Plan, e firedrill.Environment, x *examination) {
	add := func(c check) { c.Environment = e.Name; x.add(c) }
	client, err := cloudflare.NewFor(e, cloudflare.Deps{Secrets: action.SystemSecrets(), Now: a.Now, Guard: cloudflare.GuardPlan(p.Environments)})
	if err != nil {
		add(failed(e.Name, err))
		return
	}
	if !a.global.json {
		a.out.Line(term.Strong, e.Name, fmt.Sprintf("class %s · API %s", e.Class, client.API()))
	}
	asked := a.Now()
	s, err := client.Standing(ctx, "doctor", nil)
	if err != nil {
		add(failed("token", err))
		return
	}
	add(tokenCheck(s, a.Now()))
	if !s.At.IsZero() {
		add(clockCheck(s.At, asked, a.Now()))
	}
	if s.Quota {
		c := check{Name: "quota", Status: healthOK, Detail: fmt.Sprintf("%d calls of the API left, all again in %s", s.Left, term.Duration(s.Reset))}
		if s.Left < fewCalls {
			c.Status, c.Remedy = healthWarning, "wait: what else uses this user's tokens uses the same quota, and who exceeds it is locked out for 5 minutes"
		}
		add(c)
	}
	add(a.examineReach(ctx, client, p, e, s))
	for _, key := range slices.Sorted(maps.Keys(e.Resources)) {
		add(a.examineResource(ctx, client, e.Resources[key]))
	}
}

func tokenCheck(s cloudflare.Standing, now time.Time) check {
	c := check{Name: "token", Status: healthOK, Detail: "active"}
	switch {
	case s.Status != "active":
		c.Status, c.Detail, c.Remedy = healthProblem, "its status is "+s.Status, "make a new token, or enable this one"
	case s.Expires.IsZero():
		c.Detail = "active, with no expiry told"
	case s.Expires.Sub(now) < expiresSoon:
		c.Status, c.Detail, c.Remedy = healthWarning, "active until "+s.Expires.UTC().Format(time.DateOnly), "renew it before a drill finds it expired"
	default:
		c.Detail = "active until " + s.Expires.UTC().Format(time.DateOnly)
	}
	return c
}

// clockCheck compares this machine's clock with the API's, which is told in whole
// seconds and some time between asking and answering.
func clockCheck(at, asked, answered time.Time) check {
	c := check{Name: "clock", Status: healthOK, Detail: "agrees with the API's"}
	off := time.Duration(0)
	switch {
	case at.Add(time.Second).Before(asked):
		off = asked.Sub(at)
	case at.After(answered):
		off = at.Sub(answered)
	}
	if off > wrongClock {
		c.Status, c.Detail, c.Remedy = healthWarning, "differs from the API's by "+term.Duration(off), "set it (NTP): points in time are given by it"
	}
	return c
}

// examineResource looks whether a resource is there, and for a database how many
// restores are left.
func (a *app) examineResource(ctx context.Context, client *cloudflare.Client, r firedrill.Resource) check {
	name, _ := r.Attrs["name"].(string)
	id, _ := r.Attrs["id"].(string)
	ref := id
	if ref == "" {
		ref = name
	}
	var err error
	detail := ""
	switch r.Kind {
	case "d1":
		var d *cloudflare.D1
		if d, err = client.D1(ctx, "doctor", ref, nil); err == nil {
			detail, err = a.databaseText(d)
		}
		if err == nil && name != "" && d.Name != name {
			return check{Name: r.Key, Status: healthProblem, Detail: fmt.Sprintf("database %s is called %s, and the plan says %s", d.ID, d.Name, name), Remedy: "correct the plan"}
		}
	case "kv":
		var k *cloudflare.KV
		if k, err = client.KV(ctx, "doctor", ref, nil); err == nil {
			detail = "namespace " + k.Source().Title + " is there"
		}
	case "worker":
		var n int
		if n, err = client.Serves(ctx, "doctor", name, nil); err == nil {
			detail = fmt.Sprintf("Worker %s is there, %s serving", name, term.Plural(int64(n), "version"))
		}
	default:
		return check{Name: r.Key, Status: healthWarning, Detail: "is of kind " + r.Kind + ", which doctor does not look at"}
	}
	if err != nil {
		return failed(r.Key, err)
	}
	return check{Name: r.Key, Status: healthOK, Detail: detail}
}

// databaseText describes a database that is there.
func (a *app) databaseText(d *cloudflare.D1) (string, error) {
	dir, err := a.homeDir()
	if err != nil {
		return "", err
	}
	left, allowed, err := cloudflare.RestoresLeft(cloudflare.FileRestores{Path: filepath.Join(dir, "restores")}, d.ID, a.Now())
	return fmt.Sprintf("database %s is there, %s, %d of %d restores left", d.Name, sizeText(d.Size), left, allowed), err
}
