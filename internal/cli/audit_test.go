package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

// audited is a folder with configurations, and the day of the audit.
type audited struct {
	t   *testing.T
	dir string
	now string
}

func newAudited(t *testing.T) *audited {
	t.Helper()
	a := &audited{t, t.TempDir(), "2026-03-01"}
	a.write("workers/api/wrangler.toml", `name = "api"
[[kv_namespaces]]
binding = "KV"
id = "8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3"
[[env.staging.kv_namespaces]]
binding = "KV"
id = "8a1f4b2c9d3e4f50a6b7c8d9e0f1a2b3"
`)
	a.write("workers/api/node_modules/x/wrangler.toml", "name = ")
	a.write(".wrangler/deploy/wrangler.json", "{")
	return a
}

func (a *audited) path(name string) string { return filepath.Join(a.dir, filepath.FromSlash(name)) }

func (a *audited) write(name, text string) {
	a.t.Helper()
	if err := os.MkdirAll(filepath.Dir(a.path(name)), 0o750); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(a.path(name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// repaired gives staging a namespace of its own.
func (a *audited) repaired() {
	a.t.Helper()
	data, err := os.ReadFile(a.path("workers/api/wrangler.toml"))
	if err != nil {
		a.t.Fatal(err)
	}
	i := strings.LastIndex(string(data), "8a1f")
	a.write("workers/api/wrangler.toml", string(data[:i])+"9b2f"+string(data[i+4:]))
}

// run audits the folder, and expects an exit status.
func (a *audited) run(want int, args ...string) (out, told string) {
	a.t.Helper()
	now, err := time.Parse(time.DateOnly, a.now)
	if err != nil {
		a.t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	args = append([]string{"audit", "isolation", a.dir, "--home", a.path(".home")}, args...)
	status := Run(Process{Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }, Now: func() time.Time { return now }, Version: "1.2.3"})
	if status != want {
		a.t.Fatalf("firedrill %s: status %d, want %d\n%s%s", strings.Join(args, " "), status, want, &stdout, &stderr)
	}
	return flowing(stdout.String()), stderr.String()
}

// flowing takes out how a text is broken into lines.
func flowing(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestAuditIsolation(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	out, _ := a.run(1)
	for _, want := range []string{"error", "workers/api/wrangler.toml:7:6 shared-resource", "workers/api/wrangler.toml:4:6", "give each environment a resource of its own", "not production, by its name", "2 environments in 1 file: 1 error, 0 warnings, 0 notes"} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
	a.repaired()
	if out, _ := a.run(0); !strings.Contains(out, "0 errors") || strings.Contains(out, "shared-resource") {
		t.Errorf("repaired:\n%s", out)
	}
	a.write("firedrill.yaml", "version: 1\nname: x\nenvironments:\n  production: {class: productive}\n")
	if out, _ := a.run(1); !strings.Contains(out, "firedrill.yaml:4:23 unreadable-config") || !strings.Contains(out, "in 2 files") {
		t.Errorf("a plan that cannot be read:\n%s", out)
	}
}

func TestAuditIsolationForPrograms(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	var doc struct {
		SchemaVersion int      `json:"schema_version"`
		Files         []string `json:"files"`
		Environments  []any    `json:"environments"`
		Findings      []struct {
			Rule, Level, Fingerprint string
			At                       struct {
				File string
				Line int
			}
		} `json:"findings"`
	}
	out, _ := a.run(1, "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.SchemaVersion != 1 || len(doc.Files) != 1 || len(doc.Environments) != 2 || len(doc.Findings) != 1 || doc.Findings[0].At.Line != 7 || doc.Findings[0].Level != "error" || len(doc.Findings[0].Fingerprint) != 32 {
		t.Errorf("%+v", doc)
	}
	if again, _ := a.run(1, "--format", "json"); again != out {
		t.Errorf("--json and --format json differ:\n%s\n%s", out, again)
	}

	file := a.path("out.sarif")
	if out, _ := a.run(1, "--format", "sarif", "-o", file); out != "" {
		t.Errorf("with -o standard output has %s", out)
	}
	report, err := sarif.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Validate(); err != nil {
		t.Error(err)
	}
	if n := len(report.Runs[0].Results); n != 1 {
		t.Errorf("%d results, want 1", n)
	}

	a.repaired()
	if out, _ := a.run(0, "--json"); !strings.Contains(out, `"findings": []`) {
		t.Errorf("without findings:\n%s", out)
	}
}

// TestTheBaselineOfAnAudit accepts what is found, lets its day pass, and lets it
// be repaired.
func TestTheBaselineOfAnAudit(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	baseline := a.path("isolation.json")
	if _, told := a.run(2, "--baseline", baseline); !strings.Contains(told, "--accept") {
		t.Errorf("a baseline that is not there: %s", told)
	}
	a.run(0, "--baseline", baseline, "--accept", "on purpose", "--until", "2026-06-30")
	if out, _ := a.run(0, "--baseline", baseline); !strings.Contains(out, "0 errors, 0 warnings, 0 notes; 1 accepted") {
		t.Errorf("accepted:\n%s", out)
	}
	if out, _ := a.run(0, "--baseline", baseline, "--json"); !strings.Contains(out, `"reason": "on purpose"`) {
		t.Errorf("accepted:\n%s", out)
	}
	a.now = "2026-07-01"
	if out, _ := a.run(1, "--baseline", baseline); !strings.Contains(out, "was accepted until 2026-06-30") {
		t.Errorf("expired:\n%s", out)
	}
	a.repaired()
	if out, _ := a.run(0, "--baseline", baseline); !strings.Contains(out, "matches nothing any more") {
		t.Errorf("repaired:\n%s", out)
	}
	a.write("isolation.json", "{}")
	a.run(2, "--baseline", baseline)
}

func TestWrongUsageOfAnAudit(t *testing.T) {
	t.Parallel()
	a := newAudited(t)
	for _, args := range [][]string{
		{"--format", "xml"}, {"--accept", "why"}, {"--accept", "why", "--until", "2026-06-30"}, {"--until", "2026-06-30"}, {"--baseline", a.path("b"), "--until", "2026-06-30"},
		{"--baseline", a.path("b"), "--accept", "why", "--until", "2026-02-28"}, {"--baseline", a.path("b"), "--accept", "why", "--until", "soon"}, {"another"},
	} {
		a.run(2, args...)
	}
	a.dir = filepath.Join(a.dir, ".wrangler", "none")
	if _, told := a.run(2); !strings.Contains(told, "none") {
		t.Errorf("a folder that is not there: %s", told)
	}
	a.dir = t.TempDir()
	if _, told := a.run(2); !strings.Contains(told, "no wrangler configuration") {
		t.Errorf("an empty folder: %s", told)
	}
}
