package certify

import (
	"cmp"
	"slices"
	"time"

	"firedrill"
)

// Item is what is known about one requirement: the runs of one drill that stands
// for it, or what a check found. Several items of one requirement all have to count.
type Item struct {
	ID    string // of the requirement
	Drill string // of the plan
	Runs  []Run
	Check *Check
	// Absent says why nothing can show the requirement, if nothing can.
	Absent string
	// Remark is something that a reader should know besides.
	Remark string
}

// Run is a finished run as evidence.
type Run struct {
	firedrill.Past
	Expires time.Time // when it counts no longer: its interval and the grace are over
	// Verified tells whether its evidence was verified; nil: nobody did.
	Verified *bool
	Problem  string // why it does not verify
}

// Check is what looking found.
type Check struct {
	OK     bool
	At     time.Time
	Detail string
	Remedy string
}

// Status says in one word why something counts or not.
type Status string

// The statuses.
const (
	Shown        Status = "shown"        // it counts
	NotRun       Status = "not-run"      // the drill is planned, and never ran
	NoDrill      Status = "no-drill"     // no drill of the plan would show it
	Expired      Status = "expired"      // shown once, too long ago
	Lost         Status = "failed"       // a newer run failed, or left its environment dirty
	Inconclusive Status = "inconclusive" // it ran, and no run told anything
	WrongClass   Status = "wrong-class"  // shown where it does not count
	Unverified   Status = "unverified"   // the evidence was not verified, or does not verify
	Future       Status = "future"       // the evidence is dated after now
	NotShown     Status = "not-shown"    // a check found something, or could not look
	Unavailable  Status = "unavailable"  // nothing in this version can show it
)

// Evidence is what stands for a requirement, and whether it counts.
type Evidence struct {
	Drill       string          `json:"drill,omitempty"`
	Run         string          `json:"run,omitempty"`
	Environment string          `json:"environment,omitempty"`
	Class       firedrill.Class `json:"class,omitempty"`
	At          *time.Time      `json:"at"`      // when it was shown; null: never
	Expires     *time.Time      `json:"expires"` // null: it does not by itself
	Status      Status          `json:"status"`
	Why         string          `json:"why"`
	Remedy      string          `json:"remedy,omitempty"` // what would make it count
	Remark      string          `json:"remark,omitempty"`
}

// Counts tells whether it does.
func (e Evidence) Counts() bool { return e.Status == Shown }

// weigh tells what an item amounts to at a moment.
func (r Rubric) weigh(it Item, now time.Time) Evidence {
	var e Evidence
	switch {
	case it.Absent != "":
		e = Evidence{Status: Unavailable, Why: it.Absent}
	case it.Check != nil:
		e = weighCheck(*it.Check, now)
	default:
		e = r.weighRuns(it, now)
	}
	e.Drill, e.Remark = it.Drill, joined(e.Remark, it.Remark)
	return e
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

func weighCheck(c Check, now time.Time) Evidence {
	e := Evidence{Status: NotShown, Why: c.Detail, Remedy: c.Remedy}
	switch {
	case c.OK && c.At.After(now):
		e.Status, e.Why = Future, "it is dated after now"
	case c.OK:
		e.Status, e.At = Shown, &c.At
	}
	return e
}

// weighRuns lets the newest run decide that says anything: one that passed, or one
// that showed that the recovery does not work. A run that told nothing takes no
// point away and gives none.
func (r Rubric) weighRuns(it Item, now time.Time) Evidence {
	again := "firedrill run " + it.Drill
	var drills, accepted []Run
	for _, run := range it.Runs {
		if run.Incident || !slices.Contains([]firedrill.Verdict{firedrill.Passed, firedrill.Failed, firedrill.Inconclusive, firedrill.Aborted}, run.Verdict) {
			continue // the recovery of an incident injected nothing, so it proves no damage
		}
		drills = append(drills, run)
		if slices.Contains(r.Classes, run.Class) {
			accepted = append(accepted, run)
		}
	}
	slices.SortFunc(drills, newestFirst)
	slices.SortFunc(accepted, newestFirst)
	switch {
	case len(drills) == 0:
		return Evidence{Status: NotRun, Why: "it never ran", Remedy: again}
	case len(accepted) == 0:
		e := about(drills[0])
		e.Status, e.Remedy = WrongClass, again+" on an environment of class "+list(r.Classes)
		e.Why = "it ran on class " + string(drills[0].Class) + ", and " + list(r.Classes) + " counts"
		return e
	}
	i := slices.IndexFunc(accepted, tells)
	if i < 0 {
		e := about(accepted[0])
		e.Status, e.Why, e.Remedy = Inconclusive, "the last run was "+string(accepted[0].Verdict)+", and none before it told more", again
		return e
	}
	e := judge(accepted[i], now, again)
	if i > 0 && e.Status != Lost {
		e.Remark = "run " + accepted[0].Run + " since then was " + string(accepted[0].Verdict) + " and told nothing"
	}
	return e
}

// tells says whether a run shows that the recovery works, or that it does not.
func tells(r Run) bool {
	return r.Verdict == firedrill.Passed || lost(r)
}

// lost says whether a run shows that the recovery does not work. A run that left
// its environment dirty does, whatever its verdict.
func lost(r Run) bool { return r.Verdict == firedrill.Failed || r.State == firedrill.Dirty }

// judge tells what the run that decides amounts to.
func judge(run Run, now time.Time, again string) Evidence {
	e := about(run)
	e.Remedy = again
	switch {
	case lost(run) && run.State == firedrill.Dirty:
		e.Status, e.Why = Lost, "the last run that tells anything left its environment dirty"
		e.Expires = nil
	case lost(run):
		e.Status, e.Why = Lost, "the last run that tells anything failed: "+string(run.ReasonCode)
		e.Expires = nil
	case run.Finished.After(now):
		e.Status, e.Why, e.Remedy = Future, "it is dated after now", "look at the clocks of this machine and of the one that ran it"
	case run.Verified == nil || !*run.Verified:
		e.Status, e.Why = Unverified, cmp.Or(run.Problem, "nobody verified its evidence")
	case !run.Expires.After(now):
		e.Status, e.Why = Expired, "it was shown too long ago"
	default:
		e.Status, e.Why, e.Remedy = Shown, "it passed, and is fresh", ""
	}
	return e
}

// about gives what a run tells of itself.
func about(run Run) Evidence {
	at := run.Finished
	e := Evidence{Run: run.Run, Environment: run.Environment, Class: run.Class, At: &at}
	if run.Verdict == firedrill.Passed {
		expires := run.Expires
		e.Expires = &expires
	}
	return e
}

// newestFirst orders runs. Of two that ended at one moment the worse comes first,
// so that the order of the input never matters.
func newestFirst(a, b Run) int {
	worse := func(r Run) int {
		switch {
		case lost(r):
			return 0
		case r.Verdict == firedrill.Passed && (r.Verified == nil || !*r.Verified):
			return 1
		case r.Verdict == firedrill.Passed:
			return 2
		}
		return 3
	}
	return cmp.Or(b.Finished.Compare(a.Finished), cmp.Compare(worse(a), worse(b)), a.Expires.Compare(b.Expires), cmp.Compare(a.Run, b.Run))
}

// list writes classes for a person: "staging or ci".
func list(classes []firedrill.Class) string {
	text := ""
	for i, c := range classes {
		if i > 0 {
			text += " or "
		}
		text += string(c)
	}
	return text
}
