package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"firedrill"
	"firedrill/internal/evidence"
	"firedrill/internal/journal"
)

// pasts gives the finished runs of a query, the newest first. Their results are read
// from the runs' folders; the records, which are many, only where there is none.
func (a *app) pasts(ctx context.Context, s *station, q journal.Query) ([]firedrill.Past, error) {
	runs, err := s.journal.Runs(ctx, q)
	if err != nil {
		return nil, err
	}
	if shared, is := s.home.(sharer); is { // people add remarks on other machines, too
		if err := shared.PullChains(ctx); err != nil {
			return nil, err
		}
	}
	remarks, err := evidence.Remarks(s.home.Dir())
	if err != nil {
		return nil, err
	}
	var all []firedrill.Past
	for _, run := range runs {
		if run.Finished.IsZero() {
			continue
		}
		r, err := readResult(s.home.RunPath(run.ID))
		if err != nil || r.Run != run.ID || r.Verdict != run.Verdict || r.Class == "" {
			records, err := s.journal.Records(ctx, run.ID)
			if err != nil {
				return nil, err
			}
			if r, err = a.describe(s, records); err != nil {
				return nil, err
			}
		}
		all = append(all, past(r, remarks[r.Run]))
	}
	return all, nil
}

// past is a result in brief, with what people added later.
func past(r firedrill.Result, remarks []firedrill.Remark) firedrill.Past {
	p := firedrill.Past{Run: r.Run, Drill: r.Drill, Use: r.Use, Title: r.Title, Environment: r.Environment, Class: r.Class,
		Verdict: r.Verdict, ReasonCode: r.ReasonCode, State: r.State, Started: r.Started, Finished: r.Finished, Executor: r.Executor, Incident: r.Incident != nil,
		RTO: firedrill.Figure{Actual: r.RTO.Actual, Target: r.RTO.Target}, RPO: firedrill.Figure{Actual: r.RPO.Actual, Target: r.RPO.Target},
		LostBefore: r.RPO.LostBefore, LostAfter: r.RPO.LostAfter, Folder: r.Evidence}
	if r.Comment != "" {
		p.Remarks = []firedrill.Remark{{Kind: firedrill.RemarkNote, At: r.Started, By: r.Executor, Text: r.Comment}}
	}
	p.Remarks = append(p.Remarks, remarks...)
	return p
}

// readResult reads the copy of a result that a run's folder keeps.
func readResult(dir string) (firedrill.Result, error) {
	data, err := os.ReadFile(filepath.Join(dir, resultFile))
	if err != nil {
		return firedrill.Result{}, err
	}
	var doc firedrill.Document
	if err := json.Unmarshal(data, &doc); err != nil || len(doc.Runs) != 1 {
		return firedrill.Result{}, corruptResult(dir, err)
	}
	doc.Runs[0].Evidence = dir
	return doc.Runs[0], nil
}

func corruptResult(dir string, err error) error {
	return &firedrill.Error{Op: "read the result", Kind: firedrill.KindCorrupt, Target: dir, Detail: "it is no result of one run", Err: err}
}
