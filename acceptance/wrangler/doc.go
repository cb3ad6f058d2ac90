// Package wrangler drives the real, unmodified wrangler against the sandbox:
// what a team would do by hand, its output compared with what must be there.
package wrangler
