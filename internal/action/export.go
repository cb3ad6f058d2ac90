package action

import "firedrill"

// Export is a route of the application that gives all records of something, as
// plans write it below a Worker: another way to read what is restored, and the
// only one to what a Durable Object holds.
type Export struct {
	Path string `json:"path" doc:"path and query, beginning with a slash. It answers with a JSON array of records, one record a line (NDJSON), or an object {records: [...], next: CURSOR}, which is asked for again with the query cursor=CURSOR until next is missing, empty or null"`
	Key  string `json:"key" doc:"field that names a record; no two records may have the same"`
	// Of is what a drill damages to see this route differ.
	Of      string           `json:"of" doc:"what it exports: a resource of the plan, or the class of a Durable Object"`
	Records string           `json:"records,omitempty" doc:"field of the object that holds the list; records if left out"`
	Redact  []string         `json:"redact,omitempty" doc:"fields whose values are never shown; others are shown cut short"`
	Headers firedrill.Values `json:"headers,omitempty" doc:"headers to send; a value is a string or a reference to a secret: {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}"`
}
