// Package d1 is the sandbox's database service: SQLite databases with the
// restrictions, limits and Time Travel of Cloudflare's D1.
//
// Each database has a folder of its own. Every write is captured page by page
// (package pagehistory), so a database can be rewound in place to any earlier
// bookmark at a cost that follows the damage. What was acknowledged survives a
// kill and a power cut. rows_read and rows_written are approximations: stock
// SQLite has no such counters.
package d1

import (
	"fmt"
	"log/slog"
	"time"
)

// Options of Open.
type Options struct {
	Dir string // holds the databases; made if it is not there
	Now func() time.Time
	Log *slog.Logger
	// CheckpointFrames is how long a WAL may grow before it is moved into the
	// main file, in pages; 0: 2,000.
	CheckpointFrames uint32
	// At is told each boundary of capture, checkpoint and rewind; nil: nobody.
	// Crash tests stop there.
	At func(point string)
}

// Database is one database of the store.
type Database struct {
	ID              string // UUID
	Name            string
	Created         time.Time
	Tables          int
	Size            int64 // bytes
	LocationHint    string
	Jurisdiction    string
	ReplicationMode string
}

// Statement is SQL text with its parameters: nil, bool, int64, float64,
// string or []byte. The text may hold several statements; then only the first
// that has placeholders takes parameters.
type Statement struct {
	SQL    string
	Params []any
}

// Result is the answer to one SQL statement. Cells are nil, int64, float64,
// string or []byte.
type Result struct {
	Columns []string
	Rows    [][]any
	Meta    Meta
}

// Meta is what the platform tells about a statement.
type Meta struct {
	Duration    time.Duration
	Changes     int64
	LastRowID   int64
	ChangedDB   bool
	SizeAfter   int64 // bytes
	RowsRead    int64 // approximate
	RowsWritten int64 // approximate
}

// Limits of the platform
// (https://developers.cloudflare.com/d1/platform/limits/).
const (
	MaxStatement = 100_000   // bytes
	MaxParams    = 100       // of one statement
	MaxValue     = 2_000_000 // bytes of a row, text or blob
	MaxColumns   = 100
	MaxArguments = 32 // of a function
	MaxPattern   = 50 // bytes of a LIKE or GLOB pattern
	QueryTimeout = 30 * time.Second
)

// Codes of errors, as the platform gives them.
const (
	CodeBadRequest = 7400
	CodeNotFound   = 7404
	CodeQuery      = 7500
	CodeNameTaken  = 7502
)

// Error is what the platform answers: a status, a code and a message.
type Error struct {
	Status  int
	Code    int
	Message string
}

func (e *Error) Error() string { return e.Message }

func badRequest(format string, args ...any) *Error {
	return &Error{Status: 400, Code: CodeBadRequest, Message: fmt.Sprintf(format, args...)}
}

func queryError(format string, args ...any) *Error {
	return &Error{Status: 400, Code: CodeQuery, Message: fmt.Sprintf(format, args...)}
}

func notFound(id string) *Error {
	return &Error{Status: 404, Code: CodeNotFound, Message: fmt.Sprintf("The database %s could not be found", id)}
}
