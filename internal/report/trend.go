package report

import (
	"fmt"
	"math"
	"slices"

	"firedrill"
	"firedrill/internal/say"
)

// LookBack is how many runs before one are looked at, whatever their verdict: what
// was usual years ago is not, and a reader of the history need not read all of it.
const LookBack = 40

// The rule by which a time is out of the usual. Medians are used because one bad
// run among the earlier ones must neither hide the next nor cry wolf.
const (
	usualOf    = 20     // earlier passed runs at most
	usualLeast = 5      // and at least: fewer tell nothing
	madSigma   = 1.4826 // times the median deviation is the standard deviation of normal noise
	sigmas     = 3
	usualShare = 0.25 // of the median: a very steady drill is not slow for a little more
	usualFloor = 0.25 // seconds: a few intervals of the probes, below which nothing is told apart
)

// Usual is what earlier runs let one expect, in seconds.
type Usual struct {
	Median float64
	// Limit is the longest time that is not out of the usual: the median, and above
	// it the largest of three robust standard deviations (1.4826 times the median
	// absolute deviation each), a quarter of the median, and 0.25 s.
	Limit float64
	Of    int // runs that it was computed from
}

// usual computes what is usual from earlier times, the newest first; only the
// first twenty count, and fewer than five give nothing.
func usual(earlier []float64) *Usual {
	if len(earlier) < usualLeast {
		return nil
	}
	window := slices.Clone(earlier[:min(len(earlier), usualOf)])
	m := median(window)
	for i, x := range window {
		window[i] = math.Abs(x - m)
	}
	margin := max(sigmas*madSigma*median(window), usualShare*m, usualFloor)
	return &Usual{Median: m, Limit: m + margin, Of: len(window)}
}

// median sorts its values and gives the middle one, or the mean of the middle two.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return values[n/2-1]/2 + values[n/2]/2
}

// Reading is a measured time of a run and what was usual before it.
type Reading struct {
	firedrill.Figure
	Usual *Usual // nil: too few earlier runs passed
}

// Unusual tells whether the time was measured and is longer than usual.
func (r Reading) Unusual() bool {
	return r.Actual != nil && r.Usual != nil && *r.Actual > r.Usual.Limit
}

// Followed is a run among those before it.
type Followed struct {
	firedrill.Past
	RTO, RPO Reading
}

// Follow holds each run against those before it. It takes the finished runs of one
// drill on one environment, the newest first, and keeps their order. Recoveries of
// real incidents are left out. What is usual follows from the runs that passed among
// the forty before.
func Follow(runs []firedrill.Past) []Followed {
	var all []Followed
	for i, p := range runs {
		if p.Incident {
			continue
		}
		var rto, rpo []float64
		for _, q := range runs[i+1 : min(len(runs), i+1+LookBack)] {
			if q.Verdict == firedrill.Passed && !q.Incident {
				rto, rpo = addTime(rto, q.RTO.Actual), addTime(rpo, q.RPO.Actual)
			}
		}
		all = append(all, Followed{Past: p, RTO: Reading{p.RTO, usual(rto)}, RPO: Reading{p.RPO, usual(rpo)}})
	}
	return all
}

func addTime(times []float64, t *float64) []float64 {
	if t == nil {
		return times
	}
	return append(times, *t)
}

// Unusual says in a sentence each which times of a run are longer than usual.
func (f Followed) Unusual() []string {
	var texts []string
	if f.RTO.Unusual() {
		texts = append(texts, "slower than usual: RTO "+f.RTO.against())
	}
	if f.RPO.Unusual() {
		texts = append(texts, "more was lost than usual: RPO "+f.RPO.against())
	}
	return texts
}

func (r Reading) against() string {
	text := fmt.Sprintf("%s, usual is %s (median of %s before it), and up to %s",
		say.Seconds(*r.Actual), say.Seconds(r.Usual.Median), say.Plural(int64(r.Usual.Of), "passed run"), say.Seconds(r.Usual.Limit))
	if r.Target != nil && *r.Actual <= *r.Target {
		text += fmt.Sprintf("; the target of %s is still met", goal(*r.Target))
	}
	return text
}

// Spark draws times as a line of blocks, the first at the left; a dot stands where
// nothing was measured. The highest block is the longest time, the lowest is 0.
func Spark(times []*float64) string {
	const blocks = "▁▂▃▄▅▆▇█"
	heights := []rune(blocks)
	longest := 0.0
	for _, t := range times {
		if t != nil {
			longest = max(longest, *t)
		}
	}
	line := make([]rune, 0, len(times))
	for _, t := range times {
		switch {
		case t == nil:
			line = append(line, '·')
		case longest <= 0:
			line = append(line, heights[0])
		default:
			i := int(*t / longest * float64(len(heights)))
			line = append(line, heights[min(max(i, 0), len(heights)-1)])
		}
	}
	return string(line)
}
