package report_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"firedrill"
	"firedrill/internal/report"
	"firedrill/internal/testkit/reporttest"
)

// junit is what readers of the format look at.
type junit struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Suites   []struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Cases    []struct {
			Class   string    `xml:"classname,attr"`
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func junitOf(t *testing.T, results ...firedrill.Result) junit {
	t.Helper()
	data, err := report.JUnit(results)
	if err != nil {
		t.Fatal(err)
	}
	var j junit
	if err := xml.Unmarshal(data, &j); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return j
}

// TestJUnitCountsWhatItHolds: the sums are those of the cases, and no two cases of a
// suite have the same name.
func TestJUnitCountsWhatItHolds(t *testing.T) {
	t.Parallel()
	j := junitOf(t, reporttest.Passed(t).Result, reporttest.Failed(t).Result, reporttest.Hostile(t, "]]><x>&\x01", 3).Result)
	if len(j.Suites) != 3 {
		t.Fatalf("%d suites", len(j.Suites))
	}
	var sum [3]int
	for _, s := range j.Suites {
		var n [4]int
		names := map[string]bool{}
		for _, c := range s.Cases {
			n[0]++
			for i, is := range []bool{c.Failure != nil, c.Error != nil, c.Skipped != nil} {
				if is {
					n[i+1]++
				}
			}
			if names[c.Class+"."+c.Name] && s.Name != j.Suites[2].Name {
				t.Errorf("%s: two cases %s.%s", s.Name, c.Class, c.Name)
			}
			names[c.Class+"."+c.Name] = true
		}
		if n != [4]int{s.Tests, s.Failures, s.Errors, s.Skipped} {
			t.Errorf("%s: holds %v, says %d, %d, %d, %d", s.Name, n, s.Tests, s.Failures, s.Errors, s.Skipped)
		}
		for i := range sum {
			sum[i] += n[i]
		}
	}
	if sum != [3]int{j.Tests, j.Failures, j.Errors} {
		t.Errorf("holds %v, says %d, %d, %d", sum, j.Tests, j.Failures, j.Errors)
	}
}

// TestJUnitIsRedForWhateverDidNotPass, and green for what passed, also where a step
// needed a second attempt.
func TestJUnitIsRedForWhateverDidNotPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verdict firedrill.Verdict
		state   firedrill.EnvironmentState
		red     bool
	}{
		{firedrill.Passed, firedrill.Restored, false}, {firedrill.Recovered, firedrill.Restored, false}, {firedrill.Passed, firedrill.Dirty, true},
		{firedrill.Failed, firedrill.Restored, true}, {firedrill.Inconclusive, firedrill.Restored, true}, {firedrill.Aborted, firedrill.Restored, true},
		{firedrill.NotRecovered, firedrill.Restored, true}, {"", firedrill.Restored, true},
	} {
		r := firedrill.Result{Drill: "d", Verdict: c.verdict, State: c.state,
			Steps:  []firedrill.StepResult{{Step: "a", Role: firedrill.RoleDo, Status: "failed"}, {Step: "a", Role: firedrill.RoleDo, Status: "ok"}},
			Checks: []firedrill.StepCheck{{Step: "a", Check: firedrill.Check{Detail: "not yet"}}, {Step: "a", Check: firedrill.Check{OK: true, Compared: 1, Detail: "now"}}}}
		if j := junitOf(t, r); (j.Failures+j.Errors > 0) != c.red {
			t.Errorf("%q, %q: %d failures and %d errors", c.verdict, c.state, j.Failures, j.Errors)
		}
	}
}

// TestATargetThatWasNotMeasuredIsAnError.
func TestATargetThatWasNotMeasuredIsAnError(t *testing.T) {
	t.Parallel()
	target, long := 60.0, 61.0
	for _, c := range []struct {
		rto              firedrill.RTO
		failures, errors int
	}{
		{firedrill.RTO{}, 0, 0}, {firedrill.RTO{Target: &target}, 0, 1}, {firedrill.RTO{Target: &target, Actual: &target}, 0, 0}, {firedrill.RTO{Target: &target, Actual: &long}, 1, 0},
	} {
		if j := junitOf(t, firedrill.Result{Drill: "d", Verdict: firedrill.Passed, RTO: c.rto}); j.Failures != c.failures || j.Errors != c.errors {
			t.Errorf("%+v: %d failures and %d errors", c.rto, j.Failures, j.Errors)
		}
	}
}

// TestARetriedProofIsShown: what counts of a step is how it ended.
func TestARetriedProofIsShown(t *testing.T) {
	t.Parallel()
	program := firedrill.Program{Drill: "d", Steps: []firedrill.Step{{ID: "equal", Phase: firedrill.Verify, Proves: firedrill.ProvesData}}}
	bad := firedrill.Ended{Step: "equal", Role: firedrill.RoleDo, Attempt: 1, Status: firedrill.StatusFailed, Checks: []firedrill.Check{{Compared: 9, Detail: "1 differs"}}, Problem: &firedrill.Problem{Detail: "1 differs"}}
	good := firedrill.Ended{Step: "equal", Role: firedrill.RoleDo, Attempt: 2, Status: firedrill.StatusOK, Checks: []firedrill.Check{{OK: true, Compared: 9}}}
	partial := good
	partial.Checks = []firedrill.Check{{OK: true, Compared: 9, Partial: true}}
	for _, c := range []struct {
		name string
		ends []firedrill.Ended
		want string
	}{
		{"in the end", []firedrill.Ended{bad, good}, "**shown**"}, {"never", []firedrill.Ended{bad}, "**does not hold**"}, {"in part", []firedrill.Ended{partial}, "**not shown**"}, {"not at all", nil, "**not shown**"},
	} {
		records := []firedrill.Record{{Seq: 1, Body: firedrill.RunStarted{Run: "R", Program: program}}}
		for _, e := range c.ends {
			records = append(records, firedrill.Record{Body: firedrill.Intended{Step: e.Step, Role: e.Role, Attempt: e.Attempt}}, firedrill.Record{Body: e})
		}
		r, err := report.Result(records)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(report.Markdown(report.Page{Result: r, Records: records})); !strings.Contains(got, "The data equals the data before: "+c.want) {
			t.Errorf("%s: want %s in\n%s", c.name, c.want, got)
		}
	}
}
