package firedrill

import (
	"encoding/json"
	"fmt"
	"time"
)

// Stamp is a moment: wall clock for people, a monotonic clock for measuring,
// and the boot it belongs to. Monotonic times of one boot compare even across
// processes.
type Stamp struct {
	Wall time.Time `json:"wall"`
	Mono int64     `json:"mono"` // nanoseconds since boot, suspended time included
	Boot string    `json:"boot"`
}

// Since gives the time from u to s. exact is false when they belong to
// different boots, where only the wall clock can tell.
func (s Stamp) Since(u Stamp) (d time.Duration, exact bool) {
	if s.Boot != "" && s.Boot == u.Boot {
		return time.Duration(s.Mono - u.Mono), true
	}
	return s.Wall.Sub(u.Wall), false
}

// After tells whether s is later than u.
func (s Stamp) After(u Stamp) bool {
	d, _ := s.Since(u)
	return d > 0
}

// IsZero tells whether the stamp was never set.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// Role says why an action is performed.
type Role string

// The roles of a call.
const (
	RoleDo    Role = "do"    // the step itself
	RoleUndo  Role = "undo"  // its undo
	RoleLook  Role = "look"  // a look at the state after undo
	RoleRearm Role = "rearm" // an observer started again after a resume
)

// Status is how a call ended.
type Status string

// The ways a call can end.
const (
	StatusOK      Status = "ok"
	StatusFailed  Status = "failed"
	StatusUnknown Status = "unknown"
)

// Edge is a change that an observer saw. Samples are not recorded, edges are.
type Edge struct {
	Observer string `json:"observer"`          // name of the observer
	Target   string `json:"target"`            // what it watches, e.g. "gateway /health"
	Service  string `json:"service,omitempty"` // resource that the target belongs to
	State    Colour `json:"state"`
	At       Stamp  `json:"at"` // when the deciding request was sent (red) or answered (green)
	// Answered is when the request was answered that turned a target red.
	Answered Stamp  `json:"answered,omitzero"`
	Detail   string `json:"detail,omitempty"`
	// Last is the last bad answer before a target turned green again.
	Last *BadAnswer `json:"last,omitempty"`
	// Alert marks what the user's own alert says: red while it fires. It says
	// nothing about the service.
	Alert bool `json:"alert,omitempty"`
}

// BadAnswer is an answer that was not as it should be.
type BadAnswer struct {
	At     Stamp  `json:"at"` // when it was asked for
	Detail string `json:"detail"`
}

// Colour is the state of a watched target.
type Colour string

// The colours. A target is Green only while every check on it holds.
const (
	Green Colour = "green"
	Red   Colour = "red"
)

// Observation is what an observer saw from its start to its stop: requests of
// a probe, or acknowledged writes of a sentinel and which of them survived.
type Observation struct {
	Observer string         `json:"observer"`
	Probes   int64          `json:"probes,omitempty"`  // requests sent
	Failed   int64          `json:"failed,omitempty"`  // of them
	Targets  []TargetProbed `json:"targets,omitempty"` // the same for each target
	Store    string         `json:"store,omitempty"`   // what a sentinel wrote into
	Boot     string         `json:"boot,omitempty"`    // that the times of Acks belong to
	Acks     []Ack          `json:"acks,omitempty"`    // in the order of their numbers
	Ghosts   []int64        `json:"ghosts,omitempty"`  // survivors whose write was sent and never acknowledged
}

// TargetProbed is what the requests to one target gave.
type TargetProbed struct {
	Target  string `json:"target"`
	Service string `json:"service,omitempty"`
	Probes  int64  `json:"probes"`
	Failed  int64  `json:"failed"`
	// Slow counts good answers that took longer than the probe's threshold.
	// Slow is not down.
	Slow       int64   `json:"slow"`
	SlowOverMS float64 `json:"slow_over_ms,omitempty"` // the threshold; 0: none is set
	// Cached counts answers that a cache had kept from before the injection.
	// They say nothing about the service, neither good nor bad.
	Cached int64 `json:"cached,omitempty"`
	// Latency is that of the good answers; nil without one.
	Latency *Latency `json:"latency_ms,omitempty"`
	// Last is the last bad answer; nil without one.
	Last *BadAnswer `json:"last_bad,omitempty"`
}

// Latency is how long answers took, in milliseconds, as a client saw it who
// asked at every interval: the requests that a slow answer kept from being sent
// count with the time that they would have waited.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Ack is one acknowledged write of a sentinel.
type Ack struct {
	N    int64 `json:"n"`
	At   int64 `json:"t"` // monotonic nanoseconds of the acknowledgement, see [Stamp]
	Lost bool  `json:"l,omitempty"`
	// Boot that At belongs to, where it is not the observation's: the run was
	// taken up after a restart of the machine.
	Boot string `json:"b,omitempty"`
}

// Record is one durable fact of a run. State is the fold of its records.
type Record struct {
	Seq  int64 // from 1, without gaps
	At   Stamp
	Body Body
}

// Body is the content of a record; its kinds are the types below.
type Body interface{ recordKind() string }

// RecordFormat is the version of the record format.
const RecordFormat = 1

// The kinds of record.
type (
	// RunStarted opens a run.
	RunStarted struct {
		Format   int     `json:"format"`
		Run      string  `json:"run"`
		Version  string  `json:"version"` // of firedrill
		Executor string  `json:"executor"`
		Program  Program `json:"program"`
	}
	// StepSkipped: the step's condition was false, or the run turned back
	// before it started.
	StepSkipped struct {
		Step      string       `json:"step"`
		Reason    string       `json:"reason"`
		Evaluated []Evaluation `json:"evaluated,omitempty"`
	}
	// StepRefused: the step could not even be resolved. Nothing was done.
	StepRefused struct {
		Step    string  `json:"step"`
		Problem Problem `json:"problem"`
	}
	// Intended: an effect is about to start. Its undo is part of it, so that
	// the undo is durable before the effect.
	Intended struct {
		Step     string   `json:"step"`
		Role     Role     `json:"role"`
		Attempt  int      `json:"attempt"`
		Op       string   `json:"op"`
		Uses     string   `json:"uses"`
		Resolved Resolved `json:"resolved"`
	}
	// Ended: an effect ended.
	Ended struct {
		Step       string   `json:"step"`
		Role       Role     `json:"role"`
		Attempt    int      `json:"attempt"`
		Op         string   `json:"op"`
		Status     Status   `json:"status"`
		Started    Stamp    `json:"started"` // when the action was called
		Finished   Stamp    `json:"finished"`
		Outputs    Values   `json:"outputs,omitempty"`
		Summary    string   `json:"summary,omitempty"`
		Checks     []Check  `json:"checks,omitempty"` // expectations and the action's own comparisons
		Collateral []string `json:"collateral,omitempty"`
		Notes      []string `json:"notes,omitempty"`
		Problem    *Problem `json:"problem,omitempty"`
		// Observation is what an observer saw in all, where the call stopped one.
		Observation *Observation `json:"observation,omitempty"`
	}
	// Expanded: a step asked for sub-steps.
	Expanded struct {
		Step  string `json:"step"`
		Steps []Step `json:"steps"`
	}
	// Discharged: the undo of these steps is no longer needed.
	Discharged struct {
		By    string   `json:"by"`
		Steps []string `json:"steps"`
	}
	// Seen: an observer saw an edge.
	Seen struct {
		Edge Edge `json:"edge"`
	}
	// Turned: the run starts nothing new and goes back.
	Turned struct {
		Cause  ReasonCode `json:"cause"`
		Step   string     `json:"step,omitempty"`
		Detail string     `json:"detail"`
	}
	// Resumed: another process took the run up.
	Resumed struct {
		Version  string `json:"version"`
		Executor string `json:"executor"`
	}
	// Answered: what became of an intent whose outcome was not recorded.
	Answered struct {
		Step    string   `json:"step"`
		Op      string   `json:"op"`
		Done    Doneness `json:"done"`
		Outputs Values   `json:"outputs,omitempty"`
		Problem *Problem `json:"problem,omitempty"`
	}
	// Measured: the measurements that the verdict is decided on.
	Measured struct {
		Measurement Measurement `json:"measurement"`
	}
	// Finished closes a run.
	Finished struct {
		Verdict     Verdict          `json:"verdict"`
		ReasonCode  ReasonCode       `json:"reason_code"`
		Reasons     []string         `json:"reasons"`
		Environment EnvironmentState `json:"environment_state"`
		// Left names what is dirty, with the command that repairs it.
		Left []Left `json:"left,omitempty"`
	}
)

// Left is something that a run could not put back.
type Left struct {
	Step   string `json:"step"`
	What   string `json:"what"`
	Repair string `json:"repair,omitempty"`
}

func (RunStarted) recordKind() string  { return "run-started" }
func (StepSkipped) recordKind() string { return "step-skipped" }
func (StepRefused) recordKind() string { return "step-refused" }
func (Intended) recordKind() string    { return "intended" }
func (Ended) recordKind() string       { return "ended" }
func (Expanded) recordKind() string    { return "expanded" }
func (Discharged) recordKind() string  { return "discharged" }
func (Seen) recordKind() string        { return "seen" }
func (Turned) recordKind() string      { return "turned" }
func (Resumed) recordKind() string     { return "resumed" }
func (Answered) recordKind() string    { return "answered" }
func (Measured) recordKind() string    { return "measured" }
func (Finished) recordKind() string    { return "finished" }

type wireRecord struct {
	Seq  int64           `json:"seq"`
	At   Stamp           `json:"at"`
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// MarshalJSON writes the record with its kind.
func (r Record) MarshalJSON() ([]byte, error) {
	if r.Body == nil {
		return nil, fmt.Errorf("record %d has no body", r.Seq)
	}
	body, err := json.Marshal(r.Body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wireRecord{r.Seq, r.At, r.Body.recordKind(), body})
}

// UnmarshalJSON reads a record; an unknown kind is an error, because a record
// that is not understood must not be skipped.
func (r *Record) UnmarshalJSON(data []byte) error {
	var w wireRecord
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	body, err := decodeBody(w.Kind, w.Body)
	if err != nil {
		return fmt.Errorf("record %d: %w", w.Seq, err)
	}
	*r = Record{Seq: w.Seq, At: w.At, Body: body}
	return nil
}

func decodeBody(kind string, data []byte) (Body, error) {
	switch kind {
	case "run-started":
		return decodeAs[RunStarted](data)
	case "step-skipped":
		return decodeAs[StepSkipped](data)
	case "step-refused":
		return decodeAs[StepRefused](data)
	case "intended":
		return decodeAs[Intended](data)
	case "ended":
		return decodeAs[Ended](data)
	case "expanded":
		return decodeAs[Expanded](data)
	case "discharged":
		return decodeAs[Discharged](data)
	case "seen":
		return decodeAs[Seen](data)
	case "turned":
		return decodeAs[Turned](data)
	case "resumed":
		return decodeAs[Resumed](data)
	case "answered":
		return decodeAs[Answered](data)
	case "measured":
		return decodeAs[Measured](data)
	case "finished":
		return decodeAs[Finished](data)
	}
	return nil, fmt.Errorf("unknown kind of record %q: it was written by a newer version", kind)
}

func decodeAs[T Body](data []byte) (Body, error) {
	var b T
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, err
	}
	return b, nil
}
