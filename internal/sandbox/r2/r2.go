// Package r2 is the sandbox's object store: buckets of objects with the
// conditions, ranges, checksums and multipart uploads of Cloudflare's R2.
//
// What is known of an object stands in one SQLite file; its bytes are in files
// of their own, written and synced before the object appears. What was
// acknowledged survives a kill and a power cut; files that no object refers to
// are removed at the next start.
package r2

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"time"
	"unicode/utf8"
)

// The platform's limits (developers.cloudflare.com/r2/platform/limits).
const (
	MaxKey       = 1024    // bytes
	MaxCustom    = 8192    // bytes of custom metadata
	MaxObject    = 5 << 30 // bytes in one upload, or in one part
	MaxAPIObject = 300 << 20
	MinPart      = 5 << 20 // bytes of every part but the last
	MaxParts     = 10_000
	MaxList      = 1000
)

// bucketName is what a bucket may be called.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// Options of Open.
type Options struct {
	Dir    string // holds everything; made if it is not there
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
}

// Bucket is one bucket.
type Bucket struct {
	Name    string
	Created time.Time
}

// HTTP is the metadata that becomes headers. Empty fields are not set.
type HTTP struct {
	ContentType        string `json:"contentType,omitempty"`
	ContentLanguage    string `json:"contentLanguage,omitempty"`
	ContentDisposition string `json:"contentDisposition,omitempty"`
	ContentEncoding    string `json:"contentEncoding,omitempty"`
	CacheControl       string `json:"cacheControl,omitempty"`
	CacheExpiry        int64  `json:"cacheExpiry,omitempty"` // milliseconds since 1970
}

// Checksums are digests in hexadecimal; empty: not known.
type Checksums struct {
	MD5    string `json:"0,omitempty"`
	SHA1   string `json:"1,omitempty"`
	SHA256 string `json:"2,omitempty"`
	SHA384 string `json:"3,omitempty"`
	SHA512 string `json:"4,omitempty"`
}

// Object is what is known of an object.
type Object struct {
	Key       string
	Version   string
	Size      int64
	ETag      string
	Uploaded  time.Time
	HTTP      HTTP
	Custom    map[string]string
	Checksums Checksums
	pieces    []piece
}

// piece is a file with a part of an object's bytes.
type piece struct {
	Blob string `json:"blob"`
	Size int64  `json:"size"`
}

// Code is the platform's number for an error. Clients and the runtime act on it.
type Code int

// The codes of R2 (as workers-sdk knows them).
const (
	CodeBucketExists Code = 10004
	CodeBucketName   Code = 10005
	CodeNoBucket     Code = 10006
	CodeNoKey        Code = 10007
	CodeNotEmpty     Code = 10008
	CodeTooSmall     Code = 10011
	CodeMetadata     Code = 10012
	CodeKey          Code = 10020
	CodeMaxKeys      Code = 10022
	CodeNoUpload     Code = 10024
	CodePart         Code = 10025
	CodeArgument     Code = 10029
	CodePrecondition Code = 10031
	CodeDigest       Code = 10037
	CodeRange        Code = 10039
	CodeUpload       Code = 10048
	CodeTooLarge     Code = 100100
)

// Error is a refusal; nothing was changed.
type Error struct {
	Status  int // of HTTP
	Code    Code
	Message string
	// Object is what is there, when a condition on it did not hold.
	Object *Object
}

func (e *Error) Error() string { return fmt.Sprintf("%s [code: %d]", e.Message, e.Code) }

func refuse(status int, code Code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func noKey() *Error {
	return refuse(http.StatusNotFound, CodeNoKey, "The specified key does not exist.")
}

func checkKey(key string) error {
	if key == "" || len(key) > MaxKey || !utf8.ValidString(key) {
		return refuse(http.StatusBadRequest, CodeKey, "The specified object name is not valid.")
	}
	return nil
}

func checkCustom(custom map[string]string) error {
	n := 0
	for k, v := range custom {
		n += len(k) + len(v)
	}
	if n > MaxCustom {
		return refuse(http.StatusBadRequest, CodeMetadata, "Your metadata headers exceed the maximum allowed metadata size.")
	}
	return nil
}
