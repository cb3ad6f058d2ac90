// Package quiesce drills an application that others write to all the while: a
// real Worker with a maintenance route on a real sandbox, and writers that do not
// know of the drill. Whatever becomes of the drill, no acknowledged write is lost,
// and the writers go on.
package quiesce
