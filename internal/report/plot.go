package report

import (
	"fmt"
	"math"
	"slices"

	"firedrill"
	"firedrill/internal/say"
)

// plot is a time over the runs, the oldest at the left. Places are in percent, from
// the left and from the top.
type plot struct {
	Name   string
	Log    bool // the scale is logarithmic
	Ticks  []mark
	Lines  [][]dot // between runs that were measured
	Dots   []dot
	Goal   *mark
	Usual  *mark
	From   string // day of the first run, and of the last
	To     string
	Few    bool // a single run draws no line
	Absent int  // runs without the time
}

// dot is a run in a plot.
type dot struct {
	X, Y float64
	Kind string // passed, other
	This bool   // the run that the page is about
	Text string
}

// plot draws the times that pick gives for the runs, the newest first. nil where
// none was measured.
func (p Page) plot(name string, runs []Followed, pick func(Followed) Reading) *plot {
	out := &plot{Name: name}
	top, bottom := 0.0, math.Inf(1)
	for _, f := range runs {
		if a := pick(f).Actual; a != nil {
			top, bottom = max(top, *a), min(bottom, max(*a, 0.001))
		} else {
			out.Absent++
		}
	}
	if out.Absent == len(runs) {
		return nil
	}
	last := pick(runs[0])
	s := newScale(bottom, top, last.Target)
	out.Log, out.Ticks = s.log, s.ticks()
	if last.Target != nil {
		out.Goal = &mark{At: s.place(*last.Target), Label: "target " + goal(*last.Target)}
	}
	if u := last.Usual; u != nil {
		out.Usual = &mark{At: s.place(u.Median), Label: "usual " + say.Seconds(u.Median)}
	}
	out.From, out.To = p.day(runs[len(runs)-1].Started), p.day(runs[0].Started)
	out.Few = len(runs) == 1
	var line []dot
	flush := func() {
		if len(line) > 1 {
			out.Lines = append(out.Lines, line)
		}
		line = nil
	}
	for i, f := range slices.Backward(runs) {
		a := pick(f).Actual
		if a == nil { // the line is broken there: between two runs nothing is known
			flush()
			continue
		}
		x := 50.0
		if len(runs) > 1 {
			x = round(100 * float64(len(runs)-1-i) / float64(len(runs)-1))
		}
		d := dot{X: x, Y: s.place(*a), Kind: "other", This: f.Run == p.Result.Run,
			Text: fmt.Sprintf("%s: %s, %s", p.day(f.Started), say.Seconds(*a), f.Verdict)}
		if f.Verdict == firedrill.Passed {
			d.Kind = "passed"
		}
		out.Dots = append(out.Dots, d)
		line = append(line, d)
	}
	flush()
	return out
}

// scale turns a time into a place from the top. It is linear from 0 where the target
// is near the times, else logarithmic: a target of 15 minutes would flatten times of a
// second into one line.
type scale struct {
	log    bool
	lo, hi float64
}

func newScale(bottom, top float64, target *float64) scale {
	hi := max(top, 0.001)
	if target != nil {
		hi = max(hi, *target)
	}
	if hi <= 5*top || top == 0 {
		return scale{false, 0, hi * 1.1}
	}
	return scale{true, math.Log10(bottom / 2), math.Log10(hi * 1.6)}
}

func (s scale) place(t float64) float64 {
	if s.log {
		t = math.Log10(max(t, 1e-9))
	}
	return round(min(100, max(0, 100*(s.hi-t)/(s.hi-s.lo))))
}

func (s scale) ticks() []mark {
	var all []mark
	if !s.log {
		step := niceStep(s.hi * 1.5)
		for i := 0.0; i*step <= s.hi; i++ {
			all = append(all, mark{At: s.place(i * step), Label: tickText(i * step)})
		}
		return all
	}
	for _, t := range []float64{0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 864000} {
		if l := math.Log10(t); l >= s.lo && l <= s.hi {
			all = append(all, mark{At: s.place(t), Label: tickText(t)})
		}
	}
	return all
}
