package isolation_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/rogpeppe/go-internal/txtar"

	"firedrill/internal/isolation"
)

// TestSARIF writes the findings of the whole corpus, validates the document
// against the schema of SARIF 2.1.0, and reads each finding back.
func TestSARIF(t *testing.T) {
	t.Parallel()
	var all isolation.Report
	for _, file := range archives(t, "testdata/leaks/*.txtar") {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Findings = append(all.Findings, audit(t, a).Findings...)
	}
	run := writeSARIF(t, all)
	if len(run.Results) != len(all.Findings) || len(run.Results) < 100 {
		t.Fatalf("%d results of %d findings", len(run.Results), len(all.Findings))
	}
	for i, f := range all.Findings {
		got := run.Results[i]
		at := got.Locations[0].PhysicalLocation
		if *got.RuleID != string(f.Rule) || got.Level != string(f.Level) || *at.ArtifactLocation.URI != f.At.File || *at.Region.StartLine != f.At.Line ||
			got.PartialFingerprints["firedrill/v1"] != f.Fingerprint || len(got.RelatedLocations) != len(f.Related) || len(got.Suppressions) != 0 {
			t.Errorf("%+v of %+v", got, f)
		}
	}
}

func writeSARIF(t *testing.T, r isolation.Report) *sarif.Run {
	t.Helper()
	var out bytes.Buffer
	if err := isolation.WriteSARIF(&out, r, "1.2.3"); err != nil {
		t.Fatal(err)
	}
	report, err := sarif.FromBytes(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Validate(); err != nil {
		t.Fatal(err)
	}
	return report.Runs[0]
}

// TestSARIFOfWhatIsAccepted: code hosts show it as closed, with the reason.
func TestSARIFOfWhatIsAccepted(t *testing.T) {
	t.Parallel()
	a := leaky()
	a.Files[0].Name = "my worker/ü/wrangler.jsonc" // a place is a URI
	r := audit(t, a)
	b := isolation.Accept(isolation.Report{Findings: r.Findings[:1]}, "on purpose", day(t, "2026-06-30"))
	b.Apply(&r, day(t, "2026-01-01"))
	accepted := 0
	for _, result := range writeSARIF(t, r).Results {
		for _, s := range result.Suppressions {
			accepted++
			if *s.Justification != "on purpose" {
				t.Errorf("%+v", s)
			}
		}
		if uri := *result.Locations[0].PhysicalLocation.ArtifactLocation.URI; strings.ContainsAny(uri, " ü") {
			t.Errorf("%q is no URI", uri)
		}
	}
	if accepted != 1 {
		t.Errorf("%d results are suppressed, want 1", accepted)
	}
}
