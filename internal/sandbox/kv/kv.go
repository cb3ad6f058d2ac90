// Package kv is the sandbox's key-value service: namespaces of keys with a
// value, metadata and an expiration, with the limits of Cloudflare's Workers KV.
//
// Each namespace is one SQLite file, in which keys stand in the order of their
// bytes. What was acknowledged survives a kill and a power cut: every write is
// synced before it is answered, and writes that come at the same time share
// one sync. A write of many pairs is one transaction.
//
// The platform keeps copies in many places that learn of a write late. Here
// there are two places, the API and the Workers, and Options.Lag says how late
// one learns of what was written in the other; 0 is at once.
package kv

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
	"unicode/utf8"
)

// The platform's limits (developers.cloudflare.com/kv/platform/limits).
const (
	MaxKey        = 512         // bytes
	MaxValue      = 25 << 20    // bytes
	MaxMetadata   = 1024        // bytes of JSON
	MaxPairs      = 10_000      // in one bulk write or delete
	MaxBulkBody   = 100_000_000 // the stricter reading of "100 megabytes"
	MaxBulkGet    = 100         // keys
	MaxBulkAnswer = 25 << 20
	MaxList       = 1000
	MinList       = 10
	MinTTL        = 60 // seconds
	maxTitle      = 512
)

// Options of Open.
type Options struct {
	Dir    string // holds the namespaces; made if it is not there
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
	// Lag is how long a place may go on answering what it has read before,
	// after a write elsewhere. The platform says 60 seconds or more.
	Lag time.Duration
}

// Namespace is one namespace of the store.
type Namespace struct {
	ID      string    `json:"id"` // 32 hexadecimal digits
	Title   string    `json:"title"`
	Created time.Time `json:"created"`
}

// Entry is one key with what is stored under it.
type Entry struct {
	Key      string
	Value    []byte
	Metadata json.RawMessage // nil: none
	// Expiration is in seconds since 1970; 0: never.
	Expiration int64
}

// Code is the platform's number for an error. Clients act on it.
type Code int

// The codes of the KV part of the API. 10009, 10013 and 10014 are known from
// clients; the others are the sandbox's choice.
const (
	CodeNoKey       Code = 10009
	CodeNoNamespace Code = 10013
	CodeTitleTaken  Code = 10014
	CodeBadRequest  Code = 10012
	CodeTooLarge    Code = 10033
)

// Error is a refusal; nothing was changed.
type Error struct {
	Status  int // of HTTP
	Code    Code
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s [code: %d]", e.Message, e.Code) }

func refuse(status int, code Code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func bad(format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, CodeBadRequest, format, args...)
}

// CheckKey refuses what cannot be a key. A key that is not UTF-8 could not be
// listed without loss, so it is refused too; no client of the platform sends one.
func CheckKey(key string) error {
	switch {
	case key == "":
		return bad("a key must not be empty")
	case key == "." || key == "..":
		return bad("a key must not be %q", key)
	case len(key) > MaxKey:
		return refuse(http.StatusRequestURITooLong, CodeBadRequest, "UTF-8 encoded length of %d exceeds key length limit of %d.", len(key), MaxKey)
	case !utf8.ValidString(key):
		return bad("a key must be UTF-8")
	}
	return nil
}

// Check refuses an entry that the platform would not store.
func (e Entry) Check() error {
	if err := CheckKey(e.Key); err != nil {
		return err
	}
	if len(e.Value) > MaxValue {
		return refuse(http.StatusRequestEntityTooLarge, CodeTooLarge, "Value length of %d exceeds limit of %d.", len(e.Value), MaxValue)
	}
	if len(e.Metadata) > MaxMetadata {
		return refuse(http.StatusRequestEntityTooLarge, CodeTooLarge, "Metadata length of %d exceeds limit of %d.", len(e.Metadata), MaxMetadata)
	}
	if e.Metadata != nil && !json.Valid(e.Metadata) {
		return bad("the metadata is not JSON")
	}
	return nil
}

// Expires works out when an entry expires from what a client said: a time in
// seconds since 1970, or seconds from now, which wins. Nil is not given.
func Expires(now time.Time, expiration, ttl *int64) (int64, error) {
	switch {
	case ttl != nil:
		if *ttl < MinTTL {
			return 0, bad("Invalid expiration_ttl of %d. Expiration TTL must be at least %d.", *ttl, MinTTL)
		}
		return now.Unix() + *ttl, nil
	case expiration != nil:
		if *expiration < now.Unix()+MinTTL {
			return 0, bad("Invalid expiration of %d. Expiration times must be at least %d seconds in the future.", *expiration, MinTTL)
		}
		return *expiration, nil
	}
	return 0, nil
}
