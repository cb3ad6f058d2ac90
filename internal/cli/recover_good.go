package cli

import (
	"context"
	"fmt"
	"time"

	"firedrill"
	"firedrill/internal/journal"
)

// good finds the newest point at which a run of this machine's journal found all as
// it should be, for the resource that a program recovers: data that was compared and
// equal, or, where the playbook takes a time, an application that answered as it
// should. Only runs that passed or recovered count.
func (s *station) good(ctx context.Context, p firedrill.Program, now time.Time) (point, error) {
	runs, err := s.journal.Runs(ctx, journal.Query{Environment: p.Environment.Name})
	if err != nil {
		return point{}, err
	}
	var best moment
	for _, run := range runs {
		if run.Verdict != firedrill.Passed && run.Verdict != firedrill.Recovered {
			continue
		}
		records, err := s.journal.Records(ctx, run.ID)
		if err != nil {
			return point{}, err
		}
		for _, m := range goodMoments(p, run.ID, records) {
			if m.at.After(best.at) {
				best = m
			}
		}
	}
	if best.at.IsZero() {
		return point{}, &firedrill.Error{Op: "recover", Kind: firedrill.KindNotFound, Target: "environment " + p.Environment.Name,
			Detail: "no run in the journal found it good, so nothing is known of a latest good point", Remedy: "name the point yourself: a time, a bookmark, a version or a backup"}
	}
	return point{best.inputs, fmt.Sprintf("the latest good point, %s: %s", timeWords(best.at, now), best.words)}, nil
}

// moment is a point that was found good.
type moment struct {
	at     time.Time
	inputs firedrill.Values
	words  string
}

// goodMoments gives the moments of a run that a program could return to.
func goodMoments(p firedrill.Program, run string, records []firedrill.Record) []moment {
	started, _ := records[0].Body.(firedrill.RunStarted)
	then := started.Program
	undo := then.Incident != nil && then.Incident.Undoes != ""
	if undo || then.Environment.Settings["api"] != p.Environment.Settings["api"] || then.Environment.Settings["account"] != p.Environment.Settings["account"] {
		return nil
	}
	steps, inputs := map[string]firedrill.Step{}, map[string]firedrill.Values{}
	for _, st := range then.Steps {
		steps[st.ID] = st
	}
	var id any // of the resource itself, and not of a scratch copy
	var all []moment
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.Intended:
			inputs[b.Step] = b.Resolved.Inputs
		case firedrill.Ended:
			st := steps[b.Step]
			if b.Role != firedrill.RoleDo || b.Status != firedrill.StatusOK {
				continue
			}
			if b.Step == "find" && sameTarget(p, then) {
				id = b.Outputs["id"]
			}
			m := moment{at: b.Finished.Wall, words: fmt.Sprintf("run %s found %q", run, b.Summary)}
			if st.Phase.Index() >= firedrill.Verify.Index() && m.take(p, then, st, inputs[b.Step], b, id, run) {
				all = append(all, m)
			}
		}
	}
	return all
}

// take makes a step that passed a point, where it is one.
func (m *moment) take(p, then firedrill.Program, st firedrill.Step, in firedrill.Values, b firedrill.Ended, id any, run string) bool {
	compared := st.Proves == firedrill.ProvesData || st.Proves == firedrill.ProvesClean
	_, byTime := p.Inputs["at"]
	// A drill of this very database answers while its canaries are in it.
	canaries := sameTarget(p, then) && then.Incident == nil && then.Use == "d1-pitr" && p.Use == then.Use
	switch {
	case compared && p.Use == "d1-pitr" && st.Uses == "d1.compare" && id != nil && in["database"] == id:
		m.inputs = firedrill.Values{"bookmark": b.Outputs["bookmark"]}
		if len(b.Collateral) == 0 { // else it is equal but for what is named there
			m.inputs["run"], m.inputs["against"] = run, in["against"]
		}
	case compared && p.Use == "kv-backup-restore" && st.Uses == "kv.compare" && id != nil && in["namespace"] == id:
		m.inputs = firedrill.Values{"run": run, "backup": in["backup"]}
	case st.Proves == firedrill.ProvesService && byTime && !canaries:
		m.inputs = firedrill.Values{"at": m.at.UTC().Format(time.RFC3339Nano)}
	default:
		return false
	}
	return true
}

// sameTarget tells whether two programs are about one resource.
func sameTarget(a, b firedrill.Program) bool {
	for _, x := range a.Inputs {
		is, resource := x.(map[string]any)
		for _, y := range b.Inputs {
			if resource && sameResource(is, y) {
				return true
			}
		}
	}
	return false
}
