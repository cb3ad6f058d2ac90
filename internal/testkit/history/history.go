// Package history makes a state folder with runs that never happened, through the
// real journal: for tests of what is computed from finished runs, and for measuring
// with ten thousand of them.
package history

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
	"firedrill/internal/report"
	"firedrill/internal/state"
)

// Run is a run to make up.
type Run struct {
	Drill       string
	Environment string // "": that of the plan
	Started     time.Time
	Verdict     firedrill.Verdict
	State       firedrill.EnvironmentState // "": restored
	Incident    bool
}

// took is how long every run took.
const took = 2 * time.Minute

// Home is a state folder with made-up runs of a plan.
type Home struct {
	Plan     *firedrill.Plan
	registry *action.Registry
	home     *state.Home
	journal  *journal.Journal
	programs map[string]firedrill.Program
}

// Open makes or opens a state folder for runs of a plan.
func Open(ctx context.Context, dir, file string, text []byte) (*Home, error) {
	r, err := action.NewRegistry(cloudflare.Pack(cloudflare.Deps{}), http.Pack(http.Deps{}), quiesce.Pack())
	if err != nil {
		return nil, err
	}
	p, err := plan.Parse(file, text, r, playbook.Library{})
	if err != nil {
		return nil, err
	}
	home, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(ctx, home.Journal())
	if err != nil {
		return nil, err
	}
	return &Home{Plan: p, registry: r, home: home, journal: j, programs: map[string]firedrill.Program{}}, nil
}

// Close closes the journal.
func (h *Home) Close() error { return h.journal.Close() }

// Add makes up a run and gives its id.
func (h *Home) Add(ctx context.Context, run Run) (string, error) {
	key := run.Drill + " " + run.Environment
	p, ok := h.programs[key]
	if !ok {
		prog, err := plan.Program(h.Plan, run.Drill, run.Environment, h.registry, playbook.Library{})
		if err != nil {
			return "", err
		}
		p = *prog
		h.programs[key] = p
	}
	if run.Incident {
		p.Incident = &firedrill.Incident{}
	}
	id, err := ulid.New(ulid.Timestamp(run.Started), ulid.DefaultEntropy())
	if err != nil {
		return "", err
	}
	records := tell(id.String(), p, run)
	if err := h.journal.Append(ctx, id.String(), records); err != nil {
		return "", err
	}
	return id.String(), h.keep(id.String(), records)
}

// keep leaves the result in the run's folder, as a run does.
func (h *Home) keep(id string, records []firedrill.Record) error {
	r, err := report.Result(records)
	if err != nil {
		return err
	}
	dir, err := h.home.RunDir(id)
	if err != nil {
		return err
	}
	r.Evidence = dir
	data, err := json.MarshalIndent(firedrill.Document{SchemaVersion: firedrill.ResultSchema, Runs: []firedrill.Result{r}}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "result.json"), data, 0o600)
}

// tell writes the records of a run whose every step went well, and its verdict.
func tell(id string, p firedrill.Program, run Run) []firedrill.Record {
	var records []firedrill.Record
	at := func(since time.Duration) firedrill.Stamp {
		return firedrill.Stamp{Wall: run.Started.Add(since).UTC(), Mono: int64(since) + 1, Boot: "made-up"}
	}
	add := func(since time.Duration, b firedrill.Body) {
		records = append(records, firedrill.Record{Seq: int64(len(records) + 1), At: at(since), Body: b})
	}
	add(0, firedrill.RunStarted{Format: firedrill.RecordFormat, Run: id, Version: "made-up", Executor: "nobody@nowhere", Program: p})
	pause := took / time.Duration(len(p.Steps)+1)
	for i, s := range p.Steps {
		begin := pause * time.Duration(i)
		op := fmt.Sprintf("%s-%d", s.ID, i)
		add(begin, firedrill.Intended{Step: s.ID, Role: firedrill.RoleDo, Attempt: 1, Op: op, Uses: s.Uses})
		add(begin+pause, firedrill.Ended{Step: s.ID, Role: firedrill.RoleDo, Attempt: 1, Op: op, Status: firedrill.StatusOK, Started: at(begin), Finished: at(begin + pause), Summary: "made up"})
	}
	end := firedrill.Finished{Verdict: run.Verdict, ReasonCode: firedrill.ReasonOK, Reasons: []string{}, Environment: run.State}
	if end.Environment == "" {
		end.Environment = firedrill.Restored
	}
	switch run.Verdict {
	case firedrill.Failed:
		end.ReasonCode, end.Reasons = firedrill.ReasonDataDiffers, []string{"made up"}
	case firedrill.Inconclusive:
		end.ReasonCode, end.Reasons = firedrill.ReasonNoDamage, []string{"made up"}
	}
	rto := took.Seconds() / 4
	add(took, firedrill.Measured{Measurement: firedrill.Measurement{RTO: firedrill.RTO{Actual: &rto}}})
	add(took, end)
	return records
}
