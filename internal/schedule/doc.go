// Package schedule tells when a drill may run: within the window of its
// environment and outside of its freezes. Times are those of a clock on the wall
// of a time zone, whose rules are embedded, so that they hold on machines that
// have none.
package schedule
