package quiesce

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// bookmark is the database's present point in time.
func (s *stage) bookmark() string {
	s.t.Helper()
	var out struct{ Bookmark string }
	s.cloud.Must(http.MethodGet, "d1/database/"+s.db+"/time_travel/bookmark", nil).Into(s.t, &out)
	return out.Bookmark
}

// disaster changes what the application shows.
func (s *stage) disaster() {
	s.t.Helper()
	s.cloud.Query(s.db, "DELETE FROM catalogue WHERE id > 1")
}

// shown is how many things the catalogue has.
func (s *stage) shown() int {
	s.t.Helper()
	return len(s.cloud.Query(s.db, "SELECT id FROM catalogue"))
}

// TestARecoveryAmongWriters stops them before it records what it replaces, restarts
// them whatever happens, and says it where it does not.
func TestARecoveryAmongWriters(t *testing.T) {
	t.Parallel()
	s := newStage(t, false, "/maintenance/on")
	s.write(2, 20*time.Millisecond)
	s.goesOn()
	point := s.bookmark()
	s.disaster()
	status, r, told := s.firedrill("recover", "d1", "--to", point)
	if status != firedrill.ExitOK || r.Verdict != firedrill.Recovered || s.shown() != 4 {
		t.Fatalf("exit status %d: %+v\n%s", status, r, told)
	}
	if s.refused.Load() == 0 || strings.Contains(strings.Join(r.Reasons, " "), "writers were not stopped") {
		t.Errorf("%d orders were refused; %q", s.refused.Load(), r.Reasons)
	}
	s.goesOn()

	// Writers that do not stop: nothing is changed, and they go on.
	s.edit("/maintenance/on", "/maintenance/nothing", "patience: 30", "patience: 1")
	point = s.bookmark()
	s.disaster()
	status, r, told = s.firedrill("recover", "d1", "--to", point)
	if status == firedrill.ExitOK || r.Verdict != firedrill.NotRecovered || r.State != firedrill.Restored || s.shown() != 1 || !strings.Contains(strings.Join(r.Reasons, " "), "still writes") {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.goesOn()

	// A person says that they need not be stopped.
	refused := s.refused.Load()
	status, r, told = s.firedrill("recover", "d1", "--to", point, "--no-quiesce")
	if status != firedrill.ExitOK || s.shown() != 4 || s.refused.Load() != refused || !strings.Contains(strings.Join(r.Reasons, " "), "writers were not stopped: as it was asked for") {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.goesOn()
}

// TestARecoveryThatIsKilledAmongWriters leaves them stopped until it is resumed.
func TestARecoveryThatIsKilledAmongWriters(t *testing.T) {
	t.Parallel()
	if os.Getenv("FIREDRILL_SOAK") == "" {
		t.Skip("drills are killed so in every run; set FIREDRILL_SOAK=1")
	}
	s := newStage(t, false, "/maintenance/on")
	s.write(2, 20*time.Millisecond)
	s.goesOn()
	point := s.bookmark()
	s.disaster()
	s.kill(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/time_travel/restore") }, "recover", "d1", "--to", point)
	status, r, told := s.firedrill("resume")
	if status != firedrill.ExitOK || r.Verdict != firedrill.Recovered || s.shown() != 4 {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.goesOn()
}

// TestASalvageAmongWriters brings the catalogue back, and of the orders that were taken
// meanwhile not one is lost.
func TestASalvageAmongWriters(t *testing.T) {
	t.Parallel()
	s := newStage(t, false, "/maintenance/on")
	s.write(2, 20*time.Millisecond)
	s.goesOn()
	point := s.bookmark()
	s.goesOn()
	s.disaster()
	s.goesOn()
	file := s.file("rows.jsonl", "")
	status, r, told := s.firedrill("recover", "d1", "--to", point, "--salvage", "--plan-out", file)
	if status != firedrill.ExitOK || r.ReasonCode != firedrill.ReasonListed || s.shown() != 1 || s.refused.Load() == 0 {
		t.Fatalf("exit status %d: %+v\n%s", status, r, told)
	}
	s.goesOn()
	status, r, told = s.firedrill("recover", "d1", "--salvage", "--choices", file)
	if status != firedrill.ExitOK || r.Verdict != firedrill.Recovered || s.shown() != 4 {
		t.Errorf("exit status %d: %+v\n%s", status, r, told)
	}
	s.goesOn()
	s.noneLost()
	t.Logf("%d orders taken, %d refused", s.count(), s.refused.Load())
}
