package backup

import "firedrill/internal/fingerprint"

// Database says what the backup of a database holds.
type Database struct {
	// Bookmark is the point in time of the source that the backup is of.
	Bookmark string `json:"bookmark"`
	// Method tells how it was read: "export" by the platform's own export, "sql"
	// table by table with the exact type of each value.
	Method string `json:"method"`
	// Compared tells whether every row was compared with the database itself at
	// the bookmark.
	Compared bool    `json:"compared"`
	Rows     int64   `json:"rows"`
	Tables   []Table `json:"tables"`
	// Schema is the digest of all entries of the schema: tables, indexes, views,
	// triggers.
	Schema  fingerprint.Sum `json:"schema"`
	Objects int             `json:"objects"`
}

// Table counts the rows of a table.
type Table struct {
	Name   string          `json:"name"`
	Rows   int64           `json:"rows"`
	Digest fingerprint.Sum `json:"digest"` // sum of the digests of its rows
}
