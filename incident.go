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
}
