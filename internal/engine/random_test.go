package engine

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"firedrill"
)

// randomProgram draws a drill of up to fourteen steps.
func randomProgram(t *rapid.T) firedrill.Program {
	p := firedrill.Program{Drill: "d"}
	n := rapid.IntRange(1, 14).Draw(t, "steps")
	word := func(words ...string) string { return rapid.SampledFrom(words).Draw(t, "word") }
	for i := range n {
		phase := rapid.SampledFrom(firedrill.Phases()).Draw(t, "phase")
		line := fmt.Sprintf("s%d %s ", i, phase)
		if phase == firedrill.Inject {
			line += word("damages undo", "damages undo:ask", "damages", "damages ask undo", "changes undo") + " "
		} else {
			line += word("", "", "", "changes undo", "changes undo last", "changes undo:never", "changes", "changes ask undo", "changes never undo", "observer") + " "
		}
		line += word("", "w:a", "w:b", "r:a", "w:a r:b") + " " + word("", "", "retry:1", "retry:2") + " "
		switch phase {
		case firedrill.Detect:
			line += word("proves:damage", "proves:damage", "") + " "
		case firedrill.Verify:
			line += word("proves:data", "proves:service", "proves:protection", "proves:data look", "look", "") + " "
		case firedrill.Cleanup:
			line += word("proves:clean", "") + " "
		}
		line += word("", "", "", "", "when:false", "when:nothing.x")
		s, err := parseStep(line)
		if err != nil {
			t.Fatal(err)
		}
		for j := range i {
			earlier := p.Steps[j]
			if earlier.Phase.Index() <= s.Phase.Index() && rapid.IntRange(0, 4).Draw(t, "needs") == 0 {
				s.Needs = append(s.Needs, earlier.ID)
			}
			if s.Phase.Index() >= firedrill.Verify.Index() && earlier.Undo != nil && rapid.IntRange(0, 3).Draw(t, "discharges") == 0 {
				s.Discharges = append(s.Discharges, earlier.ID)
			}
		}
		p.Steps = append(p.Steps, s)
	}
	return p
}

// world is what the shell and the platform do, drawn at random. It holds the
// machine to its contract: effects only after their intent is durable.
type world struct {
	t       *rapid.T
	m       *Machine
	durable []firedrill.Record
	running []Effect // started and not answered
	ticks   int64
	good    bool // from now on all goes well
	crashes int
}

func (w *world) now() firedrill.Stamp { w.ticks++; return stampAt(w.ticks, "b") }

func (w *world) step(in Input) {
	if err := w.m.Step(in); err != nil {
		w.t.Fatalf("%#v: %v", in, err)
	}
}

// drain makes batches durable and starts their effects; now and then the
// process dies in the middle of a batch.
func (w *world) drain() {
	for rd, ok := w.m.Ready(); ok; rd, ok = w.m.Ready() {
		if !w.good && w.crashes < 6 && rapid.IntRange(0, 9).Draw(w.t, "crash") == 0 {
			keep := rapid.IntRange(0, len(rd.Records)).Draw(w.t, "kept")
			w.durable = append(w.durable, rd.Records[:keep]...)
			w.crash()
			return
		}
		w.durable = append(w.durable, rd.Records...)
		w.m.Advance()
		for _, e := range rd.Effects {
			w.begin(e)
		}
	}
}

func (w *world) begin(e Effect) {
	if e.Kind == Cancel || e.Kind == Measure {
		return
	}
	intended := false
	for _, r := range w.durable {
		b, is := r.Body.(firedrill.Intended)
		intended = intended || is && b.Op == e.Op && b.Role == e.Role && b.Attempt == e.Attempt
	}
	if !intended {
		w.t.Fatalf("%s %s %s was started without a durable intent", e.Kind, e.Step, e.Role)
	}
	w.running = append(w.running, e)
}

// crash takes the run up from what is durable. Without even a start there is
// nothing to take up.
func (w *world) crash() {
	w.crashes++
	w.running = nil
	if len(w.durable) == 0 {
		w.t.Skip("crashed before the run existed")
	}
	m, err := Load(fakeResolver{}, recode(w.t, w.durable))
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
	if m.Done() {
		return
	}
	w.step(Resume{At: w.now(), Version: "v", Executor: "e", Abort: rapid.IntRange(0, 9).Draw(w.t, "abort") == 0})
	w.drain()
}

func (w *world) answer() {
	if len(w.running) == 0 {
		w.step(MeasureDone{At: w.now()})
		return
	}
	i := 0
	if !w.good {
		i = rapid.IntRange(0, len(w.running)-1).Draw(w.t, "which")
	}
	e := w.running[i]
	w.running = append(w.running[:i], w.running[i+1:]...)
	how := 0
	if !w.good {
		how = rapid.IntRange(0, 11).Draw(w.t, "outcome")
	}
	if e.Kind == AskDone {
		w.step(Answer{At: w.now(), Op: e.Op, Done: []firedrill.Doneness{firedrill.Done, firedrill.NotDone, firedrill.DoneUnknown}[how%3], Outcome: goodOutcome()})
		return
	}
	c := Completion{At: w.now(), Op: e.Op, Role: e.Role, Attempt: e.Attempt, Status: firedrill.StatusOK, Started: w.now(), Finished: w.now(), Outcome: goodOutcome()}
	switch how {
	case 8:
		c.Status, c.Problem = firedrill.StatusFailed, &firedrill.Problem{Kind: firedrill.KindUnavailable, Detail: "unavailable"}
	case 9:
		c.Status, c.Problem = firedrill.StatusUnknown, &firedrill.Problem{Kind: firedrill.KindUnknown, Detail: "no answer"}
	case 10:
		c.Outcome.Checks = []firedrill.Check{{Compared: 2, Detail: "differs"}}
	case 11:
		if e.Role == firedrill.RoleDo {
			for k := range rapid.IntRange(1, 3).Draw(w.t, "sub") {
				s, err := parseStep(fmt.Sprintf("k%d %s", k, rapid.SampledFrom([]string{"", "changes undo w:a", "needs:k0 r:b"}).Draw(w.t, "kind")))
				if err != nil {
					w.t.Fatal(err)
				}
				if k == 0 {
					s.Needs = nil
				}
				c.Outcome.Steps = append(c.Outcome.Steps, s)
			}
		}
	}
	w.step(c)
}

// TestRandomRuns plays random drills in a random world with crashes. Whatever
// happens, a run ends, its live state is the fold of its records, no injection
// is done twice, and it passes only with every proof.
func TestRandomRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, m: New(fakeResolver{})}
		w.step(Start{At: w.now(), Run: "R", Version: "v", Executor: "e", Program: randomProgram(t)})
		w.drain()
		for i := 0; !w.m.Done(); i++ {
			if i == 60 {
				w.good = true
			}
			if i > 400 {
				t.Fatal("does not come to an end")
			}
			if !w.good && rapid.IntRange(0, 39).Draw(t, "signal") == 0 {
				w.step(Interrupt{At: w.now()})
			} else {
				w.answer()
			}
			w.drain()
		}
		loaded, err := Load(fakeResolver{}, recode(t, w.durable))
		if err != nil {
			t.Fatal(err)
		}
		if live, folded := portrait(w.m.state), portrait(loaded.state); live != folded {
			t.Fatalf("live and folded state differ:\n%s\n---\n%s", live, folded)
		}
		if wrong := violations(w.durable); len(wrong) > 0 {
			var log strings.Builder
			for _, r := range w.durable {
				fmt.Fprintf(&log, "%d %s\n", r.Seq, show(r.Body))
			}
			t.Fatalf("%s\n%s", strings.Join(wrong, "; "), log.String())
		}
	})
}
