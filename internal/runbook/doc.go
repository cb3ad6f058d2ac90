// Package runbook writes the steps of a recovery as Markdown, with commands of
// wrangler, curl, node and sqlite3 that exist and the plan's real names filled in:
// for the day on which firedrill is not at hand. The commands are run against the
// sandbox with the real wrangler by a test (acceptance/wrangler).
package runbook
