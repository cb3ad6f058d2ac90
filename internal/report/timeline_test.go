package report

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"firedrill"
)

// TestTicksAreFewAndRound, for a run of a millisecond and for one of a month.
func TestTicksAreFewAndRound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		whole time.Duration
		first string // the second tick
		n     int
	}{
		{2500 * time.Millisecond, "0.5 s", 6}, {36 * time.Second, "10 s", 4}, {time.Minute, "10 s", 7}, {7 * time.Minute, "2 min", 4},
		{2 * time.Hour, "30 min", 5}, {30 * time.Hour, "6 h", 6}, {31 * 24 * time.Hour, "6 d", 6}, {3 * time.Millisecond, "1 ms", 7},
	} {
		if got := ticks(frame{0, c.whole}); len(got) != c.n || got[1].Label != c.first {
			t.Errorf("%v: %v", c.whole, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		from := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "from"))
		whole := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(1000*time.Hour)).Draw(t, "whole"))
		got := ticks(frame{from, from + whole})
		if len(got) < 1 || len(got) > 8 {
			t.Fatalf("%d ticks", len(got))
		}
		for _, m := range got {
			if m.At < 0 || m.At > 100 {
				t.Fatalf("a tick at %v", m.At)
			}
		}
	})
}

// TestClocksThatJumpStayInTheChart: a wall clock that is set, a boot in between.
func TestClocksThatJumpStayInTheChart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		stamp := func(name string) firedrill.Stamp {
			return firedrill.Stamp{Wall: time.Unix(rapid.Int64Range(1e9, 1e9+1e6).Draw(t, name+" wall"), 0), Mono: rapid.Int64Range(0, 1e15).Draw(t, name+" mono"),
				Boot: rapid.SampledFrom([]string{"a", "b"}).Draw(t, name+" boot")}
		}
		steps := []firedrill.Step{{ID: "x", Phase: firedrill.Inject}, {ID: "y", Phase: firedrill.Recover}}
		p := Page{Records: []firedrill.Record{{At: stamp("start"), Body: firedrill.RunStarted{Program: firedrill.Program{Steps: steps}}}}}
		for _, id := range []string{"x", "y"} {
			p.Records = append(p.Records, firedrill.Record{At: stamp(id), Body: firedrill.Intended{Step: id, Role: firedrill.RoleDo, Resolved: firedrill.Resolved{Impact: firedrill.Damages}}},
				firedrill.Record{At: stamp(id), Body: firedrill.Ended{Step: id, Role: firedrill.RoleDo, Started: stamp(id), Finished: stamp(id)}})
		}
		actual, to := rapid.Float64Range(0, 1e6).Draw(t, "rto"), stamp("to").Wall
		p.Result.RTO = firedrill.RTO{Actual: &actual, Recover: &actual, Green: &actual}
		p.Result.Availability.Outages = []firedrill.Outage{{Target: "t", From: stamp("from").Wall, To: &to}, {Target: "t", From: stamp("again").Wall}}
		for _, c := range []*chart{p.timeline(5), p.closer(5)} {
			if c == nil {
				continue
			}
			for _, l := range c.Lanes {
				for _, b := range l.Bars {
					if !(b.From >= 0 && b.Width >= 0 && b.From+b.Width <= 100.01) {
						t.Fatalf("%s: %+v", l.Label, b)
					}
				}
			}
		}
	})
}

// TestAPlotShowsTimesAndTarget, linear where that can be read.
func TestAPlotShowsTimesAndTarget(t *testing.T) {
	t.Parallel()
	num := func(x float64) *float64 { return &x }
	for _, c := range []struct {
		times  []*float64 // the newest first
		target *float64
		log    bool
		nil    bool
	}{
		{[]*float64{num(10), num(12)}, num(20), false, false}, {[]*float64{num(1), num(2)}, num(900), true, false}, {[]*float64{num(0), num(0)}, num(900), false, false},
		{[]*float64{nil, nil}, num(900), false, true}, {[]*float64{num(5)}, nil, false, false}, {[]*float64{num(0), nil, num(3)}, num(900), true, false},
	} {
		var runs []Followed
		for _, x := range c.times {
			runs = append(runs, Followed{Past: firedrill.Past{Started: time.Unix(1e9, 0)}, RTO: Reading{Figure: firedrill.Figure{Actual: x, Target: c.target}}})
		}
		got := Page{}.plot("RTO", runs, func(f Followed) Reading { return f.RTO })
		if (got == nil) != c.nil {
			t.Errorf("%v: plot %v", c.times, got)
		}
		if got == nil {
			continue
		}
		if got.Log != c.log || (got.Goal != nil) != (c.target != nil) || len(got.Ticks) < 2 {
			t.Errorf("%v: logarithmic %v, target %v, ticks %v", c.times, got.Log, got.Goal, got.Ticks)
		}
		for _, d := range got.Dots {
			if !(d.X >= 0 && d.X <= 100 && d.Y >= 0 && d.Y <= 100) || got.Goal != nil && got.Goal.At > d.Y {
				t.Errorf("%v: %+v below or outside", c.times, d)
			}
		}
	}
}
