package report_test

import (
	"regexp"
	"strconv"
	"testing"

	"firedrill/internal/report"
	"firedrill/internal/testkit/reporttest"
)

// TestEveryBeginningIsAPage: a run that is under way, or was cut off anywhere, can be
// looked at, and nothing in its charts is outside of them.
func TestEveryBeginningIsAPage(t *testing.T) {
	t.Parallel()
	place := regexp.MustCompile(`(left|width|top|--from|--width):([-0-9.e]*)%`)
	for _, all := range []report.Page{reporttest.Passed(t), reporttest.Failed(t)} {
		for n := 1; n <= len(all.Records); n += 3 {
			p := all
			p.Records = all.Records[:n]
			var err error
			if p.Result, err = report.Result(p.Records); err != nil {
				t.Fatal(err)
			}
			html, err := report.HTML(p)
			if err != nil {
				t.Fatalf("after %d records: %v", n, err)
			}
			found := place.FindAllStringSubmatch(string(html), -1)
			if n > 20 && len(found) < 10 {
				t.Errorf("after %d records: only %d places", n, len(found))
			}
			for _, m := range found {
				if x, err := strconv.ParseFloat(m[2], 64); err != nil || x < 0 || x > 100 {
					t.Errorf("after %d records: %s", n, m[0])
				}
			}
		}
	}
}
