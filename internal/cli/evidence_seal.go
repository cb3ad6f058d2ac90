package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"firedrill"
	"firedrill/internal/cli/term"
	"firedrill/internal/evidence"
	"firedrill/internal/journal"
	"firedrill/internal/report"
)

// localStore is the name of a chain of runs that are kept in the local folder.
const localStore = "local"

// keeper is where this machine's signing key is kept.
func (a *app) keeper() (evidence.Keeper, error) {
	dir, err := a.homeDir()
	return evidence.Keeper{Dir: dir, Random: rand.Reader, Ring: keyRing{a.Getenv}}, err
}

// archive is the evidence of a state store. The key is this machine's own; it is made
// if there is none.
func (a *app) archive(s *station) (evidence.Archive, error) {
	k, err := a.keeper()
	if err != nil {
		return evidence.Archive{}, err
	}
	signer, err := k.Signer()
	return evidence.Archive{Dir: s.home.Dir(), Store: s.where, Signer: signer, Now: a.Now}, err
}

// sharer is a state store that other machines see.
type sharer interface {
	// PullChains brings the entries of all chains here.
	PullChains(ctx context.Context) error
	// PushChain brings a chain of this machine into the store, and the folders of
	// the runs that it seals before.
	PushChain(ctx context.Context, key string) error
	// PullRun brings the folder of a run here.
	PullRun(ctx context.Context, run string) error
}

// seal makes the folder of a finished run a bundle.
func (a *app) seal(ctx context.Context, s *station, records []firedrill.Record, r firedrill.Result) error {
	archive, err := a.archive(s)
	if err != nil {
		return err
	}
	if shared, is := s.home.(sharer); is { // the chain goes on where the store has it
		if err := shared.PullChains(ctx); err != nil {
			return err
		}
	}
	documents, err := a.documents(ctx, s, records, r)
	if err != nil {
		return err
	}
	hash := ""
	if started, ok := records[0].Body.(firedrill.RunStarted); ok {
		hash = started.Program.PlanHash
	}
	if _, err := archive.Seal(evidence.FactsOf(r, hash), documents); err != nil {
		return err
	}
	return a.push(ctx, s, archive)
}

// push brings what was added to the evidence to where other machines see it.
func (a *app) push(ctx context.Context, s *station, archive evidence.Archive) error {
	if shared, is := s.home.(sharer); is {
		return shared.PushChain(ctx, archive.Signer.Key().ID())
	}
	return nil
}

// documents are the files of a bundle beside what the run itself kept.
func (a *app) documents(ctx context.Context, s *station, records []firedrill.Record, r firedrill.Result) (map[string][]byte, error) {
	var lines bytes.Buffer
	for _, rec := range records {
		data, err := json.Marshal(rec) // as the journal has it
		if err != nil {
			return nil, &firedrill.Error{Op: "seal the evidence", Kind: firedrill.KindInternal, Err: err}
		}
		lines.Write(append(data, '\n'))
	}
	docs := map[string][]byte{evidence.RecordsFile: lines.Bytes()}
	for name, content := range map[string]any{
		evidence.ResultFile:   document(r),
		evidence.PlanFile:     planOf(records),
		evidence.VersionsFile: a.versionsOf(s, records, r),
	} {
		data, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return nil, &firedrill.Error{Op: "seal the evidence", Kind: firedrill.KindInternal, Err: err}
		}
		docs[name] = append(data, '\n')
	}
	page, err := a.reportOf(ctx, s, records, r)
	if err != nil {
		return nil, err
	}
	page.Zone = time.UTC // whoever reads it may be anywhere
	html, err := report.HTML(page)
	if err != nil {
		return nil, &firedrill.Error{Op: "seal the evidence", Kind: firedrill.KindInternal, Target: "the report", Err: err}
	}
	docs[evidence.ReportFile], docs[evidence.LogFile] = html, report.Log(page)
	return docs, nil
}

// planDocument is the plan as it was for the run: the drill with everything that it
// refers to. Plans hold references to secrets, never secrets.
type planDocument struct {
	SchemaVersion int               `json:"schema_version"`
	Hash          string            `json:"sha256"` // of the plan's file
	Program       firedrill.Program `json:"program"`
}

func planOf(records []firedrill.Record) planDocument {
	started, _ := records[0].Body.(firedrill.RunStarted)
	return planDocument{1, started.Program.PlanHash, started.Program}
}

// versionsDocument says with what a run was done.
type versionsDocument struct {
	SchemaVersion int      `json:"schema_version"`
	Firedrill     []string `json:"firedrill"` // that began the run, and that took it up
	API           string   `json:"api"`
	Workerd       string   `json:"workerd,omitempty"` // of the sandbox that the command started
	Sealed        sealedBy `json:"sealed_by"`
}

// sealedBy is the program that sealed the run: the one that ended it, unless that was
// cut off.
type sealedBy struct {
	Firedrill string `json:"firedrill"`
	Go        string `json:"go"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
}

func (a *app) versionsOf(s *station, records []firedrill.Record, r firedrill.Result) versionsDocument {
	v := versionsDocument{SchemaVersion: 1, API: r.Platform.API, Workerd: s.workerd, Sealed: sealedBy{a.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH}}
	for _, rec := range records {
		switch b := rec.Body.(type) {
		case firedrill.RunStarted:
			v.Firedrill = append(v.Firedrill, b.Version)
		case firedrill.Resumed:
			v.Firedrill = append(v.Firedrill, b.Version)
		}
	}
	return v
}

// sealPending seals runs that have finished and were not sealed: the process ended
// before it could. Those on which a process still works are left to it.
func (a *app) sealPending(ctx context.Context, s *station) {
	runs, err := s.journal.Runs(ctx, journal.Query{Limit: pendingLimit})
	if err != nil {
		return // whoever needs the journal says it
	}
	sealed, err := evidence.Sealed(s.home.Dir())
	if err != nil {
		a.notSealed("", err)
		return
	}
	failures := 0
	for _, run := range slices.Backward(runs) { // in the order in which they began
		if _, is := sealed[run.ID]; is || run.Finished.IsZero() {
			continue
		}
		// The folder of a run of another machine is not here, and that machine seals it.
		if _, err := os.Stat(s.home.RunPath(run.ID)); err != nil {
			continue
		}
		if err := a.sealLate(ctx, s, run.ID); err != nil {
			failures++
			if failures == 1 { // what hinders one may hinder all
				a.notSealed(run.ID, err)
			}
		}
	}
	if failures > 1 {
		a.unsealed = append(a.unsealed, fmt.Sprintf("%d more runs are not sealed yet", failures-1))
	}
}

// pendingLimit is how far back runs that are not sealed are looked for.
const pendingLimit = 200

func (a *app) sealLate(ctx context.Context, s *station, run string) error {
	holder, err := s.runner.Holder(ctx, run)
	if err != nil || holder != nil && holder.Run == run {
		return err
	}
	records, err := s.journal.Records(ctx, run)
	if err != nil {
		return err
	}
	r, err := a.describe(s, records)
	if err != nil {
		return err
	}
	return a.seal(ctx, s, records, r)
}

// notSealed says that a run has no evidence yet. The run itself is in the journal, so
// that is no reason to fail: the next command seals it.
func (a *app) notSealed(run string, err error) {
	var ours *firedrill.Error
	text := err.Error()
	if errors.As(err, &ours) && ours.Remedy != "" {
		text += "; " + ours.Remedy
	}
	if run != "" {
		text = "run " + run + " is not sealed yet: " + text
	}
	a.unsealed = append(a.unsealed, text)
}

// tellUnsealed says what could not be sealed.
func (a *app) tellUnsealed() {
	for _, text := range a.unsealed {
		a.err.Line(term.Warn, "evidence", text)
	}
	a.unsealed = nil
}

// showSeal says whether a run is sealed, and what people added to it.
func (a *app) showSeal(s *station, r firedrill.Result) error {
	sealed, err := evidence.Sealed(s.home.Dir())
	if err != nil {
		return err
	}
	remarks, err := evidence.Remarks(s.home.Dir())
	if err != nil {
		return err
	}
	e, is := sealed[r.Run]
	switch {
	case is:
		a.out.Line(term.Plain, "  evidence", fmt.Sprintf("sealed as entry %d; check it: firedrill evidence verify", e.Sequence))
	case r.Verdict != "":
		a.out.Line(term.Warn, "  evidence", "not sealed yet; the next run seals it, and firedrill evidence verify")
	}
	if r.Ticket != nil {
		a.out.Line(term.Plain, "  ticket", *r.Ticket)
	}
	if r.Approver != nil {
		a.out.Line(term.Plain, "  approver", *r.Approver)
	}
	for _, m := range past(r, remarks[r.Run]).Remarks {
		text := m.By + " on " + m.At.Local().Format(time.DateTime)
		if m.Text != "" {
			text += ": " + m.Text
		}
		a.out.Line(term.Plain, "  "+string(m.Kind), text)
	}
	return nil
}
