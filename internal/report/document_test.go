package report_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/report"
	"firedrill/internal/testkit/reporttest"
)

var update = flag.Bool("update", false, "write the documents that tests compare with")

// TestDocuments compares what a passed and a failed run are written down as.
func TestDocuments(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]report.Page{"passed": reporttest.Passed(t), "failed": reporttest.Failed(t)} {
		junit, err := report.JUnit([]firedrill.Result{p.Result})
		if err != nil {
			t.Fatal(err)
		}
		for file, got := range map[string][]byte{name + ".log.md": report.Log(p), name + ".md": report.Markdown(p), name + ".xml": junit} {
			path := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s is not what is written now; look, then: go test ./internal/report -update", path)
			}
		}
	}
}

// template is the entry that teams keep by hand, in the order of its lines.
const template = `## Drill:
**Date**:
**Executor**:
**Environment**:
### Metrics
- RTO Target:
- Actual Recovery Time:
- RPO Target:
- Actual Data Loss:
### Issues Encountered
### Remediation Actions
### Certification
- Drill passed
- Documentation updated
- Runbook updated if needed`

// TestLogHasTheFieldsOfTheTemplate, all of them, in its order and no other.
func TestLogHasTheFieldsOfTheTemplate(t *testing.T) {
	t.Parallel()
	box := regexp.MustCompile(`^- \[[ x]\] `)
	field := regexp.MustCompile(`^(## Drill:|\*\*\w+\*\*:|### .*|- (RTO Target|Actual Recovery Time|RPO Target|Actual Data Loss):)`)
	for _, p := range []report.Page{reporttest.Passed(t), reporttest.Failed(t)} {
		var fields []string
		for _, line := range strings.Split(string(report.Log(p)), "\n") {
			if box.MatchString(line) {
				fields = append(fields, "- "+box.ReplaceAllString(line, ""))
			} else if f := field.FindString(line); f != "" {
				fields = append(fields, f)
			}
		}
		if got := strings.Join(fields, "\n"); got != template {
			t.Errorf("fields:\n%s\nwant:\n%s", got, template)
		}
	}
}

// TestBoxesAreTickedFromFacts: nothing but the verdict and the end of the run.
func TestBoxesAreTickedFromFacts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verdict firedrill.Verdict
		want    string
	}{
		{firedrill.Passed, "xxx"}, {firedrill.Failed, " x "}, {firedrill.Inconclusive, " x "}, {firedrill.Aborted, " x "}, {"", "   "},
		{firedrill.Recovered, " x "}, // a drill is never `recovered`
	} {
		p := report.Page{Result: firedrill.Result{Verdict: c.verdict}}
		got := ""
		for _, m := range regexp.MustCompile(`(?m)^- \[(.)\]`).FindAllStringSubmatch(string(report.Log(p)), -1) {
			got += m[1]
		}
		if got != c.want {
			t.Errorf("%q: boxes %q, want %q", c.verdict, got, c.want)
		}
	}
	p := report.Page{Result: firedrill.Result{Verdict: firedrill.Recovered, ReasonCode: firedrill.ReasonOK, Incident: &firedrill.Incident{}}}
	if got := string(report.Log(p)); !strings.Contains(got, "## Recovery: ") || !strings.Contains(got, "- [x] Recovered") || strings.Contains(got, "Drill passed") {
		t.Errorf("a recovery is written down as a drill:\n%s", got)
	}
}

// TestWhatWasNotMeasuredSaysSo: nothing that is null becomes a number.
func TestWhatWasNotMeasuredSaysSo(t *testing.T) {
	t.Parallel()
	p := report.Page{Result: firedrill.Result{Drill: "d", Verdict: firedrill.Inconclusive, ReasonCode: firedrill.ReasonNotMeasured}}
	log := string(report.Log(p))
	for _, want := range []string{"- RTO Target: not set\n", "- Actual Recovery Time: not measured\n", "- RPO Target: not set\n", "- Actual Data Loss: not measured\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	html, err := report.HTML(p)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"page": string(html), "Markdown": string(report.Markdown(p))} {
		if n := strings.Count(text, "not measured"); n < 4 {
			t.Errorf("the %s says %d times that something was not measured, want RTO, RPO, writes and probes", name, n)
		}
	}
}

// TestSamePageSameBytes, and what ran later changes nothing.
func TestSamePageSameBytes(t *testing.T) {
	t.Parallel()
	p := reporttest.Passed(t)
	first, err := report.HTML(p)
	if err != nil {
		t.Fatal(err)
	}
	later := p.History[0]
	later.Run, later.Started, later.Verdict = "01ZLATER", later.Started.Add(time.Hour), firedrill.Failed
	elsewhere := p.History[0]
	elsewhere.Run, elsewhere.Environment, elsewhere.Started = "01ELSE", "staging", elsewhere.Started.Add(-time.Minute)
	p.History = append([]firedrill.Past{later, elsewhere}, p.History...)
	second, err := report.HTML(p)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("a later run, or one on another environment, changes the page")
	}
}

// TestFreshness: who reads the first lines knows when it was last shown to work.
func TestFreshness(t *testing.T) {
	t.Parallel()
	p := reporttest.Passed(t)
	failed := p
	failed.Result.Verdict, failed.Result.ReasonCode = firedrill.Failed, firedrill.ReasonDataDiffers
	failed.History = append([]firedrill.Past{}, p.History...)
	failed.History[0].Verdict = firedrill.Failed
	never := failed
	never.History = []firedrill.Past{failed.History[0], failed.History[9]}
	alone := failed
	alone.History = nil
	for name, c := range map[string]struct {
		page report.Page
		want string
	}{
		"passed": {p, "- Last shown to work: by this run, on 27 Nov 2026, 13:19:09 CET; before it on 2026-11-13, 14 days earlier\n"},
		"failed": {failed, "- Last shown to work: not by this run; last on 13 Nov 2026, 13:19:09 CET by run 01K00000000000000000000023, 14 days earlier\n"},
		"never":  {never, "- Last shown to work: not by this run, and not by the last 1 run before it on this environment\n"},
		"alone":  {alone, "- Last shown to work: never on this environment: this run did not pass, and none is known before it\n"},
	} {
		if got := string(report.Markdown(c.page)); !strings.Contains(got, c.want) {
			t.Errorf("%s: no %q in\n%s", name, c.want, got[:1200])
		}
	}
}

// TestHostileTextsAndLongListsStaySmall: whatever a run holds, the page is a page.
func TestHostileTextsAndLongListsStaySmall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		n    int
	}{
		{`<script>alert("&'")</script>`, 40}, {strings.Repeat(`"<+`, 400), 40}, {strings.Repeat("ü", 1000), 40}, {"\x00\xff\u202e\n# x", 5}, {"", 3},
	} {
		p := reporttest.Hostile(t, c.text, c.n)
		html, err := report.HTML(p)
		if err != nil {
			t.Fatal(err)
		}
		if len(html) > report.MaxHTML {
			t.Errorf("%d times %.10q: %d bytes", c.n, c.text, len(html))
		}
		if bytes.Contains(html, []byte("<script")) || bytes.Contains(html, []byte("ZgotmplZ")) || bytes.ContainsAny(html, "\x00\u202e") {
			t.Errorf("%.10q got into the page", c.text)
		}
	}
}

// TestACutPageSaysWhatItLeavesOut, and keeps the steps that did not succeed.
func TestACutPageSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	p := reporttest.Passed(t)
	p.Result.Collateral = make([]string, 5000)
	for i := range p.Result.Collateral {
		p.Result.Collateral[i] = strings.Repeat("x", 300)
		p.Result.Steps = append(p.Result.Steps, firedrill.StepResult{Step: fmt.Sprintf("restore/%d", i), Phase: firedrill.Recover, Role: firedrill.RoleDo, Status: "ok", Summary: strings.Repeat("y", 100)})
	}
	p.Result.Steps[4999].Status, p.Result.Steps[4999].Summary = "unknown", "no answer came"
	html, err := report.HTML(p)
	if err != nil {
		t.Fatal(err)
	}
	if len(html) > report.MaxHTML {
		t.Errorf("%d bytes", len(html))
	}
	for _, want := range []string{`4[89]\d\d more are not shown here`, `4[89]\d\d more steps are not shown here`, `<td class="text">no answer came</td>`} {
		if !regexp.MustCompile(want).Match(html) {
			t.Errorf("no %s", want)
		}
	}
}

// TestThePageNeedsNothingElse: no address, no script, no other file.
func TestThePageNeedsNothingElse(t *testing.T) {
	t.Parallel()
	html, err := report.HTML(reporttest.Passed(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, no := range []string{"<script", "<link", "<img", "src=", "href=", "@import", "url(", "http://", "https://"} {
		if bytes.Contains(html, []byte(no)) {
			t.Errorf("the page has %s", no)
		}
	}
}

// TestNoTextAddsALine to the log: not its own, not a heading, not a box.
func TestNoTextAddsALine(t *testing.T) {
	t.Parallel()
	log := func(text string) string {
		r := firedrill.Result{Drill: text, Executor: text, Environment: text, Verdict: firedrill.Failed, State: firedrill.Dirty, Reasons: []string{text},
			Collateral: []string{text}, Left: []firedrill.Left{{What: text, Repair: text}}}
		return string(report.Log(report.Page{Result: r, Remarks: []firedrill.Remark{{Kind: firedrill.RemarkNote, Text: text}, {Kind: firedrill.RemarkAck, By: text}}}))
	}
	for _, text := range []string{"a\n### Certification\n- [x] Drill passed", "a\r- [x] b", "a\u2028# c", "a\vb\fc"} {
		if got := log(text); strings.Count(got, "\n") != strings.Count(log("x"), "\n") || strings.ContainsAny(got, "\r\v\f\u2028") {
			t.Errorf("%q adds lines:\n%s", text, got)
		}
	}
}
