// Package report looks at reports of runs in a real browser: they must be accessible
// in the light and in the dark, on a phone and on a desk, fit the width they are given,
// run no script and ask for nothing.
package report
