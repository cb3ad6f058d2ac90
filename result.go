package firedrill

import "time"

// ResultSchema is the version of the result document.
const ResultSchema = 1

// Document is what `run`, `demo`, `resume` and `show` print with --json.
type Document struct {
	SchemaVersion int      `json:"schema_version"`
	Runs          []Result `json:"runs"`
}

// Result is a finished run as people and scripts read it. Everything in it is
// computed from the run's records; what was not measured is null.
type Result struct {
	Run          string           `json:"run"`
	Drill        string           `json:"drill"`
	Title        string           `json:"title"`
	Environment  string           `json:"environment"`
	Verdict      Verdict          `json:"verdict"`
	ReasonCode   ReasonCode       `json:"reason_code"`
	State        EnvironmentState `json:"environment_state"`
	Started      time.Time        `json:"started"`
	Finished     time.Time        `json:"finished"`
	Executor     string           `json:"executor"`
	Approver     *string          `json:"approver"`
	Ticket       *string          `json:"ticket"`
	RTO          RTO              `json:"rto"`
	RPO          RPO              `json:"rpo"`
	Availability Availability     `json:"availability"`
	Checks       []StepCheck      `json:"checks"`
	Collateral   []string         `json:"collateral"`
	Reasons      []string         `json:"reasons"`
	Left         []Left           `json:"left,omitempty"`
	Steps        []StepResult     `json:"steps"`
	Platform     Platform         `json:"platform"`
	Evidence     string           `json:"evidence"`
}

// Measurement is what the records of a run amount to in time and loss.
type Measurement struct {
	RTO          RTO          `json:"rto"`
	RPO          RPO          `json:"rpo"`
	Availability Availability `json:"availability"`
	// Gaps are stretches in which no process observed the run.
	Gaps []Interval `json:"gaps,omitempty"`
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
}

// RPO is the measured loss; null where nothing was measured.
type RPO struct {
	Target *float64 `json:"target_s"`
	// Actual is the time from the last acknowledged write that survived to the disaster.
	Actual       *float64 `json:"actual_s"`
	Acknowledged *int64   `json:"acknowledged_writes"`
	LostBefore   *int64   `json:"lost_before_disaster"`
	LostAfter    *int64   `json:"lost_after_disaster"`
}

// Availability is what the probes saw.
type Availability struct {
	Probes  int64    `json:"probes"` // requests sent
	Failed  int64    `json:"failed"`
	Outages []Outage `json:"outages"`
}

// Outage is a stretch in which a target was red.
type Outage struct {
	Target string     `json:"target"`
	From   time.Time  `json:"from"`
	To     *time.Time `json:"to"` // null: still red at the end
	Detail string     `json:"detail,omitempty"`
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
