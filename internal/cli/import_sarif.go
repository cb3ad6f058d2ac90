package cli

import (
	"io"
	"net/url"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"firedrill/internal/drplan"
)

// importSARIF writes what in a document cannot work as SARIF 2.1.0, for code hosts that
// show findings beside the lines they are about.
func importSARIF(w io.Writer, file string, findings []drplan.Finding, version string) error {
	run := sarif.NewRun().WithTool(sarif.NewTool().WithDriver(sarif.NewToolComponent().WithName("firedrill").WithVersion(version))).WithColumnKind("unicodeCodePoints")
	for _, about := range drplan.Rules() {
		run.AddRule(string(about.Rule)).WithShortDescription(sarif.NewMultiformatMessageString().WithText(about.Text)).
			WithHelp(sarif.NewMultiformatMessageString().WithText(about.Help)).
			WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel("error"))
	}
	for _, f := range findings {
		at := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewSimpleArtifactLocation((&url.URL{Path: file}).String())).
			WithRegion(sarif.NewRegion().WithStartLine(f.Line).WithStartColumn(1))
		run.CreateResultForRule(string(f.Rule)).WithLevel("error").WithMessage(sarif.NewTextMessage(f.Message + ": " + f.Remedy)).
			WithLocations([]*sarif.Location{sarif.NewLocation().WithPhysicalLocation(at)}).WithPartialFingerprints(map[string]string{"firedrill/v1": f.Fingerprint})
	}
	report := sarif.NewReport()
	report.AddRun(run)
	return report.PrettyWrite(w)
}
