// Package archtest tests the shape of the house: which package may import
// which, what the pure packages may not touch, and that every package says
// what it is for. The rules stand as data in rules.go, each with its reason.
package archtest
