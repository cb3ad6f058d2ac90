package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/say"
)

// JUnit writes runs as test results, for whatever reads those: a suite for each run,
// and in it a case for the verdict, for each target, for each step and for each
// comparison. A failure is something that was looked at and is not so; an error is
// something that could not be looked at or is not known. The case of the verdict
// succeeds only for a run that passed, so no reader shows a run as good that is not.
func JUnit(results []firedrill.Result) ([]byte, error) {
	all := junitSuites{Name: "firedrill"}
	for _, r := range results {
		s := suite(r)
		all.Suites = append(all.Suites, s)
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
		all.seconds += s.seconds
	}
	all.Time = secondsText(all.seconds)
	var b bytes.Buffer
	b.WriteString(xml.Header)
	enc := xml.NewEncoder(&b)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return nil, failed(err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
		seconds  float64
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		seconds    float64
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Skipped *junitNote   `xml:"skipped"`
		Error   *junitDetail `xml:"error"`
		Failure *junitDetail `xml:"failure"`
		Out     string       `xml:"system-out,omitempty"`
	}
	junitNote struct {
		Message string `xml:"message,attr"`
	}
	junitDetail struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

func suite(r firedrill.Result) junitSuite {
	_, host, found := strings.Cut(r.Executor, "@")
	if !found {
		host = r.Executor
	}
	s := junitSuite{Name: r.Drill, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Hostname: host,
		seconds: max(0, r.Finished.Sub(r.Started).Seconds()), Properties: properties(r)}
	s.Time = secondsText(s.seconds)
	add := func(c junitCase) {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	add(verdictCase(r, s.Time))
	for _, t := range targetCases(r) {
		add(t)
	}
	for _, st := range lastCalls(r.Steps) {
		add(stepCase(r, st))
		if st.Role == firedrill.RoleDo {
			for n, c := range checksOf(r, st) {
				add(checkCase(r, st, n, c))
			}
		}
	}
	return s
}

// checksOf are the comparisons of a step. Of one that succeeded in the end, those that
// did not hold were made by earlier attempts.
func checksOf(r firedrill.Result, st firedrill.StepResult) []firedrill.Check {
	var some []firedrill.Check
	for _, c := range r.Checks {
		if c.Step == st.Step && (c.OK || st.Status != string(firedrill.StatusOK)) {
			some = append(some, c.Check)
		}
	}
	return some
}

func properties(r firedrill.Result) []junitProperty {
	all := []junitProperty{{"run", r.Run}, {"environment", r.Environment}, {"verdict", verdict(r)}, {"reason_code", string(r.ReasonCode)},
		{"environment_state", string(r.State)}, {"executor", r.Executor}}
	for _, t := range []struct {
		name string
		s    *float64
	}{{"rto_actual_s", r.RTO.Actual}, {"rto_target_s", r.RTO.Target}, {"rpo_actual_s", r.RPO.Actual}, {"rpo_target_s", r.RPO.Target}} {
		if t.s != nil {
			all = append(all, junitProperty{t.name, strconv.FormatFloat(*t.s, 'f', -1, 64)})
		}
	}
	if r.Ticket != nil {
		all = append(all, junitProperty{"ticket", *r.Ticket})
	}
	return all
}

func verdictCase(r firedrill.Result, took string) junitCase {
	c := junitCase{Class: r.Drill, Name: "verdict", Time: took, Out: strings.Join(r.Reasons, "\n")}
	detail := &junitDetail{Message: lead(r), Type: first(string(r.ReasonCode), "not-finished"), Text: strings.Join(r.Reasons, "\n")}
	switch {
	case r.State == firedrill.Dirty:
		detail.Text = strings.TrimSpace(detail.Text + "\n" + leftText(r.Left))
		detail.Message = "The environment was left dirty. " + detail.Message
		c.Failure, c.Out = detail, ""
	case r.Verdict == firedrill.Passed || r.Verdict == firedrill.Recovered:
	case r.Verdict == firedrill.Failed || r.Verdict == firedrill.NotRecovered:
		c.Failure, c.Out = detail, ""
	default:
		c.Error, c.Out = detail, ""
	}
	return c
}

func leftText(left []firedrill.Left) string {
	var texts []string
	for _, l := range left {
		texts = append(texts, strings.TrimSuffix(l.What+"; repair: "+l.Repair, "; repair: "))
	}
	return strings.Join(texts, "\n")
}

func targetCases(r firedrill.Result) []junitCase {
	var all []junitCase
	for _, t := range []struct {
		name           string
		actual, target *float64
		missed         firedrill.ReasonCode
	}{{"RTO", r.RTO.Actual, r.RTO.Target, firedrill.ReasonRTOMissed}, {"RPO", r.RPO.Actual, r.RPO.Target, firedrill.ReasonRPOMissed}} {
		if t.target == nil {
			continue
		}
		c := junitCase{Class: r.Drill + ".target", Name: t.name + " of at most " + goal(*t.target), Time: "0"}
		switch {
		case t.actual == nil:
			c.Error = &junitDetail{Message: "not measured", Type: string(firedrill.ReasonNotMeasured)}
		case *t.actual > *t.target:
			c.Time = secondsText(*t.actual)
			c.Failure = &junitDetail{Message: say.Seconds(*t.actual) + " is longer", Type: string(t.missed)}
		default:
			c.Time = secondsText(*t.actual)
		}
		all = append(all, c)
	}
	return all
}

func stepCase(r firedrill.Result, s firedrill.StepResult) junitCase {
	c := junitCase{Class: r.Drill + "." + first(string(s.Phase), "step"), Name: s.Step, Time: "0", Out: s.Summary}
	if s.Role != firedrill.RoleDo {
		c.Name += " (" + string(s.Role) + ")"
	}
	if s.Seconds != nil {
		c.Time = secondsText(*s.Seconds)
	}
	detail := &junitDetail{Message: first(outcome(s), s.Status), Type: s.Status}
	if s.Problem != nil {
		detail.Type, detail.Text = first(string(s.Problem.Kind), s.Status), s.Problem.Remedy
	}
	switch s.Status {
	case string(firedrill.StatusOK):
	case StatusSkipped:
		c.Skipped, c.Out = &junitNote{s.Summary}, ""
	case string(firedrill.StatusFailed):
		c.Failure, c.Out = detail, ""
	default:
		c.Error, c.Out = detail, ""
	}
	return c
}

func checkCase(r firedrill.Result, s firedrill.StepResult, n int, k firedrill.Check) junitCase {
	c := junitCase{Class: r.Drill + "." + first(string(s.Phase), "step") + "." + s.Step, Name: fmt.Sprintf("%d: %s", n+1, first(k.Detail, k.Expr, "check")), Time: "0"}
	if k.Compared > 0 {
		c.Out = say.Plural(k.Compared, "thing") + " compared"
	}
	if !k.OK {
		c.Failure, c.Out = &junitDetail{Message: checkText(k), Type: "check"}, ""
	}
	return c
}

// secondsText writes seconds as readers of the format take them.
func secondsText(s float64) string {
	return strconv.FormatFloat(time.Duration(s*float64(time.Second)).Seconds(), 'f', 3, 64)
}
