package engine

import (
	"fmt"
	"testing"

	"firedrill"
)

// chain and fan are programs of n steps: one after the other, or side by side
// on one resource and on none.
func chain(n int) firedrill.Program {
	var p firedrill.Program
	for i := range n {
		s := firedrill.Step{ID: fmt.Sprintf("s%d", i), Phase: firedrill.Baseline, Uses: "a", With: firedrill.Values{"is": "changes w:db"}, Undo: &firedrill.Undo{Uses: "u", With: firedrill.Values{"replay": "idempotent"}}}
		if i > 0 {
			s.Needs = []string{fmt.Sprintf("s%d", i-1)}
		}
		p.Steps = append(p.Steps, s)
	}
	return p
}

func fan(n int, is string) firedrill.Program {
	var p firedrill.Program
	for i := range n {
		p.Steps = append(p.Steps, firedrill.Step{ID: fmt.Sprintf("s%d", i), Phase: firedrill.Baseline, Uses: "a", With: firedrill.Values{"is": is}})
	}
	return p
}

// counter counts what a run asks of its resolver: it is linear in the steps,
// or the engine tries steps over and over.
type counter struct {
	fakeResolver
	resolved int
}

func (c *counter) Resolve(s firedrill.Step, scope firedrill.Scope) (firedrill.Resolved, error) {
	c.resolved++
	return c.fakeResolver.Resolve(s, scope)
}

// finish runs a program to its end, every call answered in the order in which
// it began, and counts durable barriers and records.
func finish(tb testing.TB, r firedrill.Resolver, p firedrill.Program) (barriers, records int) {
	tb.Helper()
	m := New(r)
	var queue []Effect
	drain := func() {
		for rd, ok := m.Ready(); ok; rd, ok = m.Ready() {
			if len(rd.Records) > 0 {
				barriers++
			}
			records += len(rd.Records)
			m.Advance()
			queue = append(queue, rd.Effects...)
		}
	}
	must := func(in Input) {
		if err := m.Step(in); err != nil {
			tb.Fatal(err)
		}
		drain()
	}
	must(Start{At: stampAt(0, "b"), Run: "R", Program: p})
	for !m.Done() {
		if len(queue) == 0 {
			tb.Fatal("nothing to do and not done")
		}
		e := queue[0]
		queue = queue[1:]
		if e.Kind == Measure {
			must(MeasureDone{At: stampAt(1, "b")})
			continue
		}
		must(Completion{At: stampAt(1, "b"), Op: e.Op, Role: e.Role, Attempt: e.Attempt, Status: firedrill.StatusOK, Started: stampAt(0, "b"), Finished: stampAt(1, "b")})
	}
	return barriers, records
}

// TestTenThousandSteps: a chain costs one barrier a step and its undo another;
// steps side by side begin with one barrier for all; nothing is tried twice.
func TestTenThousandSteps(t *testing.T) {
	t.Parallel()
	const n = 10_000
	for _, c := range []struct {
		name              string
		program           firedrill.Program
		barriers, records int
	}{
		{"one after the other, and back", chain(n), 2*n + 2, 4*n + 3},
		{"side by side", fan(n, ""), n + 2, 2*n + 3},
		{"side by side on one resource", fan(n, "changes w:db"), n + 2, 2*n + 3},
		{"readers of one resource", fan(n, "r:db"), n + 2, 2*n + 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &counter{}
			barriers, records := finish(t, r, c.program)
			if barriers != c.barriers || records != c.records {
				t.Errorf("%d barriers and %d records, want %d and %d", barriers, records, c.barriers, c.records)
			}
			if r.resolved != n {
				t.Errorf("%d steps were resolved %d times", n, r.resolved)
			}
		})
	}
}

// BenchmarkSteps shows that the time per step does not grow with their number.
func BenchmarkSteps(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		for name, p := range map[string]firedrill.Program{"chain": chain(n), "fan": fan(n, "changes w:db")} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				barriers := 0
				for b.Loop() {
					barriers, _ = finish(b, fakeResolver{}, p)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/step")
				b.ReportMetric(float64(barriers)/float64(n), "barriers/step")
			})
		}
	}
}
