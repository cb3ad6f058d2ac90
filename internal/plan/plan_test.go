package plan_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"

	"firedrill"
	"firedrill/examples/foundation"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

func catalog(t testing.TB) *action.Registry {
	t.Helper()
	r, err := action.NewRegistry(cloudflare.Pack(cloudflare.Deps{}), http.Pack(http.Deps{}), quiesce.Pack())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const head = `version: 1
name: x
environments:
  staging:
    class: staging
    cloudflare: {account: 0123456789abcdef0123456789abcdef, token: {env: TOKEN}}
    resources:
      primary: {kind: d1, name: db}
      gateway:
        kind: worker
        name: gw
        url: https://gw.example.com/
        probes: [{path: /health, json: {status: healthy}}, {path: /login, method: POST}]
`

// steps makes a plan with one drill of its own steps.
func steps(text string) string {
	return head + "drills:\n  own:\n    steps:\n" + text
}

// quiesced makes a plan that says how writers are stopped.
func quiesced(pause, resume string) string {
	return strings.Replace(head, "    resources:", "    quiesce:\n      pause: ["+pause+"]\n      resume: ["+resume+"]\n    resources:", 1)
}

// bounded makes a plan that says more about its environment.
func bounded(text string) string {
	return strings.Replace(head, "    resources:", "    "+text+"\n    resources:", 1)
}

// on and off are steps that stop and restart writers.
const (
	on  = `{uses: http.expect, with: {url: "${{ resources.gateway.url }}on", method: POST}, timeout: 5s, retry: 2, when: "environment.class == 'staging'"}`
	off = `{uses: http.get, with: {url: "${{ resources.gateway.url }}off", method: POST}, expect: "outputs.status == 200"}`
)

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	for name, c := range map[string]struct{ text, want string }{
		"empty":                 {"", "f.yaml:1:1: the file is empty"},
		"not YAML":              {"version: [1", "this is not YAML"},
		"two documents":         {"version: 1\n---\nversion: 1", "more than one document"},
		"a list":                {"- 1", "must be a mapping"},
		"version":               {strings.Replace(head, "version: 1", "version: 2", 1), "f.yaml:1:10: version 2 is not known"},
		"key twice":             {head + "name: y", `f.yaml:14:1: this is not YAML: mapping key "name" already defined`},
		"anchor":                {head + "drills: &a {}", "anchors, aliases, tags"},
		"unknown key":           {head + "drils: {}", `f.yaml:14:1: the plan has no key "drils"|did you mean "drills"`},
		"class":                 {strings.Replace(head, "class: staging", "class: stagng", 1), `class "stagng" does not exist|did you mean "staging"`},
		"attribute":             {strings.Replace(head, "name: db", "nam: db", 1), `resource primary has no key "nam"`},
		"attribute type":        {strings.Replace(head, "name: db", "name: 7", 1), "resource primary.name must be text, this is an integer"},
		"two of one name":       {strings.Replace(head, "      gateway:", "      second: {kind: d1, name: db}\n      gateway:", 1), `resources primary and second have one name, "db"`},
		"a token":               {strings.Replace(head, "{env: TOKEN}", "abc", 1), "must not stand in the plan itself"},
		"bad frequency":         {head + "drills: {d1-pitr: {use: d1-pitr, every: mothly}}", `"mothly" is no frequency|did you mean "monthly"`},
		"bad duration":          {head + "drills: {d1-pitr: {use: d1-pitr, rto: 30 minutes}}", `"30 minutes" is no duration`},
		"no time":               {head + "drills: {d1-pitr: {use: d1-pitr, rto: 0s}}", "must be longer than nothing"},
		"unknown alert key":     {head + "drills: {a: {use: d1-pitr, alert: {url: x, jsn: {a: 1}}}}", `alert has no key "jsn"|did you mean "json"`},
		"alert without address": {head + "drills: {a: {use: d1-pitr, alert: {within: 5m}}}", `alert needs "url"`},
		"alert too short":       {head + "drills: {a: {use: d1-pitr, alert: {url: x, every: 0s}}}", "longer than nothing"},
		"unknown drill":         {head + "drills: {a: {use: d1-pitrr}}", `no built-in drill "d1-pitrr"|did you mean "d1-pitr"`},
		"unknown input":         {head + "drills: {a: {use: d1-pitr, with: {databse: primary}}}", `there is no input "databse"|did you mean "database"`},
		"unknown resource":      {head + "drills: {a: {use: d1-pitr, with: {database: primry}}}", `no resource "primry"`},
		"wrong kind":            {head + "drills: {a: {use: d1-pitr, with: {database: gateway}}}", "must be a resource of kind d1"},
		"wrong type of input":   {head + "drills: {a: {use: d1-pitr, with: {rows: many}}}", "input rows must be integer"},
		"unknown action":        {steps("      - {id: a, phase: verify, uses: http.gett, with: {url: x}}"), `f.yaml:17:10: step a: there is no action "http.gett"|did you mean "http.get"`},
		"missing input":         {steps("      - {id: a, phase: verify, uses: http.get}"), `http.get needs "url"`},
		"unknown action input":  {steps("      - {id: a, phase: verify, uses: http.get, with: {url: x, ulr: y}}"), `has no input "ulr"`},
		"ill-typed input":       {steps("      - {id: a, phase: verify, uses: http.get, with: {url: 7}}"), "with.url must be text, this is integer"},
		"ill-typed expression":  {steps(`      - {id: a, phase: verify, uses: http.get, with: {url: "${{ environment.in_place }}"}}`), "with.url must be text, this is true or false"},
		"unknown output":        {steps(`      - {id: a, phase: verify, uses: http.get, with: {url: x}, expect: "outputs.statsu == 200"}`), `did you mean "status"`},
		"own output":            {steps(`      - {id: a, phase: verify, uses: http.get, with: {url: "${{ steps.a.outputs.body }}"}}`), "its own outputs before it has any"},
		"a later phase":         {steps("      - {id: a, phase: detect, uses: http.get, with: {url: \"${{ steps.b.outputs.body }}\"}}\n      - {id: b, phase: verify, uses: http.get, with: {url: x}}"), "step b of a later phase"},
		"a circle":              {steps("      - {id: a, phase: verify, uses: http.get, with: {url: x}, needs: b}\n      - {id: b, phase: verify, uses: http.get, with: {url: x}, needs: a}"), "it needs itself"},
		"no such step":          {steps("      - {id: a, phase: verify, uses: http.get, with: {url: x}, needs: bb}"), `needs "bb", which does not exist`},
		"one id twice":          {steps("      - {id: a, phase: verify, uses: http.get, with: {url: x}}\n      - {id: a, phase: verify, uses: http.get, with: {url: x}}"), "another step has the same id"},
		"bad phase":             {steps("      - {id: a, phase: verfy, uses: http.get, with: {url: x}}"), `there is no phase "verfy"|did you mean "verify"`},
		"damage without undo":   {steps("      - {id: a, phase: inject, uses: d1.damage, with: {database: x, plan: y}}"), "it damages and has no undo|no step proves: damage|no step proves: data or service"},
		"damage in a wrong one": {steps("      - {id: a, phase: verify, uses: d1.damage, with: {database: x, plan: y}, undo: {uses: d1.restore, with: {database: x, bookmark: y}}}"), "only steps of phase inject may damage"},
		"export of nothing":     {strings.Replace(head, "        probes:", "        exports: [{path: /x, key: id, of: primry}]\n        probes:", 1), `f.yaml:13:43: "primry" is neither a resource nor the class of a Durable Object|did you mean "primary"`},
		"export without a key":  {strings.Replace(head, "        probes:", "        exports: [{path: /x, of: primary}]\n        probes:", 1), `resource gateway.exports[0] needs "key"`},
		"export nowhere":        {strings.Replace(head, "        url: https://gw.example.com/", "        exports: [{path: /x, key: id, of: Cart}]", 1), `f.yaml:12:18: exports need the url of resource gateway`},
		"window without end":    {bounded("window: {from: 02:00}"), `f.yaml:7:14: window needs "to"`},
		"no such zone":          {bounded(`window: {from: "02:00", to: "05:00", zone: Europe/Berlni}`), `f.yaml:7:14: window.zone: there is no time zone "Europe/Berlni"`},
		"a day that is none":    {bounded("freeze: [{from: 2026-12-20, to: 2027-02-30}]"), `f.yaml:7:13: freeze[0].to: "2027-02-30" is no day`},
		"a freeze of no list":   {bounded("freeze: {from: 2026-12-20, to: 2027-02-03}"), "freeze must be a list"},
		"a cap of nothing":      {bounded("limits: {rows: 0}"), "f.yaml:7:20: rows must be at least 1"},
		"a cap of a drill":      {head + "drills: {d1-pitr: {use: d1-pitr, limits: {row: 5}}}", `limits has no key "row"|did you mean "rows"`},
		"nothing to pause":      {quiesced("", off), "f.yaml:8:14: pause must be a list with at least one step"},
		"nobody restarts":       {strings.Replace(quiesced(on, off), "resume", "resum", 1), `f.yaml:9:7: quiesce has no key "resum"|did you mean "resume"|f.yaml:8:7: quiesce needs "resume"`},
		"quiesce with a phase":  {quiesced("{uses: http.get, phase: baseline}", off), `f.yaml:8:32: a step of quiesce has no key "phase"`},
		"quiesce: no action":    {quiesced("{uses: http.gett}", off), `f.yaml:8:16: step pause-1: there is no action "http.gett"|did you mean "http.get"`},
		"quiesce: no input":     {quiesced(on, "{uses: http.get}"), `f.yaml:9:17: step resume-1: with: http.get needs "url"`},
		"quiesce: a reference":  {quiesced(on, `{uses: http.get, with: {url: "${{ resources.gatway.url }}"}}`), `step resume-1: with.url: |did you mean "gateway"`},
		"quiesce: of a drill":   {quiesced(on, `{uses: http.get, with: {url: "${{ steps.damage.outputs.file }}"}}`), `step resume-1: with.url: `},
		"quiesce: expect":       {quiesced("{uses: http.get, with: {url: x}, expect: outputs.statsu == 200}", off), `step pause-1: expect: |did you mean "status"`},
		"quiesce damages":       {quiesced("{uses: d1.damage, with: {database: x, plan: y}}", off), "step pause-1: d1.damage damages"},
		"quiesce goes on":       {quiesced("{uses: d1.sentinel, with: {database: x}}", off), "step pause-1: d1.sentinel goes on after its step"},
		"undo: expect":          {steps("      - {id: a, phase: baseline, uses: http.get, with: {url: x}, undo: {uses: http.get, with: {url: x}, expect: outputs.statsu == 1}}"), `undo.expect: |did you mean "status"`},
		"a look that changes":   {steps("      - {id: a, phase: verify, uses: d1.restore, with: {database: x, bookmark: y}, look: true}"), "look is for steps that change nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := plan.Parse("f.yaml", []byte(c.text), cat, playbook.Library{})
			if err == nil {
				t.Fatal("it was taken")
			}
			told := err.Error() + remedies(err)
			for _, want := range strings.Split(c.want, "|") {
				if !strings.Contains(told, want) {
					t.Errorf("no %q in\n%s", want, told)
				}
			}
			if firedrill.KindOf(err) != firedrill.KindUsage {
				t.Errorf("kind %s", firedrill.KindOf(err))
			}
		})
	}
}

// TestAnAlertIsWatchedAndWaitedFor: a drill whose plan names an alert watches it
// from before the injection, and recovers once it fired.
func TestAnAlertIsWatchedAndWaitedFor(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	text := head + "drills:\n  with: {use: d1-pitr, alert: {url: \"https://alerts.example.com/a\", json: {state: firing}, within: 90s}}\n  without: {use: d1-pitr}\n"
	p, err := plan.Parse("f.yaml", []byte(text), cat, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	var with, without []string
	for name, ids := range map[string]*[]string{"with": &with, "without": &without} {
		prog, err := plan.Program(p, name, "", cat, playbook.Library{})
		if err != nil {
			t.Fatal(err)
		}
		if (prog.Alert != nil) != (name == "with") {
			t.Errorf("%s: alert %v", name, prog.Alert)
		}
		for _, s := range prog.Steps {
			*ids = append(*ids, string(s.Phase)+" "+s.ID)
			if s.ID == "alerted" && s.With["within"] != "90s" {
				t.Errorf("waits %v", s.With["within"])
			}
		}
	}
	if got := with[len(without):]; !slices.Equal(with[:len(without)], without) || !slices.Equal(got, []string{"baseline alert", "detect alerted"}) {
		t.Errorf("%v", got)
	}
}

// TestASentinelOfTheApplication: a Worker names its routes once, and steps hand
// them on.
func TestASentinelOfTheApplication(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	routes := `        sentinel: {write: {path: /c, body: '{"n":{n}}', status: 201}, read: {path: "/c?after={after}"}, remove: {path: /c}, numbers: rows.n, every: 100ms}
`
	own := `drills:
  own:
    steps:
      - id: writes
        phase: baseline
        uses: http.sentinel
        with: {url: "${{ resources.gateway.url }}", routes: "${{ resources.gateway.sentinel }}"}
        undo: {uses: http.sentinel-remove, with: {url: "${{ resources.gateway.url }}", routes: "${{ resources.gateway.sentinel }}"}}
      - id: loss
        phase: cleanup
        uses: http.sentinel-stop
        with: {url: "${{ resources.gateway.url }}", routes: "${{ resources.gateway.sentinel }}", sentinel: "${{ steps.writes.outputs.observer }}"}
`
	p, err := plan.Parse("f.yaml", []byte(head+routes+own), cat, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	prog, err := plan.Program(p, "own", "", cat, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	scope := firedrill.Scope{Run: "r", Program: prog, Outputs: map[string]firedrill.Values{}, Skipped: map[string]bool{}}
	got, err := plan.NewResolver(cat).Resolve(prog.Steps[0], scope)
	if err != nil {
		t.Fatal(err)
	}
	given, _ := got.Inputs["routes"].(map[string]any)
	if write, _ := given["write"].(map[string]any); write["body"] != `{"n":{n}}` || given["numbers"] != "rows.n" || got.Undo == nil {
		t.Errorf("%+v", got)
	}
	back := "drills:\n  back: {use: worker-rollback}\n"
	for text, want := range map[string]bool{head + routes + back: true, head + back: false} {
		p, err := plan.Parse("f.yaml", []byte(text), cat, playbook.Library{})
		if err != nil {
			t.Fatal(err)
		}
		scope := firedrill.Scope{Run: "r", Outputs: map[string]firedrill.Values{}, Skipped: map[string]bool{}}
		if scope.Program, err = plan.Program(p, "back", "", cat, playbook.Library{}); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(scope.Program.Steps, func(s firedrill.Step) bool { return s.ID == "writes" })
		writes, _, err := plan.NewResolver(cat).When(scope.Program.Steps[i], scope)
		if err != nil || writes != want {
			t.Errorf("writes %v, %v", writes, err)
		}
		if !want {
			continue
		}
		if got, err := plan.NewResolver(cat).Resolve(scope.Program.Steps[i], scope); err != nil || got.Inputs["url"] != "https://gw.example.com/" || got.Inputs["routes"] == nil {
			t.Errorf("%+v %v", got, err)
		}
	}
	if _, err := plan.Parse("f.yaml", []byte(head+strings.Replace(routes, "remove: {path: /c}, ", "", 1)+own), cat, playbook.Library{}); err == nil || !strings.Contains(err.Error(), `resource gateway.sentinel needs "remove"`) {
		t.Errorf("numbers that nothing removes: %v", err)
	}
}

func remedies(err error) string {
	var all string
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			all += remedies(e)
		}
		return all
	}
	return "\n" + firedrill.RemedyOf(err)
}

func TestABuiltInDrillLinksInPlaceAndOnACopy(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	text := strings.Replace(quiesced(on, off), "        probes:", "        exports: [{path: /export, key: id, of: primary}, {path: /carts, key: id, of: Cart}]\n        probes:", 1)
	p, err := plan.Parse("f.yaml", []byte(text+"drills:\n  pitr: {use: d1-pitr, rto: 15m}\n  back: {use: worker-rollback}\n"), cat, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pitr", "back"} {
		prog, err := plan.Program(p, name, "", cat, playbook.Library{})
		if err != nil {
			t.Fatal(err)
		}
		if prog.Environment.Name != "staging" || prog.Environment.InPlace() || len(prog.Steps) < 10 {
			t.Errorf("%+v", prog.Environment)
		}
	}
	prog, err := plan.Program(p, "pitr", "", cat, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(prog.Steps, func(s firedrill.Step) bool { return s.ID == "plan-canaries" })
	if !slices.Contains(prog.Steps[i].Needs, "target") {
		t.Errorf("a reference is not a need: %v", prog.Steps[i].Needs)
	}
	r := plan.NewResolver(cat)
	scope := firedrill.Scope{Run: "r", Program: prog, Outputs: map[string]firedrill.Values{}, Skipped: map[string]bool{}}
	got, err := r.Resolve(firedrill.Step{ID: "x", Uses: "http.baseline", With: firedrill.Values{"probes": "${{ environment.probes }}", "exports": "${{ environment.exports }}"}}, scope)
	if err != nil {
		t.Fatal(err)
	}
	told, err := json.Marshal(got.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"url":"https://gw.example.com/health"`, `"name":"gateway /health"`, `"name":"gateway POST /login"`,
		`"url":"https://gw.example.com/export"`, `"name":"gateway /export"`} {
		if !strings.Contains(string(told), want) {
			t.Errorf("no %s in %s", want, told)
		}
	}
	for when, want := range map[string]bool{"inputs.database.key in environment.exported": true, "'Cart' in environment.exported": true, "'gateway' in environment.exported": false, "environment.quiesces": true} {
		if run, _, err := r.When(firedrill.Step{When: when}, scope); err != nil || run != want {
			t.Errorf("%s: %v %v", when, run, err)
		}
	}
	if run, _, err := r.When(firedrill.Step{When: "environment.in_place"}, scope); err != nil || run {
		t.Errorf("in place: %v %v", run, err)
	}
	if _, err := r.Resolve(firedrill.Step{ID: "x", Uses: "http.get", With: firedrill.Values{"url": "${{ steps.none.outputs.x }}"}}, scope); err == nil {
		t.Error("the outputs of a step that did not run were there")
	}
	checks := r.Expect(firedrill.Step{Expect: []string{"outputs.n > 1", "outputs.gone == 1"}}, scope, firedrill.Values{"n": int64(2)})
	if len(checks) != 2 || !checks[0].OK || checks[1].OK || !strings.Contains(checks[1].Detail, "missing") {
		t.Errorf("%+v", checks)
	}
}

func TestEnvironmentsAreChosenSafely(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	second := strings.Replace(head, "environments:\n", "environments:\n  other:\n    class: ci\n    cloudflare: {token: {env: T}}\n    resources: {one: {kind: d1, name: o}}\n  production:\n    class: production\n    resources: {one: {kind: d1, id: p}}\n", 1)
	if _, err := plan.Parse("f.yaml", []byte(second+"drills: {pitr: {use: d1-pitr}}"), cat, playbook.Library{}); err == nil || !strings.Contains(err.Error(), "it could run on any of [other staging]") {
		t.Errorf("ambiguity: %v", err)
	}
	p, err := plan.Parse("f.yaml", []byte(second+"drills: {pitr: {on: staging, use: d1-pitr}}"), cat, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	if prog, err := plan.Program(p, "pitr", "other", cat, playbook.Library{}); err != nil || prog.Environment.Name != "other" {
		t.Errorf("--env: %v", err)
	}
	if _, err := plan.Program(p, "pitr", "production", cat, playbook.Library{}); firedrill.KindOf(err) != firedrill.KindGuard {
		t.Errorf("production: %v", err)
	}
	if _, err := plan.Program(p, "pitr", "othr", cat, playbook.Library{}); err == nil || !strings.Contains(firedrill.RemedyOf(err), "other") {
		t.Errorf("a typo: %v", err)
	}
}

// schemaOf gives the plan's schema, ready to validate with.
func schemaOf(t *testing.T, cat firedrill.Catalog) *jsonschema.Resolved {
	t.Helper()
	data, err := plan.Schema(cat, playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

// TestTheSchemaAgreesWithTheParser: what the parser takes validates, and what
// the schema can know to be wrong does not.
func TestTheSchemaAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	resolved := schemaOf(t, cat)
	example, err := fs.ReadFile(foundation.Files, "firedrill.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good := []string{string(example), head, quiesced(on, off+", "+off), steps("      - {id: a, phase: baseline, uses: http.get, with: {url: x}, undo: {uses: http.get, with: {url: x}, expect: outputs.status == 1, last: true}}"),
		steps("      - {id: a, phase: verify, uses: http.get, with: {url: x}, expect: [\"outputs.status == 200\"], proves: service, timeout: 5s}")}
	for _, text := range good {
		if _, err := plan.Parse("f.yaml", []byte(text), cat, playbook.Library{}); err != nil {
			t.Errorf("the parser refuses %s: %v", text, err)
		}
		if err := resolved.Validate(value(t, text)); err != nil {
			t.Errorf("the schema refuses %s: %v", text, err)
		}
	}
	for _, text := range []string{head + "drils: {}", strings.Replace(head, "class: staging", "class: stagng", 1), strings.Replace(head, "kind: d1", "kind: d2", 1),
		head + "drills: {a: {use: d1-pitr, rto: fast}}", head + "drills: {a: {use: nope}}", steps("      - {id: a, phase: verfy, uses: http.get}"), quiesced("{uses: http.get, phase: baseline}", off), quiesced("", off), strings.Replace(quiesced(on, off), "resume", "resum", 1), strings.Replace(head, "{env: TOKEN}", "abc", 1)} {
		if _, err := plan.Parse("f.yaml", []byte(text), cat, playbook.Library{}); err == nil {
			t.Errorf("the parser takes %s", text)
		}
		if err := resolved.Validate(value(t, text)); err == nil {
			t.Errorf("the schema takes %s", text)
		}
	}
}

func value(t *testing.T, text string) any {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(j, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func FuzzParse(f *testing.F) {
	f.Add(head)
	f.Add(steps("      - {id: a, phase: verify, uses: http.get, with: {url: \"${{ run.id }}\"}}"))
	f.Add("version: 1\nenvironments: {a: {class: [}}")
	cat := catalog(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := plan.Parse("f.yaml", []byte(text), cat, playbook.Library{})
		if (p == nil) == (err == nil) {
			t.Errorf("plan %v and error %v", p, err)
		}
	})
}

func TestWindowFreezeAndLimits(t *testing.T) {
	t.Parallel()
	text := bounded("window: {days: [mon-fri, sun], from: 02:00, to: 05:00, zone: Europe/Berlin}\n    freeze: [{from: 2026-12-20, to: 2027-01-03, reason: holidays}]\n    limits: {rows: 100, keys: 9}") +
		"drills: {d1-pitr: {use: d1-pitr, limits: {rows: 20, resources: 1, keys: 10}}}"
	p, err := plan.Parse("f.yaml", []byte(text), catalog(t), playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	prog, err := plan.Program(p, "d1-pitr", "", catalog(t), playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	got := prog.Environment
	want := firedrill.Environment{Window: &firedrill.Window{Days: []string{"mon-fri", "sun"}, From: "02:00", To: "05:00", Zone: "Europe/Berlin"},
		Freeze: []firedrill.Freeze{{From: "2026-12-20", To: "2027-01-03", Reason: "holidays"}}, Limits: firedrill.Limits{Rows: 20, Keys: 9, Resources: 1}}
	if !reflect.DeepEqual(got.Window, want.Window) || !reflect.DeepEqual(got.Freeze, want.Freeze) || got.Limits != want.Limits {
		t.Errorf("%+v %+v %+v", got.Window, got.Freeze, got.Limits)
	}
	if p.Environments["staging"].Limits.Rows != 100 {
		t.Error("the caps of one drill are those of all")
	}
}
