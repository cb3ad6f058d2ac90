package firedrill

import (
	"encoding/json"
	"time"
)

// ResultSchema is the version of the result document.
const ResultSchema = 1

// Document is what `run`, `demo`, `resume` and `show` print with --json.
type Document struct {
	SchemaVersion int      `json:"schema_version"`
	Runs          []Result `json:"runs"`
	// Certification is the score after the runs, where it is known.
	Certification *Score `json:"certification,omitempty"`
}

// Result is a finished run as people and scripts read it. Everything in it is
// computed from the run's records; what was not measured is null.
type Result struct {
	Run          string           `json:"run"`
	Drill        string           `json:"drill"`
	Use          string           `json:"use,omitempty"` // built-in drill; empty for one with steps of its own
	Title        string           `json:"title"`
	Environment  string           `json:"environment"`
	Class        Class            `json:"class"` // of the environment
	Verdict      Verdict          `json:"verdict"`
	ReasonCode   ReasonCode       `json:"reason_code"`
	State        EnvironmentState `json:"environment_state"`
	Started      time.Time        `json:"started"`
	Finished     time.Time        `json:"finished"`
	Executor     string           `json:"executor"`
	Approver     *string          `json:"approver"`
	Ticket       *string          `json:"ticket"`
	Comment      string           `json:"comment,omitempty"` // what a person said when it began
	RTO          RTO              `json:"rto"`
	RPO          RPO              `json:"rpo"`
	Availability Availability     `json:"availability"`
	Checks       []StepCheck      `json:"checks"`
	Collateral   []string         `json:"collateral"`
	Notes        []string         `json:"notes"`
	Reasons      []string         `json:"reasons"`
	Left         []Left           `json:"left,omitempty"`
	Steps        []StepResult     `json:"steps"`
	Platform     Platform         `json:"platform"`
	Incident     *Incident        `json:"incident,omitempty"` // of a recovery; a drill has none
	Evidence     string           `json:"evidence"`
}

// Measurement is what the records of a run amount to in time and loss.
type Measurement struct {
	RTO          RTO          `json:"rto"`
	RPO          RPO          `json:"rpo"`
	Availability Availability `json:"availability"`
	// Gaps are stretches in which no process observed the run.
	Gaps []Interval `json:"gaps,omitempty"`
	// Notes say how far to trust what was measured.
	Notes []string `json:"notes,omitempty"`
}

// RTO is the measured recovery time, in seconds; null where nothing was measured.
type RTO struct {
	Target *float64 `json:"target_s"`
	// Actual runs from the moment when the first injection was sent until the
	// recovery was acknowledged and every probe was green and stayed green.
	Actual  *float64 `json:"actual_s"`
	Observe *float64 `json:"observe_s"` // until our own probes or checks saw the damage
	Recover *float64 `json:"recover_s"` // from then until the recovery was acknowledged
	Green   *float64 `json:"green_s"`   // from then until every probe was green
	// Verified is when the data had been compared, from the same start.
	Verified *float64 `json:"verified_after_s"`
	// Detect is when the user's own alert was seen, from the same start. It is
	// there only where the plan names one.
	Detect Detection `json:"detect_s,omitzero"`
	// Services has the same for each service that a probe watched.
	Services map[string]ServiceRTO `json:"services,omitempty"`
}

// ServiceRTO is the recovery time of one service, by its own probes. All is
// null for one that was never seen bad after the injection.
type ServiceRTO struct {
	Actual  *float64 `json:"actual_s"`
	Observe *float64 `json:"observe_s"`
	Green   *float64 `json:"green_s"`
}

// Detection is the time until an alert was seen, where there was one to wait for.
type Detection struct {
	Named   bool     // the plan names an alert
	Seconds *float64 // nil: it was not seen
}

// MarshalJSON writes the seconds, or null.
func (d Detection) MarshalJSON() ([]byte, error) { return json.Marshal(d.Seconds) }

// UnmarshalJSON reads seconds, or null: the field is there, so one was named.
func (d *Detection) UnmarshalJSON(data []byte) error {
	d.Named = true
	return json.Unmarshal(data, &d.Seconds)
}

// RPO is the measured loss; null where nothing was measured.
type RPO struct {
	Target *float64 `json:"target_s"`
	// Actual is the time from the last acknowledged write that survived to the disaster.
	Actual       *float64 `json:"actual_s"`
	Acknowledged *int64   `json:"acknowledged_writes"`
	LostBefore   *int64   `json:"lost_before_disaster"`
	LostAfter    *int64   `json:"lost_after_disaster"`
	// Ghosts counts writes that are there although their acknowledgement never came.
	Ghosts int64 `json:"ghosts"`
	// Sentinels has the same for each store that was written into.
	Sentinels []SentinelLoss `json:"sentinels,omitempty"`
}

// SentinelLoss is what one sentinel measured.
type SentinelLoss struct {
	Sentinel     string   `json:"sentinel"`
	Store        string   `json:"store"`
	Actual       *float64 `json:"actual_s"`
	Acknowledged int64    `json:"acknowledged_writes"`
	LostBefore   *Lost    `json:"lost_before_disaster"` // null: not known
	LostAfter    *Lost    `json:"lost_after_disaster"`
	Ghosts       Lost     `json:"ghosts"`
}

// Lost names numbered writes: how many, the first and the last of them.
type Lost struct {
	Count int64          `json:"count"`
	First *NumberedWrite `json:"first,omitempty"`
	Last  *NumberedWrite `json:"last,omitempty"`
}

// NumberedWrite is one write of a sentinel.
type NumberedWrite struct {
	N int64 `json:"n"`
	// At is when it was acknowledged; null where it never was, or where no
	// clock can tell.
	At *time.Time `json:"at"`
}

// Availability is what the probes saw.
type Availability struct {
	Probes  int64    `json:"probes"` // requests sent
	Failed  int64    `json:"failed"`
	Slow    int64    `json:"slow"` // good answers above their probe's threshold; not among the failed
	Outages []Outage `json:"outages"`
	// Targets has the same for each probe, with its latency.
	Targets []TargetProbed `json:"targets,omitempty"`
}

// Outage is a stretch in which a target was red.
type Outage struct {
	Target  string     `json:"target"`
	Service string     `json:"service,omitempty"`
	From    time.Time  `json:"from"`
	To      *time.Time `json:"to"`               // null: still red at the end
	Detail  string     `json:"detail,omitempty"` // the first bad answer
	Last    string     `json:"last,omitempty"`   // the last bad answer; absent where nobody saw which it was
	LastAt  *time.Time `json:"last_at,omitempty"`
}

// Interval is a stretch of time.
type Interval struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// StepCheck is a check and the step that made it.
type StepCheck struct {
	Step string `json:"step"`
	Check
}

// StepResult is one step of a finished run.
type StepResult struct {
	Step    string   `json:"step"`
	Phase   Phase    `json:"phase"`
	Uses    string   `json:"uses"`
	Role    Role     `json:"role"`
	Status  string   `json:"status"` // ok, failed, unknown, skipped, refused
	Seconds *float64 `json:"seconds"`
	Summary string   `json:"summary,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// Platform says what was drilled.
type Platform struct {
	API    string `json:"api"` // "sandbox", or the host of the API
	Proven bool   `json:"proven"`
}
