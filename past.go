package firedrill

import "time"

// Past is a finished run in brief: what the schedule, the score, documents and
// trends are computed from.
type Past struct {
	Run         string
	Drill       string
	Use         string // built-in drill; "" for one with steps of its own
	Title       string
	Environment string
	Class       Class // of the environment when it ran
	Verdict     Verdict
	ReasonCode  ReasonCode
	State       EnvironmentState
	Started     time.Time
	Finished    time.Time
	Executor    string
	Incident    bool // the recovery of a real incident, no drill
	RTO         Figure
	RPO         Figure
	LostBefore  *int64   // acknowledged writes lost before the disaster; nil: not known
	LostAfter   *int64   // and after it
	Remarks     []Remark // what people added, the oldest first
	Folder      string   // path of the run's folder
}

// Figure is a measured time and its target, in seconds; nil where nothing was
// measured or no target was set. Unknown is not 0.
type Figure struct{ Actual, Target *float64 }

// Acked tells whether somebody acknowledged the run.
func (p Past) Acked() bool {
	for _, r := range p.Remarks {
		if r.Kind == RemarkAck {
			return true
		}
	}
	return false
}

// Remark is what a person added to a run that is over.
type Remark struct {
	Kind RemarkKind `json:"kind"`
	At   time.Time  `json:"at"`
	By   string     `json:"by"` // user@host
	Text string     `json:"text,omitempty"`
}

// RemarkKind says what a remark is.
type RemarkKind string

// The kinds of remark.
const (
	RemarkNote RemarkKind = "note" // free text
	RemarkAck  RemarkKind = "ack"  // a failed run was looked into: the drill may be due again
)
