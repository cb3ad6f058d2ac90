package report

import (
	"strings"
	"time"

	"firedrill"
)

// Page is what the documents of one run are written from. They are about the run as
// it was: what ran later is left out, and the same page gives the same bytes.
type Page struct {
	Result  firedrill.Result
	Records []firedrill.Record
	// History holds the finished runs of the same drill, the newest first, this one
	// included. Those after it, and those on another environment, are left out.
	History []firedrill.Past
	Remarks []firedrill.Remark // the oldest first
	Zone    *time.Location     // in which times are told; nil: UTC
}

// zone is the time zone of the page.
func (p Page) zone() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// day writes a date as the log has it: 2026-11-27.
func (p Page) day(t time.Time) string { return t.In(p.zone()).Format("2006-01-02") }

// moment writes a date and a time with its zone.
func (p Page) moment(t time.Time) string {
	return t.In(p.zone()).Format("2 Jan 2006, 15:04:05 MST")
}

// begin is the first record, empty where there is none.
func (p Page) begin() firedrill.RunStarted {
	if len(p.Records) == 0 {
		return firedrill.RunStarted{}
	}
	b, _ := p.Records[0].Body.(firedrill.RunStarted)
	return b
}

// steps are the steps of the program, and those they expanded to, by their ids.
func (p Page) steps() map[string]firedrill.Step {
	all := map[string]firedrill.Step{}
	add := func(steps []firedrill.Step) {
		for _, s := range steps {
			all[s.ID] = s
		}
	}
	for _, r := range p.Records {
		switch b := r.Body.(type) {
		case firedrill.RunStarted:
			add(b.Program.Steps)
		case firedrill.Expanded:
			add(b.Steps)
		}
	}
	return all
}

// impacts tells what each step that began does to the world.
func (p Page) impacts() map[string]firedrill.Impact {
	all := map[string]firedrill.Impact{}
	for _, r := range p.Records {
		if b, is := r.Body.(firedrill.Intended); is && b.Role == firedrill.RoleDo {
			all[b.Step] = b.Resolved.Impact
		}
	}
	return all
}

// past gives the runs that this one is held against, the newest first: it, and those
// before it on the same environment.
func (p Page) past() []firedrill.Past {
	var runs []firedrill.Past
	for _, h := range p.History {
		if h.Drill == p.Result.Drill && h.Environment == p.Result.Environment && (h.Run == p.Result.Run || h.Started.Before(p.Result.Started)) {
			runs = append(runs, h)
		}
	}
	return runs
}

// resources names what was drilled, as the program was given it: "d1 foundation-primary".
func (p Page) resources() []string {
	var names []string
	inputs := p.begin().Program.Inputs
	for _, key := range sortedKeys(inputs) {
		r, _ := inputs[key].(map[string]any)
		kind, _ := r["kind"].(string)
		name, _ := r["name"].(string)
		if name == "" {
			name, _ = r["id"].(string)
		}
		if kind != "" && name != "" {
			names = append(names, kind+" "+name)
		}
	}
	return names
}

// verdict is the verdict in words; a run without one has not finished.
func verdict(r firedrill.Result) string {
	if r.Verdict == "" {
		return "not finished"
	}
	return strings.ReplaceAll(string(r.Verdict), "-", " ")
}

// lead says in a sentence what a verdict means.
func lead(r firedrill.Result) string {
	switch {
	case r.Verdict == "":
		return "The run has not finished, so nothing is shown yet."
	case r.Verdict == firedrill.Recovered && r.ReasonCode == firedrill.ReasonOK:
		return "The recovery is done, and what was looked at afterwards bears it out."
	case r.Verdict == firedrill.Passed && r.RTO.Target == nil && r.RPO.Target == nil:
		return "The damage was real and was observed, and what was recovered is as it was before. No target is set."
	case r.Verdict == firedrill.Passed:
		return "The damage was real and was observed, what was recovered is as it was before, and every target that is set was met."
	}
	switch r.ReasonCode {
	case firedrill.ReasonRTOMissed:
		return "The recovery took longer than its target."
	case firedrill.ReasonRPOMissed:
		return "More was lost than the target allows."
	case firedrill.ReasonDataDiffers:
		return "The recovered data is not what was there before."
	case firedrill.ReasonServiceDiffers:
		return "The application does not answer as before."
	case firedrill.ReasonNoDamage:
		return "The injected damage was not seen, so nothing was shown."
	case firedrill.ReasonNoProtection:
		return "After the recovery a new write is not protected."
	case firedrill.ReasonResidue:
		return "Something unnamed was left behind."
	case firedrill.ReasonUnknownOutcome:
		return "Whether something happened, or what is there, is not known."
	case firedrill.ReasonNotMeasured:
		return "What a target asks for was not measured, or not so that it can be relied on."
	case firedrill.ReasonStepFailed:
		return "A step failed, and the run turned back."
	case firedrill.ReasonRecoveryFailed:
		return "A step of the recovery failed."
	case firedrill.ReasonUndoFailed:
		return "What was changed could not all be put back."
	case firedrill.ReasonGuard:
		return "A guard refused."
	case firedrill.ReasonAborted:
		return "The run was stopped."
	case firedrill.ReasonBusy:
		return "Somebody else holds the environment."
	case firedrill.ReasonOperational:
		return "The API or this machine could not be used; nothing was damaged."
	}
	return ""
}
