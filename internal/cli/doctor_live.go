package cli

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	actionhttp "firedrill/internal/action/http"
	"firedrill/internal/backup"
	"firedrill/internal/cli/term"
	"firedrill/internal/plan"
)

const liveOp = "doctor --live"

// liveEnvironment is what the environment of scratch resources is called.
const liveEnvironment = "doctor-live"

// liveSource is the Worker that shows what the scratch database holds.
//
//go:embed live/index.js
var liveSource string

// proveLive proves actions on scratch resources of an account: it makes a database,
// a namespace and a Worker with random names, runs the built-in drills on them, in
// place and on copies, and deletes them. A drill that passes proves the actions that
// it used. front is where a sandbox's Workers answer; "" for workers.dev.
func (a *app) proveLive(ctx context.Context, front string, x *examination) (err error) {
	p, _, err := a.loadPlan()
	if err != nil {
		return err
	}
	env, err := a.liveTarget(p)
	if err != nil {
		return err
	}
	if err := a.confirmChange(liveOp, fmt.Sprintf("It makes a database, a KV namespace and a Worker in the account of environment %s, runs five drills on them, and deletes them.\nThat takes some four hundred calls of the API and minutes, because KV shows late what was written; it costs what some thousand rows and keys cost.", env.Name), env, true, "run it on a terminal, or give --yes"); err != nil {
		return err
	}
	client, err := cloudflare.NewFor(env, cloudflare.Deps{Secrets: action.SystemSecrets(), Now: a.Now, Guard: cloudflare.GuardPlan(p.Environments)})
	if err != nil {
		return err
	}
	if err := a.clearUp(ctx, client); err != nil {
		return err
	}
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	name := cloudflare.ScratchPrefix + hex.EncodeToString(random)
	defer func() { err = errors.Join(err, a.removeLive(ctx, client, name, x)) }()
	address, err := a.makeLive(ctx, client, name, front)
	if err != nil {
		return err
	}
	for _, class := range []firedrill.Class{firedrill.ClassCI, firedrill.ClassStaging} {
		if err := a.drillLive(ctx, p, env, client, name, address, class, x); err != nil {
			return err
		}
	}
	return nil
}

// liveTarget is the environment whose account is meant: the one named, or the only
// one that is not production.
func (a *app) liveTarget(p *firedrill.Plan) (firedrill.Environment, error) {
	name := a.global.env
	if name == "" {
		for n, e := range p.Environments {
			if e.Class == firedrill.ClassProduction {
				continue
			}
			if name != "" {
				return firedrill.Environment{}, usage("the plan has several environments that are drilled", "name one: --env NAME")
			}
			name = n
		}
	}
	env, ok := p.Environments[name]
	if !ok {
		return env, usage("the plan has no environment that is drilled", "write one, or name it: --env NAME")
	}
	if env.Class == firedrill.ClassProduction {
		return env, &firedrill.Error{Op: liveOp, Kind: firedrill.KindGuard, Target: "environment " + name, Detail: "is production: nothing is changed there", Remedy: "name another environment: --env NAME"}
	}
	return env, nil
}

// makeLive makes the scratch resources. Each is noted before it is made, so that
// what a killed process leaves is found by the next one.
func (a *app) makeLive(ctx context.Context, client *cloudflare.Client, name, front string) (address string, err error) {
	note := func(kind string) error {
		return a.noteScratch(scratchNote{Kind: kind, Name: name, API: client.API(), Account: client.Account(), At: a.Now().UTC()})
	}
	for _, kind := range []string{backup.KindD1, backup.KindKV, kindWorker} {
		if err := note(kind); err != nil {
			return "", err
		}
	}
	db, err := client.CreateD1Scratch(ctx, liveOp, name, nil)
	if err != nil {
		return "", err
	}
	for _, sql := range []string{"CREATE TABLE items(id INTEGER PRIMARY KEY, text TEXT NOT NULL, amount INTEGER)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO items SELECT i, 'item ' || i, i * 9007199254740993 FROM n"} {
		if err := db.Exec(ctx, sql); err != nil {
			return "", err
		}
	}
	kv, err := client.CreateKVScratch(ctx, liveOp, name, nil)
	if err != nil {
		return "", err
	}
	if err := fillLive(ctx, kv); err != nil {
		return "", err
	}
	host, err := client.CreateWorkerScratch(ctx, liveOp, name, liveSource, db, kv, nil)
	if err != nil {
		return "", err
	}
	switch {
	case front != "":
		scheme, rest, _ := strings.Cut(strings.TrimRight(front, "/"), "://")
		_, port, _ := strings.Cut(rest, ":")
		address = scheme + "://" + name + ".localhost:" + port
	case host == "":
		return "", &firedrill.Error{Op: liveOp, Kind: firedrill.KindUnsupported, Target: "workers.dev", Detail: "the account has no name below workers.dev, so nothing can ask the Worker", Remedy: "register one in the dashboard (Workers, Subdomain)"}
	default:
		address = "https://" + host
	}
	return address, awaitLive(ctx, address+"/health")
}

// fillLive writes a few keys.
func fillLive(ctx context.Context, kv *cloudflare.KV) error {
	var pairs []string
	for i := range 40 {
		pairs = append(pairs, fmt.Sprintf(`{"key":"item/%02d","value":"value %d","metadata":{"n":%d}}`, i, i, i))
	}
	text := "[" + strings.Join(pairs, ",") + "]"
	refused, err := kv.BulkPut(ctx, backup.Body{Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}, len(pairs))
	if err == nil && len(refused) > 0 {
		err = &firedrill.Error{Op: liveOp, Kind: firedrill.KindUnavailable, Target: "KV namespace", Detail: "key " + refused[0] + " was not written", Remedy: "try again"}
	}
	return err
}

// awaitLive waits until a new address answers: on the platform that takes a while.
func awaitLive(ctx context.Context, address string) error {
	client := actionhttp.NewClient()
	defer client.CloseIdleConnections()
	last := ""
	for range 120 {
		if last = askLive(ctx, client, address); last == "" {
			return nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return &firedrill.Error{Op: liveOp, Kind: firedrill.KindTimeout, Target: address, Detail: "does not answer: " + last, Remedy: "look at the Worker in the dashboard; is the address reached from here?"}
}

// askLive asks once, and says what was wrong with the answer; "" if nothing was.
func askLive(ctx context.Context, client *http.Client, address string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return ""
}

// drillLive runs the drills on the scratch resources as an environment of a class:
// in place on class ci, on scratch copies on class staging.
func (a *app) drillLive(ctx context.Context, p *firedrill.Plan, env firedrill.Environment, client *cloudflare.Client, name, address string, class firedrill.Class, x *examination) (err error) {
	drills := "  doctor-d1: {use: d1-pitr, with: {database: db}}\n  doctor-kv: {use: kv-backup-restore, with: {namespace: kv, large: 1048576}}\n"
	if class == firedrill.ClassCI { // a Worker is drilled in one way
		drills += "  doctor-worker: {use: worker-rollback, with: {worker: worker}}\n"
	}
	text := fmt.Sprintf("version: 1\nname: %[1]s\nenvironments:\n  %[1]s:\n    class: %[2]s\n    cloudflare: {}\n    resources:\n      db: {kind: d1, name: %[3]s}\n      kv: {kind: kv, name: %[3]s}\n"+
		"      worker: {kind: worker, name: %[3]s, url: %[4]q, probes: [{path: /health, json: {status: healthy}}, {path: /items, json: {ok: true}}]}\ndrills:\n%[5]s", liveEnvironment, class, name, address, drills)
	c, err := a.plain()
	if err != nil {
		return err
	}
	q, err := plan.Parse(liveEnvironment, []byte(text), c.registry, c.library)
	if err != nil {
		return &firedrill.Error{Op: liveOp, Kind: firedrill.KindInternal, Err: err}
	}
	own := q.Environments[liveEnvironment]
	own.Settings = env.Settings
	all := maps.Clone(p.Environments) // they stay protected
	all[liveEnvironment], q.Environments[liveEnvironment] = own, own
	live := a.live()
	defer live.Close()
	s, err := a.open(ctx, all, action.SystemSecrets(), live)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	for _, d := range q.Drills {
		prog, err := plan.Program(q, d.Name, "", s.registry, s.library)
		if err != nil {
			return err
		}
		if err := a.proveWith(ctx, s, client, *prog, x); err != nil {
			return err
		}
	}
	return nil
}

// proveWith runs one drill and remembers what it proved.
func (a *app) proveWith(ctx context.Context, s *station, client *cloudflare.Client, prog firedrill.Program, x *examination) error {
	a.setReport(s.runner.Damaged)
	defer a.setReport(nil)
	records, err := s.runner.Run(ctx, prog)
	if err != nil {
		return err
	}
	r, err := a.result(ctx, s, records)
	if err != nil {
		return err
	}
	how := "on a scratch copy"
	if prog.Environment.InPlace() {
		how = "in place"
	}
	if r.Verdict != firedrill.Passed {
		x.add(check{Environment: liveEnvironment, Name: prog.Drill, Status: healthProblem, Detail: fmt.Sprintf("%s: %s, %s", how, r.Verdict, strings.Join(r.Reasons, "; ")), Remedy: "firedrill show " + r.Run})
		return nil
	}
	used := usedActions(records, true)
	home, err := a.homeDir()
	if err != nil {
		return err
	}
	if err := (proof{client.API(), client.Account(), a.Version, used, r.Run, a.Now().UTC()}).remember(home); err != nil {
		return err
	}
	x.add(check{Environment: liveEnvironment, Name: prog.Drill, Status: healthOK, Detail: fmt.Sprintf("%s: passed, %s proven", how, term.Plural(int64(len(used)), "action"))})
	return nil
}

// removeLive deletes the scratch resources, also after an interruption. The Worker
// goes first: it is bound to the others.
func (a *app) removeLive(ctx context.Context, client *cloudflare.Client, name string, x *examination) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	var errs []error
	for _, kind := range []string{kindWorker, backup.KindKV, backup.KindD1} {
		errs = append(errs, a.removeScratch(ctx, client, scratchNote{Kind: kind, Name: name}))
	}
	err := errors.Join(errs...)
	if err == nil {
		x.add(check{Environment: liveEnvironment, Name: "removed", Status: healthOK, Detail: "nothing of " + name + " is left"})
	}
	return err
}
