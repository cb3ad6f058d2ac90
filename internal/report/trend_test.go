package report

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"firedrill"
)

// pastOf reads a run of a scenario: "0.9", "f0.9", "-", "i0.9".
func pastOf(t *testing.T, word string, n int) firedrill.Past {
	t.Helper()
	p := firedrill.Past{Run: fmt.Sprintf("R%02d", n), Drill: "d", Environment: "staging", Verdict: firedrill.Passed,
		Started: time.Unix(1_700_000_000+int64(n)*86400, 0).UTC()}
	if rest, is := strings.CutPrefix(word, "f"); is {
		p.Verdict, word = firedrill.Failed, rest
	}
	if rest, is := strings.CutPrefix(word, "i"); is {
		p.Incident, word = true, rest
	}
	if word != "-" {
		x, err := strconv.ParseFloat(word, 64)
		if err != nil {
			t.Fatal(err)
		}
		p.RTO.Actual = &x
	}
	return p
}

func TestTrendScenarios(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/trend.txt")
	if err != nil {
		t.Fatal(err)
	}
	for n, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.Split(line, "|")
		if len(parts) != 4 {
			t.Fatalf("line %d has %d parts", n+1, len(parts))
		}
		var runs []firedrill.Past
		for i, word := range append(strings.Fields(parts[0]), strings.TrimSpace(parts[1])) {
			runs = append(runs, pastOf(t, word, i))
		}
		slices.Reverse(runs)
		f := Follow(runs)[0]
		got, verdict := "nothing", "fine"
		if u := f.RTO.Usual; u != nil {
			got = fmt.Sprintf("%.5g %.6g %d", u.Median, u.Limit, u.Of)
		}
		if len(f.Unusual()) > 0 {
			verdict = "slow"
		}
		if want := strings.TrimSpace(parts[2]) + " " + strings.TrimSpace(parts[3]); got+" "+verdict != want {
			t.Errorf("line %d: %s %s, want %s", n+1, got, verdict, want)
		}
	}
}

// TestUsualProperties: what the rule promises for any numbers.
func TestUsualProperties(t *testing.T) {
	t.Parallel()
	times := rapid.SliceOfN(rapid.Float64Range(0, 1e6), usualLeast, usualOf)
	rapid.Check(t, func(t *rapid.T) {
		earlier := times.Draw(t, "earlier")
		u := usual(earlier)
		lo, hi := slices.Min(earlier), slices.Max(earlier)
		if u == nil || u.Median < lo || u.Median > hi || u.Limit < u.Median+usualFloor*0.999 || u.Of != len(earlier) {
			t.Fatalf("usual of %v is %+v", earlier, u)
		}
		// The order of the runs does not matter.
		mixed := rapid.Permutation(earlier).Draw(t, "mixed")
		if v := usual(mixed); math.Abs(v.Median-u.Median) > 1e-9 || math.Abs(v.Limit-u.Limit) > 1e-9*max(1, u.Limit) {
			t.Fatalf("in another order: %+v, not %+v", v, u)
		}
		// Fewer than half of them, however wild, cannot carry the median away.
		wild := slices.Clone(earlier)
		for i := range (len(wild) - 1) / 2 {
			wild[i] = 1e12
		}
		if v := usual(wild); v.Median > hi {
			t.Fatalf("outliers carry the median to %v, above %v", v.Median, hi)
		}
		// Slower stays slow, and nothing up to the median is.
		actual := rapid.Float64Range(0, 3e6).Draw(t, "actual")
		slower := actual + rapid.Float64Range(0, 1e6).Draw(t, "more")
		reading := func(x float64) Reading { return Reading{firedrill.Figure{Actual: &x}, u} }
		if reading(actual).Unusual() && !reading(slower).Unusual() || reading(u.Median).Unusual() {
			t.Fatalf("%v and %v against %+v", actual, slower, u)
		}
	})
}

// TestTheSentenceSaysWhatIsUsual, and that the target is met as long as it is.
func TestTheSentenceSaysWhatIsUsual(t *testing.T) {
	t.Parallel()
	x, target := 2.0, 900.0
	r := Reading{firedrill.Figure{Actual: &x, Target: &target}, &Usual{Median: 0.93, Limit: 1.2, Of: 12}}
	got := Followed{RTO: r, RPO: r}.Unusual()
	want := []string{
		"slower than usual: RTO 2.00 s, usual is 0.93 s (median of 12 passed runs before it), and up to 1.20 s; the target of 15 min is still met",
		"more was lost than usual: RPO 2.00 s, usual is 0.93 s (median of 12 passed runs before it), and up to 1.20 s; the target of 15 min is still met"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	target = 1
	if got := (Followed{RTO: r}).Unusual(); strings.Contains(got[0], "still met") {
		t.Errorf("a missed target is called met: %q", got)
	}
}

func TestSpark(t *testing.T) {
	t.Parallel()
	num := func(x float64) *float64 { return &x }
	for _, c := range []struct {
		times []*float64
		want  string
	}{
		{nil, ""}, {[]*float64{nil}, "·"}, {[]*float64{num(0), num(0)}, "▁▁"}, {[]*float64{num(0), num(0.5), nil, num(1)}, "▁▅·█"},
	} {
		if got := Spark(c.times); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
