package engine

import (
	"time"

	"firedrill"
)

// Input is something that happened. Each carries the moment it happened, which
// becomes the stamp of the records that follow from it.
type Input interface{ moment() firedrill.Stamp }

// The kinds of input.
type (
	// Start begins a run.
	Start struct {
		At       firedrill.Stamp
		Run      string
		Version  string
		Executor string
		Program  firedrill.Program
	}
	// Completion is how a Do effect ended; Op, Role and Attempt are the
	// effect's. A success with a problem counts as a failure, and status
	// unknown means that the call may or may not have happened.
	Completion struct {
		At       firedrill.Stamp
		Op       string
		Role     firedrill.Role
		Attempt  int
		Status   firedrill.Status
		Started  firedrill.Stamp
		Finished firedrill.Stamp
		Outcome  firedrill.Outcome
		Problem  *firedrill.Problem
	}
	// EdgeSeen is an edge that an observer saw.
	EdgeSeen struct {
		At   firedrill.Stamp
		Edge firedrill.Edge
	}
	// Interrupt asks the run to turn back: a signal, an abort. A run that
	// turned already goes on as it does. Kind is why, where it was no person: the
	// run is not aborted then.
	Interrupt struct {
		At     firedrill.Stamp
		Kind   firedrill.Kind
		Detail string
	}
	// Resume says that another process took the run up after [Load]. With
	// Abort the run turns back at once and starts no step again.
	Resume struct {
		At       firedrill.Stamp
		Version  string
		Executor string
		Abort    bool
	}
	// Answer is what an AskDone effect found; a problem makes it unknown.
	Answer struct {
		At      firedrill.Stamp
		Op      string
		Done    firedrill.Doneness
		Outcome firedrill.Outcome
		Problem *firedrill.Problem
	}
	// MeasureDone brings the measurement that a Measure effect asked for.
	MeasureDone struct {
		At          firedrill.Stamp
		Measurement firedrill.Measurement
	}
)

func (i Start) moment() firedrill.Stamp       { return i.At }
func (i Completion) moment() firedrill.Stamp  { return i.At }
func (i EdgeSeen) moment() firedrill.Stamp    { return i.At }
func (i Interrupt) moment() firedrill.Stamp   { return i.At }
func (i Resume) moment() firedrill.Stamp      { return i.At }
func (i Answer) moment() firedrill.Stamp      { return i.At }
func (i MeasureDone) moment() firedrill.Stamp { return i.At }

// EffectKind says what the shell is to do.
type EffectKind string

// The kinds of effect.
const (
	// Do performs an action; answer with a Completion.
	Do EffectKind = "do"
	// AskDone asks an action whether a call happened whose outcome was lost;
	// answer with an Answer.
	AskDone EffectKind = "ask"
	// Cancel cancels a call under way that changes nothing; its Completion still comes.
	Cancel EffectKind = "cancel"
	// Measure computes the measurement of all durable records, those of this
	// batch included; answer with a MeasureDone.
	Measure EffectKind = "measure"
)

// Effect is something for the shell to perform, without waiting for it.
type Effect struct {
	Kind EffectKind
	// Op identifies the mutation. All attempts at a step share it, and so do
	// its undo, its look and the rearming of its observer: (Op, Role) names a
	// call under way.
	Op      string
	Step    string
	Role    firedrill.Role
	Attempt int // from 1; for AskDone, of the call whose outcome was lost
	Uses    string
	Inputs  firedrill.Values
	Impact  firedrill.Impact
	Timeout time.Duration // 0: the shell's default
}

// Ready is what the shell has to do next. The ordering contract: Records must
// be durable BEFORE any of Effects starts, and in their order. Several steps
// that become ready at one moment share one Ready, and so one durable barrier.
// A batch that was written in part is a run that crashed there; it can be resumed.
type Ready struct {
	Records []firedrill.Record
	Effects []Effect
}
