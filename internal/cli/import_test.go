package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImportOfTheSeedDocument(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seed, err := os.ReadFile("../drplan/testdata/seed.md")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "PLAN.md")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, stderr := inFolder(t, dir, "import", file, "--lint")
	if _, err := os.Stat(filepath.Join(dir, planName)); status != 1 || err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), "PLAN.md:34 bookmark-before-row") {
		t.Errorf("lint: status %d, %v: %s%s", status, err, out, stderr)
	}
	status, out, stderr = inFolder(t, dir, "import", file)
	if status != 0 || !strings.Contains(out, "d1-pitr, worker-rollback, kv-restore") || !strings.Contains(out, "to fill in") {
		t.Errorf("import: status %d: %s%s", status, out, stderr)
	}
	if status, out, stderr := inFolder(t, dir, "validate"); status != 0 || !strings.Contains(out, "is sound: 1 environment, 3 drills") {
		t.Errorf("validate: status %d: %s%s", status, out, stderr)
	}
	if status, _, stderr := inFolder(t, dir, "import", file); status != 2 || !strings.Contains(stderr, "is there already") || !strings.Contains(stderr, "--force") {
		t.Errorf("again: status %d: %s", status, stderr)
	}
	var doc importedDocument
	status, out, stderr = inFolder(t, dir, "import", file, "--force", "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || status != 0 || doc.Plan == nil || len(doc.Drills) != 3 || len(doc.Findings) < 20 {
		t.Errorf("force: status %d, %v: %s%s", status, err, out, stderr)
	}
	other := filepath.Join(dir, "other.yaml")
	if status, _, stderr := inFolder(t, dir, "import", file, "-o", other); status != 0 {
		t.Errorf("another file: status %d: %s", status, stderr)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	var sarif struct {
		Runs []struct {
			Results []struct {
				RuleID              string            `json:"ruleId"`
				PartialFingerprints map[string]string `json:"partialFingerprints"`
			}
		}
	}
	status, out, stderr = inFolder(t, dir, "import", file, "--lint", "--format", "sarif")
	if err := json.Unmarshal([]byte(out), &sarif); err != nil || status != 1 || len(sarif.Runs) != 1 || len(sarif.Runs[0].Results) != len(doc.Findings) {
		t.Fatalf("SARIF: status %d, %v: %s%s", status, err, out, stderr)
	}
	prints := map[string]bool{}
	for _, r := range sarif.Runs[0].Results {
		prints[r.PartialFingerprints["firedrill/v1"]] = true
	}
	if len(prints) != len(doc.Findings) {
		t.Errorf("%d fingerprints of %d findings", len(prints), len(doc.Findings))
	}
	if status, _, stderr := inFolder(t, dir, "import", file, "--format", "xml"); status != 2 || !strings.Contains(stderr, "no format") {
		t.Errorf("no format: status %d: %s", status, stderr)
	}
	healthy, err := filepath.Abs("../drplan/testdata/healthy.md")
	if err != nil {
		t.Fatal(err)
	}
	if status, out, stderr := inFolder(t, dir, "import", healthy, "--lint"); status != 0 || !strings.Contains(out, "nothing that cannot work") {
		t.Errorf("a healthy document: status %d: %s%s", status, out, stderr)
	}
}
