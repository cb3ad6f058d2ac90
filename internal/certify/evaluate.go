package certify

import (
	"cmp"
	"slices"
	"time"

	"firedrill"
)

// Line is a requirement of the rubric and what became of it.
type Line struct {
	ID       string     `json:"id"`
	Title    string     `json:"title"`
	Points   Points     `json:"points"` // what it is worth; a prerequisite alone is worth nothing
	Counts   bool       `json:"counts"`
	Status   Status     `json:"status"` // of the evidence that decides
	Evidence []Evidence `json:"evidence"`
}

// Decides gives the evidence on which the requirement hangs: the first that does
// not count, else the first to expire.
func (l Line) Decides() Evidence { return l.Evidence[0] }

// Baseline is what the prerequisites give together.
type Baseline struct {
	Points Points `json:"points"`
	Counts bool   `json:"counts"`
	Needs  []Line `json:"needs"`
}

// Gain is a requirement that could count, and the score if it did, all else equal.
type Gain struct {
	ID     string   `json:"id"`
	Title  string   `json:"title"`
	Points Points   `json:"points"`
	Score  Points   `json:"score"`
	Level  string   `json:"level"`
	How    []string `json:"how"`
}

// Loss is a requirement that will count no longer, and the score from then on if
// nothing is shown anew.
type Loss struct {
	At     time.Time `json:"at"`
	ID     string    `json:"id"`
	Title  string    `json:"title"`
	Points Points    `json:"points"`
	Score  Points    `json:"score"`
	Level  string    `json:"level"`
}

// Result is a score and how it came about.
type Result struct {
	Score    Points   `json:"score"`
	Level    string   `json:"level"`
	Of       Points   `json:"of"`
	Most     Points   `json:"most"` // if everything in the rubric counted
	Baseline Baseline `json:"baseline"`
	Items    []Line   `json:"items"`
	Gains    []Gain   `json:"gains"`  // the largest first
	Losses   []Loss   `json:"losses"` // in the order of their time
}

// Brief gives the score alone.
func (r Result) Brief() firedrill.Score {
	return firedrill.Score{Score: r.Score.Float(), Level: r.Level, Of: r.Of.Float()}
}

// Line finds a requirement.
func (r Result) Line(id string) (Line, bool) {
	for _, l := range slices.Concat(r.Baseline.Needs, r.Items) {
		if l.ID == id {
			return l, true
		}
	}
	return Line{}, false
}

// Evaluate computes the score at a moment. Pure; the order of items and runs does
// not matter.
func Evaluate(r Rubric, items []Item, now time.Time) Result {
	out := Result{Of: r.Of, Most: r.Most(), Gains: []Gain{}, Losses: []Loss{}, Items: []Line{},
		// Where nothing is asked for, nothing is shown.
		Baseline: Baseline{Points: r.Baseline, Counts: len(r.Needs) > 0, Needs: []Line{}}}
	for _, n := range r.Needs {
		l := r.line(n.ID, n.Title, 0, items, now)
		out.Baseline.Needs = append(out.Baseline.Needs, l)
		if n.missing(l) {
			out.Baseline.Counts = false
		}
	}
	if out.Baseline.Counts {
		out.Score = r.Baseline
	}
	for _, w := range r.Items {
		l := r.line(w.ID, w.Title, w.Points, items, now)
		out.Items = append(out.Items, l)
		if l.Counts {
			out.Score += w.Points
		}
	}
	out.Level = r.LevelOf(out.Score)
	out.gains(r)
	out.losses(r)
	return out
}

// missing tells whether a need holds the baseline back.
func (n Need) missing(l Line) bool {
	excused := n.WhereExists && l.Status == Unavailable
	return !l.Counts && !excused
}

// line weighs what there is for one requirement. All of it has to count, so what
// does not comes first.
func (r Rubric) line(id, title string, points Points, items []Item, now time.Time) Line {
	l := Line{ID: id, Title: title, Points: points}
	for _, it := range items {
		if it.ID == id {
			l.Evidence = append(l.Evidence, r.weigh(it, now))
		}
	}
	if len(l.Evidence) == 0 {
		l.Evidence = []Evidence{{Status: NoDrill, Why: "no drill of the plan shows it", Remedy: "add a drill to the plan that does"}}
	}
	slices.SortFunc(l.Evidence, func(a, b Evidence) int {
		return cmp.Or(rank(a)-rank(b), compareTimes(a.Expires, b.Expires), cmp.Compare(a.Drill, b.Drill), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Run, b.Run))
	})
	l.Status = l.Evidence[0].Status
	l.Counts = l.Evidence[0].Counts()
	return l
}

// rank puts what does not count first, and before the rest of it what failed.
func rank(e Evidence) int {
	switch e.Status {
	case Lost:
		return 0
	case Shown:
		return 2
	}
	return 1
}

// compareTimes orders moments; nil is never.
func compareTimes(a, b *time.Time) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return a.Compare(*b)
}

// gains lists what could count and does not. What nothing can show is left out.
func (out *Result) gains(r Rubric) {
	add := func(id, title string, points Points, lines []Line) {
		g := Gain{ID: id, Title: title, Points: points, Score: out.Score + points, Level: r.LevelOf(out.Score + points)}
		for _, l := range lines {
			for _, e := range l.Evidence {
				if !e.Counts() && e.Remedy == "" {
					return
				}
				if !e.Counts() {
					g.How = append(g.How, e.Remedy)
				}
			}
		}
		out.Gains = append(out.Gains, g)
	}
	if !out.Baseline.Counts && len(r.Needs) > 0 {
		var missing []Line
		for i, l := range out.Baseline.Needs {
			if r.Needs[i].missing(l) {
				missing = append(missing, l)
			}
		}
		add("baseline", "the baseline", r.Baseline, missing)
	}
	for _, l := range out.Items {
		if !l.Counts {
			add(l.ID, l.Title, l.Points, []Line{l})
		}
	}
	slices.SortStableFunc(out.Gains, func(a, b Gain) int { return int(b.Points - a.Points) })
}

// losses lists what expires, each with the score that is left then.
func (out *Result) losses(r Rubric) {
	for _, l := range out.Items {
		if e := l.Decides(); l.Counts && e.Expires != nil {
			out.Losses = append(out.Losses, Loss{At: *e.Expires, ID: l.ID, Title: l.Title, Points: l.Points})
		}
	}
	slices.SortStableFunc(out.Losses, func(a, b Loss) int { return a.At.Compare(b.At) })
	score := out.Score
	for i := range out.Losses {
		score -= out.Losses[i].Points
		out.Losses[i].Score, out.Losses[i].Level = score, r.LevelOf(score)
	}
}
