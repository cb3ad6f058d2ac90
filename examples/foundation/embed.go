// Package foundation is the example platform as files: two Workers, their
// database's migrations, what their KV namespace holds, and the plan that drills
// them. `firedrill demo`
// deploys it from the program itself; README.md tells how to deploy it with
// wrangler.
package foundation

import "embed"

// Files holds the example.
//
//go:embed firedrill.yaml gateway directory migrations namespaces
var Files embed.FS
