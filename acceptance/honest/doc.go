// Package honest holds the tests for false alarms: drills of workloads that chance
// makes, through a slow network with calls that have to be repeated, where writes
// show late, and beside others that write. Nothing is wrong in any of them, so all
// must pass. It has no code of its own.
package honest
