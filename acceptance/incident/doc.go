// Package incident holds tests of `firedrill recover` as people use it: random
// disasters in a sandbox, recovered from and brought back, and recoveries that are
// killed on the way.
package incident
