package firedrill

import "time"

// Incident makes a program the recovery of a real incident: nobody damages
// anything, there is no baseline, and the verdict is [Recovered] or
// [NotRecovered]. It is the one program that may change an environment of class
// production, because a person at a terminal asked for it by name.
type Incident struct {
	// Began is when the incident began, as a person said; nil: nobody said, and the
	// clock of the recovery starts with the run.
	Began *time.Time `json:"began,omitempty"`
	// Point says in words to what the recovery returns.
	Point string `json:"point"`
	// Overwrites says in words what the recovery replaces.
	Overwrites string `json:"overwrites,omitempty"`
	// Undoes is the run whose recovery this one takes back: it returns to the
	// state that run found. "" where a disaster is recovered from.
	Undoes string `json:"undoes,omitempty"`
	// Lists says that the run only looks into the incident and lists what could be
	// recovered: it ends with everything as it found it.
	Lists bool `json:"lists,omitempty"`
	// WritersGoOn says in words why the environment's writers are not stopped while it
	// is recovered; "" where they are, or where the recovery touches no data.
	WritersGoOn string `json:"writers_go_on,omitempty"`
}
