// Package evidence makes what finished runs leave behind hard to change without
// notice, and says what was changed.
//
// The folder of a finished run is a bundle. A statement (in-toto, in a DSSE
// envelope, signed with Ed25519) names every file in it with its SHA-256. The
// statements of one key form a chain: each carries its number and the SHA-256 of
// the one before. What people add to a run later (notes, acknowledgements) are
// entries of the same chain. So a byte, a file, a record or a bundle that is
// changed, removed, added or put elsewhere shows, to anybody who has the public key,
// on a copy and without network.
//
// A chain alone cannot show that its end was cut off, nor that who has the private
// key wrote it anew. An [Anchor], a line that is kept elsewhere, does.
//
//	evidence/key                         the private key, or where it is kept
//	evidence/KEYID/key.pub               the public key of a chain
//	evidence/KEYID/00000001-run-RUN.json its entries
//	evidence/export.json                 of a part that was packed for somebody: what part
//	runs/RUN/…                           the bundles; each holds its statement, too
//
// docs/formats/evidence.md is the specification.
package evidence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill"
)

// The types of statement. A type that ends in another version is another format.
const (
	statementType = "https://in-toto.io/Statement/v1"
	payloadType   = "application/vnd.in-toto+json"
	bundleType    = "https://firedrill.dev/evidence/bundle/v1"
	remarkType    = "https://firedrill.dev/evidence/remark/v1"
	exportType    = "https://firedrill.dev/evidence/export/v1"
)

// Names in a folder that holds evidence.
const (
	Folder        = "evidence"      // beside runs
	RunsFolder    = "runs"          // of bundles
	StatementFile = "evidence.json" // of a bundle, in its own folder
	keyFile       = "key"
	publicFile    = "key.pub"
	exportFile    = "export.json"
	lockFile      = "lock"
	unfinished    = ".tmp" // ending of a file that is not whole
)

// The documents of a bundle, beside its statement. Whatever else a run's folder
// holds are artefacts: what the drill kept for comparing.
const (
	RecordsFile  = "records.jsonl" // one record a line, as the journal has them
	ResultFile   = "result.json"
	PlanFile     = "plan.json"
	VersionsFile = "versions.json"
	LogFile      = "log.md"
	ReportFile   = "report.html"
)

// IsDocument tells whether a file of a bundle is one of its documents; the others
// are artefacts.
func IsDocument(name string) bool {
	switch name {
	case RecordsFile, ResultFile, PlanFile, VersionsFile, LogFile, ReportFile:
		return true
	}
	return false
}

// Link is an entry's place in its chain.
type Link struct {
	Chain    string    `json:"chain"`    // where runs are kept: "local", or the address of a bucket
	Sequence int64     `json:"sequence"` // from 1, without gaps
	Previous string    `json:"previous"` // SHA-256 of the entry before, hex; "" for the first
	At       time.Time `json:"at"`       // when it was signed, by the clock of the machine
}

// Facts are what a bundle's statement says about its run, so that a reader needs no
// other file to know what was shown.
type Facts struct {
	Run         string                     `json:"run"`
	Drill       string                     `json:"drill"`
	Environment string                     `json:"environment"`
	Class       firedrill.Class            `json:"class"`
	Verdict     firedrill.Verdict          `json:"verdict"`
	ReasonCode  firedrill.ReasonCode       `json:"reason_code"`
	State       firedrill.EnvironmentState `json:"environment_state"`
	Started     time.Time                  `json:"started"`
	Finished    time.Time                  `json:"finished"`
	Executor    string                     `json:"executor"`
	Approver    *string                    `json:"approver"`
	Ticket      *string                    `json:"ticket"`
	PlanHash    string                     `json:"plan_sha256"`
}

// FactsOf takes from a result what a statement says.
func FactsOf(r firedrill.Result, planHash string) Facts {
	return Facts{Run: r.Run, Drill: r.Drill, Environment: r.Environment, Class: r.Class, Verdict: r.Verdict, ReasonCode: r.ReasonCode, State: r.State,
		Started: r.Started, Finished: r.Finished, Executor: r.Executor, Approver: r.Approver, Ticket: r.Ticket, PlanHash: planHash}
}

// subject names a file and its SHA-256.
type subject struct {
	Name   string `json:"name"`
	Digest digest `json:"digest"`
}

type digest struct {
	SHA256 string `json:"sha256"`
}

// statement is an in-toto statement of version 1.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// bundlePredicate is what is said of a run's folder.
type bundlePredicate struct {
	Link
	Facts
}

// remarkPredicate is what a person added to a run that is over. The statement's
// subject is the entry of its bundle.
type remarkPredicate struct {
	Link
	Run    string           `json:"run"`
	Remark firedrill.Remark `json:"remark"`
}

// Kind says what an entry of a chain is about.
type Kind string

// The kinds of entry.
const (
	KindRun  Kind = "run"
	KindNote Kind = "note"
	KindAck  Kind = "ack"
)

// Entry is the name of an entry, which says where it stands and what it is about.
type Entry struct {
	Sequence int64
	Kind     Kind
	Run      string
}

// String is the name of the entry's file.
func (e Entry) String() string { return fmt.Sprintf("%08d-%s-%s.json", e.Sequence, e.Kind, e.Run) }

// ParseEntry reads the name of an entry's file; ok is false where it is none, or
// not the name that [Entry.String] gives.
func ParseEntry(name string) (e Entry, ok bool) {
	base, is := strings.CutSuffix(name, ".json")
	number, rest, _ := strings.Cut(base, "-")
	kind, run, _ := strings.Cut(rest, "-")
	e.Kind, e.Run = Kind(kind), run
	if !is || !slices.Contains([]Kind{KindRun, KindNote, KindAck}, e.Kind) || !plainRun(run) {
		return Entry{}, false
	}
	n, err := strconv.ParseInt(number, 10, 64)
	e.Sequence = n
	if err != nil || n < 1 || e.String() != name {
		return Entry{}, false
	}
	return e, true
}

// plainRun tells whether a run's id is a plain name of a folder.
func plainRun(run string) bool {
	strange := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_' && r != '.'
	}
	return run != "" && len(run) <= 128 && run[0] != '.' && !strings.ContainsFunc(run, strange)
}

func storage(op, target string, err error) error {
	return &firedrill.Error{Op: op, Kind: firedrill.KindStorage, Target: target, Err: err, Remedy: "look at the disk (full? read-only?) and at the permissions"}
}
