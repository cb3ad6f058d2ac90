package machines

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"firedrill"
)

// dueDocument is what run --due --json prints.
type dueDocument struct {
	Runs []firedrill.Result
	Left []struct{ Drill, Why string }
}

// due runs on a machine what is due.
func (s *stage) due(machine string) (status int, doc dueDocument) {
	s.t.Helper()
	status, out, told := s.firedrill(machine, "run", "--due", "--yes", "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		s.t.Fatalf("exit status %d, %v: %s%s", status, err, out, told)
	}
	return status, doc
}

// target sets the drill's interval and target.
func (s *stage) target(rto string) {
	s.t.Helper()
	text, err := os.ReadFile(s.plan)
	if err != nil {
		s.t.Fatal(err)
	}
	begin, _, _ := strings.Cut(string(text), "drills:\n")
	s.file("firedrill.yaml", begin+"drills:\n  d1: {use: d1-pitr, with: {database: shop}, every: monthly, rto: "+rto+", rpo: 5m}\n")
}

// TestWhatIsDueRunsOnceOnWhicheverMachine: a cron job of two machines that share a
// bucket. What one runs the other leaves; a drill that failed waits until somebody
// acknowledges it, on any machine; what passed is not due any more.
func TestWhatIsDueRunsOnceOnWhicheverMachine(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.target("1ms") // which no recovery meets
	var meanwhile int
	var left dueDocument
	s.see(once(restores, func() { meanwhile, left = s.due("b") }))
	status, first := s.due("a")
	s.see(func(*http.Request) {})
	if status != firedrill.ExitFailed || len(first.Runs) != 1 || first.Runs[0].ReasonCode != firedrill.ReasonRTOMissed || first.Runs[0].State != firedrill.Restored {
		t.Fatalf("exit status %d: %+v", status, first)
	}
	if meanwhile != firedrill.ExitOperational || len(left.Runs) > 0 || len(left.Left) != 1 || !strings.Contains(left.Left[0].Why, first.Runs[0].Run) {
		t.Errorf("meanwhile: exit status %d: %+v", meanwhile, left)
	}
	run := first.Runs[0].Run
	for _, machine := range []string{"a", "b"} {
		status, doc := s.due(machine)
		if status != 0 || len(doc.Runs) > 0 || len(doc.Left) != 1 || !strings.Contains(doc.Left[0].Why, "firedrill ack "+run) {
			t.Errorf("%s, before anybody looked: exit status %d: %+v", machine, status, doc)
		}
	}
	s.target("5m")
	if status, out, told := s.firedrill("b", "ack", run, "--note", "the target was wrong"); status != 0 {
		t.Fatalf("exit status %d: %s%s", status, out, told)
	}
	status, again := s.due("a")
	if status != 0 || len(again.Runs) != 1 || again.Runs[0].Verdict != firedrill.Passed {
		t.Fatalf("after the acknowledgement: exit status %d: %+v", status, again)
	}
	for _, machine := range []string{"a", "b"} {
		if status, doc := s.due(machine); status != 0 || len(doc.Runs)+len(doc.Left) > 0 {
			t.Errorf("%s, when it has passed: exit status %d: %+v", machine, status, doc)
		}
	}
	s.whole()
}
