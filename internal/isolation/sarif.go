package isolation

import (
	"io"
	"net/url"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"firedrill"
)

// WriteSARIF writes a report as SARIF 2.1.0, for code hosts that show findings
// beside the lines they are about. Accepted findings are there, suppressed.
func WriteSARIF(w io.Writer, r Report, version string) error {
	run := sarif.NewRun().WithTool(sarif.NewTool().WithDriver(sarif.NewToolComponent().WithName("firedrill").WithVersion(version))).WithColumnKind("unicodeCodePoints")
	for _, about := range Rules() {
		run.AddRule(string(about.Rule)).WithShortDescription(sarif.NewMultiformatMessageString().WithText(about.Text)).
			WithHelp(sarif.NewMultiformatMessageString().WithText(about.Help)).
			WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(string(about.Level)))
	}
	for _, f := range r.Findings {
		result := run.CreateResultForRule(string(f.Rule)).WithLevel(string(f.Level)).WithMessage(sarif.NewTextMessage(f.Message)).
			WithLocations([]*sarif.Location{sarifAt(f.At)}).WithPartialFingerprints(map[string]string{"firedrill/v1": f.Fingerprint})
		for i, o := range f.Related {
			result.AddRelatedLocation(sarifAt(o.At).WithID(i + 1).WithMessage(sarif.NewTextMessage(o.Message)))
		}
		if f.Accepted != nil {
			result.AddSuppression(sarif.NewSuppression().WithKind("external").WithStatus("accepted").WithJustification(f.Accepted.Reason))
		}
	}
	report := sarif.NewReport()
	report.AddRun(run)
	return report.PrettyWrite(w)
}

func sarifAt(at firedrill.Position) *sarif.Location {
	uri := (&url.URL{Path: at.File}).String()
	physical := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation(uri))
	if at.Line > 0 {
		physical.WithRegion(sarif.NewRegion().WithStartLine(at.Line).WithStartColumn(max(1, at.Column)))
	}
	return sarif.NewLocation().WithPhysicalLocation(physical)
}
