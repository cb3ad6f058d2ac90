package isolation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"firedrill"
)

// Rule names what a finding is an instance of.
type Rule string

// The rules, see [Rules] for what they mean.
const (
	SharedResource   Rule = "shared-resource"
	ForeignWorker    Rule = "foreign-worker"
	SharedName       Rule = "shared-worker-name"
	SharedRoute      Rule = "shared-route"
	InheritedRoute   Rule = "inherited-route"
	ForeignValue     Rule = "production-in-variable"
	PreviewOnLive    Rule = "preview-on-production"
	PlaceholderID    Rule = "placeholder-id"
	DroppedBinding   Rule = "dropped-binding"
	Twins            Rule = "twin-workers"
	UnreadableConfig Rule = "unreadable-config"
	DeployedForeign  Rule = "deployed-on-foreign"
	DeployedValue    Rule = "deployed-production-value"
	DeployedRoute    Rule = "deployed-on-foreign-route"
	DeployedDrift    Rule = "deployed-drift"
	NotInAccount     Rule = "not-in-account"
	OtherName        Rule = "name-of-another"
	UnnamedWorker    Rule = "unnamed-worker"
	NotLookedAt      Rule = "not-looked-at"
)

// Level tells how grave a finding is, in the words of SARIF.
type Level string

// The levels. Errors and warnings make an audit fail, notes do not.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelNote    Level = "note"
)

// About describes a rule.
type About struct {
	Rule  Rule
	Text  string // what it finds
	Level Level  // the gravest that it gives
	Help  string // what to do
}

// Rules describes all rules, in the order in which they are shown.
func Rules() []About {
	return []About{
		{SharedResource, "two environments use one resource", LevelError, "give each environment a resource of its own"},
		{ForeignWorker, "an environment calls a Worker of another one, or keeps its objects there", LevelError, "name the environment's own Worker"},
		{SharedName, "two environments deploy one Worker", LevelError, "give the environment a name of its own, or none: wrangler then appends the environment's"},
		{SharedRoute, "two environments claim one address", LevelError, "give each environment addresses of its own"},
		{InheritedRoute, "an environment inherits the routes of the top level", LevelError, "set routes in each environment, [] for none, and none at the top level"},
		{ForeignValue, "a variable leads to what belongs to production", LevelError, "give the environment a value of its own"},
		{PreviewOnLive, "`wrangler dev` works on what is in production", LevelError, "give the preview a resource of its own"},
		{PlaceholderID, "an id is none", LevelWarning, "write the resource's id, or take the binding out"},
		{DroppedBinding, "the top level has bindings that an environment does not inherit", LevelWarning, "repeat them in the environment"},
		{Twins, "two Workers of one environment use one database", LevelNote, "know that a restore of the database concerns both"},
		{UnreadableConfig, "a configuration or a plan cannot be read", LevelError, "repair the file"},
		{DeployedForeign, "a Worker as it is deployed is bound to what belongs to another environment", LevelError, "deploy it from a configuration that names the environment's own resource"},
		{DeployedValue, "a variable of a Worker as it is deployed leads to what belongs to production", LevelError, "deploy it with a value of the environment's own"},
		{DeployedRoute, "a Worker of one environment answers at an address of another one", LevelError, "give the address back to the Worker whose it is"},
		{DeployedDrift, "a Worker is deployed with other bindings than its configuration says", LevelWarning, "deploy it anew, or correct the configuration"},
		{NotInAccount, "the account does not have what a file names", LevelWarning, "correct the id or the name, or make the resource"},
		{OtherName, "the account has another name for an id than the file", LevelWarning, "look which of the two is meant"},
		{UnnamedWorker, "the account has a Worker that no file names", LevelNote, "know whose it is, or take it away"},
		{NotLookedAt, "something could not be looked at", LevelWarning, "give the token the right to read it, or look at it by hand"},
	}
}

// Finding is one place at which an environment is not by itself.
type Finding struct {
	Rule        Rule               `json:"rule"`
	Level       Level              `json:"level"`
	Message     string             `json:"message"`
	At          firedrill.Position `json:"at"`
	Environment string             `json:"environment,omitempty"`
	Worker      string             `json:"worker,omitempty"`
	Kind        string             `json:"kind,omitempty"`     // of the resource
	Resource    string             `json:"resource,omitempty"` // its id or name
	Related     []Related          `json:"related,omitempty"`
	// Fingerprint stays the same when lines move: it is made of rule, file,
	// environment, place in the configuration, and resource.
	Fingerprint string `json:"fingerprint"`
	// Accepted is set where a baseline accepts the finding.
	Accepted *Acceptance `json:"accepted,omitempty"`
}

// Related is another place that a finding is about.
type Related struct {
	At      firedrill.Position `json:"at"`
	Message string             `json:"message"`
}

// Counts tells whether the finding makes an audit fail.
func (f Finding) Counts() bool { return f.Level != LevelNote && f.Accepted == nil }

// identify sets the fingerprint from what the finding is about; where is its place
// in the configuration.
func (f *Finding) identify(where string) {
	h := sha256.New()
	for _, part := range []string{string(f.Rule), f.At.File, f.Environment, f.Worker, where, f.Kind, f.Resource} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	f.Fingerprint = hex.EncodeToString(h.Sum(nil)[:16])
}

// sorted puts findings in the order of the files, and takes off doubles.
func sorted(all []Finding) []Finding {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column),
			strings.Compare(string(a.Rule), string(b.Rule)), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	return slices.CompactFunc(all, func(a, b Finding) bool { return a.Fingerprint == b.Fingerprint && a.At == b.At })
}
