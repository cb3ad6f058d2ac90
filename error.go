package firedrill

import (
	"errors"
	"strings"
)

// Kind classifies an error. What follows from a kind stands in one table, see
// [Kind.Retryable] and [Kind.Exit].
type Kind string

// The kinds of error.
const (
	KindUsage        Kind = "usage"           // wrong flags, plan or reference
	KindInvalid      Kind = "invalid"         // the other side refused the request as malformed
	KindNotFound     Kind = "not-found"       // no such resource
	KindConflict     Kind = "conflict"        // something else is there, or changed meanwhile
	KindDenied       Kind = "denied"          // token refused or without permission
	KindGuard        Kind = "guard"           // a guard of ours refused
	KindBusy         Kind = "busy"            // somebody else holds it: a run, a port, a lock
	KindLimited      Kind = "limited"         // a quota of the platform; later it works
	KindNotSent      Kind = "not-sent"        // the request did not reach the other side
	KindUnknown      Kind = "outcome-unknown" // sent, no answer: it may or may not have happened
	KindUnavailable  Kind = "unavailable"     // the other side answered that it cannot now (5xx)
	KindTimeout      Kind = "timeout"         // a condition did not come true in time
	KindUnsupported  Kind = "unsupported"     // cannot be done here, and says so
	KindStorage      Kind = "storage"         // local disk: full, read-only, a newer format
	KindCorrupt      Kind = "corrupt"         // stored or received data does not check
	KindExpectation  Kind = "expectation"     // an expectation was false or could not be evaluated
	KindInterrupted  Kind = "interrupted"     // stopped by a signal or a person
	KindInternal     Kind = "internal"        // a defect of ours
	KindUnclassified Kind = "unclassified"    // an error that carries no kind
)

// Exit statuses of the command line.
const (
	ExitOK           = 0
	ExitFailed       = 1   // a drill failed
	ExitUsage        = 2   // wrong usage or plan
	ExitInconclusive = 3   // inconclusive or aborted
	ExitDirty        = 4   // an environment was left dirty
	ExitGuard        = 5   // refused by a guard
	ExitOperational  = 6   // operational failure before any damage
	ExitInterrupted  = 130 // interrupted, environment restored
)

// consequence is what follows from a kind of error.
type consequence struct {
	retryable bool       // a repeated request may succeed, and the first one changed nothing
	reason    ReasonCode // of a run that ends because of it before any damage
	exit      int
}

func (k Kind) consequence() consequence {
	switch k {
	case KindUsage:
		return consequence{false, ReasonOperational, ExitUsage}
	case KindGuard:
		return consequence{false, ReasonGuard, ExitGuard}
	case KindBusy:
		return consequence{false, ReasonBusy, ExitOperational}
	case KindLimited, KindNotSent, KindUnavailable:
		return consequence{true, ReasonOperational, ExitOperational}
	case KindUnknown:
		return consequence{false, ReasonUnknownOutcome, ExitInconclusive}
	case KindExpectation:
		return consequence{false, ReasonStepFailed, ExitInconclusive}
	case KindInterrupted:
		return consequence{false, ReasonAborted, ExitInterrupted}
	default:
		return consequence{false, ReasonOperational, ExitOperational}
	}
}

// Retryable tells whether repeating a request may succeed without doing
// anything twice. An outcome that is unknown is not retryable by kind: only
// an idempotent action may be repeated then.
func (k Kind) Retryable() bool { return k.consequence().retryable }

// Reason is the reason code of a run that ends because of this kind of error
// before anything was damaged.
func (k Kind) Reason() ReasonCode { return k.consequence().reason }

// Exit is the exit status of a command that fails with this kind of error.
func (k Kind) Exit() int { return k.consequence().exit }

// Error is every error a person may see: what was attempted (Op), with which
// thing (Target), what went wrong, and what to do about it (Remedy).
type Error struct {
	Op     string // what was attempted, e.g. "d1.restore"
	Kind   Kind
	Target string // e.g. "database foundation-primary"
	Detail string // what went wrong, one line
	Remedy string // what to do, one line
	Code   int    // the other side's own code, 0 if none
	Err    error  // cause, may be nil
}

// Error gives one line without the remedy.
func (e *Error) Error() string {
	var parts []string
	for _, s := range []string{e.Op, e.Target, e.Detail} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 0 {
		return string(e.Kind)
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of err, [KindUnclassified] if it carries none, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Kind != "" {
		return e.Kind
	}
	return KindUnclassified
}

// RemedyOf is what the error says to do, or "".
func RemedyOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Remedy != "" {
			return e.Remedy
		}
		err = e.Err
	}
	return ""
}

// Problem is an error as records hold it.
type Problem struct {
	Op     string `json:"op,omitempty"`
	Kind   Kind   `json:"kind"`
	Target string `json:"target,omitempty"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
	Code   int    `json:"code,omitempty"`
}

// ProblemOf turns an error into its recorded form; nil gives nil.
func ProblemOf(err error) *Problem {
	if err == nil {
		return nil
	}
	p := &Problem{Kind: KindOf(err), Detail: err.Error(), Remedy: RemedyOf(err)}
	var e *Error
	if errors.As(err, &e) {
		p.Op, p.Target, p.Code = e.Op, e.Target, e.Code
	}
	return p
}

// Error makes a problem usable as an error again.
func (p *Problem) Error() string { return p.Detail }
