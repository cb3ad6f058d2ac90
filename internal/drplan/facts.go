package drplan

import (
	"time"

	"firedrill"
)

// Facts are what a document is brought up to date with.
type Facts struct {
	Drills        []Drill
	Certification *Certification // nil: not known
	Zone          *time.Location // of the days that are written; nil: UTC
}

// Drill is a drill of the plan with what is known about its runs.
type Drill struct {
	Name  string   // in the plan
	Title string   // for people
	Use   string   // built-in drill; "" for one with steps of its own
	Names []string // of what it drills, to tell two drills of one kind apart
	// Last is the newest finished run, Passed the newest that passed; nil: none is known.
	Last, Passed *firedrill.Past
	Due          *time.Time // nil: not known
	Overdue      bool
	Entries      []Entry // runs for the execution log, the oldest first
}

// Entry is a run for the execution log.
type Entry struct {
	Past firedrill.Past
	// Details are facts that only some drills have: the bookmark, the versions.
	Details []Detail
}

// Detail is a fact with its name.
type Detail struct{ Label, Value string }

// Certification is the score and how it came about.
type Certification struct {
	Score, Of float64
	Level     string // in words; "" for none
	Items     []Item
}

// Item is what the score is made of.
type Item struct {
	ID, Title string
	Drill     string // name in the plan, or of a built-in drill; "" where it is no drill
	Baseline  bool   // what all else comes on top of
	Points    float64
	Shown     bool       // it counts now
	At        *time.Time // when it was shown last; nil: never, or it has no time
	Why       string     // it does not count
}

// Part is a part of a document that is brought up to date.
type Part string

// The parts.
const (
	Schedule  Part = "schedule"
	Log       Part = "log"
	Certified Part = "certification"
	Score     Part = "score"
)

// Parts gives all parts, in the order in which they are told.
func Parts() []Part { return []Part{Schedule, Log, Certified, Score} }
