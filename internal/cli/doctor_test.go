package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/testkit/sandboxtest"
)

// patient is what doctor looks at: a plan for a sandbox that stands for a real
// account.
type patient struct {
	t     *testing.T
	dir   string
	cloud *sandboxtest.Cloud
	// database is the id of what the plan calls primary.
	database string
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t, dir: t.TempDir(), cloud: sandboxtest.Start(t)}
	p.database = p.cloud.Database("shop")
	p.cloud.KV("cache")
	p.cloud.Deploy("door", `export default { fetch() { return new Response("ok") } }`, nil, nil)
	p.token(p.cloud.Token())
	p.plan(p.cloud.API, "shop")
	if err := os.Mkdir(filepath.Join(p.dir, ".home"), 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *patient) token(text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "token"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) plan(api, database string) {
	p.t.Helper()
	text := fmt.Sprintf(`version: 1
name: shop
environments:
  staging:
    class: staging
    cloudflare: {api: %q, account: %q, token: {file: %q}}
    resources:
      primary: {kind: d1, name: %s}
      cache: {kind: kv, name: cache}
      door: {kind: worker, name: door, url: "http://door.localhost:%s", probes: [{path: /, contains: ok}]}
  production:
    class: production
    resources: {primary: {kind: d1, id: 34bce593-9df9-4acf-ac40-c8d93a7c7244}}
drills:
  d1-pitr: {on: staging, use: d1-pitr, with: {database: primary}, unattended: true}
`, api, p.cloud.Account, filepath.Join(p.dir, "token"), database, p.cloud.Front[strings.LastIndex(p.cloud.Front, ":")+1:])
	if err := os.WriteFile(filepath.Join(p.dir, planName), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// examine runs doctor, and gives what it says of one thing.
func (p *patient) examine(args ...string) (status int, of func(name string) check) {
	p.t.Helper()
	status, out, stderr := inFolder(p.t, p.dir, append([]string{"doctor", "--json"}, args...)...)
	var d doctorDocument
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		p.t.Fatalf("%v in %s%s", err, out, stderr)
	}
	return status, func(name string) check {
		p.t.Helper()
		worst := check{}
		order := []health{"", healthOK, healthWarning, healthUnknown, healthProblem}
		for _, c := range d.Checks {
			if c.Name == name && slices.Index(order, c.Status) > slices.Index(order, worst.Status) {
				worst = c
			}
		}
		if worst.Status == "" {
			p.t.Fatalf("nothing about %s in %s", name, out)
		}
		if worst.Status != healthOK && worst.Remedy == "" {
			p.t.Errorf("no remedy: %+v", worst)
		}
		return worst
	}
}

func TestDoctorOnAHealthyPatient(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	status, of := p.examine()
	for _, name := range []string{"disk", "state folder", "plan", "token", "clock", "primary", "cache", "door", "production"} {
		if c := of(name); c.Status != healthOK {
			t.Errorf("%+v", c)
		}
	}
	if status != 0 || !strings.Contains(of("primary").Detail, "10 of 10 restores left") {
		t.Errorf("status %d, %+v", status, of("primary"))
	}
	if status, out, _ := inFolder(t, p.dir, "doctor"); status != 0 || !strings.Contains(out, "0 problems") || strings.Contains(out, p.cloud.Token()) {
		t.Errorf("status %d: %s", status, out)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	expect := func(wantStatus int, name string, want health, text string) {
		t.Helper()
		status, of := p.examine()
		if c := of(name); status != wantStatus || c.Status != want || !strings.Contains(c.Detail, text) {
			t.Errorf("status %d, want %d: %+v, want %s with %q", status, wantStatus, c, want, text)
		}
	}
	p.plan(p.cloud.API, "shoop")
	expect(1, "primary", healthProblem, "shoop")
	p.plan("http://127.0.0.1:1", "shop")
	expect(6, "token", healthUnknown, "")
	p.plan(p.cloud.API, "shop")
	p.token("wrong")
	expect(1, "token", healthProblem, "API token")
	p.token(p.cloud.Token())
	if err := os.Chmod(filepath.Join(p.dir, ".home"), 0o755); err != nil { //nolint:gosec // what doctor is to find
		t.Fatal(err)
	}
	expect(0, "state folder", healthWarning, "others on this machine can read")
	if err := os.WriteFile(filepath.Join(p.dir, ".home", "layout"), []byte("firedrill home 99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(1, "state folder", healthProblem, "layout")
	if err := os.WriteFile(filepath.Join(p.dir, planName), []byte("version: 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(1, "plan", healthProblem, "version")
}

func TestDoctorReadsTokensAndClocks(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		s    cloudflare.Standing
		want health
	}{
		{cloudflare.Standing{Status: "active"}, healthOK},
		{cloudflare.Standing{Status: "active", Expires: now.AddDate(0, 1, 0)}, healthOK},
		{cloudflare.Standing{Status: "active", Expires: now.AddDate(0, 0, 3)}, healthWarning},
		{cloudflare.Standing{Status: "disabled"}, healthProblem},
		{cloudflare.Standing{}, healthProblem},
	} {
		if got := tokenCheck(c.s, now); got.Status != c.want {
			t.Errorf("%+v: %+v", c.s, got)
		}
	}
	for off, want := range map[time.Duration]health{0: healthOK, -4 * time.Second: healthOK, 3 * time.Second: healthOK, -time.Minute: healthWarning, time.Minute: healthWarning} {
		if got := clockCheck(now.Add(off), now, now.Add(200*time.Millisecond)); got.Status != want {
			t.Errorf("off by %s: %+v", off, got)
		}
	}
}

// TestDoctorReadsWhatATokenReaches: whose account it is, how far the token goes, what
// it lacks, and that nobody tells.
func TestDoctorReadsWhatATokenReaches(t *testing.T) {
	t.Parallel()
	const own, other = "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "ffffffffffffffffffffffffffffffff"
	staging := firedrill.Environment{Name: "staging", Class: firedrill.ClassStaging, Settings: firedrill.Values{"account": own}, Resources: map[string]firedrill.Resource{"primary": {Kind: "d1"}}}
	seen := cloudflare.Reach{SeesAccounts: true, Accounts: []cloudflare.Holding{{ID: own, Name: "staging"}}}
	reads := seen
	reads.ReadsItself, reads.Permissions, reads.Named = true, []string{"D1 Write"}, []string{own}
	with := func(change func(*cloudflare.Reach)) cloudflare.Reach {
		r := reads
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		reach      cloudflare.Reach
		production string // its account
		want       health
		text       string
	}{
		"an account of its own":        {reads, other, healthOK, "it may: D1 Write"},
		"does not read itself":         {seen, other, healthOK, "the API does not tell"},
		"production beside it":         {reads, strings.ToUpper(own), healthWarning, "is in the same account"},
		"production nobody knows":      {reads, "", healthWarning, "does not say in which account environment production is"},
		"two accounts":                 {with(func(r *cloudflare.Reach) { r.Accounts = append(r.Accounts, cloudflare.Holding{ID: other}) }), other, healthWarning, "more than the environment's account"},
		"more accounts":                {with(func(r *cloudflare.Reach) { r.More = true }), other, healthWarning, "more than the environment's account"},
		"all accounts":                 {with(func(r *cloudflare.Reach) { r.Everywhere = true }), other, healthWarning, "on all accounts"},
		"a permission elsewhere":       {with(func(r *cloudflare.Reach) { r.Named = []string{other} }), other, healthWarning, "more than the environment's account"},
		"nothing is told":              {cloudflare.Reach{Why: "it may not read itself"}, other, healthWarning, "does not tell which accounts"},
		"lacks a permission":           {with(func(r *cloudflare.Reach) { r.Permissions = []string{"D1 Read"} }), other, healthWarning, `it lacks "D1 Write"`},
		"is denied what it is allowed": {with(func(r *cloudflare.Reach) { r.Denied = []string{"D1 Write"} }), other, healthWarning, "denied: D1 Write"},
	} {
		live := firedrill.Environment{Name: "production", Class: firedrill.ClassProduction, Settings: firedrill.Values{}, Resources: map[string]firedrill.Resource{"primary": {Kind: "d1"}}}
		if c.production != "" {
			live.Settings["account"] = c.production
		}
		got := reachCheck(c.reach, map[string]firedrill.Environment{"staging": staging, "production": live}, staging)
		if got.Status != c.want || !strings.Contains(got.Detail, c.text) || (got.Remedy == "") != (c.want == healthOK) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestDoctorAsksWhatTheTokenMayDo asks a sandbox, whose token may read itself.
func TestDoctorAsksWhatTheTokenMayDo(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	_, of := p.examine()
	c := of("reach")
	for _, want := range []string{"the token reaches 1 account (firedrill sandbox)", "it may: Account Settings Read, D1 Write, Workers KV Storage Write", "does not say in which account environment production is"} {
		if !strings.Contains(c.Detail, want) {
			t.Errorf("without %q: %+v", want, c)
		}
	}
	if c.Status != healthWarning || strings.Contains(c.Detail, "lacks") {
		t.Errorf("%+v", c)
	}
}
