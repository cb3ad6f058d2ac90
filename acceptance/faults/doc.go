// Package faults holds the tests in which client, platform and backup meet while
// everything goes wrong: requests that fail, stall, are cut off or answer falsely,
// processes that are killed, disks that are full. They hold the whole to one
// promise: never a backup that verifies and is wrong, never a restore that says
// done and is not. It has no code of its own.
package faults
