package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/certify"
	"firedrill/internal/testkit/history"
)

// certifiedPlan has a drill on staging and one on a sandbox.
const certifiedPlan = `version: 1
name: x
environments:
  staging:
    class: staging
    cloudflare: {account: 0123456789abcdef0123456789abcdef, token: {env: TOKEN}}
    resources: {primary: {kind: d1, name: db}, cache: {kind: kv, name: kv}}
  local:
    class: sandbox
    cloudflare: {api: "http://127.0.0.1:1/client/v4", account: f17ed411f17ed411f17ed411f17ed411, token: {env: TOKEN}}
    resources: {primary: {kind: d1, name: db}, cache: {kind: kv, name: kv}}
drills:
  d1-pitr: {on: staging, use: d1-pitr, with: {database: primary}, every: quarterly}
  kv-restore: {on: local, use: kv-backup-restore, with: {namespace: cache}}
`

// certified is a plan's folder, a state folder with runs, and a moment.
type certified struct {
	t    *testing.T
	dir  string
	home *history.Home
	now  time.Time
}

func newCertified(t *testing.T, extra string) *certified {
	t.Helper()
	c := &certified{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	c.write("firedrill.yaml", certifiedPlan+extra)
	c.write("api/wrangler.toml", "name = \"api\"\n[env.staging]\nname = \"api-staging\"\n")
	home, err := history.Open(context.Background(), filepath.Join(c.dir, "home"), "firedrill.yaml", []byte(certifiedPlan+extra))
	if err != nil {
		t.Fatal(err)
	}
	c.home = home
	t.Cleanup(func() {
		if err := home.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *certified) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// ran makes up a run that began some days ago.
func (c *certified) ran(days int, run history.Run) string {
	c.t.Helper()
	run.Started = c.now.AddDate(0, 0, -days)
	id, err := c.home.Add(context.Background(), run)
	if err != nil {
		c.t.Fatal(err)
	}
	if status, _, stderr := c.run("evidence", "verify"); status != 0 { // seals it
		c.t.Fatalf("status %d: %s", status, stderr)
	}
	return id
}

func (c *certified) run(args ...string) (status int, stdout, stderr string) {
	c.t.Helper()
	var out, errs bytes.Buffer
	status = Run(Process{Args: append(args, "--plan", filepath.Join(c.dir, "firedrill.yaml"), "--home", filepath.Join(c.dir, "home")), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }, Now: func() time.Time { return c.now }, Version: "test"})
	return status, out.String(), errs.String()
}

// score gives what certify --json says of one requirement.
func (c *certified) score(id string) (score float64, status, why string) {
	c.t.Helper()
	code, out, errs := c.run("certify", "--json")
	var doc struct {
		Score    float64
		Baseline struct{ Needs []certifiedLine }
		Items    []certifiedLine
	}
	if err := json.Unmarshal([]byte(out), &doc); code != 0 || err != nil {
		c.t.Fatalf("%d %v\n%s%s", code, err, out, errs)
	}
	for _, l := range append(doc.Items, doc.Baseline.Needs...) {
		if l.ID == id {
			return doc.Score, l.Status, l.Evidence[0].Why + l.Evidence[0].Remark
		}
	}
	c.t.Fatalf("no line %s", id)
	return 0, "", ""
}

type certifiedLine struct {
	ID, Status string
	Evidence   []struct{ Why, Remark string }
}

func TestCertifyCountsWhatRan(t *testing.T) {
	t.Parallel()
	c := newCertified(t, "")
	expect := func(what string, score float64, status, why string) {
		t.Helper()
		s, st, w := c.score("d1-pitr")
		if s != score || st != status || !strings.Contains(w, why) {
			t.Errorf("%s: %v, %s (%s); want %v, %s (%s)", what, s, st, w, score, status, why)
		}
	}
	expect("nothing ran", 0, "not-run", "never ran")
	c.ran(300, history.Run{Drill: "d1-pitr", Verdict: firedrill.Passed})
	expect("long ago", 0, "expired", "too long ago")
	c.ran(120, history.Run{Drill: "d1-pitr", Verdict: firedrill.Recovered, Incident: true})
	c.ran(100, history.Run{Drill: "d1-pitr", Environment: "local", Verdict: firedrill.Passed})
	expect("an incident, and on a sandbox", 0, "expired", "too long ago")
	c.ran(98, history.Run{Drill: "d1-pitr", Verdict: firedrill.Passed}) // three months, and within the grace
	expect("fresh", 0.1, "shown", "")
	c.ran(90, history.Run{Drill: "d1-pitr", Verdict: firedrill.Inconclusive})
	expect("it told nothing", 0.1, "shown", "since then was inconclusive")
	c.ran(80, history.Run{Drill: "d1-pitr", Verdict: firedrill.Failed})
	expect("it failed", 0, "failed", "data-differs")
	id := c.ran(70, history.Run{Drill: "d1-pitr", Verdict: firedrill.Passed})
	expect("it passes again", 0.1, "shown", "")
	file := filepath.Join("home", "runs", id, "result.json")
	data, err := os.ReadFile(filepath.Join(c.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	c.write(file, strings.Replace(string(data), `"class": "staging"`, `"class": "ci"`, 1))
	expect("somebody changed the result", 0, "unverified", "differ")
	c.write(file, string(data))
	expect("it is as it was", 0.1, "shown", "")
	log := filepath.Join(filepath.Dir(file), "log.md")
	kept, err := os.ReadFile(filepath.Join(c.dir, log))
	if err != nil {
		t.Fatal(err)
	}
	c.write(log, string(kept)+" ")
	expect("somebody changed another file", 0, "unverified", "log.md was changed")
	c.write(log, string(kept))
	statement := filepath.Join(c.dir, filepath.Dir(file), "evidence.json")
	sealed, err := os.ReadFile(statement)
	if err == nil {
		err = os.Remove(statement)
	}
	if err != nil {
		t.Fatal(err)
	}
	expect("somebody removed the statement", 0, "unverified", "evidence.json is missing")
	c.write(filepath.Join(filepath.Dir(file), "evidence.json"), string(sealed))
	c.ran(60, history.Run{Drill: "d1-pitr", Verdict: firedrill.Aborted, State: firedrill.Dirty})
	expect("it left something dirty", 0, "failed", "dirty")
	c.ran(50, history.Run{Drill: "d1-pitr", Verdict: firedrill.Inconclusive})
	c.ran(40, history.Run{Drill: "d1-pitr", Verdict: firedrill.NotRecovered, State: firedrill.Dirty, Incident: true})
	expect("and what came since tells nothing", 0, "failed", "dirty")
}

// TestCertifyKnowsOnlyItsOwnRuns: plans that share a state folder may have drills of
// one name, and a plan may have come to mean another database.
func TestCertifyKnowsOnlyItsOwnRuns(t *testing.T) {
	t.Parallel()
	c := newCertified(t, "")
	c.ran(10, history.Run{Drill: "d1-pitr", Verdict: firedrill.Passed})
	for _, change := range [][2]string{{"account: 0123", "account: 1123"}, {"{kind: d1, name: db}", "{kind: d1, name: other}"}, {"use: d1-pitr, with: {database: primary}", "use: kv-backup-restore, with: {namespace: cache}"}} {
		other, err := history.Open(context.Background(), filepath.Join(c.dir, "home"), "other.yaml", []byte(strings.Replace(certifiedPlan, change[0], change[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 { // with the others, more than a page of each
			for _, v := range []firedrill.Verdict{firedrill.Passed, firedrill.Failed} {
				if _, err := other.Add(context.Background(), history.Run{Drill: "d1-pitr", Verdict: v, Started: c.now.AddDate(0, 0, -1).Add(time.Duration(i) * time.Minute)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s, status, why := c.score("d1-pitr"); s != 0.1 || status != "shown" {
		t.Errorf("%v, %s (%s)", s, status, why)
	}
	c.write("firedrill.yaml", strings.Replace(certifiedPlan, "account: 0123", "account: 2123", 1))
	if s, status, why := c.score("d1-pitr"); s != 0 || status != "not-run" {
		t.Errorf("%v, %s (%s)", s, status, why)
	}
}

func TestCertifyCountsWhereTheRubricSays(t *testing.T) {
	t.Parallel()
	c := newCertified(t, "")
	c.ran(1, history.Run{Drill: "kv-restore", Verdict: firedrill.Passed})
	if _, status, why := c.score("kv-backup-restore"); status != "wrong-class" || !strings.Contains(why, "class sandbox") {
		t.Errorf("%s (%s)", status, why)
	}
	c = newCertified(t, "certification: {classes: [sandbox], grace: 0d, items: [{id: cache, points: 0.2, drills: [kv-restore], every: weekly}]}\n")
	c.ran(8, history.Run{Drill: "kv-restore", Verdict: firedrill.Passed})
	if s, status, _ := c.score("cache"); s != 0 || status != "expired" {
		t.Errorf("%v, %s", s, status)
	}
	c.ran(6, history.Run{Drill: "kv-restore", Verdict: firedrill.Passed})
	if s, status, _ := c.score("cache"); s != 0.2 || status != "shown" {
		t.Errorf("%v, %s", s, status)
	}
	c = newCertified(t, "certification: {classes: [sandbox], items: [{id: cache, points: 0.2, drills: [kv-restore]}]}\n")
	c.ran(1, history.Run{Drill: "kv-restore", Verdict: firedrill.Passed})
	if s, status, why := c.score("cache"); s != 0 || status != "unverified" || !strings.Contains(why, "how often") {
		t.Errorf("%v, %s (%s)", s, status, why)
	}
}

// TestCertifyLooksAtTheIsolation: each time, at the folder that the plan names.
func TestCertifyLooksAtTheIsolation(t *testing.T) {
	t.Parallel()
	c := &certified{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	c.write("firedrill.yaml", "version: 1\nname: x\nenvironments: {production: {class: production}}\n")
	in := firedrill.IsolationCheck{}
	expect := func(what string, ok bool, detail string) {
		t.Helper()
		a := &app{Process: Process{Now: func() time.Time { return c.now }, Getenv: func(string) string { return "" }}}
		check, err := a.isolated(&firedrill.Plan{File: filepath.Join(c.dir, "firedrill.yaml")}, in)
		if err != nil {
			t.Fatal(err)
		}
		if check.OK != ok || !strings.Contains(check.Detail, detail) || (check.Remedy == "") != ok {
			t.Errorf("%s: %+v", what, check)
		}
	}
	expect("a plan alone", false, "there is no wrangler configuration")
	c.write("api/wrangler.toml", "name = \"api\"\n[env.staging]\nname = \"api-staging\"\n")
	expect("clean", true, "3 environments in 2 files")
	c.write("api/wrangler.toml", newLeak)
	expect("a leak", false, "found something")
	in = firedrill.IsolationCheck{Folder: "web", Baseline: "accepted.json"}
	expect("a folder that is not there", false, "there is no folder")
	c.write("web/wrangler.toml", newLeak)
	if code, _, errs := c.run("audit", "isolation", filepath.Join(c.dir, "web"), "--baseline", filepath.Join(c.dir, "accepted.json"), "--accept", "on purpose", "--until", "2026-12-31"); code != 0 {
		t.Fatal(errs)
	}
	expect("accepted", true, "1 finding accepted")
	c.now = c.now.AddDate(0, 2, 0)
	expect("accepted no longer", false, "found something")
}

// newLeak has one namespace for production and staging.
const newLeak = `name = "api"
[[kv_namespaces]]
binding = "KV"
id = "8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3"
[[env.staging.kv_namespaces]]
binding = "KV"
id = "8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3"
`

func TestCertifyForPeopleAndForCI(t *testing.T) {
	t.Parallel()
	c := newCertified(t, "certification: {controls: own.yaml, items: [{id: d1, points: 0.5, use: d1-pitr}, {id: kv, points: 0.25, drills: [kv-restore]}], levels: [{name: good, at: 0.5}, {name: best, at: 8}]}\n")
	c.write("own.yaml", "version: 1\ncontrols:\n  - {framework: House rules, clause: '7', about: databases return, checked: true, source: the rules, evidence: [{of: [d1], supports: one did}]}\n")
	id := c.ran(10, history.Run{Drill: "d1-pitr", Verdict: firedrill.Passed})
	code, out, errs := c.run("certify")
	for _, want := range []string{"0.5 of 10.0 · level good · at most 8.75", "0 of 8.0, for all of:", "run " + id + " on staging (staging) · 9 d ago", "counts until 2027-02-24", "0.25 kv, to 0.75: firedrill run kv-restore", "0.5 d1 on 2027-02-24, to 0.0, none"} {
		if code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("%d: no %q in\n%s%s", code, want, out, errs)
		}
	}
	for args, want := range map[string]int{"--at good --min 0.5": 0, "--min 0.51": 1, "--at bst": 2} {
		if code, _, errs := c.run(append([]string{"certify"}, strings.Fields(args)...)...); code != want {
			t.Errorf("%s: %d %s", args, code, errs)
		}
	}
	code, out, _ = c.run("certify", "--controls")
	for _, want := range []string{"House rules", "supported by d1: one did · run " + id, "not checked against", "nothing supports it now; this would: kv-backup-restore", "does not say that anybody meets it"} {
		if code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("%d: no %q in\n%s", code, want, out)
		}
	}
	code, out, _ = c.run("certify", "--controls", "--json")
	var doc struct {
		Controls []struct {
			Framework, Clause string
			Supported         bool
			Now               []struct{ ID string }
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); code != 0 || err != nil || len(doc.Controls) < 20 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	if last := doc.Controls[len(doc.Controls)-1]; last.Framework != "House rules" || !last.Supported || last.Now[0].ID != "d1" {
		t.Errorf("%+v", last)
	}
	c.write("own.yaml", "version: 1\ncontrols:\n  - {framework: House rules, clause: '7', about: x, evidence: [{of: [d2], supports: y}]}\n")
	if code, _, errs := c.run("certify", "--controls"); code != 2 || !strings.Contains(errs, "the rubric has no d2") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestTheBarIsAScoreOfTheRubric: the higher of level and score.
func TestTheBarIsAScoreOfTheRubric(t *testing.T) {
	t.Parallel()
	r := certify.Default()
	for _, c := range []struct {
		o    certifyOptions
		want certify.Points
	}{{certifyOptions{}, 0}, {certifyOptions{level: "data-safe"}, 800}, {certifyOptions{least: 8.15}, 815}, {certifyOptions{least: 8.15, level: "data-safe"}, 815}, {certifyOptions{least: 8.15, level: "mission-critical"}, 900}} {
		if got, err := c.o.bar(r); err != nil || got != c.want {
			t.Errorf("%+v: %s %v", c.o, got, err)
		}
	}
	for _, o := range []certifyOptions{{level: "data-save"}, {least: 11}, {least: -1}, {least: 8.001}} {
		if _, err := o.bar(r); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestResultsCarryTheScore: where it is known.
func TestResultsCarryTheScore(t *testing.T) {
	t.Parallel()
	for _, score := range []*firedrill.Score{nil, {Score: 8.1, Level: "data-safe", Of: 10}} {
		var out bytes.Buffer
		a := &app{Process: Process{Stdout: &out}, score: score, global: globalOptions{json: true}}
		if err := a.conclude(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(strings.Fields(out.String()), ""), `"certification":{"score":8.1,"level":"data-safe","of":10}`); got != (score != nil) {
			t.Errorf("%+v: %s", score, out.String())
		}
	}
}

func TestEvidenceExpiresByTheCalendar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ every, last, want string }{
		{"weekly", "2026-12-28T10:00:00Z", "2027-01-04T00:00:00Z"},
		{"monthly", "2026-02-27T10:00:00Z", "2026-03-27T00:00:00Z"},
		{"monthly", "2026-01-31T10:00:00Z", "2026-02-28T00:00:00Z"},
		{"monthly", "2028-01-31T10:00:00Z", "2028-02-29T00:00:00Z"},
		{"monthly", "2026-12-31T23:59:59Z", "2027-01-31T00:00:00Z"},
		{"quarterly", "2026-11-30T10:00:00Z", "2027-02-28T00:00:00Z"},
		{"semi-annual", "2026-08-31T10:00:00Z", "2027-02-28T00:00:00Z"},
		{"annual", "2028-02-29T10:00:00Z", "2029-02-28T00:00:00Z"},
		{"annual", "2026-11-27T10:00:00+13:00", "2027-11-26T00:00:00Z"},
		{"10 days", "2026-11-27T10:00:00Z", "2026-12-07T00:00:00Z"},
		{"0 2 * * 1", "2026-11-27T10:00:00Z", "2026-11-30T02:00:00Z"},
	} {
		last, err := time.Parse(time.RFC3339, c.last)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := expires(c.every, 0, last); err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("%s after %s: %s, want %s (%v)", c.every, c.last, got.Format(time.RFC3339), c.want, err)
		}
		if got, err := expires(c.every, time.Hour, last); err != nil || got.Add(-time.Hour).Format(time.RFC3339) != c.want {
			t.Errorf("%s with grace: %s (%v)", c.every, got, err)
		}
	}
	if _, err := expires("", 0, time.Now()); err == nil {
		t.Error("nothing is a frequency")
	}
}
