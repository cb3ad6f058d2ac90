package incident

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// rounds is how many disasters are tried: a sample, or all with FIREDRILL_SOAK=1.
func rounds(sample, all int) int {
	if os.Getenv("FIREDRILL_SOAK") != "" {
		return all
	}
	return sample
}

// bookmark is the database's present point in time.
func (p *place) bookmark() string {
	p.t.Helper()
	var out struct{ Bookmark string }
	p.cloud.Must(http.MethodGet, "d1/database/"+p.db+"/time_travel/bookmark", nil).Into(p.t, &out)
	return out.Bookmark
}

// TestADatabaseIsRecoveredAndTheDisasterBroughtBack does random damage, returns to
// the point before by bookmark or by time, and undoes that.
func TestADatabaseIsRecoveredAndTheDisasterBroughtBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range rounds(6, 100) {
		good, to := p.rows(), p.bookmark()
		if i%2 == 1 {
			to = time.Now().UTC().Format(time.RFC3339Nano)
			time.Sleep(5 * time.Millisecond) // bookmarks have times to the millisecond
		}
		p.disaster(r)
		bad := p.rows()
		if bad == good {
			continue // it deleted nothing
		}
		run := p.recover("recover", "d1-pitr", "--to", to, "--incident-started", "10 minutes ago")
		if got := p.rows(); got != good {
			t.Fatalf("round %d, to %s: recovered, and the rows are\n%.2000s\nthey were\n%.2000s", i, to, got, good)
		}
		if run.RTO.Actual == nil || *run.RTO.Actual < 600 || *run.RTO.Actual > 3000 {
			t.Errorf("round %d: RTO %+v, since ten minutes before the recovery", i, run.RTO)
		}
		undo := p.recover("recover", "--undo", run.Run)
		if got := p.rows(); got != bad {
			t.Fatalf("round %d: undone, and the rows are\n%.2000s\nthe disaster was\n%.2000s", i, got, bad)
		}
		p.recover("recover", "--undo", undo.Run) // an undo can be undone
		if got := p.rows(); got != good {
			t.Fatalf("round %d: the undo was undone, and the rows are\n%.2000s", i, got)
		}
	}
}

// TestANamespaceIsRecoveredAndTheDisasterBroughtBack does the same with a backup.
func TestANamespaceIsRecoveredAndTheDisasterBroughtBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := rand.New(rand.NewPCG(7, 7))
	for i := range rounds(2, 30) {
		backup := filepath.Join(p.dir, fmt.Sprintf("backup-%d", i))
		if status, out, told := p.run("backup", "kv", "cache", "-o", backup, "--env", "sandbox"); status != 0 {
			t.Fatalf("%d %s%s", status, out, told)
		}
		good := p.keys()
		p.put("stranger", fmt.Sprint(i))
		p.put(fmt.Sprintf("k%d", r.IntN(20)), "CORRUPTED")
		p.cloud.Must(http.MethodDelete, fmt.Sprintf("storage/kv/namespaces/%s/values/k%d", p.kv, r.IntN(20)), nil)
		bad := p.keys()
		run := p.recover("recover", "kv", "--to", backup)
		if got := p.keys(); got != good {
			t.Fatalf("recovered, and the keys are\n%s", got)
		}
		undo := p.recover("recover", "--undo", run.Run)
		if got := p.keys(); got != bad {
			t.Fatalf("undone, and the keys are\n%s\nthe disaster was\n%s", got, bad)
		}
		p.recover("recover", "--undo", undo.Run)
	}
}

// TestAWorkerIsRecoveredAndTheDisasterBroughtBack returns from a bad version, by
// version and by time.
func TestAWorkerIsRecoveredAndTheDisasterBroughtBack(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	time.Sleep(5 * time.Millisecond)
	before := time.Now()
	for i := range rounds(2, 20) {
		time.Sleep(5 * time.Millisecond)
		bad := p.deploy("bad")
		to := p.version
		if i == 0 {
			to = before.UTC().Format(time.RFC3339Nano)
		}
		run := p.recover("recover", "worker-rollback", "--to", to)
		if got := p.serving(); got != p.version {
			t.Fatalf("%s serves, not %s", got, p.version)
		}
		undo := p.recover("recover", "--undo", run.Run)
		if got := p.serving(); got != bad {
			t.Fatalf("%s serves, not %s", got, bad)
		}
		p.recover("recover", "--undo", undo.Run)
	}
}

// TestTheLatestGoodPointIsOneThatWasFoundGood lets a drill find all good, does damage
// and returns there without naming the point.
func TestTheLatestGoodPointIsOneThatWasFoundGood(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if status, _, told := p.run("recover", "d1-pitr", "--to", "latest-good"); status != firedrill.KindNotFound.Exit() || !strings.Contains(told, "no run in the journal") {
		t.Errorf("with an empty journal: %d %s", status, told)
	}
	if r, status, told := p.result("run", "d1-pitr"); status != 0 {
		t.Fatalf("%d %v %s", status, r.Reasons, told)
	}
	good := p.rows()
	p.disaster(rand.New(rand.NewPCG(3, 3)))
	r := p.recover("recover", "d1-pitr", "--to", "latest-good")
	if got := p.rows(); got != good {
		t.Errorf("the rows are\n%.2000s\nthey were\n%.2000s", got, good)
	}
	if r.Incident == nil || !strings.Contains(r.Incident.Point, "latest good point") {
		t.Errorf("%+v", r.Incident)
	}
	if r, status, told := p.result("run", "kv"); status != 0 {
		t.Fatalf("%d %v %s", status, r.Reasons, told)
	}
	keys := p.keys()
	p.put("k1", "CORRUPTED")
	p.recover("recover", "kv", "--to", "latest-good")
	if got := p.keys(); got != keys {
		t.Errorf("the keys are\n%s\nthey were\n%s", got, keys)
	}
	p.deploy("bad")
	p.recover("recover", "worker-rollback", "--to", "latest-good")
	if got := p.serving(); got != p.version {
		t.Errorf("%s serves, not %s", got, p.version)
	}
}

// probes is what the plan says about how the application answers.
var probes = regexp.MustCompile(`, probes: \[.*\]`)

// TestWhatIsNotRecoveredIsNotCalledSo makes a recovery at which nobody looks, because
// the plan has no probes.
func TestWhatIsNotRecoveredIsNotCalledSo(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	worse := p.deploy("worse")
	p.deploy("bad")
	p.edit(func(plan string) string { return probes.ReplaceAllString(plan, "") })
	r, status, _ := p.result("recover", "worker-rollback", "--to", worse)
	if status != firedrill.ExitDirty || r.Verdict != firedrill.NotRecovered || r.State != firedrill.Dirty || len(r.Left) == 0 || !strings.Contains(r.Left[0].Repair, "--undo "+r.Run) {
		t.Errorf("status %d: %+v", status, r)
	}
	// Nothing to return to: nothing is changed.
	r, status, _ = p.result("recover", "worker-rollback", "--to", worse)
	if status != firedrill.ExitOperational || r.Verdict != firedrill.NotRecovered || r.State != firedrill.Restored {
		t.Errorf("status %d: %s %s %s %v", status, r.Verdict, r.ReasonCode, r.State, r.Reasons)
	}
	if status, _, told := p.run("recover", "--undo", r.Run); status != firedrill.ExitUsage || !strings.Contains(told, "nothing to undo") {
		t.Errorf("status %d: %s", status, told)
	}
}

// TestProductionIsRecoveredByPeopleAlone: without a terminal, and with the token that
// drills use, nothing is sent.
func TestProductionIsRecoveredByPeopleAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	point := p.bookmark()
	p.cloud.Query(p.db, "DELETE FROM rows WHERE id = 1")
	for _, want := range []string{"uses the same token", "nobody typed its name"} {
		for _, args := range [][]string{{}, {"--yes"}} {
			status, _, told := p.run(append([]string{"recover", "d1-pitr", "--env", "production", "--to", point}, args...)...)
			if status != firedrill.ExitGuard || !strings.Contains(told, want) {
				t.Errorf("%v: status %d: %s", args, status, told)
			}
		}
		own := filepath.Join(p.dir, "own")
		p.write(own, p.cloud.Token())
		p.edit(func(plan string) string {
			head, tail, _ := strings.Cut(plan, "  production:")
			return head + "  production:" + strings.Replace(tail, filepath.Join(p.dir, "token"), own, 1)
		})
	}
	if rows := p.cloud.Query(p.db, "SELECT count(*) AS n FROM rows"); fmt.Sprint(rows[0]["n"]) != "199" {
		t.Errorf("%v", rows)
	}
}

// TestResultsSayThatTheyAreOfAnIncident shows a run again from the journal.
func TestResultsSayThatTheyAreOfAnIncident(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	point := p.bookmark()
	p.cloud.Query(p.db, "DELETE FROM rows")
	r := p.recover("recover", "d1-pitr", "--to", point)
	_, out, _ := p.run("show", r.Run, "--json")
	var doc firedrill.Document
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	if got := doc.Runs[0]; got.Incident == nil || got.Incident.Began != nil || got.Verdict != firedrill.Recovered || !strings.Contains(strings.Join(got.Reasons, " "), "not compared: the rows") {
		t.Errorf("%s", out)
	}
}
