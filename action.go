package firedrill

import (
	"context"
	"reflect"
	"time"
)

// Impact says what an action does to the world.
type Impact string

// The impacts, from harmless to destructive.
const (
	Reads   Impact = "reads"   // changes nothing
	Changes Impact = "changes" // changes something that can be put back, loses nothing of others
	Damages Impact = "damages" // destroys on purpose: injections
)

// Replay is what may be done when the outcome of an intent is not known.
type Replay string

// The replay policies.
const (
	Idempotent Replay = "idempotent" // doing it again does no harm and gives the same state
	Ask        Replay = "ask"        // the action's Done method tells
	Never      Replay = "never"      // injections: the outcome stays unknown
)

// Claim is a resource that a step touches. Steps whose claims conflict (same
// resource, at least one writes) do not run at the same time, and undo runs in
// reverse order per resource.
type Claim struct {
	Resource string `json:"resource"` // e.g. "d1:<id>"
	Write    bool   `json:"write,omitempty"`
}

// Spec describes an action. In and Out are struct types; schema, reference,
// completion and the types of expressions derive from them (fields by their
// json tag, their meaning by the tag `doc:"…"`, required unless omitempty).
type Spec struct {
	Name   string // "d1.restore"
	Doc    string // one paragraph; its first sentence stands in lists
	Impact Impact
	Replay Replay
	// Observer marks an action that starts a long-lived observer in this
	// process; a resumed run starts it again.
	Observer bool
	In, Out  reflect.Type
	// Claims tells what resolved inputs touch. Pure; nil means nothing.
	Claims func(Values) []Claim
	// Repair gives the literal command by which a person does the same
	// without firedrill. Pure; nil means there is none.
	Repair func(Values) string
	// Timeout is the default for steps that set none. 0: the runner's.
	Timeout time.Duration
}

// Kinds of things a provider has, and the settings it needs: the part of the
// catalog that plans are checked against.
type (
	// ProviderSpec describes a provider section of an environment.
	ProviderSpec struct {
		Name     string // the key in the plan: "cloudflare"
		Doc      string
		Settings reflect.Type
	}
	// KindSpec describes a kind of resource.
	KindSpec struct {
		Name     string // "d1"
		Provider string // "cloudflare"
		Doc      string
		Attrs    reflect.Type
	}
)

// Catalog is what a plan may refer to. It is injected, so that neither plan
// nor engine knows any provider.
type Catalog interface {
	Actions() []Spec // sorted by name
	Action(name string) (Spec, bool)
	Providers() []ProviderSpec
	Kinds() []KindSpec
}

// PrivateFolder is the folder in a run's folder for what nobody needs, nor should
// keep, once the run is over: the runner removes it then.
const PrivateFolder = "private"

// Call is one performance of an action.
type Call struct {
	Run     string
	Step    string
	Attempt int
	// Op identifies this mutation: the same for every attempt at the same
	// step, so that names and tags chosen from it are found again.
	Op          string
	Impact      Impact // of the action; "" for one that is only asked
	Inputs      Values
	Environment Environment
	// Dir is the run's folder, for artefacts that are too large for records.
	Dir       string
	Observers Observers
	// Progress reports what is happening; never nil.
	Progress func(Progress)
	// Now stamps moments; never nil.
	Now func() Stamp
	// Injected tells whether the first injection was sent, and when. It may be
	// asked at any time, by an observer too; nil means that there is none.
	Injected func() (Stamp, bool)
	// Full tells whether the disk of Dir ran full: what is not needed to put things
	// back is not to be written any more. It may be asked at any time, by an observer
	// too; nil means that it never does.
	Full func() bool
}

// Progress is a transient word about a call under way. It is shown, not recorded.
type Progress struct {
	Text  string
	Done  int64
	Total int64 // 0: unknown
}

// Outcome is what an action gives back.
type Outcome struct {
	Outputs Values
	// Summary is what a person reads: something that was measured, without a
	// final full stop ("412 rows changed, 57 deleted").
	Summary string
	// Steps are sub-steps that the action asks for (one per Worker, per
	// namespace, per object). They are journalled before they run.
	Steps []Step
	// Checks are comparisons that the action itself made, for the result.
	Checks []Check
	// Collateral lists what was undone for others, or stays behind by permission.
	Collateral []string
	// Notes are what a reader of the result should know about how far to trust
	// it; they do not change the verdict.
	Notes []string
	// Observation is what an observer saw in all, given when it is stopped.
	Observation *Observation
}

// Action is something that a step can use.
type Action interface {
	Spec() Spec
	// Do performs the call. An error of kind [KindUnknown] means that it may
	// have happened; any other error means that it did not, or not wholly and
	// that the undo is needed.
	Do(ctx context.Context, call Call) (Outcome, error)
}

// Doneness answers whether an interrupted call had its effect.
type Doneness string

// The answers.
const (
	Done        Doneness = "done"
	NotDone     Doneness = "not-done"
	DoneUnknown Doneness = "unknown"
)

// Doner is implemented by actions whose replay policy is [Ask]. Done changes nothing.
type Doner interface {
	Done(ctx context.Context, call Call) (Doneness, Outcome, error)
}

// Observer watches something while steps go on: a probe, a sentinel.
type Observer interface {
	// Run observes until ctx ends or Stop is called and sends edges to emit.
	Run(ctx context.Context, emit func(Edge))
	// Stop ends Run and waits for it. It may be called twice.
	Stop()
}

// Observers holds the observers of a run by name.
type Observers interface {
	Start(name string, o Observer) error // error if the name is taken
	Get(name string) (Observer, bool)
}

// Resolver turns steps into calls, purely: it evaluates expressions and asks
// the catalog. The engine decides with it and never folds with it.
type Resolver interface {
	// When tells whether a step runs.
	When(step Step, scope Scope) (bool, []Evaluation, error)
	// Resolve gives the call for a step.
	Resolve(step Step, scope Scope) (Resolved, error)
	// Expect evaluates a step's expectations over its outputs. An expectation
	// that cannot be evaluated is a failed check, not an absent one.
	Expect(step Step, scope Scope, outputs Values) []Check
}

// Scope is what expressions may refer to.
type Scope struct {
	Run     string
	Program *Program
	Outputs map[string]Values // by step id; only steps that passed
	Skipped map[string]bool
}

// Resolved is a step with its expressions evaluated.
type Resolved struct {
	Inputs    Values        `json:"inputs,omitempty"`
	Claims    []Claim       `json:"claims,omitempty"`
	Impact    Impact        `json:"impact"`
	Replay    Replay        `json:"replay"`
	Observer  bool          `json:"observer,omitempty"`
	Timeout   time.Duration `json:"timeout,omitempty"`
	Undo      *ResolvedUndo `json:"undo,omitempty"`
	Evaluated []Evaluation  `json:"evaluated,omitempty"`
}

// ResolvedUndo is an undo ready to be performed.
type ResolvedUndo struct {
	Uses   string  `json:"uses"`
	Inputs Values  `json:"inputs,omitempty"`
	Claims []Claim `json:"claims,omitempty"`
	Replay Replay  `json:"replay"`
	// Repair is the literal command for a person, "" if there is none.
	Repair string `json:"repair,omitempty"`
}

// Evaluation records an expression and what it gave.
type Evaluation struct {
	Expr  string `json:"expr"`
	Value any    `json:"value"`
}

// Check is one comparison and how it came out.
type Check struct {
	OK bool `json:"ok"`
	// Expr is the expectation, or "" for a comparison an action made.
	Expr string `json:"expr,omitempty"`
	// Compared counts what was compared (rows, answers). A check that compared
	// nothing is never ok.
	Compared int64  `json:"compared,omitempty"`
	Detail   string `json:"detail,omitempty"`
	// Partial marks a comparison of a part: a sample, counts. It can show that
	// something differs, and proves nothing where it holds.
	Partial bool `json:"partial,omitempty"`
}
