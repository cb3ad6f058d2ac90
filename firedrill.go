// Package firedrill is the vocabulary of the product: what a plan, a drill, a
// step, a record and a verdict are. It depends on the standard library alone,
// and every other package speaks in its words.
//
// A drill damages a staging environment on purpose, recovers it, and proves
// both. Its one promise is that it cannot lie: [Passed] is said only when the
// damage was observed, the recovered state equals the baseline, the service
// answers as before, protection works again and the measured times meet their
// targets. Whatever is unknown makes a run [Inconclusive].
//
// The flow: a [Plan] names environments and drills. A drill becomes a
// [Program], which is steps as data. The engine turns a program into records
// and effects, the runner makes the records durable and performs the effects
// through actions, and everything said afterwards (times, verdict, report) is
// computed from the [Record]s.
package firedrill

import (
	"fmt"
	"time"
)

// Phase says what a step is for. Phases are ordered as declared here; steps of
// a later phase start when those of the earlier ones are settled.
type Phase string

// The phases of a drill, in order.
const (
	Preflight Phase = "preflight" // guards: token, target, quota, what was left by an earlier run
	Baseline  Phase = "baseline"  // canaries in, fingerprint, bookmark, answers of the service
	Inject    Phase = "inject"    // the disaster
	Detect    Phase = "detect"    // prove that the damage is visible
	Recover   Phase = "recover"   // the runbook
	Verify    Phase = "verify"    // state equals baseline, service as before, protection resumes
	Cleanup   Phase = "cleanup"   // canaries gone, nothing left behind
)

// Phases lists all phases in order.
func Phases() []Phase {
	return []Phase{Preflight, Baseline, Inject, Detect, Recover, Verify, Cleanup}
}

// Index is the phase's place in the order, or -1 for a phase that does not exist.
func (p Phase) Index() int {
	for i, q := range Phases() {
		if p == q {
			return i
		}
	}
	return -1
}

// Proof names what a step shows when it passes. The verdict follows from
// proofs: a proof that fails gives the verdict its reason.
type Proof string

// The proofs a step can give.
const (
	ProvesDamage     Proof = "damage"     // the injected damage is really there
	ProvesData       Proof = "data"       // the recovered data equals the baseline
	ProvesService    Proof = "service"    // the application answers as before
	ProvesProtection Proof = "protection" // a new write is protected again
	ProvesClean      Proof = "clean"      // nothing was left behind but what is named
)

// Proofs lists all proofs.
func Proofs() []Proof {
	return []Proof{ProvesDamage, ProvesData, ProvesService, ProvesProtection, ProvesClean}
}

// Class says how careful to be with an environment.
type Class string

// The classes of environment. Production refuses every step that changes something.
const (
	ClassSandbox    Class = "sandbox"
	ClassCI         Class = "ci"
	ClassStaging    Class = "staging"
	ClassProduction Class = "production"
)

// Values holds inputs and outputs of steps. Its values are nil, bool, int64,
// float64, string, []any and map[string]any, nothing else: integers stay exact.
type Values map[string]any

// Plan is a parsed firedrill.yaml.
type Plan struct {
	Name         string                 `json:"name"`
	File         string                 `json:"file"`
	Hash         string                 `json:"hash"` // SHA-256 of the file, hex
	State        *StateStore            `json:"state,omitempty"`
	Environments map[string]Environment `json:"environments"`
	Drills       []Drill                `json:"drills"` // in the order of the file
	// Certification is nil where the plan says nothing: then the default rubric holds.
	Certification *Certification `json:"certification,omitempty"`
	// Warnings are what the plan may say and probably does not mean.
	Warnings []Warning `json:"-"`
}

// Warning is something that is allowed, and where it stands.
type Warning struct {
	At     Position
	Text   string
	Remedy string
}

// StateStore is a bucket in which runs are kept, so that another machine can
// finish what a lost one began; a plan without one keeps them in the local
// folder. It holds references to secrets, never their values.
type StateStore struct {
	Bucket    string `json:"bucket"`             // s3://bucket/prefix
	Endpoint  string `json:"endpoint,omitempty"` // https://host
	Region    string `json:"region,omitempty"`
	AccessKey Values `json:"access_key"` // {env: …}, {file: …} or {command: […]}
	SecretKey Values `json:"secret_key"` // likewise
}

// Environment is a place that can be drilled, or must be protected. It holds
// references to secrets, never their values.
type Environment struct {
	Name      string              `json:"name"`
	Class     Class               `json:"class"`
	Exclusive bool                `json:"exclusive"` // nobody else writes here during a drill
	Provider  string              `json:"provider"`  // "cloudflare"
	Settings  Values              `json:"settings"`  // the provider's own settings
	Resources map[string]Resource `json:"resources"`
	Quiesce   Quiesce             `json:"quiesce,omitzero"`
	Window    *Window             `json:"window,omitempty"` // nil: at any time
	Freeze    []Freeze            `json:"freeze,omitempty"`
	Limits    Limits              `json:"limits,omitzero"` // of any drill here; in a program, the narrower of these and the drill's
	// Incident opens an environment of class production to the changes of a
	// recovery. No plan can set it: it is set where the recovery of a real incident
	// is put together, and a program that is none is refused with it.
	Incident bool `json:"incident,omitempty"`
	// Source is where the plan gives it.
	Source Position `json:"-"`
}

// Window is when drills may run: a range of the clock on the wall, on some days.
type Window struct {
	Days []string `json:"days,omitempty" doc:"days and ranges of days: mon, mon-fri; every day if left out"`
	On   string   `json:"on,omitempty" doc:"instead of days, a day of the month: first monday, last friday"`
	From string   `json:"from" doc:"time of the day at which it opens: 02:00"`
	To   string   `json:"to" doc:"time of the day at which it closes; before from: on the next day. At most 24:00"`
	Zone string   `json:"zone,omitempty" doc:"time zone: Europe/Berlin; UTC if left out"`
}

// Freeze is a range of days on which no drill runs.
type Freeze struct {
	From   string `json:"from" doc:"its first day: 2026-12-20"`
	To     string `json:"to" doc:"its last day, which belongs to it"`
	Reason string `json:"reason,omitempty" doc:"why; is told to whom it refuses"`
	Zone   string `json:"zone,omitempty" doc:"time zone in which days begin and end; that of the window if left out, else UTC"`
}

// Limits are caps on what one drill may damage. 0: no cap.
type Limits struct {
	Rows      int64 `json:"rows,omitempty" doc:"rows of databases, changed and deleted"`
	Keys      int64 `json:"keys,omitempty" doc:"keys of namespaces, written and deleted"`
	Objects   int64 `json:"objects,omitempty" doc:"objects of buckets"`
	Resources int64 `json:"resources,omitempty" doc:"databases, namespaces and Workers"`
}

// Narrower gives the smaller of each two caps.
func (l Limits) Narrower(other Limits) Limits {
	least := func(a, b int64) int64 {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	return Limits{least(l.Rows, other.Rows), least(l.Keys, other.Keys), least(l.Objects, other.Objects), least(l.Resources, other.Resources)}
}

// InPlace tells whether damage may be done to the environment's own data.
// Elsewhere a drill works on a scratch copy.
func (e Environment) InPlace() bool {
	return e.Exclusive || e.Class == ClassSandbox || e.Class == ClassCI
}

// Quiesces tells whether the plan says how the environment's writers are stopped
// and restarted.
func (e Environment) Quiesces() bool { return len(e.Quiesce.Pause) > 0 }

// Quiesce holds the steps that stop and restart writers, each list in its order.
// They have no phase: a drill says where they run.
type Quiesce struct {
	Pause  []Step `json:"pause,omitempty"`
	Resume []Step `json:"resume,omitempty"`
}

// Resource is one thing in an environment: a database, a Worker. Attrs are
// the attributes that its kind defines (name, id, url, probes, …).
type Resource struct {
	Key   string `json:"key"`
	Kind  string `json:"kind"`
	Attrs Values `json:"attrs"`
	// Sources are where the plan gives the attributes.
	Sources map[string]Position `json:"-"`
}

// Drill is a drill as a plan schedules it.
type Drill struct {
	Name       string        `json:"name"`
	On         string        `json:"on,omitempty"`  // environment; empty where the plan has only one that fits
	Use        string        `json:"use,omitempty"` // built-in drill; empty when Steps are given
	Inputs     Values        `json:"inputs,omitempty"`
	Every      string        `json:"every,omitempty"`  // how often it is due; "": never
	Grace      string        `json:"grace,omitempty"`  // from its date until it is overdue; "": a quarter of the interval
	Starts     string        `json:"starts,omitempty"` // day from which dates are counted; "": from the runs that passed
	Window     *Window       `json:"window,omitempty"` // to which runs that nobody named keep; nil: to that of the environment alone
	RTO        time.Duration `json:"rto,omitempty"`    // target; 0: none
	RPO        time.Duration `json:"rpo,omitempty"`    // target; 0: none
	Unattended bool          `json:"unattended,omitempty"`
	Steps      []Step        `json:"steps,omitempty"`
	Alert      Values        `json:"alert,omitempty"` // request that shows the user's own alert; nil: none
	Limits     Limits        `json:"limits,omitzero"` // beside those of the environment
	Source     Position      `json:"source,omitzero"`
}

// Program is a drill that is ready to run: every reference to the plan is
// resolved, what remains open are expressions over the outputs of steps. It
// is journalled whole, so an edited plan cannot change a run that is resumed.
type Program struct {
	Drill       string        `json:"drill"`
	Use         string        `json:"use,omitempty"`
	Title       string        `json:"title"`
	Environment Environment   `json:"environment"`
	Inputs      Values        `json:"inputs,omitempty"`
	RTO         time.Duration `json:"rto,omitempty"`
	RPO         time.Duration `json:"rpo,omitempty"`
	Alert       Values        `json:"alert,omitempty"`
	Window      *Window       `json:"window,omitempty"` // beside that of the environment; nil: none
	PlanFile    string        `json:"plan_file,omitempty"`
	PlanHash    string        `json:"plan_hash,omitempty"`
	Incident    *Incident     `json:"incident,omitempty"` // nil: a drill
	Occasion    *Occasion     `json:"occasion,omitempty"` // what a person said about it; nil: nothing
	Steps       []Step        `json:"steps"`
}

// Occasion is what a person says about a run when it begins, for the evidence.
type Occasion struct {
	Note     string `json:"note,omitempty"`
	Ticket   string `json:"ticket,omitempty"`
	Approver string `json:"approver,omitempty"`
}

// Step is one thing to do, as data.
type Step struct {
	ID    string `json:"id"`
	Phase Phase  `json:"phase"`
	Title string `json:"title,omitempty"` // what a person reads while it runs
	Uses  string `json:"uses"`            // an action
	With  Values `json:"with,omitempty"`  // its inputs; strings may hold ${{ … }}
	// When is an expression; if it gives false the step is skipped, and the
	// result says so.
	When   string   `json:"when,omitempty"`
	Expect []string `json:"expect,omitempty"` // each must give true over the outputs
	Proves Proof    `json:"proves,omitempty"`
	// Needs names steps that must be settled first, beside those of earlier phases.
	Needs []string `json:"needs,omitempty"`
	Undo  *Undo    `json:"undo,omitempty"`
	// Discharges names steps whose undo is no longer needed once this step
	// passed: a verified recovery discharges the undo of the injection.
	Discharges []string `json:"discharges,omitempty"`
	// Look makes a step run once more after an undo, to tell whether the
	// environment is restored. Only steps that change nothing may look.
	Look    bool          `json:"look,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // 0: the runner's default
	Retry   int           `json:"retry,omitempty"`   // further attempts after a failure that changed nothing
	Source  Position      `json:"source,omitzero"`
}

// Undo is the action that reverts a step. Its inputs may refer to inputs and
// earlier steps only, because it is recorded before its step starts.
type Undo struct {
	Uses   string   `json:"uses"`
	With   Values   `json:"with,omitempty"`
	Expect []string `json:"expect,omitempty"` // each must give true over the outputs
	// Last lets the undo wait until all others were done and the environment was
	// looked at: writers that begin again any sooner would change what is looked at.
	Last bool `json:"last,omitempty"`
}

// Position is a place in a file; Line and Column count from 1.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String gives file:line:column.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Verdict is what a run amounts to.
type Verdict string

// The verdicts.
const (
	Passed       Verdict = "passed"
	Failed       Verdict = "failed"        // recovered state differs, service not as before, or a target missed
	Inconclusive Verdict = "inconclusive"  // damage not observed, or anything unknown
	Aborted      Verdict = "aborted"       // stopped by a person or a signal
	Recovered    Verdict = "recovered"     // of an incident: the recovery is done and something that was looked at bears it out
	NotRecovered Verdict = "not-recovered" // of an incident: anything else
)

// EnvironmentState is how a run left its environment.
type EnvironmentState string

// The states an environment can be left in.
const (
	Restored EnvironmentState = "restored"
	Dirty    EnvironmentState = "dirty"
)

// ReasonCode says in one word why a verdict is what it is.
type ReasonCode string

// The reason codes; docs/formats/result.md lists them for readers.
const (
	ReasonOK             ReasonCode = "ok"
	ReasonRTOMissed      ReasonCode = "rto-missed"
	ReasonRPOMissed      ReasonCode = "rpo-missed"
	ReasonDataDiffers    ReasonCode = "data-differs"
	ReasonServiceDiffers ReasonCode = "service-differs"
	ReasonNoDamage       ReasonCode = "damage-not-observed"
	ReasonNoProtection   ReasonCode = "protection-not-resumed"
	ReasonResidue        ReasonCode = "residue" // something unnamed was left behind
	ReasonUnknownOutcome ReasonCode = "unknown-outcome"
	ReasonNotMeasured    ReasonCode = "not-measured" // a target is set and nothing measured it
	ReasonStepFailed     ReasonCode = "step-failed"
	ReasonRecoveryFailed ReasonCode = "recovery-failed"
	ReasonUndoFailed     ReasonCode = "undo-failed"
	ReasonGuard          ReasonCode = "guard"
	ReasonAborted        ReasonCode = "aborted"
	ReasonBusy           ReasonCode = "environment-busy"
	ReasonOperational    ReasonCode = "operational" // nothing was damaged: API down, disk full
	ReasonListed         ReasonCode = "only-listed" // an incident was looked into, and nothing was to be recovered yet
)
