package drplan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Rule names what in a document cannot work.
type Rule string

// The rules, see [Rules] for what they mean.
const (
	NoSuchCommand        Rule = "no-such-command"
	RefusedArgument      Rule = "refused-argument"
	LocalByDefault       Rule = "local-by-default"
	BookmarkBeforeRow    Rule = "bookmark-before-row"
	BookmarkInASentence  Rule = "bookmark-in-a-sentence"
	OldestDeployment     Rule = "oldest-deployment"
	DeploymentNoVersion  Rule = "deployment-is-no-version"
	AcrossMigration      Rule = "rollback-across-migration"
	RowNotInBackup       Rule = "row-not-in-backup"
	JSONByEcho           Rule = "json-by-echo"
	SplitKeys            Rule = "keys-split-at-spaces"
	ValueInVariable      Rule = "value-in-variable"
	MetadataLost         Rule = "metadata-lost"
	NewKeysStay          Rule = "new-keys-stay"
	OnePageOnly          Rule = "one-page-only"
	ReadEatsBackslashes  Rule = "read-eats-backslashes"
	TargetCannotHold     Rule = "target-cannot-hold"
	TimeTravelOfTheDead  Rule = "time-travel-of-the-deleted"
	ObjectsDie           Rule = "objects-die-with-worker"
	IDsChange            Rule = "ids-change"
	SecretsDie           Rule = "secrets-die-with-worker"
	ErrorHidden          Rule = "error-hidden"
	ErrorPagePasses      Rule = "error-page-passes"
	PassedOnPaper        Rule = "passed-on-paper"
	SumOfClaims          Rule = "sum-of-claims"
	PointsWithoutAnyItem Rule = "points-without-evidence"
)

// About describes a rule.
type About struct {
	Rule Rule
	Text string // what it finds
	Help string // what to do instead
}

// check is a rule with how it looks.
type check struct {
	About
	find func(*reading) []Finding
}

// Rules describes all rules, in the order in which they are looked for.
func Rules() []About {
	var all []About
	for _, r := range rules() {
		all = append(all, r.About)
	}
	return all
}

func rules() []check {
	return []check{
		{About{NoSuchCommand, "wrangler " + Wrangler + " has no such command", "firedrill runbook writes the commands that exist"}, noSuchCommand},
		{About{RefusedArgument, "wrangler " + Wrangler + " refuses an argument", "firedrill runbook writes the commands that exist"}, refusedArgument},
		{About{LocalByDefault, "without --remote wrangler works on an empty store of this machine", "add --remote"}, localByDefault},
		{About{BookmarkBeforeRow, "a restore to the bookmark removes the row that is looked for afterwards", "insert the row first, then take the bookmark, then do the damage"}, bookmarkBeforeRow},
		{About{BookmarkInASentence, "time-travel info answers in sentences, which are no bookmark", "add --json, and take .bookmark"}, bookmarkInASentence},
		{About{OldestDeployment, "deployments list gives the oldest first, so .[0] is the oldest", "sort by .created_on and take the last"}, oldestDeployment},
		{About{DeploymentNoVersion, "a rollback takes the id of a version, and gets that of a deployment", "take .versions[].version_id of the deployment that serves"}, deploymentIsNoVersion},
		{About{AcrossMigration, "a rollback across a migration of Durable Objects is refused", "go forward with a migration that repairs, and drill that"}, rollbackAcrossMigration},
		{About{RowNotInBackup, "what is written after the backup cannot come back from it", "write first, then take the backup, then do the damage to what it holds"}, rowNotInBackup},
		{About{JSONByEcho, "JSON that echo puts together breaks at the first quote, backslash or line end in a value", "let a program write it: wrangler kv bulk get, jq --arg"}, jsonByEcho},
		{About{SplitKeys, "a for loop splits names of keys at spaces", "read names line by line: while IFS= read -r"}, keysSplit},
		{About{ValueInVariable, "a value that goes through a variable of the shell loses NUL bytes and line ends, and a key that is missing gives the text Value not found", "write values to files: kv bulk get, or the API's raw GET"}, valueInVariable},
		{About{MetadataLost, "keys come back without their expiration and metadata", "keep both and give them back: kv bulk put takes expiration and metadata for each key"}, metadataLost},
		{About{NewKeysStay, "a restore that only writes leaves keys that were created after the backup, and brings back deleted ones", "compare the lists of keys, and delete what the backup has not"}, newKeysStay},
		{About{OnePageOnly, "a list of keys without a cursor ends after 1,000", "follow result_info.cursor until it is empty"}, onePageOnly},
		{About{ReadEatsBackslashes, "read without -r eats backslashes, which JSON is full of", "while IFS= read -r"}, readEatsBackslashes},
		{About{TargetCannotHold, "a target that arithmetic rules out", "measure it, then choose a way that can hold the target, or another target"}, targetCannotHold},
		{About{TimeTravelOfTheDead, "Time Travel dies with its database", "keep a backup outside of the platform's database, and restore that"}, timeTravelOfTheDeleted},
		{About{ObjectsDie, "deleting a Worker deletes its Durable Objects and all they hold", "say where their state is restored from, or that it is lost"}, objectsDie},
		{About{IDsChange, "what is created anew has another id, and nothing that is bound to the old one finds it", "write the new ids into the configuration before the deployment"}, idsChange},
		{About{SecretsDie, "deleting a Worker deletes its secrets, which no deployment brings back", "keep an inventory of secrets and where their values are, and set them"}, secretsDie},
		{About{ErrorHidden, "a failure is hidden, and what follows takes it for success", "let it fail"}, errorHidden},
		{About{ErrorPagePasses, "curl without --fail exits 0 on an error page", "curl -fsS, and compare what comes"}, errorPagePasses},
		{About{PassedOnPaper, "a drill that moved nothing is called passed", "run it, or call it unproven"}, passedOnPaper},
		{About{SumOfClaims, "a score that adds up what was once written down never decays", "count each item only while its evidence is fresh: firedrill certify"}, sumOfClaims},
		{About{PointsWithoutAnyItem, "points for what no drill or table shows", "show it or take the points out: firedrill certify"}, pointsWithoutEvidence},
	}
}

// Finding is a place in a document that cannot work.
type Finding struct {
	Rule    Rule   `json:"rule"`
	Line    int    `json:"line"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
	// Fingerprint stays when lines move: it is made of the rule and the line's text.
	Fingerprint string `json:"fingerprint"`
}

// Findings lists what in a document cannot work, in the order of its lines.
func Findings(name string, data []byte) ([]Finding, error) {
	r, err := readPlan(name, data)
	if err != nil {
		return nil, err
	}
	return r.findings(), nil
}

func (r *reading) findings() []Finding {
	var all []Finding
	for _, rule := range rules() {
		for _, f := range rule.find(r) {
			f.Rule, f.Remedy = rule.Rule, cmp.Or(f.Remedy, rule.Help)
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return a.Line - b.Line })
	seen := map[string]int{}
	for i, f := range all {
		text := string(f.Rule) + "\n" + strings.TrimSpace(r.lineText(f.Line))
		seen[text]++ // the same line may stand twice
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", text, seen[text]))
		all[i].Fingerprint = hex.EncodeToString(sum[:16])
	}
	return all
}

// found makes a finding.
func found(line int, format string, args ...any) Finding {
	return Finding{Line: line, Message: fmt.Sprintf(format, args...)}
}

// alsoAt tells the further lines of some calls: " (and lines 41 and 50)".
func alsoAt(calls []command) string {
	var lines []string
	for _, c := range calls[1:] {
		if l := fmt.Sprint(c.line); c.line != calls[0].line && !slices.Contains(lines, l) {
			lines = append(lines, l)
		}
	}
	switch len(lines) {
	case 0:
		return ""
	case 1:
		return " (and line " + lines[0] + ")"
	}
	return " (and lines " + strings.Join(lines[:len(lines)-1], ", ") + " and " + lines[len(lines)-1] + ")"
}
